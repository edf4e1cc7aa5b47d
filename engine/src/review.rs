//! The AdmissionReview that the API server sends (`admission.k8s.io/v1`).

use std::borrow::Cow;

use thiserror::Error;

use super::bounds::MAX_UID_BYTES;
use super::json::{Fault, InvalidJson, Raw, Read, Reader, Text, object, parse};
use super::pod::Pod;
use super::pod_kind::PodKind;

pub(super) const API_VERSION: &str = "admission.k8s.io/v1";
pub(super) const KIND: &str = "AdmissionReview";

/// Why a body is not an AdmissionReview that can be answered.
#[derive(Debug, Error)]
pub enum Unreadable {
    #[error("the body is not UTF-8: {0}")]
    Utf8(#[from] std::str::Utf8Error),
    #[error("the body is not an AdmissionReview in JSON: {0}")]
    Json(#[from] InvalidJson),
    #[error("the body is `{kind}` of `{api_version}`; this webhook answers `{KIND}` of `{API_VERSION}`")]
    Version { api_version: String, kind: String },
    #[error("the AdmissionReview has no `{0}`")]
    Missing(&'static str),
    #[error("the AdmissionReview's `request.uid` has {0} bytes; the limit is {MAX_UID_BYTES}")]
    Uid(usize),
}

object! {
    struct Review<'a> {
        api_version: Option<Text<'a>> = "apiVersion",
        kind: Option<Text<'a>> = "kind",
        request: Option<Request<'a>> = "request",
    }
}

object! {
    struct Request<'a> {
        uid: Option<Text<'a>> = "uid",
        resource: Option<GroupVersionResource<'a>> = "resource",
        subresource: Option<Text<'a>> = "subResource",
        operation: Option<Text<'a>> = "operation",
        name: Option<Text<'a>> = "name",
        namespace: Option<Text<'a>> = "namespace",
        user_info: Option<UserInfo<'a>> = "userInfo",
        dry_run: Option<Raw<'a>> = "dryRun",
        object: Option<Object<'a>> = "object",
        // Read on UPDATE alone.
        old_object: Option<Raw<'a>> = "oldObject",
    }
}

/// The new object of a request.
#[derive(Debug)]
pub(super) struct Object<'a> {
    pub raw: Raw<'a>,
    /// The object as a Pod, or why it is unreadable.
    pub pod: Result<Pod<'a>, InvalidJson>,
}

impl<'a> Read<'a> for Object<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Fault> {
        let mut pod = Ok(Pod::default());
        let raw = reader.with_raw(|reader| {
            pod = reader.attempt(Pod::read)?;
            Ok(())
        })?;
        Ok(Self { raw, pod })
    }
}

object! {
    struct GroupVersionResource<'a> {
        group: Option<Text<'a>> = "group",
        resource: Option<Text<'a>> = "resource",
    }
}

object! {
    struct UserInfo<'a> {
        username: Option<Text<'a>> = "username",
    }
}

/// The resource and subresource of a request that decisions distinguish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resource {
    Pods,
    PodsEphemeralContainers,
    /// Another subresource of Pods.
    PodsOther,
    /// Objects with a template of Pods.
    Templates(&'static PodKind),
    Other,
}

impl Resource {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pods => "pods",
            Self::PodsEphemeralContainers => "pods/ephemeralcontainers",
            Self::PodsOther => "pods/other",
            Self::Templates(kind) => kind.resource,
            Self::Other => "other",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    Create,
    Update,
    Delete,
    Connect,
    Other,
}

impl Operation {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
            Self::Other => "other",
        }
    }
}

/// The parts of a request that every answer needs.
#[derive(Debug)]
pub(super) struct Asking<'a> {
    pub uid: Cow<'a, str>,
    pub resource: Resource,
    pub operation: Operation,
    pub name: Cow<'a, str>,
    pub namespace: Cow<'a, str>,
    pub dry_run: bool,
    pub username: Cow<'a, str>,
    /// The user is a service account or a component of the cluster.
    pub is_machine: bool,
}

/// The objects of a request.
pub(super) struct Objects<'a> {
    pub object: Option<Object<'a>>,
    pub old_object: Option<Raw<'a>>,
}

/// Reads a review. An unreadable object is not an error of the review.
pub(super) fn read(body: &[u8]) -> Result<(Asking<'_>, Objects<'_>), Unreadable> {
    parse::<Review>(std::str::from_utf8(body)?)?.check()
}

impl<'a> Review<'a> {
    fn check(self) -> Result<(Asking<'a>, Objects<'a>), Unreadable> {
        let Self { api_version, kind, request } = self;
        let (api_version, kind) = (api_version.unwrap_or_default(), kind.unwrap_or_default());
        if (&*api_version, &*kind) != (API_VERSION, KIND) {
            let shown = |text: &str| text.chars().take(64).flat_map(char::escape_debug).collect();
            return Err(Unreadable::Version { api_version: shown(&api_version), kind: shown(&kind) });
        }
        let Request { uid, resource, subresource, operation, name, namespace, user_info, dry_run, object, old_object } =
            request.ok_or(Unreadable::Missing("request"))?;
        let GroupVersionResource { group, resource } = resource.unwrap_or_default();
        let username = user_info.and_then(|user| user.username).unwrap_or_default();
        let uid = uid.filter(|uid| !uid.is_empty()).ok_or(Unreadable::Missing("request.uid"))?.0;
        if uid.len() > MAX_UID_BYTES {
            return Err(Unreadable::Uid(uid.len()));
        }
        let asked = Asking {
            uid,
            resource: match (group.as_deref().unwrap_or_default(), resource.as_deref(), subresource.as_deref()) {
                ("", Some("pods"), None | Some("")) => Resource::Pods,
                ("", Some("pods"), Some("ephemeralcontainers")) => Resource::PodsEphemeralContainers,
                ("", Some("pods"), Some(_)) => Resource::PodsOther,
                (group, Some(resource), None | Some("")) => {
                    PodKind::of_resource(group, resource).map_or(Resource::Other, Resource::Templates)
                }
                _ => Resource::Other,
            },
            operation: match operation.as_deref() {
                Some("CREATE") => Operation::Create,
                Some("UPDATE") => Operation::Update,
                Some("DELETE") => Operation::Delete,
                Some("CONNECT") => Operation::Connect,
                _ => Operation::Other,
            },
            name: name.unwrap_or_default().0,
            namespace: namespace.unwrap_or_default().0,
            dry_run: dry_run.is_some_and(|dry_run| dry_run.text() == "true"),
            is_machine: username.starts_with("system:"),
            username: username.0,
        };
        Ok((asked, Objects { object, old_object }))
    }
}
