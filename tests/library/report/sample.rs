//! Example reports.
#![allow(dead_code, reason = "each test binary uses another part")]

use pullthrough::config;
use pullthrough::engine::{Policy, Question};
use pullthrough::manifest::{Contents, Known, Manifest};
use pullthrough::scan::{FoundImage, Location, NotCovered, Report, Skipped, Use, Verdict};
use serde_json::{Value, json};

const RULES: &str = "
apiVersion: pullthrough.dev/v1alpha1
kind: Rules
rules:
  - name: kubernetes
    from: [registry.k8s.io, k8s.gcr.io]
    to: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/k8s
  - name: docker-hub
    from: [docker.io]
    to: harbor.example.com/docker-hub
    except: [docker.io/library/busybox]
    namespaces: {exclude: [kube-system]}
  - name: quay
    from: [quay.io]
    to: harbor.example.com/quay
    mode: observe
  - name: gitlab
    pattern: 'registry\\.gitlab\\.com/([^/]+)/(.+)'
    to: harbor.example.com/gitlab-$1/$2
";

pub const DIGEST: &str = "sha256:bb9f2d8b3b1c5e2a4f6d7c8e9f0a1b2c3d4e5f60718293a4b5c6d7e8f9012345";

/// Collects findings like `scan`.
pub struct Collector {
    pub report: Report,
    policy: Policy,
}

impl Collector {
    pub fn new(subject: &str, fail_on: &[&str]) -> Self {
        let policy = Policy::from(config::parse("rules.yaml", RULES).expect("valid rules"));
        let fail_on = fail_on.iter().map(|registry| (*registry).to_owned()).collect();
        let mut report = Report::new(subject.to_owned(), Some("rules.yaml".to_owned()), fail_on, 5);
        report.rules_hash = Some(config::fingerprint(RULES.as_bytes()));
        Self { report, policy }
    }

    fn verdict(&self, image: &str, namespace: &str) -> Option<Verdict> {
        let question = Question { image, namespace, pull_never: false, previous: None, included_from: None };
        Some(Verdict::from(&self.policy.decide(question)))
    }

    pub fn object(&mut self, image: &str, kind: &str, namespace: &str, name: &str, reach: Option<NotCovered>) {
        let (api_version, in_use) = match kind {
            "Pod" => ("v1", Use::Running),
            "CronJob" => ("batch/v1", Use::Template),
            _ => ("apps/v1", Use::Template),
        };
        let place = Location::Cluster {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: Some(namespace.to_owned()),
            name: name.to_owned(),
            place: "containers/app".to_owned(),
        };
        let verdict = self.verdict(image, namespace);
        self.report.looked_at += 1;
        self.report.add(FoundImage::new(image.to_owned(), place, in_use, verdict, reach));
    }

    pub fn file(&mut self, image: &str, file: &str, line: usize, kind: &str, namespace: Option<&str>) {
        let place = Location::File {
            file: file.to_owned(),
            line,
            column: 16,
            api_version: "apps/v1".to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: "web".to_owned(),
            place: "containers/app".to_owned(),
        };
        let verdict = self.verdict(image, namespace.unwrap_or("default"));
        self.report.looked_at += 1;
        self.report.add(FoundImage::new(image.to_owned(), place, Use::Manifest, verdict, None));
    }

    pub fn node(&mut self, image: &str, node: &str, reach: Option<NotCovered>) {
        let verdict = self.verdict(image, "default");
        let place = Location::Node { node: node.to_owned() };
        self.report.add(FoundImage::new(image.to_owned(), place, Use::Held, verdict, reach));
    }

    pub fn failed(&mut self, what: &str, why: &str, fix: &str) {
        let (what, why, fix) = (what.to_owned(), why.to_owned(), fix.to_owned());
        self.report.skipped.push(Skipped { what, why, fix, is_failure: true });
    }

