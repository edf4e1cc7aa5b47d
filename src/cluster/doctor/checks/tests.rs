//! The checks on a healthy snapshot, and on copies of it with one fault each.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use k8s_openapi::ByteString;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::all;
use crate::cluster::api::Failure;
use crate::cluster::doctor::answers::Answers;
use crate::cluster::doctor::arguments::{Arguments, Serve};
use crate::cluster::doctor::endpoint::Endpoint;
use crate::cluster::doctor::fault::{Fault, Severity};
use crate::cluster::doctor::managed::{Managed, Permission};
use crate::cluster::doctor::metrics::Metrics;
use crate::cluster::doctor::objects::{Namespace, Objects, Version};
use crate::cluster::doctor::pods::{Comparing, Survey, Tally};
use crate::cluster::doctor::probe::{DryRun, Plan, Probed};
use crate::cluster::doctor::replica::{PodAnswers, Replica};
use crate::cluster::doctor::report::{Report, Verdict};
use crate::cluster::doctor::rules::{Given, NoRules, Rules};
use crate::cluster::selector::labels_of_name;
use crate::config;
use crate::engine::Policy;
use crate::export::webhook;
use crate::words::secs;

const RULES: &str = "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules:\n  \
                     - {name: kubernetes, from: [registry.k8s.io], to: cache.corp.internal/k8s}\n";

fn object<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn rules(text: &str) -> Rules {
    Rules { of_cluster: true, ..Rules::given(&Given { name: "the rules".to_owned(), content: text.into() }) }
}

fn deployment(change: impl FnOnce(&mut Value)) -> Value {
    let mut deployment = json!({
        "metadata": {"name": "pullthrough"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "p"}}, "template": {
            "metadata": {"labels": {"app": "p"}},
            "spec": {
                "automountServiceAccountToken": true,
                "serviceAccountName": "pullthrough",
                "containers": [{
                    "name": "pullthrough",
                    "args": ["serve", "--rules=/r/rules.yaml", "--manage-certificates"],
                    "ports": [{"name": "https", "containerPort": 8443}, {"name": "metrics", "containerPort": 8080}],
                    "volumeMounts": [{"name": "r", "mountPath": "/r"}],
                }],
                "volumes": [{"name": "r", "configMap": {"name": "pullthrough-rules"}}],
            },
        }},
        "status": {"availableReplicas": 2},
    });
    change(&mut deployment);
    deployment
}

fn set_deployment(snapshot: &mut Snapshot, change: impl FnOnce(&mut Value)) {
    let deployment = object(deployment(change));
    snapshot.objects.arguments = Arguments::of(&deployment, |_, _| Ok(serve()));
    snapshot.objects.deployment = Ok(Some(deployment));
}

fn serve() -> Serve {
    Serve {
        rules: Ok(Some("/r/rules.yaml".to_owned())),
        cache: Ok(None),
        managed_secret: Ok(Some("pullthrough-tls".to_owned())),
        sends_warnings: Ok(true),
    }
}

fn pod(name: &str) -> Value {
    let spec = deployment(|_| {})["spec"]["template"]["spec"].clone();
    let conditions = json!([{"type": "Ready", "status": "True"}]);
    json!({
        "metadata": {"name": name, "labels": {"app": "p"}},
        "spec": spec,
        "status": {"phase": "Running", "conditions": conditions},
    })
}

fn service(change: impl FnOnce(&mut Value)) -> Value {
    let mut service = json!({"spec": {"selector": {"app": "p"}, "ports": [{"port": 443, "targetPort": "https"}]}});
    change(&mut service);
    service
}

fn configuration(change: impl FnOnce(&mut Value)) -> Value {
    registered(false, change)
}

/// Returns the configuration, with the webhook for templates if `warn_templates` is set.
fn registered(warn_templates: bool, change: impl FnOnce(&mut Value)) -> Value {
    let endpoint = webhook::Endpoint::Service(webhook::Service {
        namespace: "pullthrough".to_owned(),
        name: "pullthrough".to_owned(),
        port: 443,
    });
    let options = webhook::WebhookOptions {
        endpoint,
        ca_bundle: Some(b"PEM".to_vec()),
        failure_policy: "Ignore",
        timeout_seconds: 3,
        own_namespace: None,
        skip_unaffected_pods: false,
        warn_templates,
    };
    let policy = Policy::new(Vec::new(), crate::engine::Settings::default());
    let mut configuration = serde_json::to_value(webhook::configuration(&policy, options).what).unwrap();
    change(&mut configuration);
    configuration
}

