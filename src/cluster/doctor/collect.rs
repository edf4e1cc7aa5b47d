//! Reads the objects from the API server.

use std::time::SystemTime;

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::PostParams;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::DoctorOptions;
use super::arguments::Arguments;
use super::endpoint::{self, Endpoint};
use super::objects::{MutatingPolicy, Namespace, Objects, Version};
use super::rules::{NoRules, Rules};
use crate::cluster::WEBHOOKS;
use crate::cluster::api::{Api, Failure, Target};
use crate::cluster::selector::{self, Labels};

/// The name of Service and Deployment in the manifests.
const NAME: &str = "pullthrough";

#[derive(Deserialize)]
struct List<T> {
    #[serde(default = "Vec::new")]
    items: Vec<T>,
}

/// Reads all objects that the checks need.
///
/// # Errors
///
/// Returns an error if the API server is unavailable, or if it rejects the credentials.
pub async fn objects(api: &Api, options: &DoctorOptions) -> Result<Objects, Failure> {
    let version = match version(api).await {
        Err(failure) if failure.is_of_all_requests() => return Err(failure),
        version => version,
    };
    let (configuration, configurations, policies, namespaces, gets_warnings) = tokio::join!(
        api.find::<MutatingWebhookConfiguration>(Target { name: Some(&options.configuration), ..WEBHOOKS }),
        list::<MutatingWebhookConfiguration>(api, WEBHOOKS),
        policies(api),
        namespaces(api),
        gets_warnings(api),
    );
    let endpoint = endpoint::of(&configuration, &options.namespace, NAME);
    let (namespace, service_name) = match &endpoint {
        Endpoint::Service { namespace, name, .. } => (namespace.clone(), name.clone()),
        Endpoint::Url(_) => (options.namespace.clone(), NAME.to_owned()),
    };
    let within = |api, resource| Target { api, resource, namespace: Some(&namespace), name: None };
    let (service, slices, deployments, pods) = tokio::join!(
        api.find::<Service>(Target { name: Some(&service_name), ..within("api/v1", "services") }),
        list::<EndpointSlice>(api, within("apis/discovery.k8s.io/v1", "endpointslices")),
        list::<Deployment>(api, within("apis/apps/v1", "deployments")),
        list::<Pod>(api, within("api/v1", "pods")),
    );
    let selector = service.iter().flatten().find_map(|service| service.spec.as_ref()?.selector.clone());
    let selector = selector.unwrap_or_default();
    let deployment = deployments.map(|deployments| choose(deployments, &selector));
    let pods = pods.map(|pods| ours(pods, &selector, deployment.as_ref().ok().and_then(Option::as_ref)));
    let slices = slices.map(|slices| slices.into_iter().filter(|slice| is_of(slice, &service_name)).collect());
    let arguments = deployment.as_ref().ok().and_then(|found| Arguments::of(found.as_ref()?, options.read_serve));

    Ok(Objects {
        now: SystemTime::now(),
        configuration_name: options.configuration.clone(),
        version,
        configuration,
        configurations,
        policies,
        namespaces,
        gets_warnings,
        service,
        slices,
        deployment,
        pods,
        rules: rules(api, &namespace, options, arguments.as_ref()).await,
        arguments,
        endpoint,
        namespace,
    })
}

async fn list<T: DeserializeOwned>(api: &Api, target: Target<'_>) -> Result<Vec<T>, Failure> {
    Ok(api.get::<List<T>>(target).await?.items)
}

async fn version(api: &Api) -> Result<Version, Failure> {
    let version: Value = api.read("/version", "get /version (system:public-info-viewer)").await?;
    let minor = version["minor"].as_str().unwrap_or_default();
    let digits: String = minor.chars().take_while(char::is_ascii_digit).collect();
    let minor = digits.parse().ok().filter(|_| version["major"] == "1");
    Ok(Version { git: version["gitVersion"].as_str().unwrap_or("unknown").to_owned(), minor })
}

async fn namespaces(api: &Api) -> Result<Vec<Namespace>, Failure> {
    let target = Target { api: "api/v1", resource: "namespaces", namespace: None, name: None };
    let items: Vec<k8s_openapi::api::core::v1::Namespace> = list(api, target).await?;
    let read = items.into_iter().map(|namespace| Namespace {
        terminating: namespace.metadata.deletion_timestamp.is_some(),
        name: namespace.metadata.name.unwrap_or_default(),
        labels: namespace.metadata.labels.unwrap_or_default(),
    });
    Ok(read.collect())
}

