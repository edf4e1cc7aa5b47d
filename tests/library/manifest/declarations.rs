//! Declarations in a rules file, and the meaning of their fields.

use pullthrough::engine::Policy;
use pullthrough::manifest::{Known, Manifest};

use super::{read, result, rules};

const CATALOGUE: &str = include_str!("../../../src/manifest/catalogue.yaml");
const VALUES: &str = "manifests: [{files: ['values*.yaml'], splitImages: [$..image]}]";

/// Returns the rules, and these declarations.
fn declared(manifests: &str) -> (Policy, Known) {
    let config = rules(&format!("rules: [{{name: a, from: [k8s.gcr.io, docker.io], to: c.io/x}}]\n{manifests}"));
    let known = Known { declared: config.manifests.clone(), ..Known::default() };
    (config.into(), known)
}

/// Returns the rewritten text, and each image with its place.
fn rewrite(manifests: &str, file: &str, text: &str) -> (String, Vec<String>) {
    let (policy, known) = declared(manifests);
    let manifest = read(file, text, &known);
    let written = manifest.write(|field| result(&policy, field));
    assert_eq!(written.refused, [], "{text}");
    let again = Manifest::read(file, &written.text, &known).expect("the written text");
    assert_eq!(again.write(|field| result(&policy, field)).text, written.text, "rewritten twice");
    let places = manifest.fields().iter().map(|field| format!("{} {}", field.place, field.image)).collect();
    (written.text, places)
}