/// The objects of a cluster, and the answers.
struct Snapshot {
    objects: Objects,
    answers: Answers,
}

/// Returns the snapshot of a healthy cluster.
fn healthy() -> Snapshot {
    let mut ca = CertificateParams::new([]).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let certificate = CertificateParams::new(["pullthrough.pullthrough.svc".to_owned()]).unwrap();
    let certificate = certificate.signed_by(&KeyPair::generate().unwrap(), &ca).unwrap();

    let now = SystemTime::now();
    let rules = rules(RULES);
    let replicas = ["a", "b"].map(|name| {
        let metrics = Metrics {
            rules_hash: Some(rules.hash.clone()),
            rules_since_secs: Some(secs(now) - 60),
            rules_reload_ok: Some(true),
            certificate_reload_ok: Some(true),
            version: Some("0.1.0".to_owned()),
            caches: BTreeMap::new(),
            looping: 0,
            standing_down: 0,
        };
        let chain = Ok(vec![certificate.der().clone()]);
        let asked = Some(PodAnswers { chain, metrics: Ok(metrics), readyz: None });
        Replica { asked, ..Replica::of(&object(pod(name))) }
    });
    let ca_bundle = ca.pem().into_bytes();
    let mut configuration: k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration =
        object(configuration(|_| {}));
    configuration.webhooks.iter_mut().flatten().for_each(|webhook| {
        webhook.client_config.ca_bundle = Some(ByteString(ca_bundle.clone()));
    });
    let namespaces = ["default", "kube-system", "pullthrough"];
    let namespaces =
        namespaces.map(|name| Namespace { name: name.to_owned(), labels: labels_of_name(name), terminating: false });
    let endpoint = json!({"addresses": ["10.0.0.1"], "conditions": {"ready": true}});
    let secret = json!({"data": {"tls.crt": "eA==", "tls.key": "eA=="}});
    let mut secret: k8s_openapi::api::core::v1::Secret = object(secret);
    secret.data.get_or_insert_default().insert("ca.crt".to_owned(), ByteString(ca_bundle.clone()));
    let permission = Permission { what: "get secrets pullthrough-tls".to_owned(), allowed: true };
    let objects = Objects {
        now,
        configuration_name: "zz-pullthrough".to_owned(),
        version: Ok(Version { git: "v1.36.3".to_owned(), minor: Some(36) }),
        configurations: Ok(vec![configuration.clone()]),
        configuration: Ok(Some(configuration)),
        policies: Ok(Vec::new()),
        namespaces: Ok(namespaces.into()),
        gets_warnings: true,
        endpoint: Endpoint::Service { namespace: "pullthrough".to_owned(), name: "pullthrough".to_owned(), port: 443 },
        namespace: "pullthrough".to_owned(),
        service: Ok(Some(object(service(|_| {})))),
        slices: Ok(vec![object(json!({"addressType": "IPv4", "endpoints": [endpoint]}))]),
        deployment: Ok(None),
        arguments: None,
        pods: Ok(vec![object(pod("a")), object(pod("b"))]),
        rules: Ok(rules),
    };
    let answers = Answers {
        replicas: replicas.into(),
        direct: None,
        loaded_since_secs: Some(secs(now) - 60),
        survey: Some(Ok(Survey::default())),
        dry_run: DryRun::Skipped(String::new()),
        managed: Ok(Some(Managed {
            secret_name: "pullthrough-tls".to_owned(),
            secret: Ok(Some(secret)),
            ca_bundle: Some(ca_bundle),
            permissions: Ok(vec![permission]),
            has_token: Some(true),
        })),
    };
    let mut snapshot = Snapshot { objects, answers };
    set_deployment(&mut snapshot, |_| {});
    let plan = Plan::make(&snapshot.objects, None, None).unwrap();
    let images =
        plan.probes.iter().enumerate().map(|(index, probe)| (format!("probe-{index}"), probe.expected.clone()));
    let probed = Probed { images: images.collect(), warnings: vec![warning()] };
    snapshot.answers.dry_run = DryRun::Done(plan, Ok(probed));
    snapshot
}

fn warning() -> String {
    "pullthrough: 1 image is pulled through cache.corp.internal/k8s (rule kubernetes)".to_owned()
}

fn report(change: impl FnOnce(&mut Snapshot)) -> Report {
    let mut snapshot = healthy();
    change(&mut snapshot);
    Report { server: None, checks: all(&snapshot.objects, &snapshot.answers) }
}

