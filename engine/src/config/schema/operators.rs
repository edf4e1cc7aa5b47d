//! The shape of `operators`.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::Spanned;

use super::{NamespacesEntry, some};
use crate::Operator;

/// Operators that compare the images of Pods with strings of their own, and recreate rewritten Pods for ever.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct OperatorsEntry {
    /// Operators whose new Pods are not rewritten: names, or `known` for all that create their Pods themselves and have a
    /// default for `operatorNamespaces`. None if absent.
    #[schemars(with = "SkipSchema")]
    #[serde(default, deserialize_with = "some")]
    pub skip: Option<Spanned<Skip>>,
    /// `report` reports a workload of another operator whose Pods are rewritten and recreated again and again. `standDown` does
    /// not rewrite its new Pods either, until the rules change or the replica restarts.
    #[serde(default)]
    pub on_recreate_loop: OnRecreateLoopEntry,
}

#[derive(Deserialize, JsonSchema, Default, Clone, Copy)]
#[serde(rename_all = "camelCase")]
pub(in crate::config) enum OnRecreateLoopEntry {
    #[default]
    Report,
    StandDown,
}

/// The value of `skip`.
pub(in crate::config) enum Skip {
    Word(String),
    List(Vec<Spanned<SkipEntry>>),
    /// Anything else, which is an error.
    Other,
}

/// An entry of `skip`: a name, or fields.
pub(in crate::config) enum SkipEntry {
    Name(String),
    Fields(Box<SkipFields>),
    /// Anything else, which is an error.
    Other,
}

/// An operator, where it runs, and where its Pods are.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct SkipFields {
    #[schemars(with = "OperatorName")]
    pub name: Spanned<String>,
    /// The namespaces of the operator's service account. Only Pods that a service account of these creates are skipped. By
    /// default those of the project's manifests.
    #[schemars(with = "Vec<String>", length(min = 1))]
    #[serde(default, deserialize_with = "some")]
    pub operator_namespaces: Option<Spanned<Vec<Spanned<String>>>>,
    /// The namespaces of the Pods; all if absent. Required if the StatefulSet controller creates the Pods.
    #[schemars(with = "NamespacesEntry")]
    #[serde(default, deserialize_with = "some")]
    pub namespaces: Option<Spanned<NamespacesEntry>>,
}

#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum SkipSchema {
    Known(KnownWord),
    List(Vec<SkipEntrySchema>),
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "only its schema is used")]
enum KnownWord {
    Known,
}

#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum SkipEntrySchema {
    Name(OperatorName),
    Fields(Box<SkipFields>),
}

/// The name of a known operator.
struct OperatorName;

impl JsonSchema for OperatorName {
    fn schema_name() -> Cow<'static, str> {
        "OperatorName".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let names: Vec<&str> = Operator::ALL.iter().map(|operator| operator.name).collect();
        schemars::json_schema!({"description": "The name of a known operator.", "type": "string", "enum": names})
    }
}

/// The methods of a visitor for scalars that are no string.
macro_rules! other_scalars {
    ($value:expr) => {
        other_scalars!($value; visit_bool bool, visit_i64 i64, visit_u64 u64, visit_f64 f64);
    };
    ($value:expr; $($visit:ident $scalar:ty),+) => {
        $(
            fn $visit<E>(self, _: $scalar) -> Result<Self::Value, E> {
                Ok($value)
            }
        )+
    };
}

impl<'de> Deserialize<'de> for Skip {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SkipVisitor;

        impl<'de> Visitor<'de> for SkipVisitor {
            type Value = Skip;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a list of names of operators, or `known`")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<Skip, E> {
                Ok(Skip::Word(word.to_owned()))
            }

            other_scalars!(Skip::Other);

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Skip, A::Error> {
                IgnoredAny.visit_map(map).map(|_| Skip::Other)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Skip, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = seq.next_element()? {
                    entries.push(entry);
                }
                Ok(Skip::List(entries))
            }
        }

        deserializer.deserialize_any(SkipVisitor)
    }
}

impl<'de> Deserialize<'de> for SkipEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntryVisitor;

        impl<'de> Visitor<'de> for EntryVisitor {
            type Value = SkipEntry;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("the name of an operator, or fields with its `name`")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<SkipEntry, E> {
                Ok(SkipEntry::Name(name.to_owned()))
            }

            other_scalars!(SkipEntry::Other);

            fn visit_unit<E>(self) -> Result<SkipEntry, E> {
                Ok(SkipEntry::Other)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<SkipEntry, A::Error> {
                IgnoredAny.visit_seq(seq).map(|_| SkipEntry::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SkipEntry, A::Error> {
                SkipFields::deserialize(MapAccessDeserializer::new(map)).map(Box::new).map(SkipEntry::Fields)
            }
        }

        deserializer.deserialize_any(EntryVisitor)
    }
}
