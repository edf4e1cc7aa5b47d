//! The serving certificate: its source at start, and its replacement while serving.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use arc_swap::ArcSwap;
use rustls::pki_types::ServerName;

use super::reload::{self, Load, Rejected, Watch};
use crate::certificate::ca::{self, Made};
use crate::certificate::clock::Clock;
use crate::certificate::trust::Distrust;
use crate::server::metrics::{Metrics, Reloaded};
use crate::server::tls::{Clients, File, Identity, TlsError};

/// Lifetime of a certificate that is generated in memory.
const LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A certificate chain and its key, in PEM, that are not in files.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    /// Their source, for errors.
    pub(super) place: &'static str,
    pub(super) certificate: String,
    pub(super) key: String,
}

/// The files of a certificate, and the requirements on it.
#[derive(Debug, Clone, Default)]
pub struct Files {
    /// The certificate and its key. `None`: they are generated in memory.
    pub pair: Option<[PathBuf; 2]>,
    /// The names that clients use, if known.
    pub hosts: Vec<ServerName<'static>>,
    /// The CAs of accepted client certificates. `None`: clients need no certificate.
    pub client_ca: Option<PathBuf>,
    /// The accepted names of client certificates. Empty: any name.
    pub client_names: Vec<String>,
}

/// The loaded TLS configuration, and its sources.
#[derive(Debug)]
pub(super) struct Certificate {
    identity: Arc<ArcSwap<Identity>>,
    /// Certificate and key, if they are in files, and then the client CA, if any.
    paths: Vec<PathBuf>,
    /// The names that clients use, if known.
    hosts: Vec<ServerName<'static>>,
    /// The accepted names of client certificates. Empty: any name.
    client_names: Vec<String>,
    /// Locked while the identity is rebuilt, since certificate and client CA change independently.
    parts: Mutex<Parts>,
    clock: Arc<Clock>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Parts {
    /// `None`: certificate and key are in the first two files.
    pair: Option<Pair>,
    /// The contents of the files.
    contents: Vec<Vec<u8>>,
}

impl Certificate {
    /// Loads the certificate of `files`, or `pair`.
    pub(super) fn new(
        files: Files,
        pair: Option<Pair>,
        clock: Arc<Clock>,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Arc<Certificate>> {
        let Files { pair: pair_files, hosts, client_ca, client_names } = files;
        let paths: Vec<_> = pair_files.into_iter().flatten().chain(client_ca).collect();
        let contents = reload::read(&paths).map_err(anyhow::Error::msg)?;
        let identity = identity(&paths, pair.as_ref(), &contents, &hosts, &client_names)?;
        metrics.certificate_loaded(identity.not_after_secs());
        if let (None, Err(why)) = (&pair, identity.check(clock.now())) {
            metrics.files_still_invalid(Reloaded::Certificate);
            tracing::warn!(error = %why, fix = why.fix(), "not ready; the serving certificate is not valid");
        }
        let identity = Arc::new(ArcSwap::from_pointee(identity));
        let parts = Mutex::new(Parts { pair, contents });
        Ok(Arc::new(Certificate { identity, paths, hosts, client_names, parts, clock, metrics }))
    }

    pub(super) fn identity(&self) -> &Arc<ArcSwap<Identity>> {
        &self.identity
    }

    /// Replaces the served pair.
    pub(super) fn replace(&self, pair: Pair) -> Result<(), TlsError> {
        let mut parts = self.parts();
        self.serve(self.made_of(Some(&pair), &parts.contents)?);
        parts.pair = Some(pair);
        Ok(())
    }

    /// Returns a watch that loads changed files for new connections. `None`: there are no files.
    pub(super) fn watch(self: Arc<Certificate>) -> Option<Watch> {
        let paths = self.paths.clone();
        let first = self.paths.first()?.display().to_string();
        let (contents, is_good) = {
            let parts = self.parts();
            let is_of_files = parts.pair.is_none();
            (parts.contents.clone(), !is_of_files || self.identity.load().check(self.clock.now()).is_ok())
        };
        let load: Load = Box::new(move |contents| {
            let mut parts = self.parts();
            let new = self.made_of(parts.pair.as_ref(), contents);
            let new = new.map_err(|error| Rejected::Invalid(error.to_string()))?;
            // Whether a managed one is trusted depends on the webhook configuration.
            if parts.pair.is_none()
                && let Err(why) = new.check(self.clock.now())
            {
                let text = format!("{first}: the certificate is not valid: {why}; {}", why.fix());
                return Err(match why {
                    Distrust::NotYetValid { .. } => Rejected::Early(text),
                    _ => Rejected::Invalid(text),
                });
            }
            self.serve(new);
            parts.contents = contents.to_vec();
            Ok(())
        });
        Some(Watch::new(Reloaded::Certificate, paths, is_good.then_some(contents.as_slice()), load))
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

/// Generates a certificate for this machine's own names and the addresses that it listens on.
pub(super) fn in_memory(listen: &[SocketAddr]) -> anyhow::Result<Made> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    for name in listen.iter().map(SocketAddr::ip).filter(|ip| !ip.is_unspecified()).map(|ip: IpAddr| ip.to_string()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    ca::make(names, SystemTime::now(), LIFETIME).context("can't generate a certificate")
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
