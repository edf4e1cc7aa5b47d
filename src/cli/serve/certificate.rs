//! The serving certificate: where it comes from at start, and how another is taken over later.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use arc_swap::ArcSwap;

use super::Args;
use crate::certificate::authority::{self, Made};
use crate::certificate::clock::Clock;
use crate::server::metrics::{Metrics, Reloaded};
use crate::server::reload::{self, TakeOver, Watch};
use crate::server::tls::{File, Identity, TlsError, Validity};

/// One that is made in memory lives as long as the process does, or this.
const LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A certificate chain and its key, in PEM, that are in no file.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    /// Where they are.
    pub(super) place: &'static str,
    pub(super) certificate: String,
    pub(super) key: String,
}

/// What TLS is done with, and what it is made of.
#[derive(Debug)]
pub(super) struct Certificate {
    identity: Arc<ArcSwap<Identity>>,
    /// Certificate and key, if they are in files; then the client CA, if there is one.
    paths: Vec<PathBuf>,
    /// Held while the identity is made anew, since both of these can be replaced.
    parts: Mutex<Parts>,
    clock: Arc<Clock>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Parts {
    /// `None`: in the first two files.
    pair: Option<Pair>,
    /// The files' contents.
    contents: Vec<Vec<u8>>,
}

impl Certificate {
    /// Of the files that the arguments name, or of a pair that was made.
    pub(super) fn new(
        args: &Args,
        pair: Option<Pair>,
        clock: Arc<Clock>,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Arc<Certificate>> {
        let paths: Vec<_> = args.tls_cert.iter().chain(&args.tls_key).chain(&args.client_ca).cloned().collect();
        let contents = reload::read(&paths).map_err(anyhow::Error::msg)?;
        let identity = identity(&paths, pair.as_ref(), &contents)?;
        metrics.certificate_loaded(identity.not_after_secs());
        let identity = Arc::new(ArcSwap::from_pointee(identity));
        Ok(Arc::new(Certificate { identity, paths, parts: Mutex::new(Parts { pair, contents }), clock, metrics }))
    }

    pub(super) fn identity(&self) -> &Arc<ArcSwap<Identity>> {
        &self.identity
    }

    /// Whether it can be used now.
    pub(super) fn validity(&self) -> Validity {
        self.identity.load().validity(self.clock.now())
    }

    /// Serves another pair from now on.
    pub(super) fn replace(&self, pair: Pair) -> Result<(), TlsError> {
        let mut parts = self.parts();
        self.serve(identity(&self.paths, Some(&pair), &parts.contents)?);
        parts.pair = Some(pair);
        Ok(())
    }

    /// Has changed files used for new connections; `None` if there are no files.
    pub(super) fn watch(self: Arc<Certificate>) -> Option<Watch> {
        let paths = self.paths.clone();
        let first = self.paths.first()?.display().to_string();
        let contents = self.parts().contents.clone();
        let take_over: TakeOver = Box::new(move |contents| {
            let mut parts = self.parts();
            let new = identity(&self.paths, parts.pair.as_ref(), contents).map_err(|error| error.to_string())?;
            // An expired certificate in the place of a good one is somebody's mistake.
            if self.validity() == Validity::Valid && new.validity(self.clock.now()) == Validity::Expired {
                return Err(TlsError::Expired { file: first.clone() }.to_string());
            }
            self.serve(new);
            parts.contents = contents.to_vec();
            Ok(())
        });
        Some(Watch::new(Reloaded::Certificate, paths, &contents, take_over))
    }

    fn serve(&self, identity: Identity) {
        self.metrics.certificate_loaded(identity.not_after_secs());
        self.identity.store(Arc::new(identity));
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A certificate for this machine's own names and the addresses that it listens on.
pub(super) fn in_memory(listen: &[SocketAddr]) -> anyhow::Result<Made> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    for name in listen.iter().map(SocketAddr::ip).filter(|ip| !ip.is_unspecified()).map(|ip: IpAddr| ip.to_string()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    authority::make(names, SystemTime::now(), LIFETIME).context("can't make a certificate")
}

fn identity(paths: &[PathBuf], pair: Option<&Pair>, contents: &[Vec<u8>]) -> Result<Identity, TlsError> {
    let names: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    let made =
        pair.map(|pair| [&pair.certificate, &pair.key].map(|part| File { name: pair.place, pem: part.as_bytes() }));
    let brought = names.iter().zip(contents).map(|(name, pem)| File { name, pem });
    let mut files = made.into_iter().flatten().chain(brought);
    let nothing = File { name: "no file", pem: b"" };
    let chain = files.next().unwrap_or(nothing);
    let key = files.next().unwrap_or(nothing);
    Identity::from_pem(chain, key, files.next())
}
