//! A webhook that is unavailable does not block Pods, unless `failurePolicy` is `Fail`.

use crate::harness::wait_for;
use crate::scene::{KUBERNETES, Scene, image, rules, simple_pod};
use crate::{CLUSTER, DEADLINE};

const IMAGE: &str = "registry.k8s.io/app:1";

#[test]
fn a_webhook_that_is_down_and_comes_back() {
    let mut scene = Scene::new("failure", &rules("", KUBERNETES));
    let create = |scene: &Scene| scene.create(&simple_pod("p", IMAGE), &["--dry-run=server"]);
    assert_eq!(image(&create(&scene).json()), "cache.example.com/k8s/app:1");

    scene.webhook.stop();
    assert_eq!(image(&create(&scene).json()), IMAGE, "with Ignore, Pods must be admitted unchanged");
    scene.webhook.resume().expect("the webhook is available again");
    assert_eq!(
        image(&create(&scene).json()),
        "cache.example.com/k8s/app:1",
        "the webhook must rewrite again after its restart"
    );

    let fail = scene.configuration(&["--failure-policy", "Fail"]);
    CLUSTER.kubectl_with(&["apply", "-f", "-"], &fail.to_string()).ok();
    scene.webhook.stop();
    let refused = wait_for(DEADLINE, || {
        let output = create(&scene);
        (!output.status.success()).then_some(output.stderr)
    })
    .expect("the API server denies Pods");
    assert!(refused.contains("failed calling webhook \"rewrite.pullthrough.dev\""), "{refused}");
    scene.webhook.resume().expect("the webhook is available again");
    assert_eq!(image(&create(&scene).json()), "cache.example.com/k8s/app:1");
}
