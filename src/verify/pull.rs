//! Images by the pull credentials of their Pods: an image is asked for once for each set of credentials that apply to it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::pull_use::PullUse;
use super::targets::{Target, Targets, rewritten};
use crate::engine::ImageRef;
use crate::registry::{Keyring, Login, Repository};
use crate::scan::{FoundImage, PullAccess};

/// The pull credentials of a Pod.
#[derive(Debug, Clone, Default)]
pub struct PodPull {
    pub keyring: Keyring,
    /// The names of the Secrets that have them.
    pub secrets: Vec<String>,
    /// The names of the Pod's Secrets that are missing, unreadable or invalid.
    pub unusable: Vec<String>,
}

/// The keys that match an image, with their logins, in the order in which they are tried.
type Matches = Vec<(String, Login)>;

/// An image, with credentials.
struct Group {
    targets: Targets,
    keyring: Keyring,
    /// Those for the upstream; `None` while no place has its name.
    for_upstream: Option<Matches>,
    uses: BTreeMap<String, PullUse>,
}

/// Returns the rewritten images with the credentials to ask with, in the order in which they were found, and the number of other
/// images. `of` returns the credentials of Pods.
pub fn by_credentials(found: Vec<FoundImage>, of: impl Fn(&PullAccess) -> PodPull) -> (Vec<(Target, Keyring)>, usize) {
    let mut pods: HashMap<Arc<PullAccess>, PodPull> = HashMap::new();
    let mut groups: Vec<Group> = Vec::new();
    let mut positions: HashMap<(String, Matches), Vec<usize>> = HashMap::new();
    let mut others = 0;
    let no_pod = PodPull::default();
    for finding in found {
        let Some((image, upstream, _)) = rewritten(&finding) else {
            others += 1;
            continue;
        };
        let access = finding.pull_access.clone();
        let pod = match &access {
            Some(access) => &*pods.entry(Arc::clone(access)).or_insert_with(|| of(access)),
            None => &no_pod,
        };
        let for_upstream = upstream.map(|image| matches(&pod.keyring, image));
        let of_image = positions.entry((image.to_owned(), matches(&pod.keyring, image))).or_default();
        // Without the upstream's name, the upstream is not asked, so any credentials for it will do.
        let is_same = |&&position: &&usize| match (&groups[position].for_upstream, &for_upstream) {
            (Some(known), Some(new)) => known == new,
            (None, _) | (_, None) => true,
        };
        let position = of_image.iter().find(is_same).copied().unwrap_or_else(|| {
            of_image.push(groups.len());
            let keyring = pod.keyring.clone();
            groups.push(Group { targets: Targets::default(), keyring, for_upstream: None, uses: BTreeMap::new() });
            groups.len() - 1
        });
        let group = &mut groups[position];
        if group.for_upstream.is_none() && for_upstream.is_some() {
            (group.for_upstream, group.keyring) = (for_upstream, pod.keyring.clone());
        }
        if let Some(access) = &access {
            let namespace = access.namespace.clone();
            let known = group.uses.entry(namespace).or_insert_with_key(|namespace| PullUse::of(namespace));
            known.add(&pod.secrets, &pod.unusable);
        }
        group.targets.add(finding);
    }
    let targets = groups.into_iter().flat_map(|Group { targets, keyring, uses, .. }| {
        let uses: Vec<PullUse> = uses.into_values().collect();
        let asked = move |target| (Target { pull: Some(uses.clone()), ..target }, keyring.clone());
        targets.into_list().into_iter().map(asked)
    });
    (targets.collect(), others)
}

