//! Manifests that `kustomize build` builds with the printed Component, compared with those that it builds after `rewrite`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use tempfile::TempDir;

use super::crio::folder;
use crate::harness;
use crate::program::{lines_with, pullthrough, pullthrough_with, run};

static KUSTOMIZE: LazyLock<PathBuf> =
    LazyLock::new(|| harness::assets(Some("kustomize"), &[]).expect("the tool is compiled").join("kustomize"));

const RULES: &str = "
- {name: k8s, from: [registry.k8s.io, k8s.gcr.io], to: cache.example.com/k8s}
- {name: hub, from: [docker.io], to: cache.example.com:5000/hub, except: [docker.io/library/busybox], namespaces: {exclude: [ci]}}
- {name: quay, from: [quay.io], to: cache.example.com/quay, namespaces: {exclude: [kube-system]}}
- {name: odd, from: ['[::1]:5000', 'localhost:5000'], to: cache.example.com/odd}
";

/// A folder with rules in `rules.yaml`, manifests below `deploy`, and their Component in `component`.
struct Site {
    folder: TempDir,
    left_out: Vec<String>,
    notes: Vec<String>,
}

impl Site {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().expect("a folder")).expect("a folder");
        fs::write(self.path(name), text).expect("a file");
    }

    fn new(rules: &str, files: &[(String, String)]) -> Self {
        let mut site = Self { folder: folder(rules), left_out: Vec::new(), notes: Vec::new() };
        fs::create_dir(site.path("deploy")).expect("a folder");
        for (name, text) in files {
            site.write(&format!("deploy/{name}"), text);
        }
        let output = pullthrough(&["export", "kustomize", "--rules", &site.text("rules.yaml"), &site.text("deploy")]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        site.write("component/kustomization.yaml", &String::from_utf8(output.stdout).expect("UTF-8"));
        // If there are any `images`, kustomize writes `[]` for null.
        site.write("idle/kustomization.yaml", "kind: Component\nimages: [{name: no/such/image, newName: a}]\n");
        let here = format!("{}/", site.text("deploy"));
        let without_folder = |lines: Vec<String>| {
            lines.into_iter().map(|line| line.replace(&here, "").replace(here.trim_end_matches('/'), ".")).collect()
        };
        site.left_out = without_folder(lines_with(&output.stderr, "omitted"));
        site.notes = without_folder(lines_with(&output.stderr, "note"));
        site
    }

    fn component(&self) -> String {
        fs::read_to_string(self.path("component/kustomization.yaml")).expect("a file")
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Returns the manifest that kustomize builds, or `None` if it fails.
    fn build(&self, manifest: &str, components: &str) -> Option<String> {
        self.write("build/manifest.yaml", manifest);
        self.write("build/kustomization.yaml", &format!("resources: [manifest.yaml]\ncomponents: [{components}]\n"));
        let output = run(Command::new(&*KUSTOMIZE).args(["build", &self.text("build")]), "");
        output.status.success().then(|| String::from_utf8(output.stdout).expect("UTF-8"))
    }

    fn rewritten(&self, manifest: &str) -> String {
        let output =
            pullthrough_with(&["rewrite", "--rewrite-short-names", "--rules", &self.text("rules.yaml")], manifest);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Returns the images that differ between the two, as kustomize builds them.
    fn differences(&self, manifest: &str) -> Option<BTreeSet<String>> {
        let built = self.build(manifest, "../component")?;
        let expected = self.build(&self.rewritten(manifest), "../idle").expect("both are accepted");
        assert_eq!(built.lines().count(), expected.lines().count());
        let differing = built.lines().zip(expected.lines()).filter(|(built, expected)| built != expected);
        Some(differing.map(|(built, _)| built.split(": ").nth(1).expect(built).trim_matches('\'').to_owned()).collect())
    }

    fn is_left_out(&self, image: &str) -> bool {
        self.left_out.iter().any(|line| {
            line.contains(&format!("`{image}` is not renamed"))
                || line.strip_prefix('`').and_then(|line| line.split_once("`: ")).is_some_and(|(name, _)| {
                    image.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '@']))
                })
        })
    }
}