/// Lists the MutatingAdmissionPolicies in the newest version that the API server supports.
async fn policies(api: &Api) -> Result<Vec<MutatingPolicy>, Failure> {
    for version in ["v1", "v1beta1", "v1alpha1"] {
        let group = format!("apis/admissionregistration.k8s.io/{version}");
        let target = Target { api: &group, resource: "mutatingadmissionpolicies", namespace: None, name: None };
        match list::<Value>(api, target).await {
            Err(Failure::NotFound(_)) => {}
            Err(failure) => return Err(failure),
            Ok(items) => return Ok(items.iter().map(policy).collect()),
        }
    }
    Ok(Vec::new())
}

fn policy(item: &Value) -> MutatingPolicy {
    let rules = &item["spec"]["matchConstraints"]["resourceRules"];
    let has = |rule: &Value, key: &str, wanted: &str| {
        rule[key].as_array().is_some_and(|values| values.iter().any(|value| value == wanted || value == "*"))
    };
    let on_pods = rules.as_array().is_some_and(|rules| {
        rules.iter().any(|rule| has(rule, "resources", "pods") && has(rule, "operations", "CREATE"))
    });
    MutatingPolicy {
        name: item["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
        reinvoked: item["spec"]["reinvocationPolicy"] == "IfNeeded",
        on_pods,
    }
}

/// Returns whether the webhook sends warnings to this user. It sends none to users whose name starts with `system:`.
async fn gets_warnings(api: &Api) -> bool {
    let target =
        Target { api: "apis/authentication.k8s.io/v1", resource: "selfsubjectreviews", namespace: None, name: None };
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let answer = api.create(target, &PostParams::default(), &review).await;
    answer.is_ok_and(|answer| {
        let name = answer.body["status"]["userInfo"]["username"].as_str();
        name.is_some_and(|name| !name.starts_with("system:"))
    })
}

/// Returns the Deployment whose Pods the Service selects, or else the one with the default name or label.
fn choose(deployments: Vec<Deployment>, selector: &Labels) -> Option<Deployment> {
    let is_behind = |deployment: &&Deployment| {
        let template = deployment.spec.as_ref().and_then(|spec| spec.template.metadata.as_ref()?.labels.as_ref());
        template.is_some_and(|labels| selector::selects(selector, labels))
    };
    let is_named = |deployment: &&Deployment| deployment.metadata.name.as_deref() == Some(NAME);
    let is_labelled = |deployment: &&Deployment| {
        let labels = deployment.metadata.labels.as_ref();
        labels.and_then(|labels| labels.get("app.kubernetes.io/name")).is_some_and(|name| name == NAME)
    };
    let found = deployments
        .iter()
        .find(|deployment| is_behind(deployment) && is_named(deployment))
        .or_else(|| deployments.iter().find(is_behind))
        .or_else(|| deployments.iter().find(is_named))
        .or_else(|| deployments.iter().find(is_labelled));
    found.cloned()
}

/// Returns the Pods that the Service selects and those of the Deployment, without completed ones.
fn ours(pods: Vec<Pod>, selector: &Labels, deployment: Option<&Deployment>) -> Vec<Pod> {
    let requirements = deployment.and_then(|deployment| deployment.spec.as_ref());
    let requirements = requirements.map(|spec| selector::requirements(Some(&spec.selector))).unwrap_or_default();
    let is_ours = |pod: &Pod| {
        let labels = pod.metadata.labels.clone().unwrap_or_default();
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let of_deployment = !requirements.is_empty() && selector::failed(&requirements, &labels).is_empty();
        (of_deployment || selector::selects(selector, &labels)) && !matches!(phase, Some("Succeeded" | "Failed"))
    };
    pods.into_iter().filter(is_ours).collect()
}

fn is_of(slice: &EndpointSlice, service: &str) -> bool {
    let labels = slice.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get("kubernetes.io/service-name")).is_some_and(|name| name == service)
}

async fn rules(
    api: &Api,
    namespace: &str,
    options: &DoctorOptions,
    arguments: Option<&Arguments>,
) -> Result<Rules, NoRules> {
    match (&options.rules, arguments) {
        (Some(given), _) => Ok(Rules::given(given)),
        (None, Some(arguments)) => Rules::of_deployment(api, namespace, arguments).await,
        (None, None) => {
            Err(NoRules::Unknown(format!("no Deployment of pullthrough in namespace {namespace}; set --rules")))
        }
    }
}