/// In each object, the values with `k8s.gcr.io` are images, and no others.
#[test]
fn the_declarations_of_the_catalogue_find_every_image() {
    let pod = "{initContainers: [{image: k8s.gcr.io/a}], containers: [{name: b, image: k8s.gcr.io/b}], volumes: [{name: v, image: {reference: k8s.gcr.io/v}}]}";
    let template = "{inputs: {parameters: [{name: image, value: gcr.io/no}]}, container: {image: k8s.gcr.io/a, command: [gcr.io/no]}, sidecars: [{image: k8s.gcr.io/b}], initContainers: [{image: k8s.gcr.io/c}]}";
    let workflow = format!(
        "{{entrypoint: image, templates: [{template}, {{script: {{image: k8s.gcr.io/d, source: 'image: gcr.io/no'}}}}, {{containerSet: {{containers: [{{image: k8s.gcr.io/e}}]}}}}, {{steps: [[{{inline: {template}}}]]}}, {{dag: {{tasks: [{{inline: {template}}}]}}}}], templateDefaults: {{container: {{image: k8s.gcr.io/f}}}}}}"
    );
    let task = "{params: [{name: image, default: gcr.io/no}], steps: [{image: k8s.gcr.io/a, script: gcr.io/no}], sidecars: [{image: k8s.gcr.io/b}], stepTemplate: {image: k8s.gcr.io/c}}";
    let machine = "{domain: {firmware: {kernelBoot: {container: {image: k8s.gcr.io/k, kernelPath: /image}}}}, volumes: [{containerDisk: {image: k8s.gcr.io/a}}, {cloudInitNoCloud: {userData: gcr.io/no}}]}";
    let monitoring = "{image: k8s.gcr.io/p, baseImage: gcr.io/no, containers: [{name: c, image: k8s.gcr.io/c}], initContainers: [{image: k8s.gcr.io/i}]}";
    let status = "{image: gcr.io/no, container: {image: gcr.io/no}, steps: [{image: gcr.io/no}], volumes: [{containerDisk: {image: gcr.io/no}}]}";
    for (api_version, kind, spec) in [
        ("argoproj.io/v1alpha1", "Rollout", format!("{{template: {{spec: {pod}}}}}")),
        ("argoproj.io/v1alpha1", "Experiment", format!("{{templates: [{{name: image, template: {{spec: {pod}}}}}]}}")),
        (
            "argoproj.io/v1alpha1",
            "AnalysisTemplate",
            format!("{{metrics: [{{provider: {{job: {{spec: {{template: {{spec: {pod}}}}}}}}}}}]}}"),
        ),
        (
            "argoproj.io/v1alpha1",
            "ClusterAnalysisTemplate",
            format!("{{metrics: [{{provider: {{job: {{spec: {{template: {{spec: {pod}}}}}}}}}}}]}}"),
        ),
        ("argoproj.io/v1alpha1", "Workflow", workflow.clone()),
        ("argoproj.io/v1alpha1", "WorkflowTemplate", workflow.clone()),
        ("argoproj.io/v1alpha1", "ClusterWorkflowTemplate", workflow.clone()),
        ("argoproj.io/v1alpha1", "CronWorkflow", format!("{{schedules: ['* * * * *'], workflowSpec: {workflow}}}")),
        ("tekton.dev/v1", "Task", task.to_owned()),
        ("tekton.dev/v1beta1", "ClusterTask", task.to_owned()),
        ("tekton.dev/v1", "TaskRun", format!("{{taskSpec: {task}}}")),
        (
            "tekton.dev/v1",
            "Pipeline",
            format!("{{tasks: [{{name: image, taskSpec: {task}}}], finally: [{{taskSpec: {task}}}]}}"),
        ),
        ("tekton.dev/v1", "PipelineRun", format!("{{pipelineSpec: {{tasks: [{{taskSpec: {task}}}]}}}}")),
        ("tekton.dev/v1beta1", "StepAction", "{image: k8s.gcr.io/a}".to_owned()),
        (
            "monitoring.coreos.com/v1",
            "Prometheus",
            monitoring.replacen("{image", "{thanos: {image: k8s.gcr.io/t}, image", 1),
        ),
        ("monitoring.coreos.com/v1alpha1", "PrometheusAgent", monitoring.to_owned()),
        ("monitoring.coreos.com/v1", "Alertmanager", monitoring.to_owned()),
        ("monitoring.coreos.com/v1", "ThanosRuler", monitoring.to_owned()),
        ("kubevirt.io/v1", "VirtualMachineInstance", machine.to_owned()),
        ("kubevirt.io/v1", "VirtualMachineInstanceReplicaSet", format!("{{template: {{spec: {machine}}}}}")),
        ("kubevirt.io/v1", "VirtualMachine", format!("{{template: {{spec: {machine}}}}}")),
        (
            "pool.kubevirt.io/v1alpha1",
            "VirtualMachinePool",
            format!("{{virtualMachineTemplate: {{spec: {{template: {{spec: {machine}}}}}}}}}"),
        ),
        ("serving.knative.dev/v1", "Service", format!("{{template: {{spec: {pod}}}}}")),
        ("apps.openshift.io/v1", "DeploymentConfig", format!("{{template: {{spec: {pod}}}}}")),
        ("apps.kruise.io/v1alpha1", "CloneSet", format!("{{template: {{spec: {pod}}}}}")),
    ] {
        let text =
            format!("apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: n}}\nspec: {spec}\nstatus: {status}\n");
        let (written, places) = rewrite(CATALOGUE, "a.yaml", &text);
        assert_eq!(written, text.replace("k8s.gcr.io", "c.io/x"));
        assert_eq!(places.len(), text.matches("k8s.gcr.io").count(), "{places:?}");
        let declaration = format!("kind: {kind},");
        assert!(CATALOGUE.contains(&declaration) || CATALOGUE.contains(&declaration.replace(',', "\n")), "{kind}");
        let other = text.replace(api_version, "example.com/v1");
        // Except for lists of containers, which are found in any kind.
        assert!(rewrite(CATALOGUE, "a.yaml", &other).1.iter().all(|place| !place.contains(['$', '=', '-'])), "{other}");
        let listed = format!("apiVersion: v1\nkind: List\nitems:\n- {}", text.trim_end().replace('\n', "\n  "));
        assert_eq!(rewrite(CATALOGUE, "a.yaml", &listed).0, listed.replace("k8s.gcr.io", "c.io/x"));
    }
}

