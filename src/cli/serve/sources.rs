//! Rules and certificate: where they come from at start, and how they are taken over later.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context;
use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};

use super::Args;
use crate::cli::rules::{self, RulesArgs};
use crate::config::Config;
use crate::engine::Policy;
use crate::server::admission::{Admission, NamedPolicy};
use crate::server::authority::{self, Made};
use crate::server::metrics::{Metrics, Reloaded};
use crate::server::reload::{self, TakeOver, Watch};
use crate::server::tls::{File, Identity, TlsError, Validity};

/// A rules file, as it was read.
pub(super) struct RulesFile {
    path: PathBuf,
    content: Vec<u8>,
}

/// The rules that the arguments name, and their file if they have one.
pub(super) fn rules(args: &RulesArgs) -> anyhow::Result<(NamedPolicy, Option<RulesFile>)> {
    let (config, content) = args.read()?;
    let policy = named(config, &content);
    let file = args.rules.clone().map(|path| RulesFile { path, content });
    Ok((policy, file))
}

impl RulesFile {
    /// Has changed rules decide.
    pub(super) fn watch(self, admission: Arc<Admission>) -> Watch {
        let RulesFile { path, content } = self;
        let of = path.clone();
        let take_over: TakeOver = Box::new(move |contents| {
            let config = rules::parse(&of, &contents[0]).map_err(|error| error.to_string())?;
            admission.set_rules(named(config, &contents[0]));
            Ok(())
        });
        Watch::new(Reloaded::Rules, vec![path], &[content], take_over)
    }
}

fn named(config: Config, content: &[u8]) -> NamedPolicy {
    NamedPolicy { policy: Policy::from(config), hash: hash(content) }
}

fn hash(content: &[u8]) -> String {
    let digest = Sha256::digest(content);
    digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where the serving certificate comes from, and whose client certificates are wanted.
#[derive(Debug, Clone)]
pub(super) struct Certificate {
    /// `None`: brought, in the first two of `paths`.
    pub(super) made: Option<Arc<Made>>,
    /// Certificate and key, unless they were made; then the client CA, if there is one.
    paths: Vec<PathBuf>,
}

impl Certificate {
    /// What the arguments name, or one that is made now.
    pub(super) fn from_args(args: &Args) -> anyhow::Result<Certificate> {
        let brought = args.tls_cert.iter().chain(&args.tls_key);
        let paths = brought.chain(&args.client_ca).cloned().collect();
        if args.tls_cert.is_some() {
            return Ok(Certificate { made: None, paths });
        }
        let addresses: Vec<_> = args.listen.iter().map(SocketAddr::ip).collect();
        let made = authority::make(&addresses).context("can't make a certificate")?;
        if let Some(path) = &args.write_ca {
            std::fs::write(path, &made.ca).with_context(|| format!("{}: can't be written", path.display()))?;
        }
        let made = Some(Arc::new(made));
        Ok(Certificate { made, paths })
    }

    /// Reads the files.
    pub(super) fn read(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        reload::read(&self.paths).map_err(anyhow::Error::msg)
    }

    /// Makes of the files' contents what is served with.
    pub(super) fn identity(&self, contents: &[Vec<u8>]) -> Result<Identity, TlsError> {
        let names: Vec<_> = self.names().collect();
        let made = self.made.as_deref().map(|made| {
            [
                File { name: "the certificate in memory", pem: made.certificate.as_bytes() },
                File { name: "the key in memory", pem: made.key.as_bytes() },
            ]
        });
        let brought = names.iter().zip(contents).map(|(name, pem)| File { name, pem });
        let mut files = made.into_iter().flatten().chain(brought);
        let nothing = File { name: "no file", pem: b"" };
        let chain = files.next().unwrap_or(nothing);
        let key = files.next().unwrap_or(nothing);
        Identity::from_pem(chain, key, files.next())
    }

    /// Has changed files used for new connections; `None` if there are no files.
    pub(super) fn watch(
        self,
        contents: &[Vec<u8>],
        current: Arc<ArcSwap<Identity>>,
        metrics: Arc<Metrics>,
    ) -> Option<Watch> {
        let paths = self.paths.clone();
        let first_name = self.names().next()?;
        let take_over: TakeOver = Box::new(move |contents| {
            let new = self.identity(contents).map_err(|error| error.to_string())?;
            let now = SystemTime::now();
            // An expired certificate in the place of a good one is somebody's mistake.
            let was_valid = current.load().validity(now) == Validity::Valid;
            if was_valid && new.validity(now) == Validity::Expired {
                let file = first_name.clone();
                return Err(TlsError::Expired { file }.to_string());
            }
            metrics.certificate_loaded(new.not_after_secs());
            current.store(Arc::new(new));
            Ok(())
        });
        Some(Watch::new(Reloaded::Certificate, paths, contents, take_over))
    }

    fn names(&self) -> impl Iterator<Item = String> {
        self.paths.iter().map(|path| path.display().to_string())
    }
}
