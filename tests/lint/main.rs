//! What `check` finds in valid rules, and what it must not find.

#[path = "../harness/linear_time.rs"]
mod linear_time;
#[path = "../harness/long_rules.rs"]
mod long_rules;

use pullthrough::config::{self, Source};
use pullthrough::lint::{self, Finding};

use crate::linear_time::assert_linear;
use crate::long_rules::FILES;

fn findings(rules: &str) -> Vec<Finding> {
    let text = format!("apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules:\n{rules}\n");
    lint::findings(&config::parse("rules.yaml", &text).unwrap_or_else(|error| panic!("{error}")))
}

/// The lints of rules in flow style, one a line, with line and column.
fn found(rules: &[&str]) -> Vec<String> {
    let text: String =
        rules.iter().enumerate().map(|(at, rule)| format!("  - {{name: r{}, {rule}}}\n", at + 1)).collect();
    let head = "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules:\n";
    findings(&text)
        .iter()
        .map(|finding| {
            let (line, column) = finding.problem.line_and_column(&Source::new("", &format!("{head}{text}")));
            format!("{} {}:{column}", finding.lint.as_str(), line - 3)
        })
        .collect()
}

/// Rules, and the lints with the rule and the column that each points at.
#[test]
fn each_lint_finds_what_it_is_for() {
    for (rules, expected) in [
        // loop
        (&["from: [a.io], to: a.io/cache"][..], &["loop 1:34"][..]),
        (&["from: [a.io/x], to: a.io/x"], &["loop 1:36"]),
        (&["from: [a.io], to: b.io/x", "from: [b.io], to: a.io/y"], &["loop 1:34", "loop 2:34"]),
        (&["from: [docker.io], to: quay.io/hub", "from: [quay.io], to: c.io/quay"], &["loop 1:39"]),
        (&["from: [a.io], to: c.io", "from: [c.io/team], to: d.io/x"], &["loop 2:23"]),
        (&[r"pattern: 'a\.io/(.+)', to: a.io/cache/$1"], &["loop 1:43"]),
        (&["from: [a.io], to: c.io/a", r"pattern: 'c\.io/(.+)', to: d.io/$1"], &["loop 1:34"]),
        (&["from: [a.io], to: c.io/a", r"pattern: 'c\.io/a/(.+)', to: d.io/$1"], &["loop 1:34", "loop 2:25"]),
        // shadowed
        (&["from: [a.io], to: c.io/a", "from: [a.io/x], to: c.io/x"], &["shadowed 2:23"]),
        (&["from: [a.io], to: c.io/a", "from: [b.io, a.io], to: c.io/b"], &["shadowed 2:29"]),
        (&["from: [a.io, a.io/x], to: c.io/a"], &["shadowed 1:29"]),
        (&["from: [a.io], to: c.io/a, mode: observe", "from: [a.io], to: c.io/b"], &["shadowed 2:23"]),
        (&["from: [a.io], to: c.io/a, except: [a.io/x]", "from: [a.io/x], to: c.io/b"], &["shadowed 2:23"]),
        (&["from: [a.io], to: c.io/a", r"pattern: 'a\.io/(.+)/x', to: c.io/b/$1"], &["shadowed 2:25"]),
        (&["from: [a.io], to: c.io/a", r"pattern: 'a\.io/x', to: c.io/b"], &["shadowed 2:25"]),
        (
            &[
                "from: [a.io], to: c.io/a, namespaces: {exclude: [kube-system]}",
                "from: [a.io], to: c.io/b, namespaces: {include: [default]}",
            ],
            &["shadowed 2:23"],
        ),
        // collision
        (&["from: [a.io, b.io], to: c.io/x"], &["collision 1:29"]),
        (&["from: [a.io], to: c.io/x", "from: [b.io], to: c.io/x"], &["collision 2:23"]),
        (&["from: [a.io], to: c.io", "from: [b.io], to: c.io/x"], &["collision 2:23"]),
        (&["from: [b.io], to: c.io/x", "from: [a.io], to: c.io"], &["collision 2:23"]),
        (&["from: [docker.io/library, docker.io/bitnami], to: c.io/hub"], &["collision 1:42"]),
        (&["from: [docker.io/library/nginx, docker.io/library/redis], to: c.io/hub"], &["collision 1:48"]),
        (&["pattern: '([^/]+)/(.+)', to: c.io/$2"], &["collision 1:25"]),
        (&[r"pattern: 'quay\.io/([^/]+)/(.+)', to: c.io/quay/$2"], &["collision 1:25"]),
        (&[r"pattern: '(?:a|b)\.io/(.+)', to: c.io/$1"], &["collision 1:25"]),
        (
            &[
                "from: [a.io], to: c.io/x, namespaces: {include: [one]}",
                "from: [b.io], to: c.io/x, namespaces: {include: [two]}",
            ],
            &["collision 2:23"],
        ),
        // docker-library
        (&["from: [docker.io/nginx], to: c.io/x"], &["docker-library 1:23"]),
        (&["from: [docker.io], to: c.io/x, except: [registry-1.docker.io/redis]"], &["docker-library 1:56"]),
        (&[r"pattern: 'docker\.io/nginx', to: c.io/x"], &["docker-library 1:25"]),
        // cache-layout
        (&["from: [a.io], to: docker.io"], &["cache-layout 1:34"]),
        (&["from: [a.io], to: registry.k8s.io/x"], &["cache-layout 1:34"]),
        (&["from: [a.io], to: mcr.microsoft.com/x"], &["cache-layout 1:34"]),
        (&["from: [a.io], to: docker.io/library"], &["cache-layout 1:34"]),
        (&["from: [a.io], to: 12345678901.dkr.ecr.eu-west-1.amazonaws.com/x"], &["cache-layout 1:34"]),
        (&["from: [a.io], to: 123456789012.dkr.ecr.amazonaws.com/xx"], &["cache-layout 1:34"]),
        (&["from: [a.io], to: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/x"], &["cache-layout 1:34"]),
        (&["from: [a.io], to: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/a--b"], &["cache-layout 1:34"]),
        (
            &["from: [a.io], to: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/registry-of-the-kubernetes-project"],
            &["cache-layout 1:34"],
        ),
        (&["from: [a.io], to: europe-docker.pkg.dev/project"], &["cache-layout 1:34"]),
        (&["from: [a.io], to: docker.pkg.dev/project/hub"], &["cache-layout 1:34"]),
        (&["from: [a.io], to: azurecr.io/hub"], &["cache-layout 1:34"]),
        (&["from: [a.io], to: acme.azurecr.io/hub"], &["cache-layout 1:34"]),
        (&["from: [a.io], to: harbor.example.com"], &["cache-layout 1:34"]),
        (&["from: [a.io], to: acme.jfrog.io"], &["cache-layout 1:34"]),
        // unsupported-upstream
        (&["from: [nvcr.io], to: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/nvcr"], &["unsupported-upstream 1:23"]),
        (&["from: [registry.gitlab.com], to: example.azurecr.io/gitlab"], &["unsupported-upstream 1:23"]),
        (
            &[r"pattern: 'mcr\.microsoft\.com/(.+)', to: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/mcr/$1"],
            &["unsupported-upstream 1:25"],
        ),
        // unescaped-dot
        (&["pattern: 'registry.gitlab.com/([^/]+)/(.+)', to: c.io/gitlab-$1/$2"], &["unescaped-dot 1:25"]),
        (&[r"pattern: 'registry\.gitlab.com/(.+)', to: c.io/gitlab/$1"], &["unescaped-dot 1:25"]),
        // frozen
        (&["from: [k8s.gcr.io], to: c.io/k8s"], &["frozen 1:23"]),
    ] {
        assert_eq!(found(rules), expected, "{rules:#?}");
    }
}

