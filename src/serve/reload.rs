//! Reloads rules and certificates while serving, when their files' content changes.
//!
//! Files are polled and compared. Notifications would be faster, but miss changes: the kubelet updates a mounted Secret or
//! ConfigMap by swapping a `..data` symlink. Reading a few KB a second is cheap and misses nothing.

use std::fs;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::files::Problem;
use crate::server::metrics::{Metrics, Reloaded, Task};

/// Hash of the files' contents, or of the error that one of them is unreadable.
pub(super) type Fingerprint = [u8; 32];

/// A set of files that are valid only together, and the function that loads them.
pub struct Watch {
    what: Reloaded,
    paths: Vec<PathBuf>,
    load: Load,
    /// `None`: the files at start are not valid, and are loaded nevertheless.
    serving: Option<Fingerprint>,
    bad: Option<Bad>,
    /// Whether invalid content was reported since the last valid one.
    is_failing: bool,
}

/// Checks contents, in the order of the paths, and loads them. On error, nothing changes.
pub type Load = Box<dyn FnMut(&[Vec<u8>]) -> Result<(), Rejected> + Send>;

/// Why contents are not loaded, as text for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejected {
    /// The files must change.
    Invalid(String),
    /// The files become valid later, so the same contents are tried again at each look.
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

/// The result of one look at the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// No change.
    Same,
    /// New content was loaded.
    Reloaded,
    /// The files match the loaded content again, after invalid content.
    Recovered,
    /// Invalid new content, seen for the second time. It is reported once.
    Bad(String),
}

impl Watch {
    /// Watches files whose `contents` are loaded already. `None`: they are not valid.
    pub fn new(what: Reloaded, paths: Vec<PathBuf>, contents: Option<&[Vec<u8>]>, load: Load) -> Watch {
        Watch { what, paths, load, serving: contents.map(fingerprint), bad: None, is_failing: false }
    }

    /// Reads the files, and loads valid new content.
    ///
    /// Invalid content may be half of a change: the certificate is replaced, the key not yet. So it is reported only if it is the
    /// same at the next look.
    pub fn look(&mut self) -> Look {
        let contents = read(&self.paths);
        let seen = match &contents {
            Ok(contents) => fingerprint(contents),
            Err(error) => fingerprint(&[error.clone().into_bytes(), Vec::new()]),
        };
        if self.serving == Some(seen) {
            self.bad = None;
            return if mem::take(&mut self.is_failing) { Look::Recovered } else { Look::Same };
        }
        let known = self.bad.take_if(|bad| bad.fingerprint == seen);
        if let Some(bad) = known.as_ref().filter(|bad| matches!(bad.rejected, Rejected::Invalid(_))) {
            let rejected = bad.rejected.clone();
            return self.reject(seen, rejected, known);
        }
        // If loading panics, the same content is not tried again.
        let crashed = Rejected::Invalid("the reload crashed (bug); change the files or restart".to_owned());
        self.bad = Some(Bad { fingerprint: seen, rejected: crashed, reported: false });
        match contents.map_err(Rejected::Invalid).and_then(|contents| (self.load)(&contents)) {
            Ok(()) => {
                self.serving = Some(seen);
                self.bad = None;
                self.is_failing = false;
                Look::Reloaded
            }
            Err(rejected) => self.reject(seen, rejected, known),
        }
    }

