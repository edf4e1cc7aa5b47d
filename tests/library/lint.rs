//! Findings of `check` in valid rules, and rules without findings.

use pullthrough::config::{self, Source};
use pullthrough::lint::{self, Lint, LintFinding};
use serde_json::{Value, json};

use crate::linear_time::assert_linear;
use crate::long_rules::FILES;

fn findings(rules: &str) -> Vec<LintFinding> {
    let text = format!("apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules:\n{rules}\n");
    lint::findings(&config::parse("rules.yaml", &text).unwrap_or_else(|error| panic!("{error}")))
}

/// Returns the lints of rules in flow style, one rule in each line, with line and column.
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

/// Rules, and the expected lints with the rule and the column that each points at.
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
        // placeholder
        (&["from: [a.io], to: cache.example.com/a"], &["placeholder 1:34"]),
        (&["from: [a.io], to: 'registry.example:5000'"], &["placeholder 1:34"]),
        (&["from: [a.io], to: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/ab"], &["placeholder 1:34"]),
        (&[r"pattern: 'a\.io/(.+)', to: cache.example.com/$1"], &["placeholder 1:43"]),
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
        (&["from: [a.io], to: 210987654321.dkr.ecr.amazonaws.com/xx"], &["cache-layout 1:34"]),
        (&["from: [a.io], to: 210987654321.dkr.ecr.eu-west-1.amazonaws.com/x"], &["cache-layout 1:34"]),
        (&["from: [a.io], to: 210987654321.dkr.ecr.eu-west-1.amazonaws.com/a--b"], &["cache-layout 1:34"]),
        (
            &["from: [a.io], to: 210987654321.dkr.ecr.eu-west-1.amazonaws.com/registry-of-the-kubernetes-project"],
            &["cache-layout 1:34"],
        ),
        (&["from: [a.io], to: europe-docker.pkg.dev/project"], &["cache-layout 1:34"]),
        (&["from: [a.io], to: docker.pkg.dev/project/hub"], &["cache-layout 1:34"]),
        (&["from: [a.io], to: azurecr.io/hub"], &["cache-layout 1:34"]),
        (&["from: [a.io], to: acme.azurecr.io/hub"], &["cache-layout 1:34"]),
        (&["from: [a.io], to: harbor.corp.internal"], &["cache-layout 1:34"]),
        (&["from: [a.io], to: acme.jfrog.io"], &["cache-layout 1:34"]),
        // unsupported-upstream
        (&["from: [nvcr.io], to: 210987654321.dkr.ecr.eu-west-1.amazonaws.com/nvcr"], &["unsupported-upstream 1:23"]),
        (&["from: [registry.gitlab.com], to: example.azurecr.io/gitlab"], &["unsupported-upstream 1:23"]),
        (
            &[r"pattern: 'mcr\.microsoft\.com/(.+)', to: 210987654321.dkr.ecr.eu-west-1.amazonaws.com/mcr/$1"],
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

/// Failovers are checked as `to` is. The rules are in line 4 and later ones.
#[test]
fn each_failover_is_checked() {
    for (rules, expected) in [
        (
            &["from: [a.io], to: x.io/a, failover: [y.io/a]", "from: [b.io], to: x.io/b, failover: [y.io/b]"][..],
            &[][..],
        ),
        (&["from: [a.io], to: x.io/a, failover: [y.io/a]", r"pattern: 'y\.io/(.+)', to: z.io/$1"], &["loop 1:53"]),
        (
            &["from: [a.io], to: x.io/a, failover: [y.io/a]", r"pattern: 'y\.io/a/(.+)', to: z.io/$1"],
            &["loop 1:53", "loop 2:25"],
        ),
        (
            &["from: [a.io], to: x.io/a, failover: [y.io]", "from: [b.io], to: x.io/b, failover: [y.io]"],
            &["collision 2:23"],
        ),
        (&["from: [a.io], to: x.io/a, failover: [z.io/b]", "from: [b.io], to: z.io/b"], &["collision 2:23"]),
        (&["from: [a.io], to: x.io/a, failover: [cache.example.com/a]"], &["placeholder 1:53"]),
        (&["from: [a.io], to: x.io/a, failover: [azurecr.io/a]"], &["cache-layout 1:53"]),
        (&["from: [a.io], to: x.io/a, failover: [quay.io]"], &["cache-layout 1:53"]),
        (
            &["from: [nvcr.io], to: x.io/a, failover: [210987654321.dkr.ecr.eu-west-1.amazonaws.com/nvcr]"],
            &["unsupported-upstream 1:23"],
        ),
        // Only a product of the table fetches images by itself.
        (&["from: [a.io], to: harbor.io/a, checkExists: {}"], &["check-exists 1:60"]),
        (&["from: [a.io], to: x.io/a, failover: [harbor.io/a], checkExists: {}"], &["check-exists 1:80"]),
        (&["from: [a.io], to: x.io/a, checkExists: {}"], &[]),
        // An upstream whose state decides is used.
        (&["from: [up.io], to: x.io/a, whenCacheDown: upstream"], &[]),
    ] {
        let head = "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\ncaches: [{prefix: x.io, health: {}}, \
                    {prefix: harbor.io, product: harbor}, {prefix: up.io, health: {}}]\nrules:\n";
        let rules: String =
            rules.iter().enumerate().map(|(at, rule)| format!("  - {{name: r{}, {rule}}}\n", at + 1)).collect();
        let text = format!("{head}{rules}");
        let config = config::parse("rules.yaml", &text).unwrap_or_else(|error| panic!("{error}"));
        let mut found: Vec<String> = Vec::new();
        for finding in lint::findings(&config) {
            let (line, column) = finding.problem.line_and_column(&Source::new("", &text));
            match finding.lint {
                Lint::UnusedCache => assert!(!finding.problem.message.contains("up.io") || !rules.contains("up.io")),
                lint => found.push(format!("{} {}:{column}", lint.as_str(), line - 4)),
            }
        }
        assert_eq!(found, expected, "{text}");
    }
}

/// Rules, entries of `caches`, and the prefixes of those that are reported.
#[test]
fn a_cache_that_no_rule_uses_is_found() {
    for (rules, caches, expected) in [
        (&["from: [a.io], to: c.io/hub"][..], &["c.io", "d.io"][..], &["d.io"][..]),
        (&["from: [a.io], to: c.io/hub"], &["c.io/hub", "c.io/hu", "c.io/hub/a"], &["c.io/hu"]),
        (&["from: [a.io], to: c.io/hub", "from: [b.io], to: d.io"], &["d.io", "c.io", "c.io/hub"], &["c.io"]),
        (&["from: [a.io], to: 'C.io:443'"], &["c.io"], &[]),
        (&[r"pattern: 'a\.io/(.+)', to: c.io/a-$1"], &["c.io", "c.io/a-b", "c.io/b", "c.io/a"], &["c.io/b", "c.io/a"]),
        (&[r"pattern: '(.+)/(.+)', to: $1.c.io/$2"], &["x.c.io", "d.io"], &[]),
        (&[], &["c.io"], &["c.io"]),
        (&["from: [a.io], to: c.io"], &[], &[]),
    ] {
        let rules: String =
            rules.iter().enumerate().map(|(at, rule)| format!("  - {{name: r{}, {rule}}}\n", at + 1)).collect();
        let rules = if rules.is_empty() { "  []\n".to_owned() } else { rules };
        let entries: Vec<String> = caches.iter().map(|prefix| format!("{{prefix: {prefix}}}")).collect();
        let text = format!("{rules}caches: [{}]", entries.join(", "));
        let found: Vec<String> = findings(&text)
            .into_iter()
            .filter(|finding| finding.lint.as_str() == "unused-cache")
            .map(|finding| finding.problem.message.split('`').nth(5).unwrap_or_default().to_owned())
            .collect();
        assert_eq!(found, expected, "{text}");
    }
}

/// A false finding is worse than a missing one.
#[test]
fn what_is_meant_is_not_found() {
    for rules in [
        &[
            "from: [registry.k8s.io, k8s.gcr.io, gcr.io/google_containers, gcr.io/google-containers], to: c.io/k8s",
            "from: [gcr.io], to: c.io/gcr",
            "from: [docker.io], to: c.io/hub, except: [docker.io/mycorp, docker.io/library/busybox]",
        ][..],
        // All images through one cache, with the registry's name in the path.
        &["pattern: '([^/]+)/(.+)', to: c.io/$1/$2"],
        &["from: [docker.io], to: c.io/hub", "pattern: '([^/]+)/(.+)', to: c.io/all/$1/$2"],
        // An exception shows that it is intended.
        &["from: [a.io], to: a.io/cache, except: [a.io/cache]"],
        &["from: [a.io], to: b.io/x", "from: [b.io], to: c.io/y, except: [b.io/x]"],
        &["from: [docker.io/nginx, docker.io/library/nginx], to: c.io/hub"],
        &["from: [docker.io], to: c.io/hub, except: [docker.io/nginx, docker.io/library/nginx]"],
        // The longer name comes first.
        &["from: [a.io/x], to: c.io/x", "from: [a.io], to: c.io/a"],
        &["from: [docker.io/library, docker.io], to: c.io/hub"],
        &["from: [docker.io/library], to: c.io/hub/library", "from: [docker.io], to: c.io/hub"],
        // Two spellings of one name.
        &["from: [docker.io, index.docker.io], to: c.io/hub"],
        // Each rule applies where the other does not.
        &[
            "from: [a.io], to: c.io/one, namespaces: {include: [one]}",
            "from: [a.io], to: c.io/two, namespaces: {exclude: [one]}",
        ],
        &["from: [a.io], to: c.io/one, namespaces: {include: ['team-*']}", "from: [a.io], to: c.io/other"],
        // Another name of the same images.
        &["from: [docker.io/library, public.ecr.aws/docker/library], to: c.io/official"],
        &["from: [k8s.gcr.io], to: registry.k8s.io"],
        &["from: [docker.io/library], to: public.ecr.aws/docker/library"],
        &["from: [docker.io], to: mirror.gcr.io"],
        // The user's own repository at a public registry.
        &["from: [docker.io], to: ghcr.io/acme/hub"],
        &["from: [docker.io/library], to: quay.io/acme"],
        // Addresses that clouds and products document.
        &["from: [docker.io], to: 210987654321.dkr.ecr.eu-west-1.amazonaws.com"],
        &["from: [docker.io], to: 210987654321.dkr.ecr-fips.us-gov-west-1.amazonaws.com/docker-hub"],
        &["from: [docker.io], to: 210987654321.dkr-ecr.eu-west-1.on.aws/docker-hub"],
        &["from: [docker.io], to: 210987654321.dkr.ecr.cn-north-1.amazonaws.com.cn/docker-hub"],
        &["from: [docker.io/x], to: 210987654321.dkr.ecr.eu-west-1.amazonaws.com/x"],
        &["from: [gcr.io/google_containers, registry.k8s.io], to: 210987654321.dkr.ecr.eu-west-1.amazonaws.com/k8s"],
        &["from: [docker.io], to: europe-docker.pkg.dev/project/docker-hub"],
        &["from: [docker.io], to: europe-docker.pkg.dev/example.com/project/docker-hub"],
        &["from: [docker.io], to: example.azurecr.io"],
        &["from: [docker.io], to: cache.example.com/a, mode: observe"],
        &["from: [docker.io], to: example-d3f5a7b9c1e2f4a6.azurecr.io/docker-hub"],
        &["from: [nvcr.io], to: example.azurecr.io/nvcr"],
        &["from: [docker.io], to: harbor.corp.internal/docker-hub"],
        &["from: [docker.io], to: acme-docker.jfrog.io"],
        &["from: [docker.io], to: acme.jfrog.io/docker-hub"],
        &["from: [docker.io], to: 'registry.corp.internal:5001'"],
        &["from: [docker.io], to: localhost:5000"],
        // Dots that are escaped, in classes, or intended.
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
fn a_finding_is_drawn_with_its_place_and_its_fix() {
    let rules = "  - name: hub\n    from: [docker.io]\n    to: c.io/hub\n  - name: nginx\n    from: [docker.io/library/nginx]\n    to: c.io/nginx";
    let text = format!("apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules:\n{rules}\n");
    let findings = findings(rules);
    insta::assert_snapshot!(findings[0].render(&Source::new("rules.yaml", &text)), @r"
    warning[shadowed]: `docker.io/library/nginx` is never used: rule `hub` before it matches all of `docker.io`
     --> rules.yaml:8:12
      |
    8 |     from: [docker.io/library/nginx]
      |            ^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: the first rule that matches decides; put rule `nginx` before `hub`, or remove `docker.io/library/nginx` from `nginx`
    ");
}

/// The fix of `shadowed` has an effect: equal names in all namespaces can't be put first.
#[test]
fn the_fix_of_a_shadowed_rule_fits_the_rules() {
    let copy = ["from: [a.io], to: c.io/a", "from: [a.io], to: c.io/b, namespaces: {include: [b]}"];
    let longer = ["from: [a.io], to: c.io/a", "from: [a.io/x], to: c.io/b"];
    let equal = ["from: [a.io], to: c.io/a", "from: [a.io], to: c.io/b"];
    for (rules, expected) in [
        (copy, "put rule `r2` before `r1`, or remove `a.io` from `r2`"),
        (longer, "put rule `r2` before `r1`, or remove `a.io/x` from `r2`"),
        (equal, "the first rule that matches decides; remove `a.io` from `r2`"),
    ] {
        let text: String =
            rules.iter().enumerate().map(|(at, rule)| format!("  - {{name: r{}, {rule}}}\n", at + 1)).collect();
        let findings = findings(&text);
        let fix = findings[0].problem.fix.as_deref().expect("a fix");
        assert!(fix.ends_with(expected), "{fix}");
    }
}

/// `--cache` has no text, so it has no findings.
#[test]
fn the_built_in_rule_has_no_findings() {
    let config = config::Config::for_cache("cache.corp.internal/k8s").expect("a valid prefix");
    assert_eq!(lint::findings(&config), []);
}

/// The rules in this repository have no findings.
#[test]
fn the_rules_of_this_repository_have_no_findings() {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let files = ["manifests/base/rules.yaml", "tests/data/rules.yaml", "tests/data/examples/rules.yaml"];
    let mut texts: Vec<(String, String)> = files.iter().map(|file| ((*file).to_owned(), read(file))).collect();
    let docs = walkdir::WalkDir::new("docs").sort_by_file_name().into_iter();
    let docs = docs.map(|entry| entry.expect("an entry").path().display().to_string());
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
    assert!(texts.len() > files.len() + 1, "no page has rules");
    let mut has_example = false;
    for (name, text) in texts {
        let config = config::parse(&name, &text).unwrap_or_else(|error| panic!("{error}"));
        // An example of a finding is in a file that has the finding's name.
        let is_example = |finding: &&LintFinding| text.starts_with(&format!("# {}.yaml\n", finding.lint.as_str()));
        // Examples name placeholders.
        let findings = lint::findings(&config).into_iter().filter(|finding| finding.lint != Lint::Placeholder);
        let findings: Vec<_> = findings.collect();
        let (examples, others): (Vec<_>, Vec<_>) = findings.iter().partition(is_example);
        let others: Vec<String> = others.iter().map(|finding| finding.render(&Source::new(&name, &text))).collect();
        assert_eq!(others, [""; 0]);
        has_example |= !examples.is_empty();
    }
    assert!(has_example, "no page has the example of a finding");
}

/// Rules are not compared pair by pair.
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

/// A file of one line, as programs write JSON, is drawn near each finding.
#[test]
fn findings_of_one_long_line_are_drawn_in_linear_time() {
    let file = |size: usize| {
        let rule = |at: usize| json!({"name": format!("r{at}"), "from": [format!("r{at}.io")], "to": format!("cache.example.com/r{at}")});
        let rules: Vec<Value> = (0..size).map(rule).collect();
        json!({"apiVersion": config::API_VERSION, "kind": "Rules", "rules": rules}).to_string()
    };
    let drawn = |size: usize| {
        let text = file(size);
        let source = Source::new("rules.json", &text);
        let findings = lint::findings(&config::parse("rules.json", &text).unwrap_or_else(|error| panic!("{error}")));
        let drawn: Vec<String> = findings.iter().map(|finding| finding.render(&source)).collect();
        for (finding, drawn) in findings.iter().zip(&drawn) {
            let column = finding.problem.span.start + 1;
            assert_eq!(finding.problem.line_and_column(&source), (1, column));
            assert_eq!(drawn.lines().nth(1), Some(format!(" --> rules.json:1:{column}").as_str()));
            assert!(drawn.contains(&text[finding.problem.span.clone()]), "{drawn}");
        }
        drawn
    };
    assert_eq!(drawn(100).len(), 100);
    assert_linear("drawing", |size| drop(drawn(size)), 50);
}
