//! The images of a cluster, with the pull Secrets of their Pods.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::bail;

use super::{Collect, Images, ImagesArgs, output, report, tell_skipped};
use crate::cli::duration::DurationArg;
use crate::cli::scan::progress::Progress;
use crate::cluster::api::Api;
use crate::cluster::pull_secrets::PullSecrets;
use crate::cluster::scan::DEFAULT_ACCOUNT;
use crate::engine::Policy;
use crate::engine::declared::Declaration;
use crate::registry::Client;
use crate::scan::{FoundImage, PullAccess};
use crate::verify::{Target, Targets, by_credentials, is_asked};
use crate::words::count;

/// The images to ask registries for, each with the client that has its credentials.
#[derive(Debug, Default)]
pub struct Asked {
    pub targets: Vec<(Target, Client)>,
    /// The number of images that the rules do not send to a cache.
    pub others: usize,
    /// The number of pull Secrets and service accounts that can't be used.
    pub unusable: usize,
}

/// Images, with the pull Secrets of their Pods once these are read.
#[derive(Debug, Default)]
pub struct WithPullSecrets {
    found: Vec<FoundImage>,
    secrets: PullSecrets,
}

impl Collect for WithPullSecrets {
    const NEEDS_PULL_ACCESS: bool = true;

    fn add(&mut self, finding: FoundImage) {
        self.found.push(finding);
    }

    async fn finish(&mut self, api: &Api, progress: &Progress) {
        let asked = self.found.iter().filter(|finding| is_asked(finding));
        let pods: BTreeSet<Arc<PullAccess>> = asked.filter_map(|finding| finding.pull_access.clone()).collect();
        let on_read = |done, all| progress.show("pull Secrets", done, Some(all - done));
        self.secrets = PullSecrets::read(api, &pods, on_read).await;
    }
}

impl ImagesArgs {
    /// As [`Self::find`], with the pull Secrets of the Pods.
    ///
    /// # Errors
    ///
    /// Also returns an error if the images are not those of a cluster.
    pub fn find_with_pull_secrets(
        self,
        policy: Policy,
        declared: Vec<Declaration>,
        timeout: DurationArg,
    ) -> anyhow::Result<Images<WithPullSecrets>> {
        if !self.is_of_cluster() {
            bail!(
                "--read-pull-secrets reads the Pods and the Secrets of a cluster; remove PATH and --images, or save the Secret \
                 to a file and set --pull-secret FILE"
            );
        }
        self.collect(policy, declared, timeout)
    }
}

impl Images<Targets> {
    /// Returns what to ask with one client.
    pub fn ask_with(mut self, client: &Client) -> (Images<()>, Asked) {
        let targets = std::mem::take(&mut self.targets);
        let others = targets.others;
        let targets = targets.into_list().into_iter().map(|target| (target, client.clone())).collect();
        (self.without_targets(), Asked { targets, others, unusable: 0 })
    }
}

impl Images<WithPullSecrets> {
    /// Returns what to ask with the pull Secrets of Pods before the credentials of `client`. Prints what can't be used.
    pub fn ask_with(mut self, client: &Client) -> (Images<()>, Asked) {
        let WithPullSecrets { found, secrets } = std::mem::take(&mut self.targets);
        let skipped = secrets.skipped();
        for (names, skipped) in report::skipped(&skipped) {
            tell_skipped(&names, &skipped.why, &skipped.fix);
        }
        if !skipped.is_empty() {
            output::note("note: images are asked for with the other pull Secrets of their Pods");
        }
        let is_assumed = |finding: &&FoundImage| {
            is_asked(finding) && finding.pull_access.as_ref().is_some_and(|access| access.is_assumed)
        };
        let assumed = found.iter().filter(is_assumed).count();
        if assumed > 0 {
            output::note(format_args!(
                "note: {} in custom resources, which don't show the service account of their Pods; `{DEFAULT_ACCOUNT}` is assumed",
                count(assumed, "place")
            ));
        }
        let (groups, others) = by_credentials(found, |access| secrets.of(access));
        let targets = groups.into_iter().map(|(target, keyring)| (target, client.with_pull_secrets(keyring)));
        let asked = Asked { targets: targets.collect(), others, unusable: skipped.len() };
        (self.without_targets(), asked)
    }
}
