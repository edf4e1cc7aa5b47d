//! The AdmissionReview that the API server sends (`admission.k8s.io/v1`).

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

use super::bounds::{LARGE_BYTES, MAX_DEPTH, MAX_UID_BYTES};
use super::json::{self, Text, object};
use super::pod::Pod;

pub(super) const API_VERSION: &str = "admission.k8s.io/v1";
pub(super) const KIND: &str = "AdmissionReview";

/// Why a body is not an AdmissionReview that can be answered.
#[derive(Debug, Error)]
pub enum Unreadable {
    #[error("the body is not UTF-8: {0}")]
    Utf8(#[from] std::str::Utf8Error),
    #[error("the body is not an AdmissionReview in JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the body is `{kind}` of `{api_version}`; this webhook answers `{KIND}` of `{API_VERSION}`")]
    Version { api_version: String, kind: String },
    #[error("the AdmissionReview has no `{0}`")]
    Missing(&'static str),
    #[error("the AdmissionReview's `request.uid` has {0} bytes; the limit is {MAX_UID_BYTES}")]
    Uid(usize),
    #[error("the body has more than {MAX_DEPTH} levels of objects and lists")]
    Depth,
}

object! {
    struct Review<'a, O> {
        api_version: Option<Text<'a>> = "apiVersion",
        kind: Option<Text<'a>> = "kind",
        request: Option<Request<'a, O>> = "request",
    }
}

object! {
    /// A request; `O` is the type of its objects.
    pub(super) struct Request<'a, O> {
        uid: Option<Text<'a>> = "uid",
        resource: Option<GroupVersionResource<'a>> = "resource",
        subresource: Option<Text<'a>> = "subResource",
        operation: Option<Text<'a>> = "operation",
        name: Option<Text<'a>> = "name",
        namespace: Option<Text<'a>> = "namespace",
        user_info: Option<UserInfo<'a>> = "userInfo",
        dry_run: Option<&'a RawValue> = "dryRun",
        object: Option<O> = "object",
        // Used on UPDATE alone.
        old_object: Option<&'a RawValue> = "oldObject",
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
    Other,
}

impl Resource {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pods => "pods",
            Self::PodsEphemeralContainers => "pods/ephemeralcontainers",
            Self::PodsOther => "pods/other",
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
    /// The user is a service account or a component of the cluster.
    pub is_machine: bool,
}

/// The objects of a request.
pub(super) struct Objects<'a> {
    /// The new object, or why it is unreadable.
    pub object: Result<Option<Pod<'a>>, serde_json::Error>,
    pub old_object: Option<&'a RawValue>,
}

/// Reads a review. An unreadable object is not an error of the review.
pub(super) fn read(body: &[u8]) -> Result<(Asking<'_>, Objects<'_>), Unreadable> {
    let text = std::str::from_utf8(body)?;
    if text.len() > LARGE_BYTES && json::depth(text) > MAX_DEPTH {
        return Err(Unreadable::Depth);
    }
    match serde_json::from_str::<Review<Pod>>(text) {
        Ok(review) => {
            let (asked, object, old_object) = review.check()?;
            Ok((asked, Objects { object: Ok(object), old_object }))
        }
        Err(error) => {
            let (asked, _, old_object) = serde_json::from_str::<Review<&RawValue>>(text)?.check()?;
            Ok((asked, Objects { object: Err(error), old_object }))
        }
    }
}

/// Returns the new object of a review, unread.
pub(super) fn raw_object(body: &[u8]) -> Option<&RawValue> {
    let review: Review<&RawValue> = serde_json::from_slice(body).ok()?;
    review.request?.object
}

impl<'a, O: Deserialize<'a>> Review<'a, O> {
    fn check(self) -> Result<(Asking<'a>, Option<O>, Option<&'a RawValue>), Unreadable> {
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
            dry_run: dry_run.is_some_and(|dry_run| dry_run.get() == "true"),
            is_machine: username.starts_with("system:"),
        };
        Ok((asked, object, old_object))
    }
}
