//! What every export says of the settings beside the rules that its format does not support.

use crate::crio::told;
use crate::{file, pullthrough};

const SETTINGS: [&str; 3] = ["allowOptOut: true", "recordOriginals: true", "whenNotUnderstood: deny"];

#[test]
fn settings_that_a_format_does_not_support_are_omissions() {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: quay.io/a/b}]}\n";
    let (pod, values) = (file("pod.yaml", pod), file("values.yaml", "image: quay.io/a/b:1\n"));
    let path = |file: &tempfile::NamedTempFile| file.path().display().to_string();
    let annotation = "`recordOriginals`: no annotation is written";
    let ignored = "`whenNotUnderstood`: Pods that the API server can't evaluate are admitted unchanged: add \
                   --failure-policy Fail";
    let admitted = "`whenNotUnderstood`: the policy has `failurePolicy: Ignore`: Pods that Kyverno can't evaluate are \
                    admitted unchanged";
    let of_nodes = [
        "`allowOptOut`: a node pulls for all Pods in the same way",
        "`recordOriginals`: a node writes no annotation",
        "`whenNotUnderstood`: a node denies no Pods",
    ];
    for (arguments, omitted) in [
        ("admission-policy".to_owned(), &[annotation, ignored][..]),
        ("admission-policy --failure-policy Fail".to_owned(), &[annotation]),
        ("admission-policy --action audit".to_owned(), &[ignored]),
        ("kyverno".to_owned(), &[annotation, admitted]),
        (
            "kyverno --kind ClusterPolicy".to_owned(),
            &["`recordOriginals`: a ClusterPolicy changes images only", admitted],
        ),
        ("containerd --daemon-set".to_owned(), &of_nodes),
        ("crio".to_owned(), &of_nodes),
        ("docker".to_owned(), &of_nodes),
        ("openshift".to_owned(), &of_nodes),
        (format!("kustomize {}", path(&pod)), &["`recordOriginals`: kustomize's `images` only rename"]),
        (
            format!("helm-values {}", path(&values)),
            &[
                "`allowOptOut`: values count for every Pod, whatever its labels",
                "`recordOriginals`: values write no annotation",
            ],
        ),
    ] {
        // Its rule itself is supported by all.
        let rule = if arguments == "docker" { "from: [docker.io]" } else { "from: [quay.io]" };
        for setting in SETTINGS {
            let rules = file(
                "rules.yaml",
                &format!(
                    "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\n{setting}\n\
                     rules: [{{name: a, {rule}, to: cache.example.com}}]\n"
                ),
            );
            let arguments: Vec<&str> = ["export"].into_iter().chain(arguments.split(' ')).collect();
            let output = pullthrough(&[&arguments[..], &["--strict", "--rules", &path(&rules)]].concat());
            let (name, _) = setting.split_once(':').expect("a setting");
            let expected: Vec<&str> =
                omitted.iter().copied().filter(|line| line.starts_with(&format!("`{name}`"))).collect();
            assert_eq!(told(&output.stderr, "left out"), expected, "{arguments:?} {setting}");
            assert_eq!(output.status.code(), Some(i32::from(!expected.is_empty())), "{arguments:?} {setting}");
        }
    }
}
