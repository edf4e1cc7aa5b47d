//! A sidecar that another webhook adds later is rewritten too. The audit log has both rounds.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::json;

use crate::harness::wait_for;
use crate::injector::Injector;
use crate::scene::{KUBERNETES, Scene, rules, simple_pod};
use crate::{CLUSTER, DEADLINE};

#[test]
fn a_sidecar_that_comes_later_is_rewritten() {
    let scene = Scene::new("reinvocation", &rules("", KUBERNETES));
    let injector = Injector::start();
    let mut configuration = scene.configuration(&[]);
    configuration["metadata"]["name"] = json!("zzz-injector");
    let webhook = &mut configuration["webhooks"][0];
    webhook["name"] = json!("inject.example.com");
    webhook["clientConfig"] = json!({"url": injector.url, "caBundle": BASE64_STANDARD.encode(injector.ca_pem)});
    webhook["failurePolicy"] = json!("Fail");
    CLUSTER.kubectl_with(&["apply", "-f", "-"], &configuration.to_string()).ok();
    wait_for(DEADLINE, || {
        let probe = scene.create(&simple_pod("probe", "example.com/p"), &["--dry-run=server"]).json();
        probe["spec"]["containers"].get(1).map(|_| ())
    })
    .expect("the injector is called");

    let created = scene.create(&simple_pod("p", "registry.k8s.io/app:1"), &[]);
    // Each round is reported. In the second, the image of the first is under a `to` already.
    let told = "Warning: pullthrough: 1 image is pulled through cache.example.com/k8s (rule kubernetes)";
    assert!(created.stderr.contains(told), "{}", created.stderr);
    let created = created.json();
    assert_eq!(created["spec"]["containers"][0]["image"], "cache.example.com/k8s/app:1");
    assert_eq!(created["spec"]["containers"][1]["image"], "cache.example.com/k8s/sidecar:1");

    let rounds = wait_for(DEADLINE, || scene.audited("p", "create").into_iter().find(|rounds| !rounds.is_empty()))
        .expect("the audit log has the decisions");
    let rounds: Vec<_> = rounds.into_values().collect();
    let app = json!({"from": "registry.k8s.io/app:1", "to": "cache.example.com/k8s/app:1", "rule": "kubernetes"});
    let sidecar =
        json!({"from": "registry.k8s.io/sidecar:1", "to": "cache.example.com/k8s/sidecar:1", "rule": "kubernetes"});
    assert_eq!(rounds.len(), 2);
    assert!(rounds.contains(&json!({"containers/c": app})), "{rounds:?}");
    let second = json!({"containers/c": {"reason": "already_cached"}, "containers/sidecar": sidecar});
    assert!(rounds.contains(&second), "{rounds:?}");
}

#[test]
fn a_service_account_gets_no_warning() {
    let scene = Scene::new("reinvocation-machine", &rules("", KUBERNETES));
    scene.kubectl(&["create", "serviceaccount", "robot"]).ok();
    let subject = format!("--serviceaccount={}:robot", scene.namespace);
    scene.kubectl(&["create", "rolebinding", "robot", "--clusterrole=edit", &subject]).ok();
    CLUSTER.kubectl(&["create", "clusterrole", "pods-editor", "--verb=create", "--resource=pods"]).ok();
    scene.kubectl(&["create", "rolebinding", "robot-pods", "--clusterrole=pods-editor", &subject]).ok();
    let robot = CLUSTER.service_account(scene.namespace, "robot");
    let pod = simple_pod("p", "registry.k8s.io/app:1");
    let by_robot = scene.create_as(&robot, &pod, &["--dry-run=server"]);
    let by_person = scene.create(&pod, &["--dry-run=server"]);
    assert_eq!(by_robot.stderr, "");
    assert!(by_person.stderr.starts_with("Warning: pullthrough: "), "{}", by_person.stderr);
    assert_eq!(by_robot.json()["spec"], by_person.json()["spec"]);
}