#[test]
fn manifests_of_other_projects_come_out_as_rewritten() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/manifests");
    let index = fs::read_to_string(root.join("INDEX.tsv")).expect("the index");
    let names = index.lines().skip(1).map(|line| line.split('\t').next().expect("a name").to_owned());
    let files: Vec<(String, String)> =
        names.map(|name| (name.clone(), fs::read_to_string(root.join(&name)).expect("UTF-8"))).collect();
    let site = Site::new(RULES, &files);
    let mut built = 0;
    // Every third of the files that change, because kustomize is slow.
    for (name, text) in files.iter().step_by(3) {
        let rewritten =
            pullthrough_with(&["rewrite", "--rewrite-short-names", "--rules", &site.text("rules.yaml")], text);
        if !rewritten.status.success() || rewritten.stdout == text.as_bytes() {
            continue;
        }
        let Some(differences) = site.differences(text) else { continue };
        for image in &differences {
            assert!(site.is_left_out(image), "{name}: {image}\n{}", site.left_out.join("\n"));
        }
        built += 1;
    }
    assert!(built > 50, "{built}");
}

/// Returns a manifest of a kind, with containers at the place of the kind.
fn manifest(kind: &str, containers: &str) -> String {
    let (api_version, kind) = kind.rsplit_once('/').expect("a version");
    let namespace = if kind == "Role" { "" } else { ", namespace: shop" };
    let spec = match kind {
        "Pod" | "Custom" => format!("spec: {{{containers}}}"),
        "PodTemplate" => format!("template: {{spec: {{{containers}}}}}"),
        "CronJob" => format!("spec: {{jobTemplate: {{spec: {{template: {{spec: {{{containers}}}}}}}}}}}"),
        _ => format!("spec: {{template: {{spec: {{{containers}}}}}}}"),
    };
    format!("apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: a{namespace}}}\n{spec}\n")
}

