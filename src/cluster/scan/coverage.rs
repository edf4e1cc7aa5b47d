//! Which namespaces and Pods the webhook configuration excludes.

use std::collections::HashSet;

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Event;
use super::skipped::{fix, skipped};
use crate::cluster::api::{Api, Failure, Target};
use crate::cluster::pages::Pages;
use crate::cluster::selector::{Labels, Requirement, failed, labels_of_name, requirements};
use crate::cluster::{WEBHOOKS, our_webhook};
use crate::scan::{NotCovered, Skipped};

/// The labels of a Pod, or of the Pods that an object creates, as JSON.
#[derive(Debug, Clone, Copy)]
pub enum PodLabels<'a> {
    Known(Option<&'a RawValue>),
    Unknown,
}

/// Which namespaces and Pods the webhook covers: all of them by default.
#[derive(Debug, Default)]
pub struct Coverage {
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

impl Coverage {
    /// Reads the selectors of the webhook and the labels of namespaces. Events report what was skipped.
    ///
    /// # Errors
    ///
    /// Returns an error if a namespace in `named` does not exist.
    pub async fn look(api: &Api, configuration: &str, named: &[String]) -> Result<(Self, Vec<Event>), Failure> {
        let mut notes = Vec::new();
        let (on_namespaces, objects) = match selectors(api, configuration).await {
            Ok(requirements) => requirements,
            Err(note) => {
                notes.push(note);
                Default::default()
            }
        };
        let mut coverage = Self { namespaces: HashSet::new(), objects };
        let mut add = |Metadata { name, labels }: Metadata| {
            let labels = labels.unwrap_or_default();
            if !failed(&on_namespaces, &labels).is_empty() {
                coverage.namespaces.insert(name);
            }
        };
        let target = Target { api: "api/v1", resource: "namespaces", namespace: None, name: None };
        for name in named {
            let target = Target { name: Some(name), ..target };
            match api.get::<Labelled>(target).await {
                Ok(namespace) => add(namespace.metadata),
                Err(Failure::NotFound(_)) => {
                    let fix = "`kubectl get namespaces` lists those that exist";
                    return Err(Failure::NotFound(format!("namespace {name} does not exist; {fix}")));
                }
                Err(failure) => {
                    add(Metadata { name: name.clone(), labels: Some(labels_of_name(name)) });
                    if !on_namespaces.is_empty() {
                        let within = Target { namespace: Some(name), ..target };
                        let what = format!("the labels of namespace {name}, which decide whether it is covered");
                        notes.push(skip(what, &failure, fix(within, "get", &failure)));
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
                        let what = "Namespaces, whose labels decide whether they are covered";
                        notes.push(Event::Skipped(skipped(target, what, count, &failure)));
                        break;
                    }
                }
            }
        }
        Ok((coverage, notes))
    }

    /// Returns why the webhook does not cover a Pod with these labels, `None` if it does.
    pub fn excludes(&self, namespace: &str, labels: PodLabels) -> Option<NotCovered> {
        if self.namespaces.contains(namespace) {
            return Some(NotCovered::Namespace);
        }
        let PodLabels::Known(labels) = labels else { return None };
        if self.objects.is_empty() {
            return None;
        }
        let labels = labels.and_then(|labels| serde_json::from_str::<Option<Labels>>(labels.get()).ok().flatten());
        (!failed(&self.objects, &labels.unwrap_or_default()).is_empty()).then_some(NotCovered::Label)
    }
}

/// Returns the requirements of the webhook's namespaceSelector and objectSelector, or why they are unknown.
async fn selectors(api: &Api, name: &str) -> Result<(Vec<Requirement>, Vec<Requirement>), Event> {
    let target = Target { name: Some(name), ..WEBHOOKS };
    let found = api.find::<MutatingWebhookConfiguration>(target).await.map_err(|failure| {
        let what = "which namespaces and Pods the webhook covers".to_owned();
        skip(what, &failure, fix(target, "get", &failure))
    })?;
    match found.as_ref().and_then(our_webhook) {
        Some(webhook) => {
            Ok((requirements(webhook.namespace_selector.as_ref()), requirements(webhook.object_selector.as_ref())))
        }
        None => Err(Event::Note(format!(
            "there is no MutatingWebhookConfiguration {name} of pullthrough; every namespace counts as covered"
        ))),
    }
}

fn skip(what: String, failure: &Failure, fix: String) -> Event {
    Event::Skipped(Skipped { what, why: failure.to_string(), fix, is_failure: true })
}
