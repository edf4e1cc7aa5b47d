//! The shape of the rules file, from which its JSON Schema is made too.

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_saphyr::Spanned;

use super::problem::EMPTY_FIELD;

/// Which image pulls of a Kubernetes cluster go through which pull-through cache.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "pullthrough rules")]
pub(super) struct RulesFile {
    #[schemars(with = "ApiVersion")]
    pub api_version: Spanned<String>,
    #[schemars(with = "Kind")]
    pub kind: Spanned<String>,
    /// Whether the label `pullthrough.dev/rewrite: disabled` of a Pod or namespace switches rewriting off.
    #[serde(default)]
    pub allow_opt_out: bool,
    /// Whether a Pod gets one annotation, `pullthrough.dev/original-images`, with its references as written.
    #[serde(default)]
    pub record_originals: bool,
    /// Tried in this order; the first that matches wins.
    #[serde(deserialize_with = "present")]
    pub rules: Vec<RuleEntry>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) enum ApiVersion {
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
    /// What metrics, logs and warnings call the rule. Unique in the file.
    #[schemars(with = "String", length(min = 1))]
    pub name: Spanned<String>,
    /// Registry hosts, or hosts and paths, such as `registry.k8s.io` or `gcr.io/google_containers`. What matched, up to
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
    /// What this rule leaves alone, matched like `from`. No later rule is tried for it.
    #[schemars(with = "Vec<String>")]
    #[serde(default, deserialize_with = "present")]
    pub except: Vec<Spanned<String>>,
    /// Where the rule applies; everywhere if absent.
    #[schemars(with = "NamespacesEntry")]
    #[serde(default, deserialize_with = "some")]
    pub namespaces: Option<Spanned<NamespacesEntry>>,
    /// Names of Secrets that are added to a Pod that this rule rewrites, when it is created.
    #[schemars(with = "Vec<String>")]
    #[serde(default, deserialize_with = "present")]
    pub image_pull_secrets: Vec<Spanned<String>>,
    #[serde(default)]
    pub mode: ModeEntry,
}

/// Names of namespaces, in which `*` stands for any characters: the only ones, or all but these.
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

/// `observe` decides, counts and reports, but changes nothing.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub(super) enum ModeEntry {
    #[default]
    Enforce,
    Observe,
}

/// A field that is there must have a value: an empty one is more likely forgotten than meant.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer)?.ok_or_else(|| D::Error::custom(EMPTY_FIELD))
}

fn some<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    present(deserializer).map(Some)
}