fn matches(keyring: &Keyring, image: &str) -> Matches {
    let repository = ImageRef::parse(image).ok().and_then(|image| Repository::of(&image));
    let found = repository.map(|repository| keyring.lookup(&repository.to_string())).unwrap_or_default();
    found.into_iter().map(|(key, login)| (key, login.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Reason;
    use crate::scan::{Location, Use, Verdict};

    const CACHED: &str = "c.example/hub/app:1";

    /// A container of a Pod. Its only Secret has these entries, `HOST=USER`.
    fn found(namespace: &str, entries: &str, upstream: Option<&str>) -> FoundImage {
        let place = Location::Cluster {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            namespace: Some(namespace.to_owned()),
            name: "web".to_owned(),
            place: "containers/app".to_owned(),
        };
        let verdict = match upstream {
            Some(_) => Verdict::Rewrite { result: CACHED.to_owned(), rule: "hub".to_owned() },
            None => Verdict::NotRewritten { reason: Reason::AlreadyCached, rule: None, would_be: None },
        };
        let image = upstream.unwrap_or(CACHED).to_owned();
        let access = PullAccess {
            namespace: namespace.to_owned(),
            secrets: vec![entries.to_owned()],
            service_account: None,
            of_rules: Vec::new(),
            is_assumed: false,
        };
        let finding = FoundImage::new(image, place, Use::Running, Some(verdict), None);
        FoundImage { pull_access: Some(Arc::new(access)), ..finding }
    }

    fn of(access: &PullAccess) -> PodPull {
        let entry = |(host, user): (&str, &str)| {
            let login = Login { username: user.to_owned(), password: "hunter2".to_owned() };
            (host.to_owned(), login)
        };
        let keyring = access.secrets[0].split(' ').filter_map(|text| text.split_once('=')).map(entry).collect();
        PodPull { keyring, secrets: vec!["pull".to_owned()], unusable: Vec::new() }
    }

    /// An image is asked for again only if other credentials apply to it, or to its upstream.
    #[test]
    fn images_are_grouped_by_the_credentials_that_apply() {
        const HUB: Option<&str> = Some("docker.io/app:1");
        for (pods, expected) in [
            (vec![("a", "c.example=u", HUB), ("b", "c.example=u", HUB)], vec!["a b"]),
            (vec![("a", "c.example=u", HUB), ("b", "c.example=u other.example=x", HUB)], vec!["a b"]),
            (vec![("a", "c.example=u", HUB), ("b", "c.example=v", HUB), ("c", "c.example=u", HUB)], vec!["a c", "b"]),
            (vec![("a", "c.example=u", HUB), ("b", "", HUB)], vec!["a", "b"]),
            (vec![("a", "c.example/hub=u", HUB), ("b", "c.example/hub=u c.example=v", HUB)], vec!["a", "b"]),
            (vec![("a", "docker.io=u", HUB), ("b", "docker.io=v", HUB)], vec!["a", "b"]),
            (vec![("a", "docker.io=u", None), ("b", "docker.io=v", HUB), ("c", "", None)], vec!["a b c"]),
            (vec![("a", "docker.io=u", HUB), ("b", "", None), ("c", "", HUB)], vec!["a b", "c"]),
        ] {
            let images = pods.iter().map(|(namespace, entries, upstream)| found(namespace, entries, *upstream));
            let (targets, others) = by_credentials(images.collect(), of);
            let namespaces = |(target, _): &(Target, Keyring)| {
                let uses = target.pull.as_deref().unwrap_or_default();
                uses.iter().map(|one| one.namespace.as_str()).collect::<Vec<_>>().join(" ")
            };
            assert_eq!(targets.iter().map(namespaces).collect::<Vec<_>>(), expected, "{pods:?}");
            assert_eq!(others, 0);
            // The upstream is asked with the credentials of a Pod that has its name.
            for (target, keyring) in &targets {
                let with_name = pods.iter().any(|(namespace, entries, upstream)| {
                    let own = of(found(namespace, entries, *upstream).pull_access.as_deref().unwrap());
                    target.upstream.as_deref() == *upstream
                        && matches(&own.keyring, "docker.io/app:1") == matches(keyring, "docker.io/app:1")
                });
                assert!(with_name, "{pods:?}");
            }
        }
    }
}