/// A false finding is worse than none.
#[test]
fn what_is_meant_is_not_found() {
    for rules in [
        &[
            "from: [registry.k8s.io, k8s.gcr.io, gcr.io/google_containers, gcr.io/google-containers], to: c.io/k8s",
            "from: [gcr.io], to: c.io/gcr",
            "from: [docker.io], to: c.io/hub, except: [docker.io/mycorp, docker.io/library/busybox]",
        ][..],
        // Everything through one cache, which keeps the registry's name in the path.
        &["pattern: '([^/]+)/(.+)', to: c.io/$1/$2"],
        &["from: [docker.io], to: c.io/hub", "pattern: '([^/]+)/(.+)', to: c.io/all/$1/$2"],
        // Said to be meant.
        &["from: [a.io], to: a.io/cache, except: [a.io/cache]"],
        &["from: [a.io], to: b.io/x", "from: [b.io], to: c.io/y, except: [b.io/x]"],
        &["from: [docker.io/nginx, docker.io/library/nginx], to: c.io/hub"],
        &["from: [docker.io], to: c.io/hub, except: [docker.io/nginx, docker.io/library/nginx]"],
        // The longer name first.
        &["from: [a.io/x], to: c.io/x", "from: [a.io], to: c.io/a"],
        &["from: [docker.io/library, docker.io], to: c.io/hub"],
        &["from: [docker.io/library], to: c.io/hub/library", "from: [docker.io], to: c.io/hub"],
        // The same name twice, in other words.
        &["from: [docker.io, index.docker.io], to: c.io/hub"],
        // Each where the other does not apply.
        &[
            "from: [a.io], to: c.io/one, namespaces: {include: [one]}",
            "from: [a.io], to: c.io/two, namespaces: {exclude: [one]}",
        ],
        &["from: [a.io], to: c.io/one, namespaces: {include: ['team-*']}", "from: [a.io], to: c.io/other"],
        // The same images by another name.
        &["from: [docker.io/library, public.ecr.aws/docker/library], to: c.io/official"],
        &["from: [k8s.gcr.io], to: registry.k8s.io"],
        &["from: [docker.io/library], to: public.ecr.aws/docker/library"],
        &["from: [docker.io], to: mirror.gcr.io"],
        // One's own place at a public registry.
        &["from: [docker.io], to: ghcr.io/acme/hub"],
        &["from: [docker.io/library], to: quay.io/acme"],
        // What clouds and products document.
        &["from: [docker.io], to: 123456789012.dkr.ecr.eu-west-1.amazonaws.com"],
        &["from: [docker.io], to: 123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com/docker-hub"],
        &["from: [docker.io], to: 123456789012.dkr-ecr.eu-west-1.on.aws/docker-hub"],
        &["from: [docker.io], to: 123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/docker-hub"],
        &["from: [docker.io/x], to: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/x"],
        &["from: [gcr.io/google_containers, registry.k8s.io], to: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/k8s"],
        &["from: [docker.io], to: europe-docker.pkg.dev/project/docker-hub"],
        &["from: [docker.io], to: europe-docker.pkg.dev/example.com/project/docker-hub"],
        &["from: [docker.io], to: example.azurecr.io"],
        &["from: [docker.io], to: example-d3f5a7b9c1e2f4a6.azurecr.io/docker-hub"],
        &["from: [docker.io], to: harbor.example.com/docker-hub"],
        &["from: [docker.io], to: acme-docker.jfrog.io"],
        &["from: [docker.io], to: acme.jfrog.io/docker-hub"],
        &["from: [docker.io], to: 'registry.example.com:5001'"],
        &["from: [docker.io], to: localhost:5000"],
        // Dots that are escaped, in classes, or meant.
        &[r"pattern: 'registry\.gitlab\.com/([^/]+)/(.+)', to: c.io/gitlab-$1/$2"],
        &[r"pattern: 'registry[.]gitlab[.]com/(.+)', to: c.io/gitlab/$1"],
        &[r"pattern: '(?P<region>[a-z-]+)\.gcr\.io/(?P<path>.+)', to: 'c.io/gcr-${region}/${path}'"],
        &[r"pattern: 'a\.io/x.y', to: c.io/xy"],
        &["from: [k8s.gcr.io], to: c.io/k8s", "from: [registry.k8s.io], to: c.io/new"],
    ] {
        assert_eq!(found(rules), [""; 0], "{rules:#?}");
    }
}