#[test]
fn split_images_are_put_together() {
    let digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let with_digest = format!("{{repository: k8s.gcr.io/a, tag: v1, digest: '{digest}'}}");
    let with_digest_after = with_digest.replace("k8s.gcr.io", "c.io/x");
    for (before, after, image) in [
        ("{repository: k8s.gcr.io/a, tag: v1}", "{repository: c.io/x/a, tag: v1}", "k8s.gcr.io/a:v1"),
        (
            "{registry: k8s.gcr.io, repository: a/b, tag: v1}",
            "{registry: c.io, repository: x/a/b, tag: v1}",
            "k8s.gcr.io/a/b:v1",
        ),
        ("{registry: k8s.gcr.io/a, repository: b}", "{registry: c.io, repository: x/a/b}", "k8s.gcr.io/a/b"),
        ("{registry: '', repository: nginx}", "{registry: 'c.io', repository: x/library/nginx}", "nginx"),
        (
            "{registry: ~, repository: nginx, tag: ''}",
            "{registry: ~, repository: c.io/x/library/nginx, tag: ''}",
            "nginx",
        ),
        ("{repository: k8s.gcr.io/a, tag: 1.10}", "{repository: c.io/x/a, tag: 1.10}", "k8s.gcr.io/a:1.10"),
        (
            "{repository: k8s.gcr.io/a, pullPolicy: Never}",
            "{repository: k8s.gcr.io/a, pullPolicy: Never}",
            "k8s.gcr.io/a",
        ),
        (
            "{repository: &r k8s.gcr.io/a, tag: *r}",
            "{repository: &r k8s.gcr.io/a, tag: *r}",
            "k8s.gcr.io/a:k8s.gcr.io/a",
        ),
        (&with_digest, &with_digest_after, &format!("k8s.gcr.io/a:v1@{digest}")),
    ] {
        let text = |image: &str| format!("controller:\n  image: {image} # c\nimage: nginx\n");
        let (written, places) = rewrite(VALUES, "chart/values-dev.yaml", &text(before));
        assert_eq!(written, text(after));
        assert_eq!(places, [format!("$.controller.image {image}")]);
        assert_eq!(rewrite(VALUES, "chart/other.yaml", &text(before)).1, [""; 0]);
    }
    for image in [
        "{tag: v1}",
        "{repository: '', tag: v1}",
        "{repository: '{{ .Values.x }}'}",
        "{repository: ~}",
        "nginx",
        "[{repository: a}]",
    ] {
        assert_eq!(rewrite(VALUES, "values.yaml", &format!("image: {image}\n")).1, [""; 0], "{image}");
    }
}

#[test]
fn a_shared_part_prevents_the_whole_change() {
    let (policy, known) = declared("manifests: [{files: [v.yaml], splitImages: [$.a, $.b]}]");
    let text = "a: {registry: &r k8s.gcr.io, repository: a}\nb: {registry: *r, repository: b, pullPolicy: Never}\n";
    let manifest = read("v.yaml", text, &known);
    let written = manifest.write(|field| result(&policy, field));
    assert_eq!(written.text, text);
    assert_eq!(written.refused.len(), 1, "{written:?}");
    assert!(written.refused[0].1.contains("`*r` in line 2"), "{written:?}");
    let both = text.replace(", pullPolicy: Never", "");
    let written = read("v.yaml", &both, &known).write(|field| result(&policy, field));
    assert_eq!(written.text, both.replace("k8s.gcr.io", "c.io").replace("repository: ", "repository: x/"));
}

