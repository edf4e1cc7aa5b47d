//! The rules file: what it accepts, what it rejects, and that its schema agrees.

use std::time::Duration;

use pullthrough_engine::config::{self, Config, KUBERNETES_REGISTRY};
use pullthrough_engine::{Cache, HealthCheck, Operators, Product, WhenCacheDown};

const EXAMPLE: &str = include_str!("../../../tests/data/rules.yaml");

fn error(rules: &str) -> String {
    let text = format!("apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules:\n{rules}\n");
    match config::parse("rules.yaml", &text) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(error) => error.to_string(),
    }
}

const LONG_NAME: &str =
    "  - {name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, from: [a.io], to: c.io}";

#[test]
fn the_example_of_the_documentation_is_valid() {
    let config = config::parse("rules.yaml", EXAMPLE).unwrap_or_else(|error| panic!("{error}"));
    let names: Vec<&str> = config.rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["kubernetes", "docker-hub", "gitlab"]);
}

#[test]
fn a_problem_is_shown_with_its_place_and_its_fix() {
    insta::assert_snapshot!(error("  - name: k8s\n    form: [registry.k8s.io]\n    to: cache.example.com"), @r"
    error: unknown field `form`
     --> rules.yaml:5:5
      |
    5 |     form: [registry.k8s.io]
      |     ^^^^
      |
      = help: did you mean `from`? Known here: `name`, `from`, `pattern`, `to`, `failover`, `whenCacheDown`, `checkExists`, `except`, `namespaces`, `imagePullSecrets`, `mode`, `rollout`
    ");
}

/// Each has the line and column of the error, and a part of the suggested fix.
#[test]
fn every_problem_names_its_place_and_a_fix() {
    for (rules, place, fix) in [
        ("  - {name: a, from: [a.io], to: c.io, modus: observe}", "4:39", "did you mean `mode`?"),
        ("  - {name: a, from: [a.io], to: c.io, mode: watch}", "4:45", "known here: `enforce`, `observe`"),
        ("  - {name: a, from: [a.io], to: c.io, rollout: 25}", "4:48", "write `25%`"),
        ("  - {name: a, from: [a.io], to: c.io, rollout: 0.25}", "4:48", "a whole number from 0 to 100"),
        ("  - {name: a, from: [a.io], to: c.io, rollout: 12.5%}", "4:48", "a whole number from 0 to 100"),
        ("  - {name: a, from: [a.io], to: c.io, rollout: 120%}", "4:48", "at most `100%`"),
        ("  - {name: a, from: [a.io], to: c.io, rollout: half}", "4:48", "such as `25%`"),
        ("  - {name: a, from: [a.io], to: c.io, rollout: }", "4:46", "write its value"),
        ("  - {name: a, from: [a.io], to: c.io, rollOut: 25%}", "4:39", "did you mean `rollout`?"),
        ("  - {name: a, from: [a.io]}", "4:15", "add `to:`"),
        ("  - {from: [a.io], to: c.io}", "4:20", "add `name:`"),
        ("  - {name: '', from: [a.io], to: c.io}", "4:12", "write a name"),
        ("  - {name: .a, from: [a.io], to: c.io}", "4:12", "begin with a letter or a digit"),
        ("  - {name: a b, from: [a.io], to: c.io}", "4:12", "use letters, digits"),
        (r#"  - {name: "a\n2026 ERROR", from: [a.io], to: c.io}"#, "4:12", "use letters, digits"),
        (r#"  - {name: "a\e[31m", from: [a.io], to: c.io}"#, "4:12", "use letters, digits"),
        ("  - {name: é, from: [a.io], to: c.io}", "4:12", "use letters, digits"),
        (LONG_NAME, "4:12", "at most 63 characters"),
        ("  - {name: a, name: b, from: [a.io], to: c.io}", "4:15", "remove one of them"),
        ("  - {name: a, from: [a.io], to: c.io}\n  - {name: a, from: [b.io], to: c.io}", "5:12", "a unique name"),
        ("  - {name: a, from: a.io, to: c.io}", "4:21", "write `[a.io]`"),
        ("  - {name: a, from: [], to: c.io}", "4:21", "list at least one registry host"),
        ("  - {name: a, to: c.io}", "4:12", "add `from:"),
        ("  - {name: a, from: [a.io], pattern: 'a', to: c.io}", "4:38", "remove one"),
        ("  - {name: a, from: [nginx], to: c.io}", "4:22", "write `docker.io/library/nginx`"),
        ("  - {name: a, from: [mycorp/app], to: c.io}", "4:22", "write `docker.io/mycorp/app`"),
        ("  - {name: a, from: ['https://a.io/x/'], to: c.io}", "4:22", "write `a.io/x`"),
        ("  - {name: a, from: ['a.io/x:1'], to: c.io}", "4:22", "write `a.io/x`"),
        ("  - {name: a, from: ['a.io:latest'], to: c.io}", "4:22", "write `a.io`"),
        ("  - {name: a, from: ['a.io/x@sha256:00'], to: c.io}", "4:22", "write `a.io/x`"),
        ("  - {name: a, from: ['*.a.io'], to: c.io}", "4:22", "or use `pattern`"),
        ("  - {name: a, from: ['a.io/'], to: c.io}", "4:22", "write `a.io`"),
        ("  - {name: a, from: ['a.io/X'], to: c.io}", "4:22", "did you mean `a.io/x`?"),
        ("  - {name: a, from: ['-a.io'], to: c.io}", "4:22", "not a valid host"),
        ("  - {name: a, from: [''], to: c.io}", "4:22", "such as `registry.k8s.io`"),
        ("  - {name: a, from: [a.io], to: cache}", "4:33", "as in `cache.example.com/cache`"),
        ("  - {name: a, from: [a.io], to: 'c.io/$1'}", "4:33", "use `pattern`"),
        ("  - {name: a, pattern: '(a', to: c.io}", "4:24", "unclosed group"),
        (r#"  - {name: a, pattern: "a\e[2J", to: c.io}"#, "4:24", "remove it"),
        ("  - {name: a, pattern: 'a)|(b', to: c.io}", "4:24", "unopened group"),
        ("  - {name: a, pattern: '(a)', to: 'c.io/$2'}", "4:35", "it has `$1`"),
        ("  - {name: a, pattern: 'a', to: 'c.io/${b}'}", "4:33", "it has none"),
        ("  - {name: a, pattern: 'a', to: 'c.io/$x'}", "4:33", "write `$1` to `$9`"),
        ("  - {name: a, pattern: '(a)', to: '$1/x'}", "4:35", "not a registry host"),
        ("  - {name: a, pattern: '(a)', to: 'c.io/X$1'}", "4:35", "did you mean `c.io/x$1`?"),
        ("  - {name: a, from: [a.io/x], to: c.io, except: [a.io/y]}", "4:50", "one of `a.io/x/…`"),
        (
            "  - {name: a, from: [docker.io/library], to: c.io, except: [docker.io/nginx]}",
            "4:61",
            "is not `docker.io/library/nginx`",
        ),
        ("  - {name: a, from: [a.io], to: c.io, namespaces: {}}", "4:51", "write one of them"),
        (
            "  - {name: a, from: [a.io], to: c.io, namespaces: {include: [a], exclude: [b]}}",
            "4:51",
            "write one of them",
        ),
        ("  - {name: a, from: [a.io], to: c.io, namespaces: {include: []}}", "4:51", "remove `namespaces`"),
        ("  - {name: a, from: [a.io], to: c.io, namespaces: {include: ['a?']}}", "4:62", "`*` for any characters"),
        ("  - {name: a, from: [a.io], to: c.io, imagePullSecrets: [Bad_Name]}", "4:58", "the name of a Secret"),
        ("  - {name: a, from: [a.io], to: c.io, except: }", "4:45", "write its value"),
        ("  - {name: ~, from: [a.io], to: c.io}", "4:12", "write its value"),
        ("  - [a]", "4:5", "write `key: value` lines"),
        ("  - {name: a", "4:5", "unclosed bracket"),
    ] {
        let error = error(rules);
        assert!(error.contains(&format!("rules.yaml:{place}")), "{rules}: not at {place}:\n{error}");
        assert!(error.contains(fix), "{rules}: no `{fix}` in:\n{error}");
    }
}

/// The same for entries of `manifests`.
#[test]
fn every_problem_of_a_declaration_names_its_place_and_a_fix() {
    for (entry, place, fix) in [
        ("{group: a.io, kind: A, image: [$.a]}", "5:28", "did you mean `images`?"),
        ("{group: a.io, kind: A}", "5:5", "add `podSpecs`"),
        ("{images: [$.a]}", "5:5", "add `group` and `kind`, `files`, or `keys`"),
        ("{kind: A, images: [$.a]}", "5:12", "write both"),
        ("{group: a.io, images: [$.a]}", "5:13", "write both"),
        ("{group: a.io, kind: A, files: [a], images: [$.a]}", "5:13", "remove one"),
        ("{kind: A, files: [a], images: [$.a]}", "5:12", "remove one"),
        ("{group: a.io/v1, kind: A, images: [$.a]}", "5:13", "without a version: `a.io`"),
        ("{group: v1, kind: A, images: [$.a]}", "5:13", "without a version: `\"\"`"),
        ("{group: '', kind: pods/x, images: [$.a]}", "5:23", "such as `Rollout`"),
        ("{group: '', kind: '', images: [$.a]}", "5:23", "such as `Rollout`"),
        ("{group: a.io, kind: A, images: []}", "5:36", "add an entry"),
        ("{group: a.io, kind: A, images: }", "5:34", "write its value"),
        ("{files: [], images: [$.a]}", "5:13", "add names of files"),
        ("{files: [''], images: [$.a]}", "5:14", "write a name"),
        ("{files: ['a{'], images: [$.a]}", "5:14", "not a valid pattern"),
        ("{files: [a], images: [spec.image]}", "5:27", "write `$.spec.image`"),
        ("{files: [a], images: [/spec/image]}", "5:27", "write `$.spec.image`"),
        ("{files: [a], images: ['$.a[?(@.b)]']}", "5:27", "`[?(@.b)]` is not supported"),
        ("{files: [a], images: ['$.a[1:2]']}", "5:27", "`[1:2]` is not supported"),
        ("{files: [a], images: ['$.a[-1]']}", "5:27", "`[-1]` is not supported"),
        ("{files: [a], images: ['$a']}", "5:27", "`a` is not supported"),
        ("{files: [a], images: ['$..*']}", "5:27", "`..*` is not supported"),
        ("{files: [a], images: ['$.a.']}", "5:27", "`.` is not supported"),
        ("{files: [a], images: [\"$['a]\"]}", "5:27", "write `['name']`"),
        ("{files: [a], images: ['$.é%']}", "5:27", "`%` is not supported"),
        ("{group: apps, kind: Deployment, args: [image]}", "5:44", "write the flag with its dashes"),
        ("{group: apps, kind: Deployment, args: ['--image=x']}", "5:44", "write the flag without its value"),
        ("{group: apps, kind: Deployment, env: ['A B']}", "5:43", "write letters"),
        ("{group: a.io, kind: A, env: [A]}", "5:33", "add the path of the PodSpec"),
        ("{files: [a], args: [--a]}", "5:24", "add the path of the PodSpec"),
        ("{group: '*', kind: A, args: [--a]}", "5:13", "write `*` for both"),
        ("{group: '*', kind: '*', images: [$.a]}", "5:37", "write the group and the kind"),
        ("{files: [a], keys: [b], images: [$.a]}", "5:24", "remove one"),
        (
            "{group: a.io, kind: A, images: [$.a], parameters: [{reference: $(a), values: [$.b]}]}",
            "5:68",
            "with `NAME` for the name of the parameter",
        ),
        (
            "{group: a.io, kind: A, images: [$.a], parameters: [{reference: NAME, values: [$.b]}]}",
            "5:68",
            "with `NAME` for the name of the parameter",
        ),
        (
            "{group: a.io, kind: A, images: [$.a], parameters: [{reference: $(NAME), values: []}]}",
            "5:85",
            "the paths of the parameters' values",
        ),
        (
            "{group: a.io, kind: A, images: [$.a], parameters: [{reference: $(NAME), values: [b]}]}",
            "5:86",
            "write `$.b`",
        ),
        (
            "{group: a.io, kind: A, podSpecs: [$.a], parameters: [{reference: $(NAME), values: [$.b]}]}",
            "5:57",
            "add the paths of the fields",
        ),
        ("{keys: [], images: [$.a]}", "5:12", "add keys"),
        ("{group: a.io, kind: A, keys: [a], images: [$.a]}", "5:13", "remove one"),
        ("{files: [a], objects: [$.a]}", "5:27", "write a group and a kind"),
        ("{files: [a], images: ['$.a[?@.b == c]']}", "5:27", "`[?@.b == c]` is not supported"),
        ("{files: [a], images: ['$.a[?@.b == \"c]']}", "5:27", "is not supported"),
    ] {
        let text = format!("apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules: []\nmanifests:\n  - {entry}\n");
        let error = config::parse("rules.yaml", &text).expect_err(entry).to_string();
        assert!(error.contains(&format!("rules.yaml:{place}")), "{entry}: not at {place}:\n{error}");
        assert!(error.contains(fix), "{entry}: no `{fix}` in:\n{error}");
    }
}

/// The same for entries of `caches`.
#[test]
fn every_problem_of_a_cache_names_its_place_and_a_fix() {
    for (entries, place, fix) in [
        ("[{product: harbor}]", "4:11", "add `prefix:`"),
        ("[{prefix: cache}]", "4:19", "as in `cache.example.com/cache`"),
        ("[{prefix: 'https://c.io'}]", "4:19", "write `c.io`"),
        ("[{prefix: 'c.io/$1'}]", "4:19", "not a valid path"),
        ("[{prefix: c.io}, {prefix: 'C.io:443'}]", "4:35", "join the entries, or write a longer prefix"),
        ("[{prefix: c.io, product: quay}]", "4:34", "known here: `distribution`, `harbor`"),
        ("[{prefix: c.io, product: Harbor}]", "4:34", "did you mean `harbor`?"),
        ("[{prefix: c.io, caFile: ca.crt}]", "4:33", "such as `/etc/pullthrough/ca/cache.crt`"),
        ("[{prefix: c.io, caFile: ''}]", "4:33", "or remove the field"),
        ("[{prefix: c.io, caFile: }]", "4:31", "write its value"),
        (r#"[{prefix: c.io, caFile: "/a\n"}]"#, "4:33", "remove the control characters"),
        ("[{prefix: c.io, caFile: '-----BEGIN CERTIFICATE-----'}]", "4:33", "and not its text"),
        ("[{prefix: c.io, caFil: /a}]", "4:25", "did you mean `caFile`?"),
        ("[{prefix: c.io, health: }]", "4:31", "write its value"),
        ("[{prefix: c.io, health: true}]", "4:33", "`key: value`"),
        ("[{prefix: c.io, health: {intervall: 1s}}]", "4:34", "did you mean `interval`?"),
        ("[{prefix: c.io, health: {interval: 10}}]", "4:44", "for seconds, write 10s"),
        ("[{prefix: c.io, health: {interval: 500ms}}]", "4:44", "from 1s to 1h"),
        ("[{prefix: c.io, health: {timeout: 2m}}]", "4:43", "from 100ms to 1m"),
        ("[{prefix: c.io, health: {canary: library/busybox}}]", "4:42", "without a digest"),
        ("[{prefix: c.io, health: {canary: 'library/busybox:1'}}]", "4:42", "without a digest"),
        ("[{prefix: c.io, health: {canary: 'busybox@sha256:00'}}]", "4:42", "such as `library/busybox@sha256:…`"),
        ("{prefix: c.io}", "4:9", "write"),
        ("", "4:7", "write its value"),
    ] {
        let text = format!("apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules: []\ncaches: {entries}\n");
        let error = config::parse("rules.yaml", &text).expect_err(entries).to_string();
        assert!(error.contains(&format!("rules.yaml:{place}")), "{entries}: not at {place}:\n{error}");
        assert!(error.contains(fix), "{entries}: no `{fix}` in:\n{error}");
    }
}

/// The same for `failover`, `whenCacheDown` and `checkExists`, with `health` of some caches.
#[test]
fn every_problem_of_a_failover_names_its_place_and_a_fix() {
    const CACHES: &str =
        "caches: [{prefix: a.io, health: {}}, {prefix: b.io, health: {}}, {prefix: b.io/dark}, {prefix: d.io}]";
    for (rule, place, fix) in [
        ("{name: r, from: [x.io], to: a.io, failover: []}", "5:49", "list at least one cache"),
        ("{name: r, from: [x.io], to: a.io, failover: b.io}", "5:49", "write `[b.io]`"),
        ("{name: r, from: [x.io], to: a.io, failover: [cache]}", "5:50", "as in `cache.example.com/cache`"),
        ("{name: r, from: [x.io], to: a.io, failover: ['b.io/$1']}", "5:50", "use `pattern`"),
        ("{name: r, pattern: '(x)', to: a.io, failover: ['b.io/$2']}", "5:52", "it has `$1`"),
        ("{name: r, from: [x.io], to: a.io, failover: ['A.io:443']}", "5:50", "name another cache"),
        ("{name: r, pattern: '(x)(y)', to: 'a.io/$1/$2', failover: ['A.io/$1/$2']}", "5:63", "name another cache"),
        ("{name: r, from: [x.io], to: a.io, failover: [b.io, c.io, b.io]}", "5:62", "remove one of them"),
        ("{name: r, from: [x.io], to: a.io, failover: [x.io]}", "5:50", "write `whenCacheDown: upstream`"),
        (
            "{name: r, from: [docker.io], to: a.io, failover: [index.docker.io]}",
            "5:55",
            "write `whenCacheDown: upstream`",
        ),
        ("{name: r, from: [x.io], to: a.io, failover: [x.io/a]}", "5:50", "write `whenCacheDown: upstream`"),
        (
            "{name: r, pattern: '(y)', to: a.io, failover: ['x.io/a$1']}\n  - {name: s, from: [x.io], to: a.io}",
            "5:52",
            "is under `x.io`, which rule `s` rewrites",
        ),
        ("{name: r, from: [x.io], to: c.io, failover: [a.io]}", "5:50", "add `health: {}`"),
        ("{name: r, from: [x.io], to: d.io, failover: [a.io]}", "5:50", "`{prefix: d.io, health: {}}`"),
        (
            "{name: r, from: [x.io], to: b.io/dark, failover: [a.io]}",
            "5:55",
            "the health of `b.io/dark` before it is not known",
        ),
        (
            "{name: r, from: [x.io], to: a.io, failover: [c.io, b.io]}",
            "5:56",
            "the health of `c.io` before it is not known",
        ),
        ("{name: r, pattern: 'x/(.+)', to: 'c.io/$1', failover: [a.io/$1]}", "5:60", "the health of `c.io/$1`"),
        ("{name: r, from: [x.io], to: c.io, whenCacheDown: upstream}", "5:54", "never acts: the health of `c.io`"),
        (
            "{name: r, from: [x.io], to: a.io, failover: [c.io], whenCacheDown: upstream}",
            "5:72",
            "never acts: the health of `c.io`",
        ),
        ("{name: r, from: [x.io], to: a.io, whenCacheDown: fail}", "5:54", "known here: `keep`, `upstream`"),
        ("{name: r, from: [x.io], to: a.io, checkExists: true}", "5:52", "`key: value`"),
        ("{name: r, from: [x.io], to: a.io, checkExists: {deadline: 500}}", "5:63", "for seconds, write 500s"),
        ("{name: r, from: [x.io], to: a.io, checkExists: {deadline: 10s}}", "5:63", "from 10ms to 2s"),
        ("{name: r, from: [x.io], to: a.io, checkExists: {timeout: 1s}}", "5:53", "known here: `deadline`"),
    ] {
        let text = format!("apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\n{CACHES}\nrules:\n  - {rule}\n");
        let error = config::parse("rules.yaml", &text).expect_err(rule).to_string();
        assert!(error.contains(&format!("rules.yaml:{place}")), "{rule}: not at {place}:\n{error}");
        assert!(error.contains(fix), "{rule}: no `{fix}` in:\n{error}");
    }
    for rule in [
        "{name: r, from: [x.io], to: a.io, failover: [c.io]}",
        "{name: r, from: [x.io], to: a.io, failover: [b.io, c.io], whenCacheDown: keep}",
        "{name: r, from: [x.io], to: a.io/x, failover: [b.io], whenCacheDown: upstream}",
        "{name: r, pattern: '(x)(y)', to: 'a.io/$1/$2', failover: ['a.io/$2/$1', 'b.io/x1/$2']}",
        "{name: r, pattern: 'x/(.+)', to: 'a$1.io/y', failover: ['b.io/$1']}\n  - {name: s, from: [b.io/x], to: a.io}",
        "{name: r, from: [x.io], to: c.io, whenCacheDown: keep, checkExists: {deadline: 10ms}}",
    ] {
        let text = format!("apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\n{CACHES}\nrules:\n  - {rule}\n");
        let parsed = config::parse("rules.yaml", &text);
        assert!(parsed.is_ok() || rule.contains("a$1"), "{rule}:\n{}", parsed.expect_err("an error"));
    }
}

/// The same for `operators`.
#[test]
fn every_problem_of_operators_names_its_place_and_a_fix() {
    for (operators, place, fix) in [
        ("{skip: [cnpg]}", "4:20", "known here: `aerospike`"),
        ("{skip: [cloudnativepg]}", "4:20", "did you mean `cloudnative-pg`?"),
        ("{skip: [CloudNative-PG]}", "4:20", "did you mean `cloudnative-pg`?"),
        ("{skip: [known]}", "4:20", "write `skip: known` instead of a list"),
        ("{skip: all}", "4:19", "write `known`, or a list"),
        ("{skip: olm}", "4:19", "write `[olm]`"),
        ("{skip: true}", "4:19", "write `known`, or a list"),
        ("{skip: 7}", "4:19", "write `known`, or a list"),
        ("{skip: {olm: {}}}", "4:19", "write `known`, or a list"),
        ("{skip: }", "4:17", "write its value"),
        ("{skip: [[olm]]}", "4:20", "write `- NAME`"),
        ("{skip: [olm, ~]}", "4:25", "write `- NAME`"),
        ("{skip: [7]}", "4:20", "write `- NAME`"),
        ("{skip: [olm, olm]}", "4:25", "join the entries"),
        ("{skip: [{name: olm, namespace: olm}]}", "4:32", "did you mean `namespaces`?"),
        ("{skip: [{operatorNamespaces: [olm]}]}", "4:21", "add `name:`"),
        ("{skip: [{name: ollm}]}", "4:27", "did you mean `olm`?"),
        ("{skip: [{name: olm, operatorNamespaces: olm}]}", "4:52", "write `[olm]`"),
        ("{skip: [{name: olm, operatorNamespaces: []}]}", "4:52", "name a namespace"),
        ("{skip: [{name: olm, operatorNamespaces: ['ol*']}]}", "4:53", "without `*`"),
        ("{skip: [{name: olm, namespaces: {}}]}", "4:44", "write one of them"),
        ("{skip: [vitess]}", "4:20", "operatorNamespaces: [NAMESPACE]"),
        ("{skip: [zalando-postgres-operator]}", "4:20", "namespaces: {include: [NAMESPACE]}"),
        ("{skip: [{name: aerospike, namespaces: {exclude: [a]}}]}", "4:27", "namespaces: {include: [NAMESPACE]}"),
        ("{skip: [{name: aerospike, operatorNamespaces: [a], namespaces: {include: [a]}}]}", "4:58", "remove it"),
        ("{onRecreateLoop: stand_down}", "4:29", "did you mean `standDown`?"),
        ("{onRecreatLoop: report}", "4:13", "did you mean `onRecreateLoop`?"),
        ("known", "4:12", "`key: value`"),
        ("", "4:10", "write its value"),
    ] {
        let text = format!("apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules: []\noperators: {operators}\n");
        let error = config::parse("rules.yaml", &text).expect_err(operators).to_string();
        assert!(error.contains(&format!("rules.yaml:{place}")), "{operators}: not at {place}:\n{error}");
        assert!(error.contains(fix), "{operators}: no `{fix}` in:\n{error}");
    }
}

#[test]
fn known_operators_are_those_that_create_their_pods() {
    let parse = |operators: &str| {
        let text = format!("apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules: []\noperators: {operators}\n");
        config::parse("rules.yaml", &text).unwrap_or_else(|error| panic!("{error}")).settings.operators
    };
    let names: Vec<_> = parse("{skip: known}").skip.iter().map(|skipped| skipped.operator.name).collect();
    assert_eq!(names, ["cloudnative-pg", "koperator", "kubeblocks", "kubevirt", "nifikop", "olm"]);
    let all = parse(
        "{skip: [cloudnative-pg, {name: vitess, operatorNamespaces: [v]}, {name: aerospike, namespaces: {include: [a]}}]}",
    );
    let namespaces: Vec<_> = all.skip.iter().map(|skipped| skipped.service_accounts_in.join(",")).collect();
    assert_eq!(namespaces, ["cnpg-system", "v", ""]);
    assert_eq!(parse("{}"), Operators::default());
}

#[test]
fn health_and_checks_have_defaults() {
    let parse = |caches: &str, rule: &str| {
        let text = format!(
            "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\ncaches: [{caches}]\nrules: [{{name: r, from: [x.io], to: a.io{rule}}}]\n"
        );
        config::parse("rules.yaml", &text).unwrap_or_else(|error| panic!("{error}"))
    };
    let health = |text: &str| parse(text, "").settings.caches[0].health.clone();
    let secs = Duration::from_secs;
    assert_eq!(health("{prefix: a.io}"), None);
    assert_eq!(
        health("{prefix: a.io, health: {}}"),
        Some(HealthCheck { interval: secs(10), timeout: secs(3), canary: None })
    );
    let canary = format!("hub/library/busybox@sha256:{}", "0".repeat(64));
    assert_eq!(
        health(&format!("{{prefix: a.io, health: {{interval: 1m, timeout: 500ms, canary: '{canary}'}}}}")),
        Some(HealthCheck { interval: secs(60), timeout: Duration::from_millis(500), canary: Some(canary) })
    );
    let rule = |text: &str| parse("{prefix: a.io, health: {}}", text).rules[0].clone();
    assert_eq!((rule("").check_exists, rule("").when_cache_down), (None, WhenCacheDown::Keep));
    assert_eq!(rule(", checkExists: {}").check_exists.map(|check| check.deadline), Some(Duration::from_millis(500)));
    assert_eq!(rule(", whenCacheDown: upstream").when_cache_down, WhenCacheDown::Upstream);
    assert_eq!(
        [rule(""), rule(", rollout: 0%"), rule(", rollout: '25%'")].map(|rule| rule.rollout.get()),
        [100, 0, 25]
    );
}

#[test]
fn there_is_a_limit_of_caches() {
    let text = |count: usize| {
        let entries: String = (0..count).map(|at| format!("  - {{prefix: c{at}.io}}\n")).collect();
        format!("apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules: []\ncaches:\n{entries}")
    };
    let limit = config::MAX_CACHES;
    assert_eq!(config::parse("rules.yaml", &text(limit)).expect("as many as allowed").settings.caches.len(), limit);
    let error = config::parse("rules.yaml", &text(limit + 1)).expect_err("too many").to_string();
    assert!(error.contains("the file has 1001 caches, and the limit is 1000"), "{error}");
}

#[test]
fn the_longest_prefix_is_the_cache_of_a_name() {
    let text = "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules: []\ncaches:
  - {prefix: c.io, caFile: /no/such/file}
  - {prefix: c.io/hub/a, product: zot}
  - {prefix: 'C.io:443/hub', product: harbor}
";
    let caches = config::parse("rules.yaml", text).expect("valid").settings.caches;
    for (name, expected) in [
        ("c.io/other/a", Some((Product::Generic, Some("/no/such/file")))),
        ("c.io/hubs/a", Some((Product::Generic, Some("/no/such/file")))),
        ("c.io/hub", Some((Product::Harbor, None))),
        ("c.io/hub/b", Some((Product::Harbor, None))),
        ("c.io/hub/a/b", Some((Product::Zot, None))),
        ("d.io/hub", None),
    ] {
        let found = Cache::of(&caches, name).map(|cache| (cache.product, cache.ca_file.as_deref()));
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn the_head_of_the_file_is_checked() {
    for (text, place, fix) in [
        ("", "1:1", "apiVersion: pullthrough.dev/v1alpha1"),
        ("kind: Rules\nrules: []", "2:1", "add `apiVersion:`"),
        ("apiVersion: v1\nkind: Rules\nrules: []", "1:13", "write `pullthrough.dev/v1alpha1`"),
        ("apiVersion: pullthrough.dev/v1alpha1\nkind: Rule\nrules: []", "2:7", "write `Rules`"),
        (
            "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules: []\n---\na: b",
            "5:1",
            "keep all rules in one document",
        ),
        ("apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules:\n", "3:6", "write its value"),
        (
            "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nallowOptOut: yes\nrules: []",
            "3:14",
            "write `true` or `false`",
        ),
        (
            "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nwhenNotUnderstood: refuse\nrules: []",
            "3:20",
            "known here: `allow`, `deny`",
        ),
        ("apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrule: []", "3:1", "did you mean `rules`?"),
    ] {
        let error = config::parse("rules.yaml", text).expect_err(text).to_string();
        assert!(error.contains(&format!("rules.yaml:{place}")) && error.contains(fix), "{text:?}:\n{error}");
    }
}

#[test]
fn the_built_in_rule_takes_every_name_of_the_registry() {
    let policy = pullthrough_engine::Policy::from(Config::for_cache("cache.example.com/k8s").expect("a valid prefix"));
    for host in KUBERNETES_REGISTRY {
        let image = format!("{host}/pause:3.9");
        let question = pullthrough_engine::Question {
            image: &image,
            namespace: "default",
            pull_never: false,
            previous: None,
            included_from: None,
        };
        let decision = policy.decide(question);
        assert!(decision.reason().is_none(), "{image}: {decision:?}");
    }
    assert!(Config::for_cache("cache").is_err());
}

/// The code reads what the schema accepts, within the limits of JSON Schema.
#[test]
fn the_schema_and_the_code_agree() {
    let schema = serde_json::to_value(config::schema()).expect("a schema is JSON");
    let validator = jsonschema::validator_for(&schema).expect("a valid schema");
    let with = |rule: &str| format!("apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules:\n  - {rule}\n");
    let mut documents = vec![
        EXAMPLE.to_owned(),
        "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules: []\n".to_owned(),
        "apiVersion: pullthrough.dev/v2\nkind: Rules\nrules: []\n".to_owned(),
        "apiVersion: pullthrough.dev/v1alpha1\nkind: Rule\nrules: []\n".to_owned(),
        "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\n".to_owned(),
        "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules: []\nallowOptOut: 1\n".to_owned(),
        "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules: []\nextra: true\n".to_owned(),
        "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules: []\nwhenNotUnderstood: deny\n".to_owned(),
        "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules: []\nwhenNotUnderstood: maybe\n".to_owned(),
    ];
    documents.extend(
        [
            "{name: a, from: [a.io], to: c.io}",
            "{name: a, pattern: 'a', to: c.io, except: [a.io], imagePullSecrets: [s], mode: enforce}",
            "{name: a, from: [a.io], to: c.io, namespaces: {include: [x]}}",
            "{name: a, from: [a.io], to: c.io, namespaces: {exclude: [x]}, mode: observe}",
            "{name: a, from: [a.io], pattern: a, to: c.io}",
            "{name: a, to: c.io}",
            "{name: '', from: [a.io], to: c.io}",
            "{name: 'a b', from: [a.io], to: c.io}",
            "{name: -a, from: [a.io], to: c.io}",
            "{name: A.b_c-9, from: [a.io], to: c.io}",
            "{name: a, from: [], to: c.io}",
            "{name: a, from: a.io, to: c.io}",
            "{name: a, from: [a.io]}",
            "{name: a, from: [a.io], to: c.io, mode: watch}",
            "{name: a, from: [a.io], to: c.io, namespaces: {}}",
            "{name: a, from: [a.io], to: c.io, namespaces: {include: [x], exclude: [y]}}",
            "{name: a, from: [a.io], to: c.io, namespaces: {include: []}}",
            "{name: a, from: [a.io], to: c.io, typo: 1}",
            "{name: a, from: ~, pattern: a, to: c.io}",
            "{name: a, from: [a.io], to: c.io, except: ~}",
            "{name: a, from: [a.io], to: c.io, namespaces: ~}",
            "{name: a, from: [a.io], to: c.io, whenCacheDown: keep, checkExists: {}}",
            "{name: a, from: [a.io], to: c.io, checkExists: {deadline: 1s}}",
            "{name: a, from: [a.io], to: c.io, checkExists: {after: 1s}}",
            "{name: a, from: [a.io], to: c.io, checkExists: ~}",
            "{name: a, from: [a.io], to: c.io, failover: []}",
            "{name: a, from: [a.io], to: c.io, failover: d.io}",
            "{name: a, from: [a.io], to: c.io, whenCacheDown: ~}",
            "{name: a, from: [a.io], to: c.io, whenCacheDown: deny}",
            "{name: a, from: [a.io], to: c.io, rollout: 0%}",
            "{name: a, from: [a.io], to: c.io, rollout: 100%}",
            "{name: a, from: [a.io], to: c.io, rollout: 101%}",
            "{name: a, from: [a.io], to: c.io, rollout: 05%}",
            "{name: a, from: [a.io], to: c.io, rollout: 25}",
            "{name: a, from: [a.io], to: c.io, rollout: ~}",
        ]
        .map(with),
    );
    documents.extend(
        [
            "{group: a.io, kind: A, images: [$.a]}",
            "{group: '', kind: Pod, args: [--a], env: [A_*]}",
            "{group: a.io, kind: A, podSpecs: [$.a], splitImages: ['$..a'], args: [-a]}",
            "{files: ['**/a'], splitImages: ['$..image']}",
            "{group: a.io, kind: A}",
            "{group: a.io, images: [$.a]}",
            "{kind: A, images: [$.a]}",
            "{images: [$.a]}",
            "{group: a.io, kind: A, files: [a], images: [$.a]}",
            "{group: a.io, files: [a], images: [$.a]}",
            "{group: a.io, kind: '', images: [$.a]}",
            "{group: a.io, kind: A, images: []}",
            "{files: [], images: [$.a]}",
            "{files: [a], images: ~}",
            "{files: [a], images: [$.a], typo: 1}",
        ]
        .map(|entry| {
            format!("apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules: []\nmanifests:\n  - {entry}\n")
        }),
    );
    let products = Product::ALL.iter().map(|product| format!("{{prefix: c.io, product: {}}}", product.as_str()));
    let caches = [
        "{prefix: c.io}",
        "{prefix: c.io/x, product: zot, caFile: /a}",
        "{prefix: c.io, caFile: a}",
        "{prefix: c.io, caFile: ''}",
        "{prefix: c.io, caFile: ~}",
        "{prefix: c.io, product: quay}",
        "{product: zot}",
        "{prefix: [c.io]}",
        "{prefix: c.io, health: {}}",
        "{prefix: c.io, health: ~}",
        "{prefix: c.io, health: {interval: 1m, timeout: 1s}}",
        "{prefix: c.io, health: {interval: [1m]}}",
        "{prefix: c.io, health: {canary: a/b}}",
        "{prefix: c.io, health: {period: 1m}}",
    ];
    documents.extend(
        products.chain(caches.map(str::to_owned)).map(|entry| {
            format!("apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules: []\ncaches:\n  - {entry}\n")
        }),
    );
    let mut verdicts = [0, 0];
    for document in documents {
        let instance: serde_json::Value = serde_saphyr::from_str(&document).expect("YAML");
        let accepted = config::parse("rules.yaml", &document).is_ok();
        assert_eq!(validator.is_valid(&instance), accepted, "{document}");
        verdicts[usize::from(accepted)] += 1;
    }
    assert!(verdicts.iter().all(|&count| count > 4), "the generator must produce valid and invalid files");
}
