//! Rules: where they come from at start, and how they are taken over later.

use std::path::PathBuf;
use std::sync::Arc;

use crate::cli::rules::{self, RulesArgs};
use crate::config::{self, Config};
use crate::engine::Policy;
use crate::server::admission::{Admission, NamedPolicy};
use crate::server::metrics::Reloaded;
use crate::server::reload::{Rejected, TakeOver, Watch};

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
            let config = rules::parse(&of, &contents[0]).map_err(|error| Rejected::Invalid(error.to_string()))?;
            admission.set_rules(named(config, &contents[0]));
            Ok(())
        });
        Watch::new(Reloaded::Rules, vec![path], Some(&[content]), take_over)
    }
}

fn named(config: Config, content: &[u8]) -> NamedPolicy {
    NamedPolicy { policy: Policy::from(config), hash: config::fingerprint(content) }
}
