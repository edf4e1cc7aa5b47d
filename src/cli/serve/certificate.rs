//! The serving certificate: where it comes from at start, and how another is taken over later.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use arc_swap::ArcSwap;
use rustls::pki_types::ServerName;

use super::Args;
use crate::certificate::authority::{self, Made};
use crate::certificate::clock::Clock;
use crate::certificate::trust::Distrust;
use crate::server::metrics::{Metrics, Reloaded};
use crate::server::reload::{self, Rejected, TakeOver, Watch};
use crate::server::tls::{Clients, File, Identity, TlsError};

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
    /// The names that clients ask for, as far as they are known.
    hosts: Vec<ServerName<'static>>,
    /// Which clients of the client CA are admitted; empty: all.
    client_names: Vec<String>,
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
        let (hosts, client_names) = (args.tls_name.clone(), args.client_name.clone());
        let identity = identity(&paths, pair.as_ref(), &contents, &hosts, &client_names)?;
        metrics.certificate_loaded(identity.not_after_secs());
        if let (None, Err(why)) = (&pair, identity.check(clock.now())) {
            metrics.out_of_order(Reloaded::Certificate);
            tracing::warn!(error = %why, fix = why.fix(), "not ready: the serving certificate can't be used");
        }
        let identity = Arc::new(ArcSwap::from_pointee(identity));
        let parts = Mutex::new(Parts { pair, contents });
        Ok(Arc::new(Certificate { identity, paths, hosts, client_names, parts, clock, metrics }))
    }

    pub(super) fn identity(&self) -> &Arc<ArcSwap<Identity>> {
        &self.identity
    }

    /// Serves another pair from now on.
    pub(super) fn replace(&self, pair: Pair) -> Result<(), TlsError> {
        let mut parts = self.parts();
        self.serve(self.made_of(Some(&pair), &parts.contents)?);
        parts.pair = Some(pair);
        Ok(())
    }

    /// Has changed files used for new connections; `None` if there are no files.
    pub(super) fn watch(self: Arc<Certificate>) -> Option<Watch> {
        let paths = self.paths.clone();
        let first = self.paths.first()?.display().to_string();
        let (contents, is_good) = {
            let parts = self.parts();
            let is_of_files = parts.pair.is_none();
            (parts.contents.clone(), !is_of_files || self.identity.load().check(self.clock.now()).is_ok())
        };
        let take_over: TakeOver = Box::new(move |contents| {
            let mut parts = self.parts();
            let new = self.made_of(parts.pair.as_ref(), contents);
            let new = new.map_err(|error| Rejected::Invalid(error.to_string()))?;
            // Of a managed one, the API server is the judge.
            if parts.pair.is_none()
                && let Err(why) = new.check(self.clock.now())
            {
                let text = format!("{first}: the certificate can't be used: {why}; {}", why.fix());
                return Err(match why {
                    Distrust::NotYetValid { .. } => Rejected::Early(text),
                    _ => Rejected::Invalid(text),
                });
            }
            self.serve(new);
            parts.contents = contents.to_vec();
            Ok(())
        });
        Some(Watch::new(Reloaded::Certificate, paths, is_good.then_some(contents.as_slice()), take_over))
    }

    fn made_of(&self, pair: Option<&Pair>, contents: &[Vec<u8>]) -> Result<Identity, TlsError> {
        identity(&self.paths, pair, contents, &self.hosts, &self.client_names)
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

fn identity(
    paths: &[PathBuf],
    pair: Option<&Pair>,
    contents: &[Vec<u8>],
    hosts: &[ServerName<'static>],
    client_names: &[String],
) -> Result<Identity, TlsError> {
    let names: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    let made =
        pair.map(|pair| [&pair.certificate, &pair.key].map(|part| File { name: pair.place, pem: part.as_bytes() }));
    let brought = names.iter().zip(contents).map(|(name, pem)| File { name, pem });
    let mut files = made.into_iter().flatten().chain(brought);
    let nothing = File { name: "no file", pem: b"" };
    let chain = files.next().unwrap_or(nothing);
    let key = files.next().unwrap_or(nothing);
    let clients = files.next().map(|ca| Clients { ca, names: client_names });
    Identity::from_pem(chain, key, hosts, clients)
}