    pub fn template(&mut self, what: &str) {
        let why = "this is a template: the values of `{{` are unknown".to_owned();
        let fix = "render it first: `helm template … | pullthrough scan -`".to_owned();
        self.report.skipped.push(Skipped { what: what.to_owned(), why, fix, is_failure: false });
    }
}

/// Returns the report of a cluster with every kind of finding.
pub fn cluster() -> Report {
    let mut found = Collector::new("https://10.0.0.1:6443", &["registry.k8s.io"]);
    let controller = format!("registry.k8s.io/ingress-nginx/controller:v1.13.3@{DIGEST}");
    found.object(&controller, "DaemonSet", "ingress", "controller", None);
    for pod in 0..12 {
        found.object(&controller, "Pod", "ingress", &format!("controller-{pod}"), None);
    }
    found.object("k8s.gcr.io/metrics-server/metrics-server:v0.6.4", "Deployment", "monitoring", "metrics-server", None);
    for (namespace, pods) in [("shop", 31), ("search", 8), ("payments", 6), ("team-a", 2), ("team-b", 1)] {
        found.object("nginx:1.29", "Deployment", namespace, "web", None);
        for pod in 0..pods {
            found.object("nginx:1.29", "Pod", namespace, &format!("web-{pod}"), None);
        }
    }
    found.object("docker.io/bitnami/postgresql:17.2.0-debian-12-r3", "StatefulSet", "payments", "ledger", None);
    found.object("docker.io/bitnami/postgresql:17.2.0-debian-12-r3", "Pod", "payments", "ledger-0", None);
    found.object("busybox:1.37", "CronJob", "shop", "nightly", None);
    found.object("harbor.example.com/docker-hub/library/redis:8.2", "Deployment", "shop", "cache", None);
    found.object("harbor.example.com/docker-hub/library/redis:8.2", "Pod", "shop", "cache-0", None);
    found.object("quay.io/prometheus/node-exporter:v1.9.1", "DaemonSet", "monitoring", "node-exporter", None);
    found.object("registry.gitlab.com/example/tools/runner:17.6", "Deployment", "ci", "runner", None);
    found.object("ghcr.io/example/checkout:2026.11.1", "Deployment", "shop", "checkout", None);
    found.object("ghcr.io/Example/Checkout:latest", "Deployment", "team-b", "broken", None);
    let apiserver = "registry.k8s.io/kube-apiserver:v1.36.3";
    found.object(apiserver, "Pod", "kube-system", "kube-apiserver-cp-1", Some(NotCovered::StaticPod));
    let coredns = "registry.k8s.io/coredns/coredns:v1.12.4";
    found.object(coredns, "Deployment", "kube-system", "coredns", Some(NotCovered::Namespace));
    for node in ["cp-1", "worker-1", "worker-2", "worker-3", "worker-4", "worker-5"] {
        found.node("registry.k8s.io/pause:3.10", node, Some(NotCovered::SandboxImage));
    }
    found.node("docker.io/library/httpd:2.4.58", "worker-3", None);
    found.failed(
        "Pods in namespace vault",
        "the API server denied the list",
        "allow `list pods`, or name the namespaces that you may read with -n",
    );
    found.report.generated = Some("2026-11-27 03:20 UTC".to_owned());
    found.report
}

