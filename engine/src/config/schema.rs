//! The shape of the rules file, from which its JSON Schema is made too.

pub(super) mod operators;

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_saphyr::Spanned;

use self::operators::OperatorsEntry;
use super::problem::EMPTY_FIELD;
use super::{MAX_CACHES, MAX_RULES};
use crate::cache::Product;

/// Rules that send the image pulls of a Kubernetes cluster through pull-through caches.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "pullthrough rules")]
pub(super) struct RulesFile {
    #[schemars(with = "ApiVersion")]
    pub api_version: Spanned<String>,
    #[schemars(with = "Kind")]
    pub kind: Spanned<String>,
    /// Whether the label `pullthrough.dev/rewrite: disabled` of a Pod or namespace disables rewriting.
    #[serde(default)]
    pub allow_opt_out: bool,
    /// Whether a Pod gets one annotation, `pullthrough.dev/original-images`, with its references as written.
    #[serde(default)]
    pub record_originals: bool,
    /// The answer for a Pod that can't be understood. `allow` admits it unchanged. `deny` denies it when it is created, and
    /// when an update may change one of its images. No other request is ever denied.
    #[serde(default)]
    pub when_not_understood: WhenNotUnderstoodEntry,
    /// What is known of the registries in `to` and `failover`, for what sends requests to them. At most 1,000.
    #[schemars(with = "Vec<CacheEntry>", extend("maxItems" = MAX_CACHES))]
    #[serde(default, deserialize_with = "some")]
    pub caches: Option<Spanned<Vec<CacheEntry>>>,
    #[schemars(with = "OperatorsEntry")]
    #[serde(default, deserialize_with = "present")]
    pub operators: OperatorsEntry,
    /// Tried in this order; the first that matches decides. At most 20,000.
    #[schemars(with = "Vec<RuleEntry>", extend("maxItems" = MAX_RULES))]
    #[serde(deserialize_with = "present")]
    pub rules: Spanned<Vec<RuleEntry>>,
    /// Declarations of images in manifests, beside the built-in kinds. Used by `scan` and `rewrite`; the webhook gets Pods
    /// alone.
    #[schemars(with = "Vec<ManifestEntry>")]
    #[serde(default, deserialize_with = "present")]
    pub manifests: Vec<Spanned<ManifestEntry>>,
}

/// A registry in `to` or `failover`. For `whenCacheDown: upstream`, it may be an upstream too.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CacheEntry {
    /// A registry host, or a host and a path. It applies to the names at and below it. Of several prefixes the longest
    /// applies.
    #[schemars(with = "String")]
    pub prefix: Spanned<String>,
    #[serde(default)]
    pub product: Product,
    /// The absolute path of the CA (PEM) of the registry's certificate. It is read by commands that send requests to the
    /// registry, and not when the rules are loaded.
    #[schemars(with = "String", regex(pattern = "^/"))]
    #[serde(default, deserialize_with = "some")]
    pub ca_file: Option<Spanned<String>>,
    /// If present, the webhook probes the registry, and `failover` and `whenCacheDown` depend on its state.
    #[schemars(with = "HealthEntry")]
    #[serde(default, deserialize_with = "some")]
    pub health: Option<HealthEntry>,
}

/// How a cache is probed. Each field has a default.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct HealthEntry {
    /// The time from a probe to the next one, such as `10s` (the default): 1s to 1h.
    #[schemars(with = "String")]
    #[serde(default, deserialize_with = "some")]
    pub interval: Option<Spanned<String>>,
    /// The time after which a probe without an answer has failed, such as `3s` (the default): 100ms to 1m.
    #[schemars(with = "String")]
    #[serde(default, deserialize_with = "some")]
    pub timeout: Option<Spanned<String>>,
    /// An image that the cache holds, as `REPOSITORY@DIGEST` below the prefix. Probes request its manifest. By default they
    /// request `/v2/`, which an answer proves less: storage may fail.
    #[schemars(with = "String", regex(pattern = "^[^@]+@sha[0-9]+:[0-9a-f]+$"))]
    #[serde(default, deserialize_with = "some")]
    pub canary: Option<Spanned<String>>,
}

/// When a rule asks its cache for an image before it names the cache.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CheckExistsEntry {
    /// The time for all checks of a request together, such as `500ms` (the default): 10ms to 2s.
    #[schemars(with = "String")]
    #[serde(default, deserialize_with = "some")]
    pub deadline: Option<Spanned<String>>,
}

/// `keep` names `to` although every cache of the rule is down. `upstream` leaves the image as written, unless its registry is
/// known to be down too.
#[derive(Deserialize, JsonSchema, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) enum WhenCacheDownEntry {
    Keep,
    Upstream,
}