/// Manifests, the expected omissions, and whether all images are as after `rewrite`.
#[test]
fn what_images_does_not_support_is_omitted() {
    let containers = |image: &str| format!("containers: [{{name: a, image: {image}}}]");
    let digest = format!("nginx:1.29@sha256:{}", "0".repeat(64));
    let volume = "volumes: [{name: a, image: {reference: quay.io/data/set:1}}]";
    let ephemeral = "ephemeralContainers: [{name: a, image: quay.io/a/b}]";
    let unreached = |place: &str, image: &str| {
        vec![format!("a.yaml:4: `{image}` is not renamed, since kustomize's `images` do not reach {place}")]
    };
    let sha512 = format!("nginx@sha512:{}", "0".repeat(128));
    let cases: Vec<(Vec<String>, Vec<String>)> = vec![
        (
            vec![manifest("v1/Pod", &containers(&sha512))],
            vec![format!("a.yaml:4: `{sha512}` is not renamed, since kustomize before 5.8.2 supports no digest but sha256")],
        ),
        (vec![manifest("v1/Pod", &containers(&digest)), manifest("apps/v1/Deployment", &containers("docker.io/nginx"))], vec![]),
        (vec![manifest("batch/v1/CronJob", &containers("index.docker.io/a/b:1"))], vec![]),
        (vec![manifest("v1/PodTemplate", &containers("Registry-1.Docker.IO:443/nginx:1"))], vec![]),
        (vec![manifest("v1/Pod", &containers("localhost:5000/a/b:1"))], vec![]),
        (vec![manifest("v1/Pod", &containers("auto")), manifest("apps/v1/Deployment", &containers("cache.example.com/k8s/a"))], vec![]),
        (vec![manifest("v1/Pod", volume), manifest("batch/v1/CronJob", volume), manifest("apps/v1/StatefulSet", volume)], vec![]),
        (vec![format!("apiVersion: v1\nkind: List\nitems:\n- {}", manifest("v1/Pod", &containers("quay.io/a/b")).replace('\n', "\n  "))], vec![]),
        (vec![manifest("v1/PodTemplate", volume)], unreached("volumes/a", "quay.io/data/set:1")),
        (vec![manifest("v1/Pod", ephemeral)], unreached("ephemeralContainers/a", "quay.io/a/b")),
        (
            vec![manifest("v1/Pod", &containers("\"[::1]:5000/a\""))],
            vec!["`[::1]:5000/a`: kustomize reads the name as a regular expression, which does not match it".to_owned()],
        ),
        (
            vec![manifest("v1/Pod", &containers("quay.io/a/b")), manifest("apps/v1/Deployment", &containers("quay.io/a/b, imagePullPolicy: Never"))],
            vec!["`quay.io/a/b`: kustomize would also rename it at b.yaml:4, where it is unchanged (pull_never)".to_owned()],
        ),
        (
            vec![manifest("v1/Pod", &containers("quay.io/a/b")), manifest("v1/Pod", &containers("quay.io/a/b")).replace("shop", "kube-system")],
            vec!["`quay.io/a/b`: kustomize would also rename it at b.yaml:4, where it is unchanged (namespace_excluded)".to_owned()],
        ),
        (
            vec![manifest("v1/Pod", &containers("quay.io/a/b")), manifest("apps/v1/Deployment", &containers("quayxio/a/b"))],
            vec!["`quay.io/a/b`: kustomize would also rename it at b.yaml:4, where quayxio/a/b becomes cache.example.com:5000/hub/quayxio/a/b".to_owned()],
        ),
        (
            vec![manifest("v1/Pod", &containers("quay.io/a/b")), manifest("example.com/v1/Custom", &containers("quay.io/a/b:1"))],
            vec![],
        ),
        (
            vec![manifest("v1/Pod", &containers("quay.io/a/b")), manifest("example.com/v1/Custom", "containers: [{image: quay.io/a/b:1}]")],
            vec!["`quay.io/a/b`: kustomize would also rename it at b.yaml:4, where it is unchanged (the rules file does not declare it under `manifests`)".to_owned()],
        ),
        (vec![manifest("v1/Pod", &containers("quay.io/a/b")), format!("apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: a}}\nspec: {{{}}}\n", containers("quay.io/a/b"))], vec![]),
    ];
    for (manifests, left_out) in cases {
        let files: Vec<(String, String)> =
            ["a.yaml", "b.yaml", "c.yaml"].iter().map(|name| (*name).to_owned()).zip(manifests).collect();
        let site = Site::new(RULES, &files);
        assert_eq!(site.left_out, left_out, "{files:?}");
        for (index, (_, text)) in files.iter().enumerate() {
            let differences = site.differences(text).unwrap_or_else(|| panic!("kustomize takes {text}"));
            assert!(differences.iter().all(|image| site.is_left_out(image)), "{text}\n{differences:?}");
            assert!(index > 0 || differences.is_empty() == left_out.is_empty(), "{text}\n{differences:?}");
        }
    }
}

/// If kustomize can't build a manifest with the Component, it can't build it with any other.
#[test]
fn where_kustomize_fails_on_any_images_is_reported() {
    let template = "apiVersion: example.com/v1\nkind: Custom\nmetadata: {name: a}\nspec: {template: text}\n".to_owned();
    let scalar = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: text}\n".to_owned();
    let mapping = manifest("example.com/v1/Custom", "containers: [{name: a, image: {repository: nginx}}]");
    for (text, pointer) in [
        (mapping, Some("/spec/containers/0/image")),
        (template, Some("/spec/template")),
        (scalar, Some("/spec/containers")),
        (manifest("v1/Pod", "containers: [{name: a, image: }]"), None),
        (manifest("v1/Pod", "containers: [{name: a}], volumes: [{name: a, emptyDir: {}}]"), None),
    ] {
        let pod = manifest("v1/Pod", "containers: [{name: a, image: nginx}]").replace("name: a", "name: b");
        let site = Site::new(RULES, &[("a.yaml".to_owned(), text.clone()), ("b.yaml".to_owned(), pod)]);
        let why = |pointer| {
            format!(
                "a.yaml:4: kustomize fails at {pointer} if any kustomization has `images`, with or without this component"
            )
        };
        assert_eq!(site.left_out, pointer.map(why).into_iter().collect::<Vec<_>>(), "{text}");
        for components in ["../component", "../idle"] {
            assert_eq!(site.build(&text, components).is_none(), pointer.is_some(), "{text}");
        }
    }
}

