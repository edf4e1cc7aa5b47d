//! The controller that owns a Pod, and the Pod's labels. Both are read from raw JSON, and only if a decision needs them.

use std::borrow::Cow;

use super::json::{Fault, Raw, Read, Reader, Text, object};

/// The entry of `ownerReferences` with `controller: true`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner<'a> {
    /// `GROUP/VERSION`, or the version alone for the core group.
    pub api_version: Cow<'a, str>,
    pub kind: Cow<'a, str>,
    pub name: Cow<'a, str>,
}

impl Owner<'_> {
    /// Returns the API group without its version; empty for the core group.
    pub fn group(&self) -> &str {
        self.api_version.rsplit_once('/').map_or("", |(group, _)| group)
    }
}

object! {
    struct OwnerReference<'a> {
        api_version: Option<Text<'a>> = "apiVersion",
        kind: Option<Text<'a>> = "kind",
        name: Option<Text<'a>> = "name",
        controller: Option<Raw<'a>> = "controller",
    }
}

impl<'a> Owner<'a> {
    /// Returns the controller in a list of `ownerReferences`, the first of several as `metav1.GetControllerOf` does. `None` if
    /// there is none, or if the list is not readable up to it.
    pub(super) fn controller(references: &Raw<'a>) -> Option<Self> {
        let mut found = None;
        let walk = |reader: &mut Reader<'a>| {
            reader.list(|reader| {
                let OwnerReference { api_version, kind, name, controller } = Read::read(reader)?;
                if controller.is_none_or(|controller| controller.text() != "true") {
                    return Ok(());
                }
                let text = |text: Option<Text<'a>>| text.unwrap_or_default().0;
                found = Some(Owner { api_version: text(api_version), kind: text(kind), name: text(name) });
                Err(reader.limit("the entries behind the controller are not read"))
            })
        };
        // The error says that the list is unreadable, or that the controller is found.
        _ = references.read_with(walk);
        found
    }
}

/// The labels of an object, as an object in JSON.
#[derive(Debug, Clone)]
pub struct Labels<'a>(Raw<'a>);

impl<'a> Labels<'a> {
    /// Returns the value of a label: the last one, as in Go, if the key is duplicate. `None` if it is missing or no string.
    pub(super) fn value(&self, wanted: &str) -> Option<Cow<'a, str>> {
        let mut found: Option<Raw> = None;
        let walk = |reader: &mut Reader<'a>| {
            reader.object(|key, reader| {
                if key.key() != wanted {
                    return reader.skip();
                }
                found = Some(Raw::read(reader)?);
                Ok(())
            })
        };
        self.0.read_with(walk).ok()?;
        found?.parse::<Text>().ok().map(|text| text.0)
    }
}

impl<'a> Read<'a> for Labels<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Fault> {
        reader.with_raw(|reader| reader.object(|_, reader| reader.skip())).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;

    fn read<'a, T: Read<'a>>(json: &'a str) -> T {
        parse(json).unwrap_or_else(|error| panic!("{json}: {error}"))
    }

    #[test]
    fn the_controller_is_found_or_counts_as_missing() {
        const SET: &str =
            r#"{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-5d4","uid":"u","controller":true}"#;
        const NODE: &str = r#"{"apiVersion":"v1","kind":"Node","name":"n"}"#;
        let owner = |api_version: &'static str, kind: &'static str, name: &'static str| {
            Some(Owner { api_version: api_version.into(), kind: kind.into(), name: name.into() })
        };
        let set = owner("apps/v1", "ReplicaSet", "web-5d4");
        for (references, expected) in [
            (format!("[{SET}]"), set.clone()),
            (format!("[{NODE}, {SET}]"), set.clone()),
            (format!("[{SET}, 7]"), set.clone()),
            (format!("[{SET}, {{\"kind\":\"Other\",\"controller\":true}}]"), set),
            (
                r#"[{"apiVersion":"a.io\/v1","kind":"K","name":"n\u0061","controller":true}]"#.to_owned(),
                owner("a.io/v1", "K", "na"),
            ),
            (r#"[{"controller":true}]"#.to_owned(), Some(Owner::default())),
            (format!("[{NODE}]"), None),
            (SET.replace("true", "false"), None),
            (format!("[{}]", SET.replace("true", "\"true\"")), None),
            (format!("[7, {SET}]"), None),
            (r#"[{"kind":"K","kind":"L","controller":true}]"#.to_owned(), None),
            (r#"[{"kind":7,"controller":true}]"#.to_owned(), None),
            ("[]".to_owned(), None),
            ("null".to_owned(), None),
            ("7".to_owned(), None),
            ("\"x\"".to_owned(), None),
        ] {
            let found = Owner::controller(&read(&references));
            assert_eq!(found, expected, "{references}");
        }
        for (api_version, group) in
            [("apps/v1", "apps"), ("v1", ""), ("", ""), ("postgresql.cnpg.io/v1", "postgresql.cnpg.io")]
        {
            assert_eq!(Owner { api_version: api_version.into(), ..Owner::default() }.group(), group);
        }
    }

    #[test]
    fn a_label_is_found_by_its_key() {
        for (labels, expected) in [
            (r#"{"a":"b"}"#, Some("b")),
            (r#"{"x":7,"a":"b","y":{}}"#, Some("b")),
            (r#"{"\u0061":"\u0062"}"#, Some("b")),
            (r#"{"a":"b","a":"c"}"#, Some("c")),
            (r#"{"a":""}"#, Some("")),
            (r#"{"a":7}"#, None),
            (r#"{"a":null}"#, None),
            (r#"{"aa":"b"}"#, None),
            ("{}", None),
        ] {
            let found = read::<Labels>(labels).value("a");
            assert_eq!(found.as_deref(), expected, "{labels}");
        }
    }
}
