//! Reports to show.

use pullthrough::config;
use pullthrough::engine::{Policy, Question};
use pullthrough::manifest::{Contents, Known, Manifest};
use pullthrough::scan::{Finding, OutOfReach, Place, Report, Unseen, Use, Verdict};
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
";

pub const DIGEST: &str = "sha256:bb9f2d8b3b1c5e2a4f6d7c8e9f0a1b2c3d4e5f60718293a4b5c6d7e8f9012345";

/// Collects findings as `scan` does.
pub struct Collector {
    pub report: Report,
    policy: Policy,
}

impl Collector {
    pub fn new(subject: &str, fail_on: &[&str]) -> Self {
        let policy = Policy::from(config::parse("rules.yaml", RULES).expect("valid rules"));
        let fail_on = fail_on.iter().map(|registry| (*registry).to_owned()).collect();
        Self { report: Report::new(subject.to_owned(), Some("rules.yaml".to_owned()), fail_on, 5), policy }
    }

    fn verdict(&self, image: &str, namespace: &str) -> Option<Verdict> {
        let question = Question { image, namespace, pull_never: false, previous: None };
        Some(Verdict::from(&self.policy.decide(question)))
    }

    pub fn object(&mut self, image: &str, kind: &str, namespace: &str, name: &str, reach: Option<OutOfReach>) {
        let (api_version, in_use) = match kind {
            "Pod" => ("v1", Use::Running),
            "CronJob" => ("batch/v1", Use::Template),
            _ => ("apps/v1", Use::Template),
        };
        let place = Place::Cluster {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: Some(namespace.to_owned()),
            name: name.to_owned(),
            place: "containers/app".to_owned(),
        };
        let verdict = self.verdict(image, namespace);
        self.report.looked_at += 1;
        self.report.add(Finding::new(image.to_owned(), place, in_use, verdict, reach));
    }

    pub fn file(&mut self, image: &str, file: &str, line: usize, kind: &str, namespace: Option<&str>) {
        let place = Place::File {
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
        self.report.add(Finding::new(image.to_owned(), place, Use::Manifest, verdict, None));
    }

    pub fn node(&mut self, image: &str, node: &str, reach: Option<OutOfReach>) {
        let verdict = self.verdict(image, "default");
        let place = Place::Node { node: node.to_owned() };
        self.report.add(Finding::new(image.to_owned(), place, Use::Held, verdict, reach));
    }

    pub fn unseen(&mut self, what: &str, why: &str, cure: &str) {
        let (what, why, cure) = (what.to_owned(), why.to_owned(), cure.to_owned());
        self.report.unseen.push(Unseen { what, why, cure });
    }
}

/// A cluster with something of everything.
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
    found.object("ghcr.io/example/checkout:2026.11.1", "Deployment", "shop", "checkout", None);
    found.object("ghcr.io/Example/Checkout:latest", "Deployment", "team-b", "broken", None);
    let apiserver = "registry.k8s.io/kube-apiserver:v1.36.3";
    found.object(apiserver, "Pod", "kube-system", "kube-apiserver-cp-1", Some(OutOfReach::StaticPod));
    let coredns = "registry.k8s.io/coredns/coredns:v1.12.4";
    found.object(coredns, "Deployment", "kube-system", "coredns", Some(OutOfReach::Namespace));
    for node in ["cp-1", "worker-1", "worker-2", "worker-3", "worker-4", "worker-5"] {
        found.node("registry.k8s.io/pause:3.10", node, Some(OutOfReach::SandboxImage));
    }
    found.node("docker.io/library/httpd:2.4.58", "worker-3", None);
    found.unseen(
        "Pods in namespace vault",
        "the API server refuses to list them",
        "allow `list pods`, or name the namespaces that you may read with -n",
    );
    found.report
}

/// Manifests with something of everything.
pub fn files() -> Report {
    let mut found = Collector::new("deploy", &["docker.io/library"]);
    found.file("nginx:1.29", "deploy/web.yaml", 18, "Deployment", Some("shop"));
    found.file("nginx:1.29", "deploy/search/web.yaml", 21, "Deployment", Some("search"));
    found.file("busybox:1.37", "./deploy/jobs/every night.yaml", 30, "CronJob", None);
    found.file("registry.k8s.io/pause:3.10", "/srv/manifests/pause.yaml", 7, "Pod", None);
    found.file("registry.k8s.io/coredns/coredns:v1.12.4", "-", 44, "Deployment", Some("kube-system"));
    found.file("quay.io/prometheus/node-exporter:v1.9.1", "../shared/exporter.yaml", 12, "DaemonSet", None);
    found.file("harbor.example.com/quay/thanos:v0.39.2", "deploy/thanos.yaml", 12, "StatefulSet", None);
    found.unseen(
        "deploy/templates/app.yaml:3",
        "it is a template: `{{` stands where a value is expected",
        "render it first: helm template … | pullthrough scan -",
    );
    for template in ["job", "service", "ingress", "hook"] {
        found.unseen(
            &format!("deploy/templates/{template}.yaml:1"),
            "it is a template: `{{` stands where a value is expected",
            "render it first: helm template … | pullthrough scan -",
        );
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

/// A file with a kind that is not known.
fn unknown(report: &mut Report, file: &str, api_version: &str, kind: &str, spec: &Value) {
    let text = json!({"apiVersion": api_version, "kind": kind, "spec": spec}).to_string();
    let manifest = Manifest::read(file, &text, &Known::default()).expect("JSON");
    report.unknowns.add(file, manifest.lookalikes());
}

/// Names that want to be something else.
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
        found.object(name, name, name, name, Some(OutOfReach::StaticPod));
        found.file(name, name, 1, name, Some(name));
        found.node(name, name, None);
        found.unseen(name, name, name);
        unknown(&mut found.report, name, name, name, &json!({name: {"image": "nginx"}}));
    }
    found.report.rules = Some("</script>`|rules".to_owned());
    found.report
}

/// Nothing was found.
pub fn empty() -> Report {
    Report::new("deploy".to_owned(), None, Vec::new(), 5)
}

/// What docs/scan.md shows.
pub fn documented() -> Report {
    let mut found = Collector::new("deploy", &["registry.k8s.io"]);
    found.file("registry.k8s.io/coredns/coredns:v1.12.4", "deploy/dns.yaml", 18, "Deployment", Some("kube-system"));
    found.file("nginx:1.29", "deploy/web.yaml", 18, "Deployment", Some("shop"));
    found.file("nginx:1.29", "deploy/search/web.yaml", 21, "Deployment", Some("search"));
    found.file("busybox:1.37", "deploy/web.yaml", 14, "Deployment", Some("shop"));
    found.unseen(
        "deploy/templates/app.yaml:3",
        "it is a template: `{{` stands where a value is expected",
        "render it first: helm template … | pullthrough scan -",
    );
    found.report.contents = Some(Contents { objects: 4, others: 0 });
    found.report
}