/// A reference in place of an image, and the paths of the images.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ParameterEntry {
    /// The whole reference, with `NAME` for the name of the parameter.
    #[schemars(with = "String")]
    pub reference: Spanned<String>,
    /// Paths to values that have the `name` of the parameter beside them.
    #[schemars(with = "Vec<String>", length(min = 1))]
    pub values: Spanned<Vec<Spanned<String>>>,
}

/// Declarations alone.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeclarationsFile {
    pub manifests: Vec<Spanned<ManifestEntry>>,
}

// Only its schema is used.
#[derive(JsonSchema)]
pub enum ApiVersion {
    #[serde(rename = "pullthrough.dev/v1alpha1")]
    V1Alpha1,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) enum Kind {
    Rules,
}

/// Has `from` or `pattern`, never both.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["from"]}, {"required": ["pattern"]}]))]
pub(super) struct RuleEntry {
    /// The name of the rule in metrics, logs and warnings. Unique in the file.
    #[schemars(with = "String", regex(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"))]
    pub name: Spanned<String>,
    /// Registry hosts, or hosts and paths, such as `registry.k8s.io` or `gcr.io/google_containers`. The matched part, up to
    /// the end of a path component, is replaced by `to`.
    #[schemars(with = "Vec<String>", length(min = 1))]
    #[serde(default, deserialize_with = "some")]
    pub from: Option<Spanned<Vec<Spanned<String>>>>,
    /// A regular expression over the canonical host and path, without tag and digest, anchored at both ends.
    #[schemars(with = "String")]
    #[serde(default, deserialize_with = "some")]
    pub pattern: Option<Spanned<String>>,
    /// The cache: a registry host, or a host and a path. With `pattern`, `$1` to `$9` and `${name}` stand for its groups.
    #[schemars(with = "String")]
    pub to: Spanned<String>,
    /// Other caches with the same images, written like `to`. If `to` is down, the first that is not down is used.
    #[schemars(with = "Vec<String>", length(min = 1))]
    #[serde(default, deserialize_with = "some")]
    pub failover: Option<Spanned<Vec<Spanned<String>>>>,
    /// The name of an image while `to` and every `failover` are down; `keep` by default.
    #[schemars(with = "WhenCacheDownEntry")]
    #[serde(default, deserialize_with = "some")]
    pub when_cache_down: Option<Spanned<WhenCacheDownEntry>>,
    /// For caches that hold a subset of the images, because they are copied there. If present, the webhook asks the cache
    /// first, and does not rewrite an image that the cache does not have.
    #[schemars(with = "CheckExistsEntry")]
    #[serde(default, deserialize_with = "some")]
    pub check_exists: Option<Spanned<CheckExistsEntry>>,
    /// Images that this rule does not rewrite, matched like `from`. No later rule is tried for them.
    #[schemars(with = "Vec<String>")]
    #[serde(default, deserialize_with = "present")]
    pub except: Vec<Spanned<String>>,
    /// The namespaces in which the rule applies; all if absent.
    #[schemars(with = "NamespacesEntry")]
    #[serde(default, deserialize_with = "some")]
    pub namespaces: Option<Spanned<NamespacesEntry>>,
    /// Names of Secrets that are added to a Pod when it is created, if this rule rewrites one of its images.
    #[schemars(with = "Vec<String>")]
    #[serde(default, deserialize_with = "present")]
    pub image_pull_secrets: Vec<Spanned<String>>,
    #[serde(default)]
    pub mode: ModeEntry,
    /// The share of workloads whose images the rule rewrites, such as `25%`: `0%` to `100%` (the default). A workload is a
    /// controller of Pods, such as a Deployment, or a Pod without one. A higher share includes the workloads of a lower one.
    #[schemars(with = "String", regex(pattern = "^(100|[1-9]?[0-9])%$"))]
    #[serde(default, deserialize_with = "some")]
    pub rollout: Option<Spanned<String>>,
}

/// Names of namespaces, in which `*` stands for any characters: only these, or all but these.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["include"]}, {"required": ["exclude"]}]))]
pub(super) struct NamespacesEntry {
    #[schemars(with = "Vec<String>", length(min = 1))]
    #[serde(default, deserialize_with = "some")]
    pub include: Option<Vec<Spanned<String>>>,
    #[schemars(with = "Vec<String>", length(min = 1))]
    #[serde(default, deserialize_with = "some")]
    pub exclude: Option<Vec<Spanned<String>>>,
}