#[test]
fn flags_and_variables_hold_images() {
    let manifests = "manifests: [{group: '', kind: Pod, args: [--image, -i], env: ['*_IMAGE', RELATED_*_X]}]";
    for (before, after, place) in [
        ("args: [--image=k8s.gcr.io/a]", "args: [--image=c.io/x/a]", "containers/c/args/--image k8s.gcr.io/a"),
        (
            "command: [x, --image, k8s.gcr.io/a]",
            "command: [x, --image, c.io/x/a]",
            "containers/c/command/--image k8s.gcr.io/a",
        ),
        ("args: ['--image=k8s.gcr.io/a']", "args: ['--image=c.io/x/a']", "containers/c/args/--image k8s.gcr.io/a"),
        (
            "args: [\"--image=k8s.gcr.io\\x2fa\"]",
            "args: [\"--image=c.io/x/a\"]",
            "containers/c/args/--image k8s.gcr.io/a",
        ),
        (
            "args:\n    - -i\n    - >-\n      k8s.gcr.io/a",
            "args:\n    - -i\n    - >-\n      c.io/x/a",
            "containers/c/args/-i k8s.gcr.io/a",
        ),
        (
            "env: [{name: A_IMAGE, value: k8s.gcr.io/a}]",
            "env: [{name: A_IMAGE, value: c.io/x/a}]",
            "containers/c/env/A_IMAGE k8s.gcr.io/a",
        ),
        (
            "env: [{name: RELATED_A_X, value: k8s.gcr.io/a}]",
            "env: [{name: RELATED_A_X, value: c.io/x/a}]",
            "containers/c/env/RELATED_A_X k8s.gcr.io/a",
        ),
    ] {
        let text = |line: &str| format!("apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: c\n    {line}\n");
        assert_eq!(rewrite(manifests, "", &text(before)), (text(after), vec![place.to_owned()]));
    }
    for line in [
        "args: [--images=k8s.gcr.io/a, image, k8s.gcr.io/a, x --image=k8s.gcr.io/a, --image]",
        "args: [\"sh -c\\nx --image=k8s.gcr.io/a\"]",
        "env: [{name: IMAGE, value: k8s.gcr.io/a}, {name: A_IMAGE, valueFrom: {}}, {value: k8s.gcr.io/a}]",
    ] {
        let text = format!("apiVersion: v1\nkind: Pod\nspec: {{containers: [{{{line}}}]}}\n");
        assert_eq!(rewrite(manifests, "", &text).1, [""; 0], "{text}");
    }
}

#[test]
fn paths_are_followed_as_json_path_says() {
    let text = "a: {b: [k8s.gcr.io/0, {image: k8s.gcr.io/1}, [k8s.gcr.io/2]], 'c.d': k8s.gcr.io/3, image: {image: k8s.gcr.io/4}}\nimage: k8s.gcr.io/5\n";
    for (path, images) in [
        ("$.image", &["5"][..]),
        ("$['image']", &["5"]),
        ("$[\"a\"]['c.d']", &["3"]),
        ("$.a.b[0]", &["0"]),
        ("$.a.b[1].image", &["1"]),
        ("$.a.b[*]", &["0"]),
        ("$.a.b[*][*]", &["1", "2"]),
        ("$.*", &["5"]),
        ("$.a.*", &["3"]),
        ("$..image", &["1", "4", "5"]),
        ("$.a..image", &["1", "4"]),
        ("$..b[0]", &["0"]),
        ("$.a.b[3]", &[]),
        ("$.a[0]", &[]),
        ("$.a.b.image", &[]),
        ("$", &[]),
        ("$[?@.image == 'k8s.gcr.io/5'].b", &[]),
        ("$.a[?@.image == 'k8s.gcr.io/4'].image", &["4"]),
        ("$.a.b[?@.image=='k8s.gcr.io/1'].image", &["1"]),
        ("$.a.b[? @.image == \"k8s.gcr.io/2\"].image", &[]),
    ] {
        let (policy, known) =
            declared(&format!("manifests: [{{files: [a], images: ['{}']}}]", path.replace('\'', "''")));
        let manifest = read("a", text, &known);
        let found: Vec<&str> = manifest.fields().iter().map(|field| &field.image[11..]).collect();
        assert_eq!(found, images, "{path}");
        let expected = images.iter().fold(text.to_owned(), |text, image| {
            text.replace(&format!("k8s.gcr.io/{image}"), &format!("c.io/x/{image}"))
        });
        assert_eq!(manifest.write(|field| result(&policy, field)).text, expected, "{path}");
    }
}

