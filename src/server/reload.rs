//! Rules and certificates that are taken over while serving, when their files' content changes.
//!
//! Files are read again and again, and compared. Notifications would be sooner, but the kubelet
//! replaces a mounted Secret or ConfigMap by swapping a `..data` symlink, which watches on the file
//! miss; reading a few KB a second is simple, costs nothing, and misses nothing.

use std::fs;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::metrics::{Metrics, Reloaded, Task};

/// What the files held at one reading, or that one of them could not be read.
type Fingerprint = [u8; 32];

/// A set of files that are valid only together, and what takes them over.
pub struct Watch {
    what: Reloaded,
    paths: Vec<PathBuf>,
    take_over: TakeOver,
    /// `None`: what the files held at start is not good, and is in use for want of better.
    serving: Option<Fingerprint>,
    bad: Option<Bad>,
    /// Whether bad content was reported since the last good one.
    is_failing: bool,
}

/// Checks contents, in the order of the paths, and has them used from then on. An error leaves all as it was.
pub type TakeOver = Box<dyn FnMut(&[Vec<u8>]) -> Result<(), Rejected> + Send>;

/// Why contents are not used, as the text that people get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejected {
    /// The files have to change.
    Invalid(String),
    /// Time will mend it, so the same contents are tried again at each look.
    Early(String),
}

impl Rejected {
    fn text(&self) -> &str {
        let (Rejected::Invalid(text) | Rejected::Early(text)) = self;
        text
    }
}

struct Bad {
    fingerprint: Fingerprint,
    rejected: Rejected,
    reported: bool,
}

/// What one look at the files came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// Nothing new.
    Same,
    /// New content is used now.
    TakenOver,
    /// What is in use is there again, after content that can't be used.
    Mended,
    /// New content that can't be used, seen for the second time and told for the first and only time.
    Bad(String),
}

impl Watch {
    /// Watches files whose `contents` are in use already; `None` if they are not good.
    pub fn new(what: Reloaded, paths: Vec<PathBuf>, contents: Option<&[Vec<u8>]>, take_over: TakeOver) -> Watch {
        Watch { what, paths, take_over, serving: contents.map(fingerprint), bad: None, is_failing: false }
    }

    /// Reads the files, and takes over what is new and good.
    ///
    /// Bad content may be half of a change: the certificate is replaced, the key not yet. So it is
    /// told only if it is still the same at the next look.
    pub fn look(&mut self) -> Look {
        let contents = read(&self.paths);
        let seen = match &contents {
            Ok(contents) => fingerprint(contents),
            Err(error) => fingerprint(&[error.clone().into_bytes(), Vec::new()]),
        };
        if self.serving == Some(seen) {
            self.bad = None;
            return if mem::take(&mut self.is_failing) { Look::Mended } else { Look::Same };
        }
        let known = self.bad.take_if(|bad| bad.fingerprint == seen);
        if let Some(bad) = known.as_ref().filter(|bad| matches!(bad.rejected, Rejected::Invalid(_))) {
            let rejected = bad.rejected.clone();
            return self.reject(seen, rejected, known);
        }
        // If taking it over panics, it is not tried again until it changes.
        let crashed = Rejected::Invalid("the reload crashed (bug); change the files or restart".to_owned());
        self.bad = Some(Bad { fingerprint: seen, rejected: crashed, reported: false });
        match contents.map_err(Rejected::Invalid).and_then(|contents| (self.take_over)(&contents)) {
            Ok(()) => {
                self.serving = Some(seen);
                self.bad = None;
                self.is_failing = false;
                Look::TakenOver
            }
            Err(rejected) => self.reject(seen, rejected, known),
        }
    }

    /// Remembers bad content; reports it if it was `known` for the same reason and is not reported yet.
    fn reject(&mut self, fingerprint: Fingerprint, rejected: Rejected, known: Option<Bad>) -> Look {
        let known = known.filter(|known| known.rejected == rejected);
        let look = match &known {
            Some(known) if !known.reported => Look::Bad(rejected.text().to_owned()),
            _ => Look::Same,
        };
        self.is_failing |= look != Look::Same;
        self.bad = Some(Bad { fingerprint, rejected, reported: known.is_some() });
        look
    }
}

/// Looks at all of `watches` every `interval`, for as long as the process lives. It has a thread of
/// its own, as reading may block and checking a large rules file takes milliseconds.
pub fn start(mut watches: Vec<Watch>, interval: Duration, metrics: Arc<Metrics>) -> io::Result<()> {
    let look_at_all = move || {
        loop {
            for watch in &mut watches {
                if catch_unwind(AssertUnwindSafe(|| look_at(watch, &metrics))).is_err() {
                    metrics.task_panicked(Task::Reload);
                    tracing::error!(what = watch.what.as_str(), "reload crashed (bug); looking again");
                }
            }
            metrics.task_ran(Task::Reload);
            thread::sleep(interval);
        }
    };
    thread::Builder::new().name("reload".to_owned()).spawn(look_at_all).map(drop)
}

fn look_at(watch: &mut Watch, metrics: &Metrics) {
    let what = watch.what;
    match watch.look() {
        Look::Same => {}
        Look::TakenOver => {
            metrics.reload(what, true);
            tracing::info!(what = what.as_str(), "reloaded");
        }
        Look::Mended => {
            metrics.in_order(what);
            tracing::info!(what = what.as_str(), "files match the loaded configuration again");
        }
        Look::Bad(error) => {
            metrics.reload(what, false);
            tracing::error!(
                what = what.as_str(),
                error = error.as_str(),
                "can't reload; the last good one stays in use"
            );
        }
    }
}