/// Applies to objects of a `group` and `kind`, to `files`, or to documents with certain `keys`. Paths are JSONPaths of
/// `.name`, `['name']`, `[0]`, `[*]`, `.*`, `..name` and `[?@.name == 'value']`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["group", "kind"]}, {"required": ["files"]}, {"required": ["keys"]}]))]
#[schemars(extend("dependentRequired" = {"group": ["kind"], "kind": ["group"]}))]
#[schemars(extend("anyOf" = [
    {"required": ["podSpecs"]}, {"required": ["images"]}, {"required": ["qualifiedImages"]}, {"required": ["splitImages"]},
    {"required": ["helmValues"]}, {"required": ["objects"]}, {"required": ["args"]}, {"required": ["env"]}
]))]
pub(super) struct ManifestEntry {
    /// The API group without a version, such as `argoproj.io`; empty for the core group. `*` for both `group` and `kind` means
    /// any object, and supports `args` and `env` alone.
    #[schemars(with = "String")]
    #[serde(default, deserialize_with = "some")]
    pub group: Option<Spanned<String>>,
    #[schemars(with = "String", length(min = 1))]
    #[serde(default, deserialize_with = "some")]
    pub kind: Option<Spanned<String>>,
    /// Files, such as Helm values: paths, or their last parts. `*` stands for any characters except `/`, and `**` for any
    /// folders.
    #[schemars(with = "Vec<String>", length(min = 1))]
    #[serde(default, deserialize_with = "some")]
    pub files: Option<Spanned<Vec<Spanned<String>>>>,
    /// Documents that have all of these top-level keys and are not Kubernetes objects.
    #[schemars(with = "Vec<String>", length(min = 1))]
    #[serde(default, deserialize_with = "some")]
    pub keys: Option<Spanned<Vec<Spanned<String>>>>,
    /// Paths to PodSpecs.
    #[schemars(with = "Vec<String>", length(min = 1))]
    #[serde(default, deserialize_with = "some")]
    pub pod_specs: Option<Spanned<Vec<Spanned<String>>>>,
    /// Paths to images.
    #[schemars(with = "Vec<String>", length(min = 1))]
    #[serde(default, deserialize_with = "some")]
    pub images: Option<Spanned<Vec<Spanned<String>>>>,
    /// Paths to images that count only if they have a registry.
    #[schemars(with = "Vec<String>", length(min = 1))]
    #[serde(default, deserialize_with = "some")]
    pub qualified_images: Option<Spanned<Vec<Spanned<String>>>>,
    /// Paths to mappings of `repository` and optionally `registry`, `tag` and `digest`; or of `repository`, `image` and
    /// `version`.
    #[schemars(with = "Vec<String>", length(min = 1))]
    #[serde(default, deserialize_with = "some")]
    pub split_images: Option<Spanned<Vec<Spanned<String>>>>,
    /// Paths to values of Helm charts. Images in them count only if they have a registry.
    #[schemars(with = "Vec<String>", length(min = 1))]
    #[serde(default, deserialize_with = "some")]
    pub helm_values: Option<Spanned<Vec<Spanned<String>>>>,
    /// Paths to objects within the object.
    #[schemars(with = "Vec<String>", length(min = 1))]
    #[serde(default, deserialize_with = "some")]
    pub objects: Option<Spanned<Vec<Spanned<String>>>>,
    /// References in place of an image in a field of `images`, such as `$(params.NAME)`.
    #[schemars(with = "Vec<ParameterEntry>", length(min = 1))]
    #[serde(default, deserialize_with = "some")]
    pub parameters: Option<Spanned<Vec<ParameterEntry>>>,
    /// Flags with an image as value, in `command` and `args` of every container: `--flag=IMAGE`, or `--flag` and then IMAGE.
    #[schemars(with = "Vec<String>", length(min = 1))]
    #[serde(default, deserialize_with = "some")]
    pub args: Option<Spanned<Vec<Spanned<String>>>>,
    /// Names of variables with an image as value, in every container; `*` stands for any characters.
    #[schemars(with = "Vec<String>", length(min = 1))]
    #[serde(default, deserialize_with = "some")]
    pub env: Option<Spanned<Vec<Spanned<String>>>>,
}

#[derive(Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub(super) enum WhenNotUnderstoodEntry {
    #[default]
    Allow,
    Deny,
}

/// `enforce` rewrites images. `observe` decides, counts and reports, but changes nothing.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub(super) enum ModeEntry {
    #[default]
    Enforce,
    Observe,
}

/// Reads a field that must have a value if it is present: an empty one is likely a mistake.
pub fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer)?.ok_or_else(|| D::Error::custom(EMPTY_FIELD))
}

/// Reads an optional field that must have a value if it is present.
pub fn some<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    present(deserializer).map(Some)
}