#[test]
fn files_are_matched_by_the_end_of_their_path() {
    for (glob, file, is_match) in [
        ("values.yaml", "values.yaml", true),
        ("values.yaml", "./a/values.yaml", true),
        ("values.yaml", "/a/b/values.yaml", true),
        ("values*.yaml", "a/values-dev.yaml", true),
        ("values*.yaml", "a/values/b.yaml", false),
        ("charts/*/values.yaml", "x/charts/a/values.yaml", true),
        ("charts/*/values.yaml", "charts/a/b/values.yaml", false),
        ("charts/**/values.yaml", "charts/a/b/values.yaml", true),
        ("**/values.yaml", "values.yaml", true),
        ("./values.yaml", "values.yaml", true),
        ("values.yaml", "my-values.yaml", false),
        ("/a/values.yaml", "/a/values.yaml", true),
        ("/a/values.yaml", "/b/a/values.yaml", false),
    ] {
        let (_, known) = declared(&format!("manifests: [{{files: ['{glob}'], images: [$.image]}}]"));
        let manifest = read(file, "image: a\n", &known);
        assert_eq!(manifest.fields().len(), usize::from(is_match), "{glob} on {file}");
    }
}

#[test]
fn images_count_that_name_their_registry() {
    let text = "apiVersion: example.com/v1\nkind: Widget\nspec: {a: k8s.gcr.io/a:v1, b: library/b, c: 'https://k8s.gcr.io/c', d: ~, e: 1}\n";
    let manifests = "manifests: [{group: example.com, kind: Widget, qualifiedImages: [$.spec.*]}]";
    let (written, places) = rewrite(manifests, "a.yaml", text);
    assert_eq!(written, text.replace("a: k8s.gcr.io/a", "a: c.io/x/a"));
    assert_eq!(places, ["$.spec.a k8s.gcr.io/a:v1"]);
    // An image whose default registry is not Docker Hub is reported.
    let (_, known) = declared(manifests);
    let lookalikes: Vec<String> =
        read("a.yaml", text, &known).lookalikes().iter().map(|field| field.path.clone()).collect();
    assert_eq!(lookalikes, ["$.spec.b"]);
}

#[test]
fn values_of_charts_count_where_they_name_the_registry() {
    let manifests = "manifests: [{files: [v.yaml], helmValues: [$.values]}]";
    for (before, after, places) in [
        (
            "{image: {repository: k8s.gcr.io/a, tag: v1}}",
            "{image: {repository: c.io/x/a, tag: v1}}",
            &["$.values.image k8s.gcr.io/a:v1"][..],
        ),
        (
            "{a: {image: {repository: k8s.gcr.io/a}}}",
            "{a: {image: {repository: c.io/x/a}}}",
            &["$.values.a.image k8s.gcr.io/a"],
        ),
        (
            "{a: [{registry: k8s.gcr.io, repository: a, tag: 1}]}",
            "{a: [{registry: c.io, repository: x/a, tag: 1}]}",
            &["$.values.a[0] k8s.gcr.io/a:1"],
        ),
        (
            "{image: k8s.gcr.io/a, initImage: 'k8s.gcr.io/b'}",
            "{image: c.io/x/a, initImage: 'c.io/x/b'}",
            &["$.values.image k8s.gcr.io/a", "$.values.initImage k8s.gcr.io/b"],
        ),
        // A template may put something in front of these, or they are parts of a name.
        ("{image: {repository: a/b, tag: v1}, b: {image: nginx}}", "", &[]),
        ("{image: {registry: '', repository: a/b, tag: v1}}", "", &[]),
        ("{image: {registry: k8s.gcr.io, repository: a, name: b, tag: v1}}", "", &[]),
        ("{image: {repository: k8s.gcr.io/a, image: b, tag: v1}}", "", &[]),
        ("{registry: k8s.gcr.io, image: k8s.gcr.io/a}", "", &[]),
        // These are not images.
        ("{git: {repository: github.com/a/b}}", "", &[]),
        ("{chart: {repository: 'https://a.example.com', tag: v1}}", "", &[]),
        ("{image: example.com/a.png}", "", &[]),
        ("{image: {repository: '{{ .Values.a }}/b', tag: v1}}", "", &[]),
    ] {
        let text = |values: &str| format!("values: {values}\nimage: k8s.gcr.io/no\n");
        let after = if after.is_empty() { before } else { after };
        let (written, found) = rewrite(manifests, "v.yaml", &text(before));
        assert_eq!((written, found), (text(after), places.iter().map(|&place| place.to_owned()).collect()), "{before}");
    }
}

