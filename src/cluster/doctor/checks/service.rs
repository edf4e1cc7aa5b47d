//! Does the Service select ready Pods?

use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::cluster::doctor::arguments::{container, port};
use crate::cluster::doctor::endpoint::Endpoint;
use crate::cluster::doctor::fault::Fault;
use crate::cluster::doctor::objects::Objects;
use crate::cluster::doctor::report::Check;
use crate::cluster::selector;
use crate::words::count;

pub fn check(objects: &Objects) -> Check {
    let mut check = Check::new("service", "Does the Service select ready Pods?");
    let (namespace, name, number) = match &objects.endpoint {
        Endpoint::Url(url) => {
            return check.not_applicable(format!("the webhook configuration has the URL {url}, not a Service"));
        }
        Endpoint::Service { namespace, name, port } => (namespace, name, *port),
    };
    let place = format!("Service {namespace}/{name}");
    let service = match &objects.service {
        Err(failure) => {
            check.skip_for(failure, &place);
            return check;
        }
        Ok(None) => {
            check.find(Fault::ServiceMissing, place, "it does not exist, so no call reaches a replica");
            return check;
        }
        Ok(Some(service)) => service,
    };
    selected(&mut check, objects, service, &place);
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    let ports: Vec<&ServicePort> = ports.collect();
    match ports.iter().find(|port| port.port == number) {
        None => {
            let has: Vec<String> = ports.iter().map(|port| port.port.to_string()).collect();
            let has = if has.is_empty() { "none".to_owned() } else { has.join(", ") };
            let what = format!("the API server calls port {number}; the Service's ports: {has}");
            check.find(Fault::ServicePortMissing, &place, what);
        }
        Some(port) => target(&mut check, objects, port, &place),
    }
    endpoints(&mut check, objects, &place);
    check
}

fn selected(check: &mut Check, objects: &Objects, service: &Service, place: &str) {
    let wanted = service.spec.as_ref().and_then(|spec| spec.selector.clone()).unwrap_or_default();
    if wanted.is_empty() {
        // Its endpoints are maintained without a selector.
        check.fact("the Service has no selector");
        return;
    }
    let pods = match &objects.pods {
        Ok(pods) => pods,
        Err(failure) => return check.skip_for(failure, "the Pods that the Service selects"),
    };
    let is_selected =
        |labels: Option<&selector::Labels>| labels.is_some_and(|labels| selector::selects(&wanted, labels));
    if !pods.is_empty() && !pods.iter().any(|pod| is_selected(pod.metadata.labels.as_ref())) {
        let shown: Vec<String> = wanted.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let what = format!("its selector {} matches no Pod of the Deployment", shown.join(","));
        check.find(Fault::ServiceSelectsNoPods, place, what);
    }
}

/// Finds a Service's port whose target is not the containers' port `https`.
fn target(check: &mut Check, objects: &Objects, service_port: &ServicePort, place: &str) {
    let Some(container) = objects.pods.iter().flatten().find_map(|pod| container(pod.spec.as_ref()?)) else { return };
    let Some(https) = port(container, "https") else { return };
    let (is_right, shown) = match &service_port.target_port {
        Some(IntOrString::String(name)) => (port(container, name) == Some(https), format!("`{name}`")),
        Some(IntOrString::Int(number)) => (*number == i32::from(https), number.to_string()),
        None => (service_port.port == i32::from(https), service_port.port.to_string()),
    };
    if !is_right {
        let what = format!("its port {} has the target {shown}; the Pods serve on `https`, {https}", service_port.port);
        check.find(Fault::ServiceTargetWrong, place, what);
    }
}

fn endpoints(check: &mut Check, objects: &Objects, place: &str) {
    let slices = match &objects.slices {
        Ok(slices) => slices,
        Err(failure) => return check.skip_for(failure, "the Service's EndpointSlices"),
    };
    let endpoints: Vec<_> = slices.iter().flat_map(|slice| &slice.endpoints).collect();
    // An absent condition means ready.
    let is_ready = |conditions: Option<bool>| conditions.unwrap_or(true);
    let ready = endpoints
        .iter()
        .filter(|endpoint| is_ready(endpoint.conditions.as_ref().and_then(|conditions| conditions.ready)))
        .map(|endpoint| endpoint.addresses.len())
        .sum::<usize>();
    match ready {
        0 => {
            let what = match endpoints.len() {
                0 => "it has no endpoints, so no call reaches a replica".to_owned(),
                number => format!("0 of {} ready, so no call reaches a replica", count(number, "endpoint")),
            };
            check.find(Fault::NoReadyEndpoints, place, what);
        }
        1 => check.fact("1 address is ready"),
        ready => check.fact(format!("{ready} addresses are ready")),
    }
}