#[test]
fn what_follows_an_unreadable_document_is_reported_too() {
    let mapping = manifest("example.com/v1/Custom", "containers: [{name: a, image: {repository: nginx}}]");
    let site = Site::new(RULES, &[("a.yaml".to_owned(), format!("a: [\n---\n{mapping}"))]);
    assert_eq!(
        site.left_out,
        [
            "a.yaml:1: unclosed bracket '['",
            "a.yaml:6: kustomize fails at /spec/containers/0/image if any kustomization has `images`, with or without this component",
        ]
    );
}

/// kustomize applies the `images` of a kustomization after those of its components.
#[test]
fn entries_of_the_tree_count_before_the_component_above_them() {
    let files = [
        ("kustomization.yaml", "resources: [pod.yaml]\nimages: [{name: web, newName: quay.io/team/web, newTag: v2}]\n"),
        ("pod.yaml", &manifest("v1/Pod", "containers: [{name: a, image: web}]")),
    ];
    let site = Site::new(RULES, &files.map(|(name, text)| (name.to_owned(), text.to_owned())));
    assert_eq!(
        site.notes,
        [
            "kustomization.yaml:2 is an entry of `images`, which kustomize applies after `components`: list the component in a \
          kustomization above it"
        ]
    );
    site.write("above/kustomization.yaml", "resources: [../deploy]\ncomponents: [../component]\n");
    let output = run(Command::new(&*KUSTOMIZE).args(["build", &site.text("above")]), "");
    let built = String::from_utf8_lossy(&output.stdout);
    assert!(built.contains("image: cache.example.com/quay/team/web:v2\n"), "{built}");
}

/// Trees, the Component, and the expected omissions.
#[test]
fn a_kustomization_counts_with_its_namespace() {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: a, image: nginx}]}\n";
    let rules = "
- {name: hub, from: [docker.io], to: cache.example.com/hub, namespaces: {exclude: [kube-system]}}
- {name: other, from: [docker.io], to: other.example.com/hub}
";
    let resources = "resources: [p.yaml]\n";
    let (cache, other) = ("cache.example.com/hub/library/nginx", "other.example.com/hub/library/nginx");
    let may_be = |file: &str, setting: &str, folder: &str| {
        format!(
            "{file}: `nginx` is not renamed, since the rules depend on its namespace, which {setting} may set to `kube-system`: pipe \
             `kustomize build {folder}` into `-`"
        )
    };
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str], &'a [String]);
    let cases: &[Case] = &[
        (&[("p.yaml", pod), ("kustomization.yaml", resources)], &[cache], &[]),
        (&[("p.yaml", pod), ("kustomization.yml", "resources: [./p.yaml]\nnamespace: kube-system\n")], &[other], &[]),
        (&[("p.yaml", pod), ("kustomization.yaml", "namespace: kube-system\nresources: []\n")], &[cache], &[]),
        // It has another namespace when it is built from `a` than from `b`.
        (
            &[
                ("a/p.yaml", pod),
                ("a/kustomization.yaml", resources),
                ("b/Kustomization", "namespace: kube-system\nresources: [../a/]\n"),
            ],
            &[],
            &[may_be("a/p.yaml:4", "b/Kustomization:1", "b")],
        ),
        (
            &[
                ("a/p.yaml", pod),
                ("a/kustomization.yaml", resources),
                ("b/kustomization.yaml", "namespace: shop\nbases: [../a]\n"),
            ],
            &[cache],
            &[],
        ),
        (
            &[
                ("p.yaml", pod),
                ("kustomization.yaml", "resources: [p.yaml]\ncomponents: [c]\n"),
                ("c/kustomization.yaml", "kind: Component\nnamespace: kube-system\n"),
            ],
            &[other],
            &[],
        ),
        (
            &[
                ("p.yaml", pod),
                ("kustomization.yaml", "namespace: kube-system\nresources: [p.yaml]\n"),
                ("q.yaml", pod),
            ],
            &[],
            &[
                format!("`nginx`: kustomize would also rename it at p.yaml:4, where nginx becomes {other}"),
                format!("`nginx`: kustomize would also rename it at q.yaml:4, where nginx becomes {cache}"),
            ],
        ),
    ];
    for (files, results, left_out) in cases {
        let files: Vec<_> = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let site = Site::new(rules, &files);
        let component = site.component();
        let printed: Vec<_> = component.lines().filter_map(|line| line.trim().strip_prefix("newName: ")).collect();
        assert_eq!((printed.as_slice(), site.left_out.as_slice()), (*results, *left_out), "{files:?}");
        let root = if site.path("deploy/b").exists() { "deploy/b" } else { "deploy" };
        let built = run(Command::new(&*KUSTOMIZE).args(["build", &site.text(root)]), "");
        let rewritten = site.rewritten(&String::from_utf8_lossy(&built.stdout));
        let image = rewritten.lines().find_map(|line| line.trim().strip_prefix("- image: "));
        assert!(results.is_empty() || image.is_none_or(|image| results == &[image]), "{files:?}\n{rewritten}");
    }
}