#[test]
fn names_with_the_last_part_beside_them_are_put_together() {
    let manifests = "manifests: [{files: [v.yaml], splitImages: [$.a]}]";
    let digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    for (before, after, image) in [
        (
            "{repository: k8s.gcr.io/a, image: b, version: v1}",
            "{repository: c.io/x/a, image: b, version: v1}",
            "k8s.gcr.io/a/b:v1",
        ),
        ("{repository: k8s.gcr.io/a, image: b}", "{repository: c.io/x/a, image: b}", "k8s.gcr.io/a/b"),
        (
            "{repository: k8s.gcr.io/a, image: b, tag: 1}",
            "{repository: c.io/x/a, image: b, tag: 1}",
            "k8s.gcr.io/a/b:1",
        ),
        (
            &format!("{{repository: k8s.gcr.io/a, image: b, version: '{digest}'}}"),
            &format!("{{repository: c.io/x/a, image: b, version: '{digest}'}}"),
            &format!("k8s.gcr.io/a/b@{digest}"),
        ),
    ] {
        let (written, places) = rewrite(manifests, "v.yaml", &format!("a: {before}\n"));
        assert_eq!(written, format!("a: {after}\n"));
        assert_eq!(places, [format!("$.a {image}")]);
    }
}

#[test]
fn objects_in_objects_are_looked_at_as_such() {
    let manifests = "manifests: [{group: example.com, kind: Box, objects: ['$.spec.boxes[*]']}, {group: example.com, kind: Widget, images: [$.spec.tool]}]";
    let pod = "{apiVersion: v1, kind: Pod, spec: {containers: [{image: k8s.gcr.io/a}]}}";
    let widget =
        "{apiVersion: example.com/v1, kind: Widget, spec: {tool: k8s.gcr.io/b}, status: {tool: k8s.gcr.io/no}}";
    let text = |inner: &str| format!("apiVersion: example.com/v1\nkind: Box\nspec: {{boxes: [{inner}]}}\n");
    let before = text(&format!("{pod}, {widget}, {{kind: Widget, spec: {{tool: k8s.gcr.io/no}}}}, text, ~"));
    let (written, places) = rewrite(manifests, "a.yaml", &before);
    assert_eq!(written, before.replace("k8s.gcr.io/a", "c.io/x/a").replace("k8s.gcr.io/b", "c.io/x/b"));
    assert_eq!(places, ["containers[0] k8s.gcr.io/a", "$.spec.tool k8s.gcr.io/b"]);
    // Nested objects, up to a maximum depth.
    let nested = |depth: usize| {
        (0..depth).fold(pod.to_owned(), |inner, _| {
            format!("{{apiVersion: example.com/v1, kind: Box, spec: {{boxes: [{inner}]}}}}")
        })
    };
    assert_eq!(rewrite(manifests, "a.yaml", &nested(3)).1.len(), 1);
    let deep = nested(100);
    let (_, known) = declared(manifests);
    assert_eq!(read("a.yaml", &deep, &known).fields().len(), 0);
    assert_eq!(read("a.yaml", &deep, &known).lookalikes().len(), 1);
}

