//! Which namespaces and Pods the registration leaves out.

use std::collections::HashSet;

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Event;
use super::unseen::{cure, unseen};
use crate::cluster::api::{Api, Failure, Target};
use crate::cluster::pages::Pages;
use crate::cluster::selector::{Labels, Requirement, failed, labels_of_name, requirements};
use crate::cluster::{WEBHOOKS, our_webhook};
use crate::scan::{OutOfReach, Unseen};

/// Of a Pod, or of the Pods that an object makes; as JSON, if there are any.
#[derive(Debug, Clone, Copy)]
pub enum PodLabels<'a> {
    Known(Option<&'a RawValue>),
    Unknown,
}

/// By default nothing is out of reach.
#[derive(Debug, Default)]
pub struct Reach {
    namespaces: HashSet<String>,
    objects: Vec<Requirement>,
}

#[derive(Deserialize)]
struct Labelled {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    #[serde(default)]
    labels: Option<Labels>,
}

impl Reach {
    /// Reads the registration and the labels of namespaces, and tells what could not be read.
    ///
    /// # Errors
    ///
    /// Where there is no namespace that was named.
    pub async fn look(api: &Api, configuration: &str, named: &[String]) -> Result<(Self, Vec<Event>), Failure> {
        let mut notes = Vec::new();
        let (on_namespaces, objects) = match registration(api, configuration).await {
            Ok(requirements) => requirements,
            Err(note) => {
                notes.push(note);
                Default::default()
            }
        };
        let mut reach = Self { namespaces: HashSet::new(), objects };
        let mut add = |Metadata { name, labels }: Metadata| {
            let labels = labels.unwrap_or_default();
            if !failed(&on_namespaces, &labels).is_empty() {
                reach.namespaces.insert(name);
            }
        };
        let target = Target { api: "api/v1", resource: "namespaces", namespace: None, name: None };
        for name in named {
            let target = Target { name: Some(name), ..target };
            match api.get::<Labelled>(target).await {
                Ok(namespace) => add(namespace.metadata),
                Err(Failure::NotFound(_)) => {
                    let why = "`kubectl get namespaces` lists those that are";
                    return Err(Failure::NotFound(format!("there is no namespace {name}; {why}")));
                }
                Err(failure) => {
                    add(Metadata { name: name.clone(), labels: Some(labels_of_name(name)) });
                    if !on_namespaces.is_empty() {
                        let within = Target { namespace: Some(name), ..target };
                        let what = format!("the labels of namespace {name}, which may put it out of reach");
                        notes.push(told(what, &failure, cure(within, "get", &failure)));
                    }
                }
            }
        }
        if named.is_empty() && !on_namespaces.is_empty() {
            let mut pages = Pages::of(api, target);
            let mut count = 0;
            loop {
                match pages.next().await {
                    Ok(None) => break,
                    Ok(Some(page)) => {
                        count += page.items().count();
                        let read = page.items().filter_map(|item| serde_json::from_str::<Labelled>(item).ok());
                        read.for_each(|namespace| add(namespace.metadata));
                    }
                    Err(failure) => {
                        let what = "Namespaces, whose labels may put them out of reach";
                        notes.push(Event::Unseen(unseen(target, what, count, &failure)));
                        break;
                    }
                }
            }
        }
        Ok((reach, notes))
    }

    /// Why a Pod with these labels is not asked about, if it is not.
    pub fn leaves_out(&self, namespace: &str, labels: PodLabels) -> Option<OutOfReach> {
        if self.namespaces.contains(namespace) {
            return Some(OutOfReach::Namespace);
        }
        let PodLabels::Known(labels) = labels else { return None };
        if self.objects.is_empty() {
            return None;
        }
        let labels = labels.and_then(|labels| serde_json::from_str::<Option<Labels>>(labels.get()).ok().flatten());
        (!failed(&self.objects, &labels.unwrap_or_default()).is_empty()).then_some(OutOfReach::Label)
    }
}

/// What it wants of namespaces, and of Pods; else why that is not known.
async fn registration(api: &Api, name: &str) -> Result<(Vec<Requirement>, Vec<Requirement>), Event> {
    let target = Target { name: Some(name), ..WEBHOOKS };
    let found = api.find::<MutatingWebhookConfiguration>(target).await.map_err(|failure| {
        let what = "which namespaces and Pods are out of the webhook's reach".to_owned();
        told(what, &failure, cure(target, "get", &failure))
    })?;
    match found.as_ref().and_then(our_webhook) {
        Some(webhook) => {
            Ok((requirements(webhook.namespace_selector.as_ref()), requirements(webhook.object_selector.as_ref())))
        }
        None => Err(Event::Remark(format!(
            "pullthrough is not registered as MutatingWebhookConfiguration {name}: no namespace counts as out of its reach"
        ))),
    }
}

fn told(what: String, failure: &Failure, cure: String) -> Event {
    Event::Unseen(Unseen { what, why: failure.to_string(), cure })
}