#[test]
fn skipped_input_is_reported() {
    let keys = [
        ("configurations", "[configuration.yaml]"),
        ("generators", "[generator.yaml]"),
        ("helmChartInflationGenerator", "[{chartName: web}]"),
        ("helmCharts", "[{name: web}]"),
        ("imageTags", "[{name: a, newTag: b}]"),
        ("labels", "[{pairs: {pullthrough.dev/rewrite: disabled}}]"),
        ("patches", "[{path: patch.yaml}]"),
        ("patchesJson6902", "[{path: patch.json, target: {kind: Pod}}]"),
        ("patchesStrategicMerge", "[patch.yaml]"),
        ("replacements", "[{path: replacement.yaml}]"),
        ("transformers", "[transformer.yaml]"),
    ];
    let resources = "# Ours.\nresources:\n- a.yaml\n- https://example.com/base?ref=v1\n- ../absent\ncommonLabels: {app: web}\ncomponents: []\n";
    let lines: String = keys.iter().map(|(key, value)| format!("{key}: {value}\n")).collect();
    let rules = "
- {name: hub, from: [docker.io], to: cache.example.com/hub, imagePullSecrets: [cache]}
- {name: quay, from: [quay.io], to: cache.example.com/quay, mode: observe}
recordOriginals: true
allowOptOut: true
";
    let files = [
        ("k/kustomization.yaml".to_owned(), [resources, &lines].concat()),
        ("k/a.yaml".to_owned(), manifest("v1/Pod", "containers: [{name: a, image: nginx}]")),
        ("template/kustomization.yaml".to_owned(), "namespace: {{ a }}\n".to_owned()),
        ("two/kustomization.yaml".to_owned(), "namespace: a\n---\nnamespace: b\n".to_owned()),
    ];
    let fix = "pipe `kustomize build k` into `-`";
    let mut expected = vec![
        "`recordOriginals`: kustomize's `images` only rename".to_owned(),
        "rule `hub`: its `imagePullSecrets` are not added: kustomize's `images` only rename".to_owned(),
        "template/kustomization.yaml:1: a template: the text for `{{` is unknown".to_owned(),
        "two/kustomization.yaml:3: not a kustomization: kustomize reads one mapping without duplicate keys".to_owned(),
        "rule `quay`: its images are not renamed and not reported, since its mode is `observe`".to_owned(),
        format!(
            "k/kustomization.yaml:2: `resources` lists files that are not read: `https://example.com/base?ref=v1`, `../absent`: {fix}"
        ),
    ];
    expected.extend(
        keys.iter().zip(8..).map(|((key, _), line)| format!("k/kustomization.yaml:{line}: `{key}` is not read: {fix}")),
    );
    expected.sort();
    let mut left_out = Site::new(rules, &files).left_out;
    left_out.sort();
    assert_eq!(left_out, expected);
}