#[test]
fn documents_are_known_by_their_keys() {
    let manifests = "manifests: [{keys: [jobs, version], podSpecs: ['$.jobs[*].spec'], env: ['*_IMAGE']}]";
    let jobs = "jobs: [{spec: {containers: [{image: k8s.gcr.io/a, env: [{name: A_IMAGE, value: k8s.gcr.io/b}]}]}}]\n";
    let text = format!("version: 1\n{jobs}");
    let (written, places) = rewrite(manifests, "any", &text);
    assert_eq!(written, text.replace("k8s.gcr.io", "c.io/x"));
    assert_eq!(places.len(), 2);
    assert_eq!(rewrite(manifests, "any", jobs).1, [""; 0]);
    assert_eq!(rewrite(manifests, "any", &format!("apiVersion: a/v1\nkind: B\n{text}")).1, [""; 0]);
}

#[test]
fn flags_and_variables_are_found_in_any_kind() {
    let manifests = "manifests: [{group: '*', kind: '*', args: [--image], env: [A_IMAGE]}]";
    let container = "{name: a, args: [--image=k8s.gcr.io/a], env: [{name: A_IMAGE, value: k8s.gcr.io/b}]}";
    for (api_version, kind, path) in [("v1", "Pod", "spec"), ("apps/v1", "Deployment", "spec: {template: {spec")] {
        let ends = "}".repeat(path.matches('{').count());
        let text = format!("apiVersion: {api_version}\nkind: {kind}\n{path}: {{containers: [{container}]}}{ends}\n");
        assert_eq!(rewrite(manifests, "a.yaml", &text).0, text.replace("k8s.gcr.io", "c.io/x"));
    }
}

#[test]
fn what_stands_for_an_image_is_found_by_its_name() {
    let manifests = "manifests: [{group: example.com, kind: Widget, images: ['$.spec.steps[*].image'], parameters: [{reference: $(params.NAME), values: ['$.spec.params[*].default']}]}]";
    let text = |steps: &str, params: &str| {
        format!("apiVersion: example.com/v1\nkind: Widget\nspec: {{params: [{params}], steps: [{steps}]}}\n")
    };
    for (steps, params, found) in [
        ("{image: $(params.tool)}", "{name: tool, default: k8s.gcr.io/a}", true),
        ("{image: $(params.other)}, {image: $(params.tool)}", "{name: x}, {name: tool, default: k8s.gcr.io/a}", true),
        // Another parameter, a part of a name, a value that is not an image, and an image with another use.
        ("{image: $(params.other)}", "{name: tool, default: k8s.gcr.io/a}", false),
        ("{image: 'a:$(params.tool)'}", "{name: tool, default: k8s.gcr.io/a}", false),
        ("{image: $(params.tool)}", "{name: tool, default: ''}, {name: tool, default: [k8s.gcr.io/a]}", false),
        ("{image: $(params.tool)}", "{name: tool, value: k8s.gcr.io/a}", false),
        ("{script: $(params.tool)}", "{name: tool, default: k8s.gcr.io/a}", false),
    ] {
        let before = text(steps, params);
        let (written, places) = rewrite(manifests, "a.yaml", &before);
        let expected = if found { before.replace("k8s.gcr.io", "c.io/x") } else { before.clone() };
        assert_eq!(written, expected, "{before}");
        assert_eq!(places.iter().any(|place| place.ends_with(".default k8s.gcr.io/a")), found, "{places:?}");
    }
}
