//! Rules and certificates that are taken over while serving, when their files' content changes.
//!
//! Files are read again and again, and compared. Notifications would be sooner, but the kubelet
//! replaces a mounted Secret or ConfigMap by swapping a `..data` symlink, which watches on the file
//! miss; reading a few KB a second is simple, costs nothing, and misses nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::metrics::{Metrics, Reloaded};

/// What the files held at one reading, or that one of them could not be read.
type Fingerprint = [u8; 32];

/// A set of files that are valid only together, and what takes them over.
pub struct Watch {
    what: Reloaded,
    paths: Vec<PathBuf>,
    take_over: TakeOver,
    serving: Fingerprint,
    bad: Option<Bad>,
}

/// Checks contents, in the order of the paths, and has them used from then on. An error is the text
/// that people get, and leaves all as it was.
pub type TakeOver = Box<dyn FnMut(&[Vec<u8>]) -> Result<(), String> + Send>;

struct Bad {
    fingerprint: Fingerprint,
    error: String,
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
    /// Watches files whose `contents` are in use already.
    pub fn new(what: Reloaded, paths: Vec<PathBuf>, contents: &[Vec<u8>], take_over: TakeOver) -> Watch {
        Watch { what, paths, take_over, serving: fingerprint(contents), bad: None }
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
        if seen == self.serving {
            let was_told = self.bad.take().is_some_and(|bad| bad.reported);
            return if was_told { Look::Mended } else { Look::Same };
        }
        if let Some(bad) = self.bad.as_mut().filter(|bad| bad.fingerprint == seen) {
            if bad.reported {
                return Look::Same;
            }
            bad.reported = true;
            return Look::Bad(bad.error.clone());
        }
        match contents.and_then(|contents| (self.take_over)(&contents)) {
            Ok(()) => {
                self.serving = seen;
                self.bad = None;
                Look::TakenOver
            }
            Err(error) => {
                self.bad = Some(Bad { fingerprint: seen, error, reported: false });
                Look::Same
            }
        }
    }
}

/// Looks at all of `watches` every `interval`, for as long as the process lives. It has a thread of
/// its own, as reading may block and checking a large rules file takes milliseconds.
pub fn start(mut watches: Vec<Watch>, interval: Duration, metrics: Arc<Metrics>) -> io::Result<()> {
    let look_at_all = move || {
        loop {
            thread::sleep(interval);
            for watch in &mut watches {
                let what = watch.what;
                match watch.look() {
                    Look::Same => {}
                    Look::TakenOver => {
                        metrics.reload(what, true);
                        tracing::info!(what = what.as_str(), "reloaded");
                    }
                    Look::Mended => {
                        metrics.in_order(what);
                        tracing::info!(what = what.as_str(), "what is in use is there again");
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
        }
    };
    thread::Builder::new().name("reload".to_owned()).spawn(look_at_all).map(drop)
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

    /// A watch on two files that are good when they are equal.
    fn pair(directory: &Path) -> (Watch, Arc<AtomicUsize>) {
        let paths = vec![directory.join("a"), directory.join("b")];
        fs::write(&paths[0], "1").unwrap();
        fs::write(&paths[1], "1").unwrap();
        let taken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&taken);
        let take_over: TakeOver = Box::new(move |contents| {
            if contents[0] != contents[1] {
                return Err("not a pair".to_owned());
            }
            count.fetch_add(1, Ordering::Relaxed);
            Ok(())
        });
        let contents = read(&paths).unwrap();
        (Watch::new(Reloaded::Certificate, paths, &contents, take_over), taken)
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
    fn a_file_that_is_gone_is_bad() {
        let directory = tempfile::tempdir().unwrap();
        let (mut watch, _) = pair(directory.path());
        fs::remove_file(directory.path().join("b")).unwrap();
        assert_eq!(watch.look(), Look::Same);
        assert!(matches!(watch.look(), Look::Bad(error) if error.contains("can't be read")));
    }
}
