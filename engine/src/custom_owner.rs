//! The controller owner of a Pod, if Kubernetes itself does not define its kind.

use std::borrow::Cow;

use super::owner::Owner;

/// A controller owner of a kind that is not built in, such as a custom resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CustomOwner<'a> {
    /// The namespace of the Pod, which is that of its owner.
    pub namespace: Cow<'a, str>,
    pub group: Cow<'a, str>,
    pub kind: Cow<'a, str>,
    pub name: Cow<'a, str>,
}

/// Bytes of a name at most: a DNS subdomain.
const MAX_NAME_BYTES: usize = 253;

/// The API groups of built-in kinds that own Pods.
const BUILT_IN: [&str; 4] = ["", "apps", "batch", "extensions"];

impl<'a> CustomOwner<'a> {
    /// Returns the owner; `None` if its kind is built in, or if a part of it is too long to be valid.
    pub fn of(owner: &Owner<'a>, namespace: Cow<'a, str>) -> Option<Self> {
        let (group, kind, name) = (owner.group(), &owner.kind, &owner.name);
        let fits = [group, kind, name].iter().all(|part| part.len() <= MAX_NAME_BYTES);
        let group = match &owner.api_version {
            Cow::Borrowed(text) => Cow::Borrowed(&text[..group.len()]),
            Cow::Owned(_) => Cow::Owned(group.to_owned()),
        };
        let is_custom = !BUILT_IN.contains(&&*group) && !kind.is_empty();
        (fits && is_custom).then(|| Self { namespace, group, kind: kind.clone(), name: name.clone() })
    }

    /// Returns `KIND.GROUP`.
    pub fn kind_and_group(&self) -> String {
        format!("{}.{}", self.kind, self.group)
    }

    pub fn into_owned(self) -> CustomOwner<'static> {
        let owned = |text: Cow<str>| Cow::Owned(text.into_owned());
        let Self { namespace, group, kind, name } = self;
        CustomOwner { namespace: owned(namespace), group: owned(group), kind: owned(kind), name: owned(name) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_kubernetes_are_not_custom() {
        for (api_version, kind, expected) in [
            ("apps/v1", "ReplicaSet", None),
            ("v1", "ReplicationController", None),
            ("v1", "Node", None),
            ("batch/v1", "Job", None),
            ("postgresql.cnpg.io/v1", "Cluster", Some("postgresql.cnpg.io")),
            ("apps.example.com/v1", "ReplicaSet", Some("apps.example.com")),
            ("a.io/v1", "", None),
        ] {
            for api_version in [Cow::Borrowed(api_version), Cow::Owned(api_version.to_owned())] {
                let owner = Owner { api_version, kind: kind.into(), name: "a".into() };
                let custom = CustomOwner::of(&owner, "shop".into());
                assert_eq!(custom.as_ref().map(|custom| &*custom.group), expected, "{owner:?}");
            }
        }
        let long = "a".repeat(MAX_NAME_BYTES + 1);
        let owner = Owner { api_version: "a.io/v1".into(), kind: "K".into(), name: long.into() };
        assert_eq!(CustomOwner::of(&owner, "shop".into()), None);
    }
}