/// Reads all of `paths`, or says which can't be read.
pub fn read(paths: &[impl AsRef<Path>]) -> Result<Vec<Vec<u8>>, String> {
    paths
        .iter()
        .map(AsRef::as_ref)
        .map(|path| fs::read(path).map_err(|error| format!("{}: can't be read: {error}", path.display())))
        .collect()
}

fn fingerprint(contents: &[Vec<u8>]) -> Fingerprint {
    let mut hash = Sha256::new();
    for content in contents {
        // With the lengths, bytes can't wander from one file to the next unseen.
        hash.update((content.len() as u64).to_le_bytes());
        hash.update(content);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::server::ledger::{Bounds, Usage};
    use crate::server::lines::Lost;

    /// A watch on two files that are good when they are equal.
    fn pair(directory: &Path) -> (Watch, Arc<AtomicUsize>) {
        let paths = vec![directory.join("a"), directory.join("b")];
        fs::write(&paths[0], "1").unwrap();
        fs::write(&paths[1], "1").unwrap();
        let taken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&taken);
        let take_over: TakeOver = Box::new(move |contents| {
            if contents[0] != contents[1] {
                return Err(Rejected::Invalid("not a pair".to_owned()));
            }
            count.fetch_add(1, Ordering::Relaxed);
            Ok(())
        });
        let contents = read(&paths).unwrap();
        (Watch::new(Reloaded::Certificate, paths, Some(&contents), take_over), taken)
    }

    #[test]
    fn a_torn_write_is_not_told() {
        let directory = tempfile::tempdir().unwrap();
        let (mut watch, taken) = pair(directory.path());
        assert_eq!(watch.look(), Look::Same);
        fs::write(directory.path().join("a"), "2").unwrap();
        assert_eq!(watch.look(), Look::Same);
        fs::write(directory.path().join("b"), "2").unwrap();
        assert_eq!(watch.look(), Look::TakenOver);
        assert_eq!(watch.look(), Look::Same);
        assert_eq!(taken.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn bad_content_is_told_once() {
        let directory = tempfile::tempdir().unwrap();
        let (mut watch, taken) = pair(directory.path());
        fs::write(directory.path().join("a"), "2").unwrap();
        let looks: Vec<_> = (0..4).map(|_| watch.look()).collect();
        assert_eq!(looks, [Look::Same, Look::Bad("not a pair".to_owned()), Look::Same, Look::Same]);
        fs::write(directory.path().join("a"), "1").unwrap();
        let looks: Vec<_> = (0..2).map(|_| watch.look()).collect();
        assert_eq!(looks, [Look::Mended, Look::Same]);
        assert_eq!(taken.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn good_content_is_told_after_any_bad_one() {
        let directory = tempfile::tempdir().unwrap();
        let (mut watch, _) = pair(directory.path());
        let looks: Vec<_> = ["2", "2", "3", "1"]
            .into_iter()
            .map(|content| {
                fs::write(directory.path().join("a"), content).unwrap();
                watch.look()
            })
            .collect();
        assert_eq!(looks, [Look::Same, Look::Bad("not a pair".to_owned()), Look::Same, Look::Mended]);
    }

    /// A watch on a file that was not good at start.
    fn watch_on(path: PathBuf, take_over: TakeOver) -> Watch {
        fs::write(&path, "1").unwrap();
        Watch::new(Reloaded::Certificate, vec![path], None, take_over)
    }

    #[test]
    fn early_content_is_taken_over_when_its_time_comes() {
        let directory = tempfile::tempdir().unwrap();
        let mut tries = 0;
        let take_over: TakeOver = Box::new(move |_| {
            tries += 1;
            if tries < 4 { Err(Rejected::Early("too early".to_owned())) } else { Ok(()) }
        });
        let mut watch = watch_on(directory.path().join("a"), take_over);
        let looks: Vec<_> = (0..5).map(|_| watch.look()).collect();
        let bad = Look::Bad("too early".to_owned());
        assert_eq!(looks, [Look::Same, bad, Look::Same, Look::TakenOver, Look::Same]);
    }

    #[test]
    fn a_panic_ends_no_reload() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let take_over: TakeOver = Box::new(|contents| match contents[0].as_slice() {
            b"1" => panic!("injected"),
            _ => Ok(()),
        });
        let metrics = Arc::new(Metrics::new(Lost::default()).unwrap());
        let watch = watch_on(path.clone(), take_over);
        start(vec![watch], Duration::from_millis(5), Arc::clone(&metrics)).unwrap();
        let wait_for = |series: &str| {
            let text = || metrics.text(0, Usage::default(), Bounds::default()).unwrap();
            let deadline = std::time::Instant::now() + Duration::from_secs(20);
            while !text().lines().any(|line| line == series) {
                assert!(std::time::Instant::now() < deadline, "no {series} in {}", text());
                thread::sleep(Duration::from_millis(5));
            }
        };
        wait_for(r#"pullthrough_reloads_total{result="failure",what="certificate"} 1"#);
        wait_for(r#"pullthrough_task_panics_total{task="reload"} 1"#);
        fs::write(path, "2").unwrap();
        wait_for(r#"pullthrough_reloads_total{result="success",what="certificate"} 1"#);
        wait_for(r#"pullthrough_task_panics_total{task="reload"} 1"#);
    }

    #[test]
    fn a_file_that_is_gone_is_bad() {
        let directory = tempfile::tempdir().unwrap();
        let (mut watch, _) = pair(directory.path());
        fs::remove_file(directory.path().join("b")).unwrap();
        assert_eq!(watch.look(), Look::Same);
        assert!(matches!(watch.look(), Look::Bad(error) if error.contains("can't be read")));
    }
}
