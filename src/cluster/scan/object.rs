//! An object of the cluster, of which only images and labels are decoded.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::coverage::PodLabels;
use super::kind::ResourceKind;
use crate::engine::{self, Origin, Pod, PodState, Workload};
use crate::manifest::{Field, Known, Manifest};

pub struct Object<'a> {
    pub namespace: Option<Cow<'a, str>>,
    pub name: Cow<'a, str>,
    pub labels: PodLabels<'a>,
    pub sites: Vec<Site>,
    /// The Pod, or the template of Pods, in JSON. `None` if the object does not show it.
    pub pod: Option<&'a str>,
    /// The workload of the Pod, or of the Pods that the object controls. `None` if the object does not show it.
    pub workload: Option<Workload<'a>>,
    /// Who has the Pod created. Empty for templates.
    pub origin: Origin<'a>,
    is_history: bool,
}

/// An image and its place in the object.
pub struct Site {
    pub place: String,
    pub image: String,
    pub pull_never: bool,
    pub state: PodState,
}

#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(borrow, default)]
    spec: Option<&'a RawValue>,
    #[serde(borrow, default)]
    status: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(borrow, default)]
    namespace: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    labels: Option<&'a RawValue>,
    #[serde(default)]
    owner_references: Option<Vec<Owner>>,
}

#[derive(Deserialize)]
struct Owner {
    #[serde(default)]
    controller: Option<bool>,
}

#[derive(Deserialize)]
struct Spec {
    #[serde(default)]
    replicas: Option<i64>,
}

#[derive(Deserialize)]
struct Template<'a> {
    #[serde(borrow, default)]
    metadata: Option<Metadata<'a>>,
}

#[derive(Deserialize)]
struct JobStatus<'a> {
    #[serde(borrow, default)]
    conditions: Option<Vec<Condition<'a>>>,
}

#[derive(Deserialize)]
struct Condition<'a> {
    #[serde(rename = "type", borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
}

impl<'a> Object<'a> {
    /// Reads an object.
    ///
    /// # Errors
    ///
    /// Returns why the object is invalid.
    pub fn read(kind: &ResourceKind, json: &'a str, known: &Known) -> Result<Self, String> {
        let text = |error: serde_json::Error| error.to_string();
        let written: Written = serde_json::from_str(json).map_err(text)?;
        let Written { metadata, spec, status } = written;
        let mut object = Self {
            namespace: metadata.namespace,
            name: metadata.name.unwrap_or_default(),
            labels: PodLabels::Unknown,
            sites: Vec::new(),
            pod: None,
            workload: None,
            origin: Origin::default(),
            is_history: false,
        };
        let mut pod = None;
        if kind.is_pod() {
            object.labels = PodLabels::Known(metadata.labels);
            pod = Some(json);
        } else if let Some(built_in) = kind.built_in {
            let spec: Option<Spec> = spec.map(RawValue::get).map(serde_json::from_str).transpose().map_err(text)?;
            let replicas = spec.and_then(|spec| spec.replicas);
            let is_owned = metadata.owner_references.iter().flatten().any(|owner| owner.controller == Some(true));
            object.is_history = (is_owned && replicas == Some(0)) || (kind.is_job() && has_ended(status));
            pod = below(json, built_in.pod()).map_err(text)?;
            object.labels = PodLabels::Known(pod.and_then(labels_of_template));
        }
        object.pod = pod;
        if kind.declared {
            object.sites = declared_sites(kind, json, known)?;
        } else if let Some(pod) = pod {
            let pod = Pod::parse(pod).map_err(|error| error.to_string())?;
            if kind.is_pod() {
                object.origin = pod.origin(object.namespace.clone().unwrap_or_default());
            }
            let state = pod.metadata.as_ref().map(|metadata| metadata.state()).unwrap_or_default();
            object.workload = match kind.built_in {
                Some(built_in) if built_in.controls_pods() => {
                    let label = |key: &str| pod.metadata.as_ref().and_then(|metadata| metadata.label(key));
                    Some(Workload::of_controller(built_in.kind.into(), object.name.clone(), label))
                }
                _ => pod.metadata.as_ref().filter(|_| kind.is_pod()).map(Workload::of_pod),
            };
            let site = |site: engine::Site| Site {
                place: site.place.to_string(),
                image: site.image.into_owned(),
                pull_never: site.pull_never,
                state,
            };
            object.sites = pod.into_sites().into_iter().map(site).collect();
        }
        Ok(object)
    }