    /// Remembers invalid content. Reports it if it was `known` for the same reason and not reported yet.
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

/// Looks at all of `watches` every `interval`, until the process ends. It uses its own thread, since reading may block and
/// checking a large rules file takes milliseconds.
pub fn start(mut watches: Vec<Watch>, interval: Duration, metrics: Arc<Metrics>) -> io::Result<()> {
    let look_at_all = move || {
        loop {
            for watch in &mut watches {
                if catch_unwind(AssertUnwindSafe(|| look_at(watch, &metrics))).is_err() {
                    metrics.task_panicked(Task::Reload);
                    tracing::error!(what = watch.what.as_str(), "reload crashed (bug); retrying");
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
        Look::Reloaded => {
            metrics.reload(what, true);
            tracing::info!(what = what.as_str(), "reloaded");
        }
        Look::Recovered => {
            metrics.files_match(what);
            tracing::info!(what = what.as_str(), "files match the loaded configuration again");
        }
        Look::Bad(error) => {
            metrics.reload(what, false);
            tracing::error!(
                what = what.as_str(),
                error = error.as_str(),
                "reload failed; the last valid files stay loaded; fix the files"
            );
        }
    }
}

/// Reads all of `paths`.
///
/// # Errors
///
/// Names the first unreadable file.
pub fn read(paths: &[impl AsRef<Path>]) -> Result<Vec<Vec<u8>>, String> {
    paths
        .iter()
        .map(AsRef::as_ref)
        .map(|path| fs::read(path).map_err(|error| format!("can't read {}", Problem::new(path, &error))))
        .collect()
}

pub(super) fn fingerprint(contents: &[Vec<u8>]) -> Fingerprint {
    let mut hash = Sha256::new();
    for content in contents {
        // With the lengths, bytes that move from one file to the next change the hash.
        hash.update((content.len() as u64).to_le_bytes());
        hash.update(content);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::server::bounds::{Bounds, Usage};
    use crate::server::lines::Lost;
    use crate::server::metrics::RecreateLoops;

    /// A watch on two files that are valid if they are equal.
    fn pair(directory: &Path) -> (Watch, Arc<AtomicUsize>) {
        let paths = vec![directory.join("a"), directory.join("b")];
        fs::write(&paths[0], "1").unwrap();
        fs::write(&paths[1], "1").unwrap();
        let taken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&taken);
        let load: Load = Box::new(move |contents| {
            if contents[0] != contents[1] {
                return Err(Rejected::Invalid("not a pair".to_owned()));
            }
            count.fetch_add(1, Ordering::Relaxed);
            Ok(())
        });
        let contents = read(&paths).unwrap();
        (Watch::new(Reloaded::Certificate, paths, Some(&contents), load), taken)
    }

    #[test]
    fn a_torn_write_is_not_reported() {
        let directory = tempfile::tempdir().unwrap();
        let (mut watch, taken) = pair(directory.path());
        assert_eq!(watch.look(), Look::Same);
        fs::write(directory.path().join("a"), "2").unwrap();
        assert_eq!(watch.look(), Look::Same);
        fs::write(directory.path().join("b"), "2").unwrap();
        assert_eq!(watch.look(), Look::Reloaded);
        assert_eq!(watch.look(), Look::Same);
        assert_eq!(taken.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn invalid_content_is_reported_once() {
        let directory = tempfile::tempdir().unwrap();
        let (mut watch, taken) = pair(directory.path());
        fs::write(directory.path().join("a"), "2").unwrap();
        let looks: Vec<_> = (0..4).map(|_| watch.look()).collect();
        assert_eq!(looks, [Look::Same, Look::Bad("not a pair".to_owned()), Look::Same, Look::Same]);
        fs::write(directory.path().join("a"), "1").unwrap();
        let looks: Vec<_> = (0..2).map(|_| watch.look()).collect();
        assert_eq!(looks, [Look::Recovered, Look::Same]);
        assert_eq!(taken.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn valid_content_is_reported_after_any_invalid_one() {
        let directory = tempfile::tempdir().unwrap();
        let (mut watch, _) = pair(directory.path());
        let looks: Vec<_> = ["2", "2", "3", "1"]
            .into_iter()
            .map(|content| {
                fs::write(directory.path().join("a"), content).unwrap();
                watch.look()
            })
            .collect();
        assert_eq!(looks, [Look::Same, Look::Bad("not a pair".to_owned()), Look::Same, Look::Recovered]);
    }

    /// A watch on a file that was not valid at start.
    fn watch_on(path: PathBuf, load: Load) -> Watch {
        fs::write(&path, "1").unwrap();
        Watch::new(Reloaded::Certificate, vec![path], None, load)
    }

    #[test]
    fn early_content_is_loaded_when_it_becomes_valid() {
        let directory = tempfile::tempdir().unwrap();
        let mut tries = 0;
        let load: Load = Box::new(move |_| {
            tries += 1;
            if tries < 4 { Err(Rejected::Early("too early".to_owned())) } else { Ok(()) }
        });
        let mut watch = watch_on(directory.path().join("a"), load);
        let looks: Vec<_> = (0..5).map(|_| watch.look()).collect();
        let bad = Look::Bad("too early".to_owned());
        assert_eq!(looks, [Look::Same, bad, Look::Same, Look::Reloaded, Look::Same]);
    }

    #[test]
    fn a_panic_ends_no_reload() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let load: Load = Box::new(|contents| match contents[0].as_slice() {
            b"1" => panic!("injected"),
            _ => Ok(()),
        });
        let metrics = Arc::new(Metrics::new(Lost::default()).unwrap());
        let watch = watch_on(path.clone(), load);
        start(vec![watch], Duration::from_millis(5), Arc::clone(&metrics)).unwrap();
        let wait_for = |series: &str| {
            let text = || metrics.text(0, RecreateLoops::default(), Usage::default(), Bounds::default()).unwrap();
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
    fn a_missing_file_is_invalid() {
        let directory = tempfile::tempdir().unwrap();
        let (mut watch, _) = pair(directory.path());
        fs::remove_file(directory.path().join("b")).unwrap();
        assert_eq!(watch.look(), Look::Same);
        assert!(matches!(watch.look(), Look::Bad(error) if error.contains("can't read")));
    }
}