/// Returns the names of errors and warnings.
#[track_caller]
fn faults(change: impl FnOnce(&mut Snapshot)) -> Vec<&'static str> {
    let report = report(change);
    let faults = report.findings().filter(|found| found.severity > Severity::Note);
    faults.map(|found| found.id.as_str()).collect()
}

fn metrics(snapshot: &mut Snapshot, change: impl FnOnce(&mut Metrics)) {
    change(snapshot.answers.replicas[0].asked.as_mut().unwrap().metrics.as_mut().unwrap());
}

fn waiting(snapshot: &mut Snapshot, reason: &str) {
    let mut pod = pod("a");
    pod["status"] = json!({
        "phase": "Pending",
        "containerStatuses": [{"name": "pullthrough", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": reason, "message": "why"}}}],
    });
    snapshot.answers.replicas[0] = Replica::of(&object(pod));
}

fn forbidden() -> Failure {
    Failure::Forbidden { needs: "get a".to_owned(), message: "no".to_owned() }
}

#[test]
fn a_healthy_cluster_has_no_findings() {
    let report = report(|_| {});
    let findings: Vec<_> = report.findings().collect();
    assert!(findings.is_empty(), "{findings:#?}");
    assert_eq!((report.verdict(), report.skipped()), (Verdict::Healthy, 0));
}

#[test]
fn faults_of_the_service_have_different_findings() {
    let with =
        |change: fn(&mut Value)| faults(move |snapshot| snapshot.objects.service = Ok(Some(object(service(change)))));
    assert_eq!(faults(|snapshot| snapshot.objects.service = Ok(None)), ["service-missing"]);
    assert_eq!(with(|service| service["spec"]["ports"][0]["port"] = json!(444)), ["service-port-missing"]);
    assert_eq!(with(|service| service["spec"]["ports"][0]["targetPort"] = json!("metrics")), ["service-target-wrong"]);
    assert_eq!(with(|service| service["spec"]["ports"][0]["targetPort"] = json!(8080)), ["service-target-wrong"]);
    assert!(with(|service| service["spec"]["ports"][0]["targetPort"] = json!(8443)).is_empty());
    assert_eq!(with(|service| service["spec"]["selector"]["b"] = json!("c")), ["service-selects-no-pods"]);
    assert_eq!(faults(|snapshot| snapshot.objects.slices = Ok(Vec::new())), ["no-ready-endpoints"]);
    let unready = json!({"addressType": "IPv4", "endpoints": [{"addresses": ["a"], "conditions": {"ready": false}}]});
    assert_eq!(faults(|snapshot| snapshot.objects.slices = Ok(vec![object(unready)])), ["no-ready-endpoints"]);
}

#[test]
fn faults_of_replicas_have_different_findings() {
    assert_eq!(faults(|snapshot| snapshot.objects.deployment = Ok(None)), ["deployment-missing"]);
    let zero = |snapshot: &mut Snapshot| set_deployment(snapshot, |one| one["spec"]["replicas"] = json!(0));
    assert_eq!(faults(zero), ["no-replicas"]);
    let short = |snapshot: &mut Snapshot| set_deployment(snapshot, |one| one["status"]["availableReplicas"] = json!(1));
    assert_eq!(faults(short), ["replicas-unavailable"]);
    assert_eq!(faults(|snapshot| waiting(snapshot, "ImagePullBackOff")), ["image-pull-failing"]);
    assert_eq!(faults(|snapshot| waiting(snapshot, "CrashLoopBackOff")), ["container-failing"]);
    assert!(faults(|snapshot| waiting(snapshot, "ContainerCreating")).is_empty());
    let no_node = |snapshot: &mut Snapshot| {
        let mut pod = pod("a");
        let condition = json!({"type": "PodScheduled", "status": "False", "message": "0/1 nodes"});
        pod["status"] = json!({"phase": "Pending", "conditions": [condition]});
        snapshot.answers.replicas[0] = Replica::of(&object(pod));
    };
    assert_eq!(faults(no_node), ["pod-unschedulable"]);
    let unready = |snapshot: &mut Snapshot| {
        let replica = &mut snapshot.answers.replicas[0];
        replica.ready = false;
        replica.asked.as_mut().unwrap().readyz = Some(Ok((503, "shutting down\n".to_owned())));
    };
    assert_eq!(faults(unready), ["pod-not-ready"]);
    let report = report(unready);
    assert!(report.findings().any(|found| found.what == "it is not ready: /readyz returns 503, shutting down"));
    let restarting = |snapshot: &mut Snapshot| {
        let end = (secs(snapshot.objects.now) - 5, "Error, exit code 1".to_owned());
        (snapshot.answers.replicas[0].restarts, snapshot.answers.replicas[0].last_end) = (4, Some(end));
    };
    assert_eq!(faults(restarting), ["pod-restarting"]);
    // A terminating Pod has no faults.
    assert!(faults(|snapshot| (unready(snapshot), snapshot.answers.replicas[0].terminating = true).1).is_empty());
}

#[test]
fn faults_of_the_webhook_for_templates_have_different_findings() {
    let register = |snapshot: &mut Snapshot, change: fn(&mut Value)| {
        let bundle = snapshot.objects.webhook().unwrap().client_config.ca_bundle.clone();
        let configuration = registered(true, |configuration| {
            let webhooks = configuration["webhooks"].as_array_mut().unwrap();
            webhooks.iter_mut().for_each(|webhook| webhook["clientConfig"]["caBundle"] = json!(bundle));
            change(&mut webhooks[1]);
        });
        snapshot.objects.configuration = Ok(Some(object(configuration)));
    };
    let with = |change: fn(&mut Value)| faults(|snapshot| register(snapshot, change));
    assert_eq!(with(|_| {}), [""; 0]);
    assert_eq!(with(|webhook| webhook["failurePolicy"] = json!("Fail")), ["templates-fail-closed"]);
    assert_eq!(with(|webhook| webhook["clientConfig"]["caBundle"] = json!("eA==")), ["templates-client-differs"]);
    assert_eq!(with(|webhook| webhook["matchConditions"] = json!([])), ["templates-of-controllers"]);
    let silent = |snapshot: &mut Snapshot| {
        register(snapshot, |_| {});
        snapshot.objects.arguments.as_mut().unwrap().sends_warnings = Ok(false);
    };
    assert_eq!(faults(silent), ["template-warnings-off"]);
}

#[test]
fn faults_of_rules_have_different_findings() {
    let other = |metrics: &mut Metrics| metrics.rules_hash = Some("other".to_owned());
    assert_eq!(faults(|snapshot| metrics(snapshot, other)), ["rules-not-loaded", "rules-differ"]);
    let failing = |metrics: &mut Metrics| metrics.rules_reload_ok = Some(false);
    assert_eq!(faults(|snapshot| metrics(snapshot, failing)), ["rules-reload-failing"]);
    let round = |metrics: &mut Metrics| metrics.certificate_reload_ok = Some(false);
    assert_eq!(faults(|snapshot| metrics(snapshot, round)), ["certificate-reload-failing"]);
    let version = |metrics: &mut Metrics| metrics.version = Some("0.2.0".to_owned());
    assert_eq!(faults(|snapshot| metrics(snapshot, version)), ["versions-differ"]);
    let missing = || NoRules::Missing { place: "ConfigMap a/b".to_owned(), what: "it does not exist".to_owned() };
    assert_eq!(faults(|snapshot| snapshot.objects.rules = Err(missing())), ["rules-missing"]);
    let report = report(|snapshot| snapshot.objects.rules = Ok(rules("rules: 1")));
    assert!(report.findings().any(|found| found.id.as_str() == "rules-invalid" && found.what.contains("the rules:1:")));
    let sub_path = |one: &mut Value| {
        let mount = json!({"name": "r", "mountPath": "/r/rules.yaml", "subPath": "rules.yaml"});
        one["spec"]["template"]["spec"]["containers"][0]["volumeMounts"][0] = mount;
    };
    assert_eq!(faults(|snapshot| set_deployment(snapshot, sub_path)), ["rules-by-sub-path"]);
    let nowhere = RULES.replace("name: kubernetes", "namespaces: {include: [x]}, name: kubernetes");
    let hash = |snapshot: &mut Snapshot, hash: &str| {
        snapshot.answers.replicas.iter_mut().for_each(|replica| {
            let metrics = replica.asked.as_mut().unwrap().metrics.as_mut().unwrap();
            metrics.rules_hash = Some(hash.to_owned());
        });
    };
    let nowhere = |snapshot: &mut Snapshot| {
        let rules = rules(&nowhere);
        hash(snapshot, &rules.hash);
        snapshot.objects.rules = Ok(rules);
    };
    assert_eq!(faults(nowhere), ["rule-without-namespace"]);
}

#[test]
fn views_of_caches_are_compared() {
    let views = |snapshot: &mut Snapshot, up: [bool; 2]| {
        for (replica, is_up) in snapshot.answers.replicas.iter_mut().zip(up) {
            let metrics = replica.asked.as_mut().unwrap().metrics.as_mut().unwrap();
            metrics.caches = BTreeMap::from([("cache.example.com".to_owned(), is_up)]);
        }
    };
    assert!(faults(|snapshot| views(snapshot, [true, true])).is_empty());
    assert_eq!(faults(|snapshot| views(snapshot, [false, false])), ["cache-down"]);
    assert_eq!(faults(|snapshot| views(snapshot, [false, true])), ["cache-views-differ"]);
}

#[test]
fn faults_of_managed_certificates_have_different_findings() {
    fn managed(snapshot: &mut Snapshot) -> &mut Managed {
        snapshot.answers.managed.as_mut().unwrap().as_mut().unwrap()
    }
    assert_eq!(faults(|snapshot| managed(snapshot).secret = Ok(None)), ["managed-secret-missing"]);
    let garbage = json!({"data": {"ca.crt": "eA==", "tls.crt": "eA==", "tls.key": "eA=="}});
    assert_eq!(faults(|snapshot| managed(snapshot).secret = Ok(Some(object(garbage)))), ["managed-secret-invalid"]);
    assert_eq!(faults(|snapshot| managed(snapshot).ca_bundle = None), ["managed-ca-differs"]);
    assert_eq!(faults(|snapshot| managed(snapshot).has_token = Some(false)), ["token-not-mounted"]);
    let denied = Permission { what: "create secrets".to_owned(), allowed: false };
    assert_eq!(faults(|snapshot| managed(snapshot).permissions = Ok(vec![denied])), ["permission-missing"]);
}

#[test]
fn faults_of_the_dry_run_have_different_findings() {
    let with = |image: &str, warnings: Vec<String>| {
        let images = vec![("probe-0".to_owned(), image.to_owned())];
        faults(move |snapshot| {
            if let DryRun::Done(_, probed) = &mut snapshot.answers.dry_run {
                *probed = Ok(Probed { images, warnings });
            }
        })
    };
    let written = "registry.k8s.io/pullthrough-doctor:probe";
    assert_eq!(with(written, Vec::new()), ["not-rewritten"]);
    assert_eq!(with(written, vec![warning()]), ["rewrite-reverted"]);
    assert_eq!(with("elsewhere.example.com/x", vec![warning()]), ["rewritten-differently"]);
    let denied = |message: &str| {
        let failure = Failure::Rejected { code: 500, message: message.to_owned() };
        faults(|snapshot| match &mut snapshot.answers.dry_run {
            DryRun::Done(_, probed) => *probed = Err(failure),
            DryRun::Skipped(_) => unreachable!(),
        })
    };
    assert_eq!(denied("admission webhook \"a.b.c\" denied the request"), ["pod-denied"]);
    let failed_call = "failed calling webhook \"rewrite.pullthrough.dev\": EOF";
    assert_eq!(denied(failed_call), ["webhook-call-failing"]);

    // Its fix names what exists.
    let fix = |endpoint: Option<Endpoint>| {
        let report = report(|snapshot| {
            if let Some(endpoint) = endpoint {
                snapshot.objects.endpoint = endpoint;
            }
            if let DryRun::Done(_, probed) = &mut snapshot.answers.dry_run {
                *probed = Err(Failure::Rejected { code: 500, message: failed_call.to_owned() });
            }
        });
        let finding = report.findings().find(|finding| finding.id == Fault::WebhookCallFailing).unwrap();
        finding.fix.clone()
    };
    assert!(fix(None).contains("the checks `service` and `certificates`"));
    let of_url = fix(Some(Endpoint::Url("https://192.0.2.1:8443/mutate".to_owned())));
    assert!(of_url.contains("https://192.0.2.1:8443/mutate") && !of_url.contains("`service`"), "{of_url}");
}

#[test]
fn a_url_without_a_ca_has_a_fix_of_its_own() {
    let fix = |ca_bundle: Option<ByteString>| {
        let report = report(|snapshot| {
            snapshot.objects.endpoint = Endpoint::Url("https://192.0.2.1:8443/mutate".to_owned());
            let configuration = snapshot.objects.configuration.as_mut().unwrap().as_mut().unwrap();
            configuration.webhooks.as_mut().unwrap()[0].client_config.ca_bundle = ca_bundle;
            if let DryRun::Done(plan, Ok(probed)) = &mut snapshot.answers.dry_run {
                probed.warnings.clear();
                probed.images[0].1.clone_from(&plan.probes[0].image);
            }
        });
        let finding = report.findings().find(|finding| finding.id == Fault::NotRewritten).unwrap();
        finding.fix.clone()
    };
    assert!(fix(None).contains("--ca-file"));
    assert!(!fix(Some(ByteString(b"PEM".to_vec()))).contains("--ca-file"));
}

#[test]
fn rules_that_observe_do_not_prove_a_call() {
    let mut snapshot = healthy();
    let text = "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules:\n  \
        - {name: a, from: [quay.io], to: cache.corp.internal/q, mode: observe}\n";
    let Ok(rules) = &mut snapshot.objects.rules else { unreachable!() };
    rules.parsed = Ok((Policy::from(config::parse("rules.yaml", text).unwrap()), Vec::new()));
    let why = Plan::make(&snapshot.objects, None, None).unwrap_err();
    assert!(why.contains("not proven that the API server calls the webhook"), "{why}");
}

#[test]
fn skipped_objects_are_not_faults() {
    let skipped = report(|snapshot| {
        snapshot.objects.version = Err(forbidden());
        snapshot.objects.configurations = Err(forbidden());
        snapshot.objects.policies = Err(forbidden());
        snapshot.objects.namespaces = Err(forbidden());
        snapshot.objects.service = Err(forbidden());
        snapshot.objects.slices = Err(forbidden());
        snapshot.objects.deployment = Err(forbidden());
        snapshot.objects.pods = Err(forbidden());
        snapshot.objects.rules = Err(NoRules::Skipped(forbidden()));
        snapshot.answers.survey = Some(Err(forbidden()));
        snapshot.answers.replicas.iter_mut().for_each(|replica| {
            replica.asked = Some(PodAnswers { chain: Err(forbidden()), metrics: Err(forbidden()), readyz: None });
        });
    });
    assert_eq!(skipped.findings().count(), 0);
    assert!(
        skipped.checks.iter().flat_map(|check| &check.skipped).all(|skipped| skipped.needs.as_deref() == Some("get a"))
    );
    assert_eq!((skipped.verdict(), skipped.skipped()), (Verdict::Healthy, 14));
    let unreadable = report(|snapshot| snapshot.objects.configuration = Err(forbidden()));
    assert_eq!(unreadable.verdict(), Verdict::Incomplete);
}

#[test]
fn operators_that_compare_images_are_reported() {
    let of_replica = |change: fn(&mut Metrics)| {
        faults(|snapshot| {
            let metrics = snapshot.answers.replicas[0].asked.as_mut().unwrap().metrics.as_mut().unwrap();
            change(metrics);
        })
    };
    assert_eq!(of_replica(|metrics| metrics.looping = 1), ["recreate-loop"]);
    assert_eq!(of_replica(|metrics| metrics.standing_down = 2), ["standing-down"]);
    let tally = || Tally { count: 1, examples: vec!["shop/db-1".to_owned()] };
    let report = report(|snapshot| {
        let survey = snapshot.answers.survey.as_mut().unwrap().as_mut().unwrap();
        survey.operators.insert("cloudnative-pg", Comparing { rewritten: tally(), skipped: 0 });
        survey.operators.insert("olm", Comparing { rewritten: Tally::default(), skipped: 3 });
        survey.custom.insert("Widget.example.com".to_owned(), tally());
    });
    let found: Vec<_> = report.findings().map(|finding| (finding.id.as_str(), finding.place.as_str())).collect();
    let expected = [
        ("operator-compares-images", "operator cloudnative-pg"),
        ("operator-may-compare-images", "kind Widget.example.com"),
    ];
    assert_eq!(found, expected);
    let fix = &report.findings().next().unwrap().fix;
    assert!(fix.contains("`spec.imageName` of Cluster") && fix.contains("skip: [cloudnative-pg]"), "{fix}");
    assert!(report.checks.iter().any(|check| check.facts.contains(&"3 Pods of olm skipped by the rules".to_owned())));
}

#[test]
fn a_certificate_that_expires_soon_is_reported() {
    let later = |years: u64| Duration::from_secs(years * 365 * 86_400);
    assert_eq!(faults(|snapshot| snapshot.objects.now += later(1900)), ["certificate-expiring"; 2]);
}