/// Returns the report of manifests with every kind of finding.
pub fn files() -> Report {
    let mut found = Collector::new("deploy", &["docker.io/library"]);
    found.file("nginx:1.29", "deploy/web.yaml", 18, "Deployment", Some("shop"));
    found.file("nginx:1.29", "deploy/search/web.yaml", 21, "Deployment", Some("search"));
    found.file("busybox:1.37", "./deploy/jobs/every night.yaml", 30, "CronJob", None);
    found.file("registry.k8s.io/pause:3.10", "/srv/manifests/pause.yaml", 7, "Pod", None);
    found.file("registry.k8s.io/coredns/coredns:v1.12.4", "-", 44, "Deployment", Some("kube-system"));
    found.file("quay.io/prometheus/node-exporter:v1.9.1", "../shared/exporter.yaml", 12, "DaemonSet", None);
    found.file("harbor.example.com/quay/thanos:v0.39.2", "deploy/thanos.yaml", 12, "StatefulSet", None);
    found.template("deploy/templates/app.yaml:3");
    for template in ["job", "service", "ingress", "hook"] {
        found.template(&format!("deploy/templates/{template}.yaml:1"));
    }
    for file in ["deploy/a.yaml", "deploy/b.yaml", "deploy/c.yaml", "deploy/d.yaml"] {
        unknown(&mut found.report, file, "example.com/v1", "Widget", &json!({"image": "a", "toolImage": "b"}));
    }
    unknown(&mut found.report, "deploy/e.yaml", "v2", "Odd Kind", &json!({"image": {"repository": "a", "tag": "1"}}));
    unknown(&mut found.report, "deploy/f.yaml", "example.com/v1", "Parted", &json!({"registry": "a", "image": "b"}));
    for number in 0..12 {
        unknown(&mut found.report, &format!("deploy/values-{number}.yaml"), "", "", &json!({"image": "a"}));
    }
    found.report
}

/// Adds a file with an unknown kind.
fn unknown(report: &mut Report, file: &str, api_version: &str, kind: &str, spec: &Value) {
    let text = json!({"apiVersion": api_version, "kind": kind, "spec": spec}).to_string();
    let manifest = Manifest::read(file, &text, &Known::default()).expect("JSON");
    report.unknowns.add(file, manifest.lookalikes());
}

/// Returns a report with names that try to be markup or commands.
pub fn hostile() -> Report {
    let mut found = Collector::new("<script>alert(1)</script>\u{1b}]0;x\u{7}", &[]);
    let names = [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "a|b`c``d\\|e",
        "javascript:alert(1)",
        "\u{1b}[31mred\u{1b}[0m\r\n\u{9b}31m",
        "\u{202e}gnp.exe\u{2066}",
        "![x](https://attacker.example/x.png) [x](javascript:alert(1)) @everyone",
        "</style></title></svg>-->]]>",
        "",
        " ",
        "nul\u{0}",
    ];
    let long = format!("{}.example.com/{}:latest", vec!["a".repeat(63); 3].join("."), "b/".repeat(100) + "c");
    for name in names.into_iter().chain([long.as_str()]) {
        found.object(name, name, name, name, Some(NotCovered::StaticPod));
        found.file(name, name, 1, name, Some(name));
        found.node(name, name, None);
        found.failed(name, name, name);
        unknown(&mut found.report, name, name, name, &json!({name: {"image": "nginx"}}));
    }
    found.report.rules = Some("</script>`|rules".to_owned());
    found.report.rules_hash = Some("<b>hash</b>".to_owned());
    found.report.generated = Some("<b>date</b>".to_owned());
    found.report
}

/// Returns a report without findings.
pub fn empty() -> Report {
    Report::new("deploy".to_owned(), None, Vec::new(), 5)
}

/// Returns the report that docs/reference/scan-formats.md shows.
pub fn documented() -> Report {
    let mut found = Collector::new("deploy", &["registry.k8s.io"]);
    found.file("registry.k8s.io/coredns/coredns:v1.12.4", "deploy/dns.yaml", 18, "Deployment", Some("kube-system"));
    found.file("nginx:1.29", "deploy/web.yaml", 18, "Deployment", Some("shop"));
    found.file("nginx:1.29", "deploy/search/web.yaml", 21, "Deployment", Some("search"));
    found.file("busybox:1.37", "deploy/web.yaml", 14, "Deployment", Some("shop"));
    found.template("deploy/templates/app.yaml:3");
    found.report.contents = Some(Contents { objects: 4, others: 0 });
    found.report
}
