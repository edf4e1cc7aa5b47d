//! The shape of a tests file, from which its JSON Schema is made too.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::config::{ApiVersion, present, some};
use crate::engine::Reason;

/// Tests of rules.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "pullthrough tests")]
pub struct TestsFile {
    #[schemars(with = "ApiVersion")]
    pub api_version: Spanned<String>,
    #[schemars(with = "Kind")]
    pub kind: Spanned<String>,
    #[schemars(with = "Vec<CaseEntry>", length(min = 1))]
    #[serde(deserialize_with = "present")]
    pub tests: Spanned<Vec<CaseEntry>>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
enum Kind {
    Tests,
}

/// Has `result` or `reason`, never both.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["result"]}, {"required": ["reason"]}]))]
pub struct CaseEntry {
    /// The image as written in a Pod.
    #[schemars(with = "String")]
    pub image: Spanned<String>,
    /// The namespace of the Pod.
    #[serde(default = "default_namespace", deserialize_with = "present")]
    pub namespace: String,
    /// The workload of the Pod, as `KIND/NAME`, for rules with `rollout`. Without it, such a rule does not include the Pod.
    #[schemars(with = "String", regex(pattern = "^[A-Za-z0-9]+/[a-z0-9.-]+$"))]
    #[serde(default, deserialize_with = "some")]
    pub workload: Option<Spanned<String>>,
    /// The container's `imagePullPolicy`, or the image volume's `pullPolicy`.
    #[schemars(with = "PullPolicyEntry")]
    #[serde(default, deserialize_with = "some")]
    pub pull_policy: Option<PullPolicyEntry>,
    /// Registries that are down: caches or upstreams, each a host, or a host and a path.
    #[schemars(with = "Vec<String>")]
    #[serde(default, deserialize_with = "present")]
    pub down: Vec<Spanned<String>>,
    /// Rewritten images that their cache does not have, for rules with `checkExists`.
    #[schemars(with = "Vec<String>")]
    #[serde(default, deserialize_with = "present")]
    pub missing: Vec<Spanned<String>>,
    /// The image that it is rewritten to.
    #[schemars(with = "String")]
    #[serde(default, deserialize_with = "some")]
    pub result: Option<String>,
    /// The reason why the image is not rewritten.
    #[schemars(with = "ReasonName")]
    #[serde(default, deserialize_with = "some")]
    pub reason: Option<Spanned<String>>,
    /// The rule that decides.
    #[schemars(with = "String")]
    #[serde(default, deserialize_with = "some")]
    pub rule: Option<String>,
}

fn default_namespace() -> String {
    "default".to_owned()
}

#[derive(Deserialize, JsonSchema)]
pub enum PullPolicyEntry {
    Always,
    IfNotPresent,
    Never,
}

// Only its schema is used.
struct ReasonName;

impl JsonSchema for ReasonName {
    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("ReasonName")
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<&str> = super::reasons().map(Reason::as_str).collect();
        json_schema!({"type": "string", "enum": names})
    }
}
