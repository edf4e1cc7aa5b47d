//! What users expect of any command line: options win over variables, `--quiet`, colours, durations.

use std::fmt::Write as _;
use std::process::{Command, Output};

const RULES: &str = "tests/data/rules.yaml";

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pullthrough"));
    command.args(arguments).envs(variables.iter().copied()).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn an_option_wins_over_the_variables_of_options_that_it_excludes() {
    let absent = [("PULLTHROUGH_RULES", "absent.yaml")];
    let (cache, rules) = (("PULLTHROUGH_CACHE", "b.io"), ("PULLTHROUGH_RULES", RULES));
    for (arguments, variables, code, part) in [
        (&["explain", "--cache", "a.io", "k8s.gcr.io/a"][..], &absent[..], 0, "  a.io/a  (rule kubernetes)"),
        (&["explain", "--rules", RULES, "k8s.gcr.io/a"], &[cache], 0, "eu-west-1.amazonaws.com/k8s/a"),
        (&["explain", "--rules", RULES, "k8s.gcr.io/a"], &absent, 0, "eu-west-1.amazonaws.com/k8s/a"),
        (&["explain", "k8s.gcr.io/a"], &[cache], 0, "  b.io/a  (rule kubernetes)"),
        (&["explain", "k8s.gcr.io/a"], &[rules], 0, "eu-west-1.amazonaws.com/k8s/a"),
        (
            &["explain", "k8s.gcr.io/a"],
            &[cache, rules],
            2,
            "PULLTHROUGH_RULES and PULLTHROUGH_CACHE exclude each other",
        ),
        (&["explain", "--cache", "a.io", "--rules", RULES, "a"], &[], 2, "cannot be used with"),
        (&["check", RULES, "--allow", "placeholder"], &absent, 0, "3 rules, no problem found"),
        (&["check", "--allow", "placeholder"], &[rules], 0, "3 rules, no problem found"),
        (&["export", "kyverno", "--cache", "a.io"], &absent, 0, "a.io"),
        (&["serve", "--help"], &[cache, rules], 0, "Run the admission webhook"),
        (
            &["serve", "--cache", "a.io", "--manage-certificates", "--listen", "127.0.0.1:0"],
            &[("PULLTHROUGH_TLS_CERT", "absent"), ("PULLTHROUGH_TLS_KEY", "absent"), ("KUBECONFIG", "/absent")],
            2,
            "no such file exists; correct or unset KUBECONFIG",
        ),
    ] {
        let output = run(arguments, variables);
        let printed = [text(&output.stdout), text(&output.stderr)].concat();
        assert_eq!(output.status.code(), Some(code), "{arguments:?} {variables:?}: {printed}");
        assert!(printed.contains(part), "{arguments:?} {variables:?}: {printed}");
    }
}

#[test]
fn quiet_hides_notes_and_keeps_errors() {
    for (arguments, code, hidden, kept) in [
        (&["check", RULES, "--allow", "placeholder"][..], 0, "no problem found", ""),
        (&["check", "absent.yaml"], 2, "", "error: can't read the rules file absent.yaml"),
        (&["test", "--rules", "tests/data/examples/rules.yaml", "tests/data/tests-that-fail.yaml"], 1, "failed", ""),
        (&["scan", "-o", "json", "tests/data/scan"], 0, "images at", "skipped: "),
        (
            &["scan", "--fail-on", "docker.io", "-o", "json", "tests/data/scan"],
            1,
            "images at",
            "--fail-on: images from",
        ),
        (&["rewrite", "--diff", "--cache", "a.io", "tests/data/scan/shop.yaml"], 0, "to be rewritten", ""),
        (&["export", "docker", "--cache", "a.io"], 0, "note: ", "omitted: "),
    ] {
        let loud = run(arguments, &[]);
        let told = text(&loud.stderr);
        assert!(told.contains(hidden) && told.contains(kept), "{arguments:?}: {told}");
        for quiet in [[&["-q"], arguments].concat(), [arguments, &["--quiet"]].concat()] {
            let output = run(&quiet, &[]);
            let told = text(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{quiet:?}: {told}");
            assert_eq!(output.stdout, loud.stdout, "{quiet:?}");
            assert!(hidden.is_empty() || !told.contains(hidden), "{quiet:?}: {told}");
            assert!(told.contains(kept) && !kept.is_empty() || told.is_empty(), "{quiet:?}: {told}");
        }
    }
}

/// No output here is a terminal, so variables decide.
#[test]
fn colours_are_those_of_scan() {
    for arguments in [
        &["scan", "--rules", RULES, "tests/data/scan/shop.yaml"][..],
        &["check", "tests/data/rules-with-findings.yaml"],
        &["check", "tests/data/rules-with-errors.yaml"],
        &["explain", "--rules", RULES, "nginx", "registry.k8s.io/pause:3.10"],
        &["test", "--rules", "tests/data/examples/rules.yaml", "tests/data/tests-that-fail.yaml"],
    ] {
        let is_coloured = |variables: &[(&str, &str)]| {
            let output = run(arguments, variables);
            [output.stdout, output.stderr].concat().contains(&0x1b)
        };
        assert!(is_coloured(&[("CLICOLOR_FORCE", "1")]), "{arguments:?}");
        assert!(!is_coloured(&[]), "{arguments:?}");
        assert!(!is_coloured(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]), "{arguments:?}");
    }
}

#[test]
fn rules_that_do_not_match_are_grouped_and_near_ones_shown() {
    let mut rules = String::from("apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules:\n");
    let rule = |text: &mut String, name: &str, from: &str| {
        let _ = writeln!(text, "- {{name: {name}, from: [{from}], to: c.io/{name}}}");
    };
    (0..1000).for_each(|index| rule(&mut rules, &format!("host-{index}"), &format!("r{index}.io")));
    (0..50).for_each(|index| rule(&mut rules, &format!("path-{index}"), &format!("quay.io/team-{index}")));
    rule(&mut rules, "near", "quay.io/team/web/api");
    rules += "- {name: pattern, pattern: 'ghcr\\.io/(.+)', to: c.io/$1}\n";
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rules.yaml").display().to_string();
    std::fs::write(&file, rules).expect("a file");
    let output = run(&["explain", "--rules", &file, "quay.io/team/web/app"], &[]);
    assert_eq!(
        text(&output.stdout),
        "quay.io/team/web/app
  canonical  quay.io/team/web/app
  rule       1000 rules do not match: another host (host-0, host-1, host-2, host-3, host-4 and 995 more)
  rule       pattern: does not match: the pattern differs
  rule       48 rules do not match: another path (path-0, path-1, path-2, path-3, path-4 and 43 more)
  rule       path-48: does not match: from quay.io/team-48
  rule       path-49: does not match: from quay.io/team-49
  rule       near: does not match: from quay.io/team/web/api
  unchanged  no_rule: no rule matches
"
    );
}

#[test]
fn durations_have_a_unit() {
    let serve = |arguments: &[&str]| run(&[&["serve", "--cache", "a.io"], arguments].concat(), &[]);
    for arguments in [
        &["--drain-delay", "5"][..],
        &["--shutdown-timeout=0"],
        &["--reload-interval", "1000"],
        &["--idle-timeout", "120"],
        &["--certificate-lifetime", "7776000"],
    ] {
        let output = serve(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains("a number needs a unit (ms, s, m or h)"), "{arguments:?}");
    }
    let output = run(&["serve", "--cache", "a.io"], &[("PULLTHROUGH_IDLE_TIMEOUT", "120")]);
    assert!(text(&output.stderr).contains("for seconds, write 120s"), "{}", text(&output.stderr));
}