#[test]
fn a_finding_is_drawn_with_its_place_and_its_cure() {
    let rules = "  - name: hub\n    from: [docker.io]\n    to: c.io/hub\n  - name: nginx\n    from: [docker.io/library/nginx]\n    to: c.io/nginx";
    let text = format!("apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules:\n{rules}\n");
    let findings = findings(rules);
    insta::assert_snapshot!(findings[0].render(&Source::new("rules.yaml", &text)), @r"
    warning[shadowed]: `docker.io/library/nginx` never gets here: rule `hub` takes all of `docker.io` before
     --> rules.yaml:8:12
      |
    8 |     from: [docker.io/library/nginx]
      |            ^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: the first rule that matches wins: put the rule with the longer names first, or remove it here
    ");
}

/// `--cache` needs no looking at, and has no text.
#[test]
fn the_built_in_rule_has_no_findings() {
    let config = config::Config::for_cache("cache.example.com/k8s").expect("a valid prefix");
    assert_eq!(lint::findings(&config), []);
}

/// What this repository shows as rules is as it should be.
#[test]
fn the_rules_of_this_repository_have_no_findings() {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let files = [
        "manifests/base/rules.yaml",
        "tests/data/rules.yaml",
        "tests/data/rules-opt-out.yaml",
        "tests/data/examples/rules.yaml",
    ];
    let mut texts: Vec<(String, String)> = files.iter().map(|file| ((*file).to_owned(), read(file))).collect();
    let docs =
        std::fs::read_dir("docs").expect("a folder").map(|entry| entry.expect("an entry").path().display().to_string());
    let pages =
        docs.filter(|file| file.ends_with(".md")).chain(["README.md".to_owned(), "manifests/README.md".to_owned()]);
    for page in pages {
        let text = read(&page);
        let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
        texts.extend(
            blocks
                .filter(|block| block.contains("\nkind: Rules\nrules:"))
                .map(|block| (page.clone(), block.to_owned())),
        );
    }
    assert!(texts.len() > files.len() + 1, "pages show rules too");
    for (name, text) in texts {
        let config = config::parse(&name, &text).unwrap_or_else(|error| panic!("{error}"));
        let findings: Vec<String> =
            lint::findings(&config).iter().map(|finding| finding.render(&Source::new(&name, &text))).collect();
        assert_eq!(findings, [""; 0]);
    }
}

/// No rule is compared with each other one.
#[test]
fn rules_files_are_linted_in_linear_time() {
    for (what, file) in FILES {
        let lint = |size| {
            let config = config::parse("rules.yaml", &file(size)).unwrap_or_else(|error| panic!("{error}"));
            drop(lint::findings(&config));
        };
        assert_linear(what, lint, 25);
    }
}
