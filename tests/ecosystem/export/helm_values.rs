//! Charts that Helm renders with the printed values, compared with `rewrite` of the charts rendered without them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use tempfile::TempDir;

use super::crio::folder;
use crate::harness;
use crate::program::{lines_with, pullthrough, pullthrough_with, run};

static HELM: LazyLock<PathBuf> = LazyLock::new(|| harness::helm().expect("the tool is compiled"));

const RULES: &str = r"
- {name: k8s, from: [registry.k8s.io], to: cache.example.com:5000/k8s}
- {name: hub, from: [docker.io], to: cache.example.com:5000/hub, except: [docker.io/library/busybox]}
- {name: ghcr, from: [ghcr.io], to: cache.example.com/ghcr}
- {name: quay, from: [quay.io], to: cache.example.com, namespaces: {exclude: [kube-*]}}
- {name: short, from: [short.example.com/a], to: cache.example.com}
- {name: renamed, pattern: 'renamed\.example\.com/(.+)/app', to: cache.example.com/$1/other}
";

/// A folder with rules, charts, and the values of the last export.
struct Site(TempDir);

impl Site {
    fn new(files: &[(&str, &str)]) -> Self {
        let site = Self(folder(RULES));
        for (name, text) in files {
            let path = site.0.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        site
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// Exports with values and templates alone. Returns the omissions, without the name of the folder.
    fn export(&self, arguments: &[&str]) -> Vec<String> {
        self.export_with(&[arguments, &["--no-helm"]].concat())
    }

    /// Exports with the output of Helm. Returns the omissions.
    fn export_rendered(&self, arguments: &[&str]) -> Vec<String> {
        let helm = format!("--helm={}", HELM.display());
        self.export_with(&[arguments, &[helm.as_str()]].concat())
    }

    fn export_with(&self, arguments: &[&str]) -> Vec<String> {
        let output = self.try_export(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        fs::write(self.path("overrides.yaml"), &output.stdout).expect("a file");
        let here = format!("{}/", self.0.path().display());
        lines_with(&output.stderr, "omitted").into_iter().map(|line| line.replace(&here, "")).collect()
    }

    fn try_export(&self, arguments: &[&str]) -> Output {
        let rules = self.path("rules.yaml");
        let paths = arguments.iter().map(|argument| {
            if argument.starts_with('-') || argument.starts_with("kube") {
                (*argument).to_owned()
            } else {
                self.path(argument)
            }
        });
        let all: Vec<String> =
            ["export", "helm-values", "--rules", &rules].map(str::to_owned).into_iter().chain(paths).collect();
        pullthrough(&all.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn render(&self, chart: &str, namespace: &str, values: &[&str]) -> String {
        let mut command = Command::new(&*HELM);
        command.args(["template", "r", &self.path(chart), "--namespace", namespace]).env("HOME", self.0.path());
        for values in values {
            command.args(["--values", &self.path(values)]);
        }
        let output = run(&mut command, "");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Renders with and without the values. Returns the images that differ from the decisions of the rules.
    fn differences(&self, chart: &str, namespace: &str, values: &[&str]) -> Vec<String> {
        let plain = self.render(chart, namespace, values);
        let rules = self.path("rules.yaml");
        let rewritten = pullthrough_with(
            &["rewrite", "--rewrite-short-names", "--rules", &rules, "--namespace", namespace],
            &plain,
        );
        assert!(rewritten.status.success(), "{}", String::from_utf8_lossy(&rewritten.stderr));
        let rewritten = String::from_utf8(rewritten.stdout).expect("UTF-8");
        assert_ne!(plain, rewritten, "the chart has no image to rewrite");
        let overridden = self.render(chart, namespace, &[values, &["overrides.yaml"]].concat());
        assert_eq!(overridden.lines().count(), rewritten.lines().count());
        let pairs = overridden.lines().zip(rewritten.lines()).filter(|(is, should)| is != should);
        pairs.map(|(is, _)| is.split_once("image: ").expect(is).1.trim_matches('"').to_owned()).collect()
    }
}

/// Returns a template with a Pod for each image.
fn pods(images: &[&str]) -> String {
    let pod = |(index, image): (usize, &&str)| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: p{index}}}\nspec:\n  containers:\n  - name: a\n    image: {image}\n---\n"
        )
    };
    images.iter().enumerate().map(pod).collect()
}

fn chart_yaml(name: &str) -> String {
    format!("apiVersion: v2\nname: {name}\nversion: 1.0.0\nappVersion: '9'\n")
}

/// Bitnami's library chart composes images like this.
const SPLIT: &str = r#"
{{- define "split" -}}
{{- $registry := .image.registry -}}
{{- with .global }}{{ if .imageRegistry }}{{ $registry = .imageRegistry }}{{ end }}{{ end -}}
{{- if $registry }}{{ $registry }}/{{ end }}{{ .image.repository }}{{ if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag }}{{ end -}}
{{- end -}}
"#;

#[test]
fn values_of_every_common_form_come_out_as_rewritten() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let values = format!(
        r#"
image: {{repository: docker.io/mycorp/app, pullPolicy: Always, tag: ""}}
sidecar: {{image: "nginx:1.29"}}
probe: {{image: quay.io/a/b, imageTag: 1.10}}
excepted: {{image: {{repository: busybox, tag: 1}}}}
preloaded: {{image: {{repository: nginx, tag: 1, pullPolicy: Never}}}}
cached: {{image: {{repository: cache.example.com/a/b, tag: 1}}}}
split: {{image: {{registry: docker.io, repository: bitnami/redis, tag: 7.0, digest: ""}}}}
pinned: {{image: {{registry: registry.k8s.io, repository: pause, digest: "{digest}"}}}}
unset: {{image: {{registry: "", repository: quay.io/c/d, tag: x}}}}
nested: {{registry: quay.io, image: team/controller, tag: v1}}
defaultImage: registry.k8s.io/e2e:1
operator: {{repository: docker.io/nvidia, image: operator, version: v1}}
bare: {{repository: docker.io, image: nginx}}
joined: {{repository: docker.io/library, image: busybox}}
named: {{image: {{registry: quay.io, repository: strimzi, name: operator, tag: 1}}}}
short: {{image: {{repo: ghcr.io/a/b, tag: 1}}}}
only: {{image: {{registry: docker.io, name: foo/b, tag: 1}}}}
mail: {{registry: "", name: docker, repo: team/app, tag: v1}}
imageCredentials: {{registry: docker.io, name: login, username: me}}
words: [docker, "https://docker.io/v2/x", "--from=team/app:1"]
global: {{imageRegistry: ""}}
git: {{repository: "https://example.com/a.git"}}
"#
    );
    let images = [
        r#""{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}""#,
        "{{ .Values.sidecar.image | quote }}",
        "{{ .Values.probe.image }}:{{ .Values.probe.imageTag }}",
        "{{ .Values.excepted.image.repository }}:{{ .Values.excepted.image.tag }}",
        "{{ .Values.preloaded.image.repository }}:{{ .Values.preloaded.image.tag }}\n    imagePullPolicy: {{ .Values.preloaded.image.pullPolicy }}",
        "{{ .Values.cached.image.repository }}:{{ .Values.cached.image.tag }}",
        r#"{{ include "split" (dict "image" .Values.split.image "global" .Values.global) }}"#,
        r#"{{ include "split" (dict "image" .Values.pinned.image "global" .Values.global) }}"#,
        r#"{{ include "split" (dict "image" .Values.unset.image "global" .Values.global) }}"#,
        "{{ .Values.nested.registry }}/{{ .Values.nested.image }}:{{ .Values.nested.tag }}",
        "{{ .Values.defaultImage }}",
        "{{ .Values.operator.repository }}/{{ .Values.operator.image }}:{{ .Values.operator.version }}",
        "{{ .Values.bare.repository }}/{{ .Values.bare.image }}:1",
        "{{ .Values.joined.repository }}/{{ .Values.joined.image }}",
        "{{ with .Values.named.image }}{{ .registry }}/{{ .repository }}/{{ .name }}:{{ .tag }}{{ end }}",
        "{{ .Values.named.image.registry }}/{{ .Values.named.image.repository }}",
        "{{ .Values.short.image.repo }}:{{ .Values.short.image.tag }}",
        "{{ .Values.only.image.registry }}/{{ .Values.only.image.name }}:{{ .Values.only.image.tag }}",
    ];
    let site = Site::new(&[
        ("chart/Chart.yaml", &chart_yaml("c")),
        ("chart/values.yaml", &values),
        ("chart/templates/_split.tpl", SPLIT),
        ("chart/templates/pods.yaml", &pods(&images)),
        (
            "own.yaml",
            "sidecar: {image: 'quay.io/own/sidecar:2'}\nprobe: null\nimage: {repository: registry.k8s.io/own}\n",
        ),
    ]);
    assert_eq!(site.export(&["chart"]), [""; 0]);
    assert_eq!(site.differences("chart", "shop", &[]), [""; 0]);
    let not_rendered = "`mail.repo`: team/app/docker is not overridden, since Helm's output does not contain it";
    assert_eq!(site.export_rendered(&["chart"]), [not_rendered]);
    assert_eq!(site.differences("chart", "shop", &[]), [""; 0]);
    assert_eq!(site.export(&["chart", "-n", "kube-system"]), [""; 0]);
    assert_eq!(site.differences("chart", "kube-system", &[]), [""; 0]);
    assert_eq!(site.export(&["chart", "own.yaml"]), [""; 0]);
    let overrides = fs::read_to_string(site.path("overrides.yaml")).expect("a file");
    assert!(overrides.contains("cache.example.com/own/sidecar:2") && !overrides.contains("probe"), "{overrides}");
}

#[test]
fn values_of_subcharts_come_out_as_rewritten() {
    let image = r#""{{ .Values.image.repository }}:{{ .Values.image.tag }}""#;
    let of_global = r#"{{ .Values.global.proxy.image }}"#;
    let dependencies = "dependencies:\n- {name: cache, version: 1.0.0, alias: first}\n- {name: cache, version: 1.0.0, alias: second}\n- {name: web, version: 1.0.0}\n";
    let site = Site::new(&[
        ("chart/Chart.yaml", &(chart_yaml("c") + dependencies)),
        (
            "chart/values.yaml",
            "first: {image: {repository: quay.io/own/redis}}\nglobal: {proxy: {image: 'quay.io/proxy:1'}}\n",
        ),
        ("chart/templates/pods.yaml", &pods(&[of_global])),
        ("chart/charts/cache/Chart.yaml", &chart_yaml("cache")),
        (
            "chart/charts/cache/values.yaml",
            "image: {repository: redis, tag: 7}\nglobal: {proxy: {image: 'nginx:1'}, own: {image: 'nginx:2'}}\n",
        ),
        ("chart/charts/cache/templates/pods.yaml", &pods(&[image, of_global, "{{ .Values.global.own.image }}"])),
        ("chart/charts/web-folder/Chart.yaml", &chart_yaml("web")),
        ("chart/charts/web-folder/values.yaml", "image: {repository: registry.k8s.io/web, tag: 1}\n"),
        ("chart/charts/web-folder/templates/pods.yaml", &pods(&[image])),
        ("chart/charts/web-folder/charts/db/Chart.yaml", &chart_yaml("db")),
        ("chart/charts/web-folder/charts/db/values.yaml", "image: {repository: docker.io/mysql, tag: 8}\n"),
        ("chart/charts/web-folder/charts/db/templates/pods.yaml", &pods(&[image])),
    ]);
    assert_eq!(site.export(&["chart"]), [""; 0]);
    assert_eq!(site.differences("chart", "shop", &[]), [""; 0]);
}

/// Charts with an image that can't be changed, or whose values are not sufficient. The omission is reported, and the image stays.
#[test]
fn images_that_values_do_not_determine_are_omitted() {
    let split = r#"{{ include "split" (dict "image" .Values.image "global" .Values.global) }}"#;
    for (values, image, left_out, stays) in [
        (
            "global: {imageRegistry: quay.io}\nimage: {registry: docker.io, repository: a/b, tag: 1}",
            split,
            "`image.repository`: docker.io/a/b is not overridden, since charts use the registry quay.io of `global` instead",
            "quay.io/a/b:1",
        ),
        (
            "global: {hub: quay.io/istio}\nproxy: {image: proxyv2}",
            "{{ .Values.global.hub }}/{{ .Values.proxy.image }}:1",
            "`global.hub`: quay.io/istio is not overridden, since templates may put it in front of a name\n\
             `proxy.image`: proxyv2 is not overridden, since templates may put quay.io/istio in front of it",
            "quay.io/istio/proxyv2:1",
        ),
        (
            "imageRegistry: quay.io\nimage: {repository: a/b, tag: 1}",
            "{{ .Values.imageRegistry }}/{{ .Values.image.repository }}:1",
            "`image.repository`: a/b is not overridden, since templates may put quay.io in front of it",
            "quay.io/a/b:1",
        ),
        (
            "web: {registry: quay.io, server: {image: {repository: a/b, tag: 1}}}",
            "{{ .Values.web.registry }}/{{ .Values.web.server.image.repository }}:1",
            "`web.server.image.repository`: a/b is not overridden, since templates may put quay.io in front of it",
            "quay.io/a/b:1",
        ),
        (
            "containers: [{name: a, image: 'quay.io/a/b:1'}]",
            "{{ (index .Values.containers 0).image }}",
            "`containers`: quay.io/a/b:1 is not overridden, since it is in a list, and an override would replace the whole list",
            "quay.io/a/b:1",
        ),
        (
            "store: {repository: quay.io/a/b}",
            "{{ .Values.store.repository }}:1",
            "`store.repository`: quay.io/a/b is not overridden, since no key beside it shows that it is an image",
            "quay.io/a/b:1",
        ),
        (
            "image: {registry: docker.io, repository: strimzi, name: operator}",
            "{{ .Values.image.registry }}/{{ .Values.image.repository }}/{{ .Values.image.name }}",
            "`image.repository`: docker.io/strimzi is not overridden, since templates may append `name`, and the rules decide differently with it than without",
            "docker.io/strimzi/operator",
        ),
        (
            "image: {repository: docker.io/library, name: nginx}",
            "{{ .Values.image.repository }}/{{ .Values.image.name }}",
            "`image.repository`: docker.io/library is not overridden, since templates may append `name`, and the rules decide differently with it than without",
            "docker.io/library/nginx",
        ),
        (
            "a: {repository: renamed.example.com/a, image: app}",
            "{{ .Values.a.repository }}/{{ .Values.a.image }}",
            "`a.repository`: renamed.example.com/a/app is not overridden, since the rules also change its last part",
            "renamed.example.com/a/app",
        ),
        (
            "a: {registry: short.example.com, repository: a, image: b}",
            "{{ .Values.a.registry }}/{{ .Values.a.repository }}/{{ .Values.a.image }}",
            "`a.repository`: short.example.com/a/b is not overridden, since the rules leave no path for this value",
            "short.example.com/a/b",
        ),
        (
            "image: {repository: docker.io, tag: 1}",
            "{{ .Values.image.repository }}/a/b:1",
            "`image.repository`: docker.io is not overridden, since it is a registry, and templates append the rest of the name",
            "docker.io/a/b:1",
        ),
        (
            "image: docker.io/",
            "{{ .Values.image }}a/b:1",
            "`image`: docker.io/ is not overridden, since it is a registry, and templates append the rest of the name",
            "docker.io/a/b:1",
        ),
        (
            "image: {registry: docker.io/, repository: a/b}",
            "{{ .Values.image.registry }}{{ .Values.image.repository }}",
            "`image.repository`: docker.io/a/b is not overridden, since its parts together have a double slash",
            "docker.io/a/b",
        ),
        (
            "name: b\nimage: {repository: 'quay.io/a/{{ .Values.name }}'}",
            "{{ tpl .Values.image.repository . }}",
            "`image.repository`: quay.io/a/{{ .Values.name }} is not overridden, since it is a template",
            "quay.io/a/b",
        ),
        (
            "web: {registry: docker.io, name: nginx, tag: 1}",
            "{{ .Values.web.registry }}/{{ .Values.web.name }}:1",
            "`web.name`: docker.io/nginx is not overridden, since no key beside it shows that it is an image",
            "docker.io/nginx:1",
        ),
        (
            "imageRepository: docker.io/a/b",
            "{{ .Values.imageRepository }}:1",
            "`imageRepository`: docker.io/a/b is not overridden, since its key does not show that it is an image, and \
             chart/templates/pods.yaml:7 uses it as one",
            "docker.io/a/b:1",
        ),
        (
            "images: {worker: 'docker.io/a/b:1'}",
            "{{ .Values.images.worker }}",
            "`images.worker`: docker.io/a/b:1 is not overridden, since its key does not show that it is an image, and \
             chart/templates/pods.yaml:7 uses it as one",
            "docker.io/a/b:1",
        ),
        (
            "env: 'IMAGE=quay.io/a/b:1 OTHER=ghcr.example.com/c'",
            "{{ .Values.env | trimPrefix `IMAGE=` | splitList ` ` | first }}",
            "`env`: quay.io/a/b:1 is not overridden, since its key does not show that it is an image",
            "quay.io/a/b:1",
        ),
        (
            "args: ['--image=quay.io/a/b:1']",
            "{{ index .Values.args 0 | trimPrefix `--image=` }}",
            "`args`: quay.io/a/b:1 is not overridden, since it is in a list, and an override would replace the whole list",
            "quay.io/a/b:1",
        ),
        (
            "list: [{repository: quay.io/a, image: b}]",
            "{{ (index .Values.list 0).repository }}/b",
            "`list`: quay.io/a/b is not overridden, since it is in a list, and an override would replace the whole list",
            "quay.io/a/b",
        ),
        (
            "tag: 1\nimage: 'quay.io/a/b:{{ .Values.tag }}'",
            "{{ tpl .Values.image . }}",
            "`image`: quay.io/a/b:{{ .Values.tag }} is not overridden, since it is a template",
            "quay.io/a/b:1",
        ),
        (
            "tag: 1",
            "quay.io/a/b:{{ .Values.tag }}",
            "chart/templates/pods.yaml:7: `quay.io/a/b:{{` is in the template, and no value changes it (rule `quay`)",
            "quay.io/a/b:1",
        ),
        (
            "name: a",
            "quay.io/{{ .Values.name }}",
            "chart/templates/pods.yaml:7: `quay.io/{{` is in the template, and no value changes it (rule `quay`)",
            "quay.io/a",
        ),
    ] {
        let site = Site::new(&[
            ("chart/Chart.yaml", &chart_yaml("c")),
            ("chart/values.yaml", values),
            ("chart/templates/_split.tpl", SPLIT),
            ("chart/templates/pods.yaml", &pods(&[image])),
        ]);
        assert_eq!(site.export(&["chart"]).join("\n"), left_out);
        assert_eq!(site.differences("chart", "shop", &[]), [stays]);
    }
}

/// The registry is in another value. With values alone the image is omitted. Helm shows how to set it, or that it can't be set.
#[test]
fn an_image_that_gets_its_registry_elsewhere_is_never_written_as_another() {
    let of = |image: &str| format!("{image}:{{{{ .Values.image.tag }}}}");
    for (values, image, by_values, by_helm, stays) in [
        (
            "image: {registry: null, defaultRegistry: quay.io, repository: kyverno/kyverno, tag: v1}",
            "{{ .Values.image.registry | default .Values.image.defaultRegistry }}/{{ .Values.image.repository }}",
            "`image.repository`: kyverno/kyverno is not overridden, since templates may put quay.io in front of it",
            "",
            &[][..],
        ),
        (
            "images: {registry: ghcr.io}\nimage: {registry: '', repository: chaos-mesh/dashboard, tag: 1}",
            "{{ .Values.image.registry | default .Values.images.registry }}/{{ .Values.image.repository }}",
            "`image.repository`: chaos-mesh/dashboard is not overridden, since templates may put ghcr.io in front of it",
            "",
            &[],
        ),
        (
            "domain: quay.io\nimage: {repository: a/b, tag: 1}",
            "{{ .Values.domain }}/{{ .Values.image.repository }}",
            "`image.repository`: a/b is not overridden, since templates may put quay.io in front of it",
            "Pod p0, containers/a: quay.io/a/b:1 is not overridden, since `image.repository` is omitted: Helm renders Pod p0, containers/a with quay.io/cache.example.com/a/b:1 instead of cache.example.com/a/b:1",
            &["quay.io/a/b:1"],
        ),
        (
            "image: {repository: a/b, tag: 1}",
            "quay.io/{{ .Values.image.repository }}",
            "`image.repository`: a/b is not overridden, since templates may put quay.io in front of it\n\
             chart/templates/pods.yaml:7: `quay.io/{{` is in the template, and no value changes it (rule `quay`)",
            "Pod p0, containers/a: quay.io/a/b:1 is not overridden, since `image.repository` is omitted: Helm renders Pod p0, containers/a with quay.io/cache.example.com/a/b:1 instead of cache.example.com/a/b:1",
            &["quay.io/a/b:1"],
        ),
        (
            "image: {registry: '', repository: a/b, tag: 1}",
            "{{ .Values.image.registry | default \"ghcr.io\" }}/{{ .Values.image.repository }}",
            "`image.repository`: a/b is not overridden, since templates may put ghcr.io in front of it",
            "",
            &[],
        ),
        (
            "ingress: {host: shop.example.com}\nimage: {repository: a/b, tag: 1}",
            "{{ .Values.image.repository }}",
            "`image.repository`: a/b is not overridden, since templates may put shop.example.com in front of it",
            "",
            &[],
        ),
        (
            "image: {registry: docker.io, org: a, repository: b, tag: 1}",
            "{{ .Values.image.registry }}/{{ .Values.image.org }}/{{ .Values.image.repository }}",
            "`image.repository`: docker.io/b is not overridden, since no template is known that joins `registry` and this value",
            "Pod p0, containers/a: docker.io/a/b:1 is not overridden, since ",
            &["docker.io/a/b:1"],
        ),
        (
            "image: {registry: docker.io, repository: a/b, tag: 1}\nother: {registry: docker.io, repository: a/b}",
            "{{ .Values.image.repository }}{{ if false }}{{ .Values.other.registry }}/{{ .Values.other.repository }}{{ end }}",
            "`image.repository`: docker.io/a/b is not overridden, since no template is known that joins `registry` and this value",
            "Pod p0, containers/a: a/b:1 is not overridden, since no known value changes it",
            &["a/b:1"],
        ),
        (
            "org: a\nimage: {repository: b, tag: 1}",
            "{{ .Values.org }}/{{ .Values.image.repository }}",
            "`image.repository`: b is not overridden, since chart/templates/pods.yaml:7 puts text in front of it",
            "Pod p0, containers/a: a/b:1 is not overridden, since ",
            &["a/b:1"],
        ),
        (
            "testImage: a/b\nimage: {tag: 1}",
            "{{ .Values.testImage }}",
            "`testImage`: a/b is not overridden, since its key does not show that it is an image, and chart/templates/pods.yaml:7 uses it as one",
            "Pod p0, containers/a: a/b:1 is not overridden, since ",
            &["a/b:1"],
        ),
        (
            "image: {repository: nginx, tag: 1}\nother: {image: 'redis:7'}",
            "{{ if eq .Values.image.repository `nginx` }}{{ .Values.image.repository }}{{ else }}busybox{{ end }}",
            "",
            "Pod p0, containers/a: nginx:1 is not overridden, since `image.repository` is omitted: Helm renders Pod p0, containers/a with busybox:1 instead of cache.example.com:5000/hub/library/nginx:1\n\
             `other.image`: redis:7 is not overridden, since Helm's output does not contain it",
            &["nginx:1"],
        ),
        (
            "image: {repository: nginx, tag: 1}",
            "{{ if ne .Values.image.repository `nginx` }}{{ fail `another image` }}{{ end }}{{ .Values.image.repository }}",
            "",
            "can't be rendered with it: helm template: ",
            &["nginx:1"],
        ),
    ] {
        let site = Site::new(&[
            ("chart/Chart.yaml", &chart_yaml("c")),
            ("chart/values.yaml", values),
            ("chart/templates/pods.yaml", &pods(&[&of(image)])),
        ]);
        assert_eq!(site.export(&["chart"]).join("\n"), by_values, "{values}");
        let left_out = site.export_rendered(&["chart"]).join("\n");
        assert!(
            if by_helm.is_empty() { left_out.is_empty() } else { left_out.contains(by_helm) },
            "{values}: {left_out}"
        );
        assert_eq!(site.differences("chart", "shop", &[]), stays, "{values}");
    }
}

#[test]
fn names_with_random_parts_are_no_difference() {
    let pods = pods(&["{{ .Values.image }}"]).replace("p0", "'p-{{ randAlphaNum 5 | lower }}'");
    let site = Site::new(&[
        ("chart/Chart.yaml", &chart_yaml("c")),
        ("chart/values.yaml", "image: nginx:1\n"),
        ("chart/templates/pods.yaml", &pods),
    ]);
    assert_eq!(site.export_rendered(&["chart"]), [""; 0]);
    assert!(site.render("chart", "shop", &["overrides.yaml"]).contains("hub/library/nginx:1"));
}

#[test]
fn without_helm_its_output_can_be_given() {
    let site = Site::new(&[
        ("chart/Chart.yaml", &chart_yaml("c")),
        (
            "chart/values.yaml",
            "image: {repository: nginx, tag: 1}\nother: {image: {repository: a/b, tag: 1}}\noff: {image: 'redis:7'}\ndomain: quay.io\n",
        ),
        (
            "chart/templates/pods.yaml",
            &pods(&["{{ .Values.image.repository }}:1", "{{ .Values.domain }}/{{ .Values.other.image.repository }}:1"]),
        ),
    ]);
    let rendered = site.render("chart", "shop", &[]);
    fs::write(site.path("rendered.yaml"), rendered).expect("a file");
    let left_out = site.export_with(&["chart", &format!("--rendered={}", site.path("rendered.yaml"))]);
    assert_eq!(
        left_out,
        [
            "Pod p1, containers/a: quay.io/a/b:1 is not overridden, since `other.image.repository` is omitted: without running Helm, the value for its registry is unknown",
            "`off.image`: redis:7 is not overridden, since Helm's output does not contain it",
        ]
    );
    assert_eq!(site.differences("chart", "shop", &[]), ["quay.io/a/b:1"]);
    for (helm, note) in [
        ("absent/helm", "note: Helm not found (install it, or name it with --helm PATH); the overrides are not proven"),
        ("chart/values.yaml", "Permission denied"),
    ] {
        let output = site.try_export(&["chart", &format!("--helm={}", site.path(helm))]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && told.contains(note), "{told}");
    }
}

#[test]
fn additions_beside_images_are_reported_where_rules_apply() {
    let rules = "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrecordOriginals: true\nallowOptOut: true\nrules:
- {name: hub, from: [docker.io], to: cache.example.com/hub, imagePullSecrets: [pull]}
- {name: quay, from: [quay.io], to: cache.example.com/quay, mode: observe}
- {name: other, from: [ghcr.io], to: cache.example.com/ghcr, imagePullSecrets: [pull]}
- {name: unused, from: [gcr.io], to: cache.example.com/gcr, mode: observe}
";
    let site = Site::new(&[
        ("rules.yaml", rules),
        ("all.yaml", "a: {image: nginx}\nb: {image: redis}\nc: {image: quay.io/a/b}\nd: {image: quay.io/a/c}\n"),
        ("none.yaml", "a: {image: registry.example.com/a}\nb: [{image: ghcr.io/a/b}]\n"),
    ]);
    assert_eq!(
        site.export(&["all.yaml"]),
        [
            "`allowOptOut`: values apply to every Pod, whatever its labels",
            "`recordOriginals`: values write no annotations",
            "rule `hub`: its `imagePullSecrets` are not added: set the chart's value for them",
            "rule `quay`: its images are not overridden and not reported, since its mode is `observe`",
        ]
    );
    assert_eq!(
        site.export(&["none.yaml"]),
        ["`b`: ghcr.io/a/b is not overridden, since it is in a list, and an override would replace the whole list"]
    );
}

#[test]
fn a_chart_as_helm_creates_it_comes_out_as_rewritten() {
    let site = Site::new(&[]);
    assert!(
        run(Command::new(&*HELM).args(["create", &site.path("web")]).env("HOME", site.0.path()), "").status.success()
    );
    let test = site.path("web/templates/tests/test-connection.yaml");
    fs::write(&test, fs::read_to_string(&test).expect("a file").replace("busybox", "alpine")).expect("a file");
    let left_out = site.export(&["web"]);
    assert_eq!(
        left_out,
        [
            "web/templates/tests/test-connection.yaml:12: `alpine` is in the template, and no value changes it (rule `hub`)"
        ]
    );
    assert_eq!(site.differences("web", "shop", &[]), ["alpine"]);
    assert_eq!(
        site.export_rendered(&["web"]),
        ["Pod release-web-test-connection, containers/wget: alpine is not overridden, since no known value changes it"]
    );
    assert_eq!(site.differences("web", "shop", &[]), ["alpine"]);
}

#[test]
fn unreadable_input_is_reported() {
    let site = Site::new(&[
        (
            "chart/Chart.yaml",
            &(chart_yaml("c") + "dependencies: [{name: absent, version: 1, repository: x, import-values: [a]}]\n"),
        ),
        ("chart/values.yaml", "global: {security: {allowInsecureImages: false}}\n"),
        ("chart/charts/packed-1.0.0.tgz", ""),
        ("list.yaml", "[]\n"),
        ("broken.yaml", "a: [\n"),
        ("two.yaml", "a: 1\n---\nb: 2\n"),
        ("null.yaml", "a:\n  ~: 1\n"),
        ("template/Chart.yaml", "apiVersion: v2\nname: {{ x }}\n"),
        ("words.yaml", "image: ''\nname: docker\n"),
        ("empty.yaml", "# nothing\n"),
        ("packed.tgz", ""),
        ("no-chart/values.yaml", ""),
    ]);
    assert_eq!(
        site.export(&["chart", "empty.yaml"]),
        [
            "`global.security.allowInsecureImages`: with `false`, the chart fails with images of another registry: set it to `true`",
            "chart/charts/packed-1.0.0.tgz: it is packed: unpack it there with `tar xzf`",
            "chart/Chart.yaml: dependency `absent`: values that `import-values` copies are read only where they are copied from",
            "chart/Chart.yaml: dependency `absent`: it is not a folder in charts/: run `helm dependency update`, and unpack it",
        ]
    );
    for (paths, message) in [
        (&["list.yaml"][..], "list.yaml is not a values file: values are a mapping"),
        (&["broken.yaml"], "HERE/broken.yaml:1: unclosed bracket '['\n"),
        (&["two.yaml"], "HERE/two.yaml:3: a second document starts here; write only one\n"),
        (&["null.yaml"], "HERE/null.yaml:2: the key is null: write it in quotes\n"),
        (&["template"], "can't read HERE/template/Chart.yaml: invalid type: map, expected a string\n"),
        (&["absent.yaml"], "can't read "),
        (&["packed.tgz"], "packed.tgz is packed: unpack it with `tar xzf`, and name the folder"),
        (&["no-chart"], "no-chart has no Chart.yaml: name the folder of a chart"),
        (&["empty.yaml", "chart"], "chart: name one chart only, before the files with values"),
    ] {
        let output = site.try_export(&[paths, &["--no-helm"]].concat());
        let error = String::from_utf8_lossy(&output.stderr).replace(&site.path(""), "HERE/");
        let is_told = error.starts_with("error: ") && error.contains(message);
        assert!(output.status.code() == Some(2) && is_told, "{paths:?}: {error}");
    }
    for (file, note) in
        [("empty.yaml", &["no image in the values of HERE/empty.yaml; no override printed"][..]), ("words.yaml", &[])]
    {
        let output = site.try_export(&[file, "--no-helm"]);
        assert_eq!((output.status.code(), &*output.stdout), (Some(0), &b"{}\n"[..]));
        let notes = lines_with(&output.stderr, "note").into_iter().map(|line| line.replace(&site.path(""), "HERE/"));
        assert_eq!(notes.collect::<Vec<_>>(), note);
    }
}

#[test]
fn the_chart_of_this_project_comes_out_as_rewritten() {
    let site = Site::new(&[("own.yaml", "cache: {prefix: cache.corp.internal/k8s}\n")]);
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/chart");
    std::os::unix::fs::symlink(chart, site.path("chart")).expect("a link");
    assert_eq!(site.export(&["chart", "own.yaml"]), [""; 0]);
    assert_eq!(site.differences("chart", "shop", &["own.yaml"]), [""; 0]);
}