#[test]
fn input_without_images_is_reported() {
    let rules = format!("apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules:\n{RULES}");
    for files in [None, Some("# Nothing.\n"), Some("a: {{ .Values.a }}\n"), Some(&rules)] {
        let files: Vec<_> = files.iter().map(|text| ("a.yaml".to_owned(), (*text).to_owned())).collect();
        let site = Site::new(RULES, &files);
        assert_eq!(site.notes, ["no image in ."], "{files:?}");
        assert!(site.component().ends_with("images: []\n"));
    }
}

/// A Component that is in the tree already.
#[test]
fn its_own_output_is_skipped() {
    let files = [
        ("kustomization.yaml", "resources: [a.yaml]\ncomponents: [cached]\n"),
        ("a.yaml", &manifest("v1/Pod", "containers: [{name: a, image: nginx}]")),
        // The shell creates the file before the command prints.
        ("cached/kustomization.yaml", ""),
    ];
    let first = Site::new(RULES, &files.map(|(name, text)| (name.to_owned(), text.to_owned())));
    let mut files = files.map(|(name, text)| (name.to_owned(), text.to_owned()));
    files[2].1 = first.component();
    let second = Site::new(RULES, &files);
    assert!(first.component().contains("newName: cache.example.com:5000/hub/library/nginx\n"), "{}", first.component());
    assert_eq!(first.component(), second.component());
    for site in [first, second] {
        assert_eq!((site.left_out, site.notes), (vec![], vec![]));
    }
}

#[test]
fn the_documented_lines_work_as_printed() {
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/how-to/kustomize-and-helm-overrides.md"))
            .expect("a file");
    let section = page.split_once("\n## kustomize\n").expect("a section").1;
    let lines = section.split("```").nth(1).and_then(|block| block.strip_prefix("sh\n")).expect("lines for the shell");
    let tools = [KUSTOMIZE.as_path(), Path::new(env!("CARGO_BIN_EXE_pullthrough"))]
        .map(|tool| tool.parent().expect("a folder"));
    let path = std::env::var_os("PATH").expect("a PATH");
    let path = std::env::join_paths(tools.map(Path::to_owned).into_iter().chain(std::env::split_paths(&path)));
    let pod = manifest("v1/Pod", "containers: [{name: a, image: nginx}]");
    for kustomization in [None, Some("resources: [web/pod.yaml]\n")] {
        let folder = folder(RULES);
        fs::create_dir_all(folder.path().join("deploy/web")).expect("a folder");
        fs::write(folder.path().join("deploy/web/pod.yaml"), &pod).expect("a file");
        if let Some(text) = kustomization {
            fs::write(folder.path().join("deploy/kustomization.yaml"), text).expect("a file");
        }
        let mut shell = Command::new("sh");
        let output =
            run(shell.args(["-euc", lines]).current_dir(&folder).env("PATH", path.as_ref().expect("a path")), "");
        let (built, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && !told.contains("omitted") && !told.contains("note"), "{told}");
        assert!(built.contains("image: cache.example.com:5000/hub/library/nginx\n"), "{built}");
    }
}

#[test]
fn a_file_that_was_named_has_to_be_read() {
    let site = Site::new(RULES, &[("a.yaml".to_owned(), "a: [\n".to_owned())]);
    assert!(site.left_out[0].starts_with("a.yaml:"), "{:?}", site.left_out);
    fs::write(site.path("deploy/latin.yaml"), b"a: \xff\n").expect("a file");
    std::os::unix::fs::symlink("nowhere", site.path("deploy/broken.yaml")).expect("a link");
    let export = |path: &str| {
        let output = pullthrough(&["export", "kustomize", "--rules", &site.text("rules.yaml"), &site.text(path)]);
        (
            output.status.code(),
            lines_with(&output.stderr, "error").concat(),
            lines_with(&output.stderr, "omitted").len(),
        )
    };
    assert_eq!(export("deploy"), (Some(0), String::new(), 3));
    for (path, message) in [
        ("deploy/a.yaml", "a.yaml:"),
        ("deploy/latin.yaml", "latin.yaml: line 1 is not UTF-8"),
        ("deploy/broken.yaml", "broken.yaml: not found"),
    ] {
        let (code, error, _) = export(path);
        assert!(code == Some(2) && error.contains(message), "{error}");
    }
}