    /// Returns whether it creates no more Pods: a revision that its owner has scaled to 0, or a completed Job.
    pub fn is_history(&self) -> bool {
        self.is_history
    }

    /// Returns the kind and the name of an object that is otherwise invalid.
    pub fn title(kind: &str, json: &str) -> String {
        let metadata = serde_json::from_str::<Template>(json).ok().and_then(|object| object.metadata);
        match metadata.unwrap_or_default() {
            Metadata { name: Some(name), namespace: Some(namespace), .. } => format!("{kind} {namespace}/{name}"),
            Metadata { name: Some(name), .. } => format!("{kind} {name}"),
            _ => format!("a {kind}"),
        }
    }
}

fn declared_sites(kind: &ResourceKind, json: &str, known: &Known) -> Result<Vec<Site>, String> {
    // Objects in a list have no `apiVersion` and `kind` of their own.
    let fields = json.trim_start().strip_prefix('{').ok_or("it is not an object")?;
    let text = format!("{{\"apiVersion\":\"{}\",\"kind\":\"{}\",{fields}", kind.api_version(), kind.kind);
    let manifest = Manifest::read("", &text, known).map_err(|error| error.message)?;
    let site = |field: &Field| Site {
        place: field.place.clone(),
        image: field.image.clone(),
        pull_never: field.pull_never,
        state: field.object.state,
    };
    Ok(manifest.fields().iter().map(site).collect())
}

/// Returns the value below the keys of an object, `None` if one of them is missing or null.
fn below<'a>(json: &'a str, keys: &[&str]) -> serde_json::Result<Option<&'a str>> {
    let Some((key, rest)) = keys.split_first() else { return Ok(Some(json)) };
    let mut object: HashMap<Cow<str>, Option<&'a RawValue>> = serde_json::from_str(json)?;
    match object.remove(*key).flatten() {
        Some(value) => below(value.get(), rest),
        None => Ok(None),
    }
}

fn labels_of_template(json: &str) -> Option<&RawValue> {
    serde_json::from_str::<Template>(json).ok()?.metadata?.labels
}

fn has_ended(status: Option<&RawValue>) -> bool {
    let status = status.and_then(|status| serde_json::from_str::<JobStatus>(status.get()).ok());
    let mut conditions = status.and_then(|status| status.conditions).into_iter().flatten();
    conditions.any(|condition| matches!(&*condition.name, "Complete" | "Failed") && condition.status == "True")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::scan::kind::built_in;
    use crate::engine::PodKind;

    #[test]
    fn images_of_every_built_in_kind_are_found() {
        let known = Known::default();
        let kinds = built_in(&known);
        assert_eq!(kinds.len(), PodKind::ALL.len());
        for (kind, PodKind { pod_spec, .. }) in kinds.iter().zip(PodKind::ALL) {
            let spec = json!({"containers": [{"name": "a", "image": "quay.io/a"}]});
            let mut object = pod_spec.iter().rev().fold(spec, |value, key| json!({*key: value}));
            object["metadata"] = json!({"name": "a"});
            let text = object.to_string();
            let places: Vec<String> =
                Object::read(kind, &text, &known).expect(&text).sites.into_iter().map(|site| site.place).collect();
            assert_eq!(places, ["containers/a"], "{text}");
            object["metadata"] = json!({"name": "a", "namespace": null});
            object[pod_spec[0]] = json!(null);
            let text = object.to_string();
            assert!(Object::read(kind, &text, &known).expect(&text).sites.is_empty(), "{text}");
        }
    }
}
