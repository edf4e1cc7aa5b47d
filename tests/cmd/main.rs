//! The command line, through the binary.

mod caches;
mod catalogue;
mod circles;
mod dashboard;
mod examples;
mod export;
mod gate;
mod hands;
mod helm_values;
mod links;
mod mistakes;
mod operators;
mod page;
mod products;
#[path = "../harness/program.rs"]
mod program;
mod repository;
mod rewrite;
mod rewriting;
mod rollout;
mod sessions;
mod yaml;

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use pullthrough::cluster::doctor::fault::Fault;
use pullthrough::diagnosis::{Cause, Status};
use pullthrough::engine::Reason;
use pullthrough::lint::Lint;
use serde_json::{Value, json};

/// `TRYCMD=overwrite cargo test --test cmd` writes the snapshots.
#[test]
fn commands_print_what_the_snapshots_show() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd");
}

fn pullthrough(arguments: &[&str], stdin: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_pullthrough"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    // After a wrong argument, the binary ends without reading.
    let _ = child.stdin.take().expect("a pipe").write_all(stdin);
    child.wait_with_output().expect("the binary ends")
}

fn explain(arguments: &[&str], stdin: &[u8]) -> Vec<Value> {
    let output = pullthrough(&[&["explain", "-o", "json"], arguments].concat(), stdin);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    lines.lines().map(|line| serde_json::from_str(line).expect("one JSON object a line")).collect()
}

/// Returns the reading of the reference implementation, with the host normalised as rules compare it.
fn expected(fields: &[&str], input: &str) -> Value {
    let [_, valid, host, path, tag, digest] = fields else { panic!("six fields: {fields:?}") };
    let some = |text: &str| if text.is_empty() { Value::Null } else { json!(text) };
    if *valid != "yes" {
        return json!({"image": input, "valid": false, "registry": null, "repository": null, "tag": null, "digest": null});
    }
    let host = host.to_ascii_lowercase();
    // Ports are compared as numbers.
    let host = match host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit())) {
        Some((name, port)) => format!("{name}:{}", port.parse::<u128>().expect("digits")),
        None => host,
    };
    let host = match host.strip_suffix(":443").unwrap_or(&host) {
        "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => "docker.io",
        "ecr-public.aws.com" => "public.ecr.aws",
        host => host,
    };
    let library = if host == "docker.io" && !path.contains('/') { "library/" } else { "" };
    json!({
        "image": input, "valid": true, "registry": some(host), "repository": format!("{library}{path}"),
        "tag": some(tag), "digest": some(digest),
    })
}

#[test]
fn references_are_read_as_the_reference_implementation_reads_them() {
    let table = include_str!("../data/references.tsv");
    let rows: Vec<Vec<&str>> = table.lines().skip(1).map(|line| line.split('\t').collect()).collect();
    let inputs: Vec<String> = rows
        .iter()
        .map(|row| serde_json::from_str(&format!("\"{}\"", row[0])).expect("the body of a string literal"))
        .collect();
    // Standard input has one image in each line. An argument may have line breaks.
    let (by_argument, by_line): (Vec<_>, Vec<_>) =
        rows.iter().zip(&inputs).partition(|(_, input)| input.contains('\n'));
    let stdin = by_line.iter().fold(String::new(), |mut text, (_, input)| {
        let _ = writeln!(text, "{input}");
        text
    });
    let arguments: Vec<&str> = by_argument.iter().map(|(_, input)| input.as_str()).collect();
    let cache = ["--cache", "cache.example.com/k8s", "--"];
    let answers = explain(&[&cache[..], &["-"], &arguments].concat(), stdin.as_bytes());
    assert_eq!(answers.len(), rows.len());
    for (mut answer, (row, input)) in answers.into_iter().zip(by_line.into_iter().chain(by_argument)) {
        let object = answer.as_object_mut().expect("an object");
        for key in
            ["decision", "result", "rule", "reason", "would_be", "cache", "rollout_percent", "included_from_percent"]
        {
            object.remove(key).expect("a stable key");
        }
        assert_eq!(answer, expected(row, input), "{input:?}");
    }
}

#[test]
fn standard_input_has_one_image_a_line() {
    let answers = explain(&["--cache", "cache.example.com", "-"], b"nginx\n\nk8s.gcr.io/a\r\n\xff\nk8s.gcr.io/a");
    let fields = |answer: &Value| (answer["image"].clone(), answer["result"].clone(), answer["reason"].clone());
    let expected = [
        (json!("nginx"), json!("nginx"), json!("no_rule")),
        (json!(""), json!(""), json!("placeholder")),
        (json!("k8s.gcr.io/a\r"), json!("k8s.gcr.io/a\r"), json!("invalid")),
        (json!("\u{fffd}"), json!("\u{fffd}"), json!("invalid")),
        (json!("k8s.gcr.io/a"), json!("cache.example.com/a"), Value::Null),
    ];
    assert_eq!(answers.iter().map(fields).collect::<Vec<_>>(), expected);
}

/// Arguments of the binary, and the file with their output.
const GENERATED: [(&[&str], &str); 4] = [
    (&["schema"], "docs/reference/rules.schema.json"),
    (&["schema", "--of", "tests"], "docs/reference/tests.schema.json"),
    (
        &[
            "export",
            "webhook",
            "--rules",
            "manifests/base/rules.yaml",
            "--service",
            "pullthrough/pullthrough",
            "--warn-templates",
        ],
        "manifests/chart/files/webhook.yaml",
    ),
    (
        &[
            "export",
            "webhook",
            "--rules",
            "tests/data/rules-opt-out.yaml",
            "--service",
            "pullthrough/pullthrough",
            "--warn-templates",
        ],
        "manifests/chart/files/webhook-opt-out.yaml",
    ),
];

/// `GENERATED=overwrite cargo test --test cmd` writes the files.
#[test]
fn what_is_generated_is_current() {
    for (arguments, file) in GENERATED {
        let printed = String::from_utf8(pullthrough(arguments, b"").stdout).expect("UTF-8");
        let command = format!("what `pullthrough {}` prints", arguments.join(" "));
        is_current(file, &printed, &command);
    }
}

/// The component of kustomize adds the webhook for templates. Its client and namespaces are those of the webhook for Pods.
#[test]
fn the_component_has_the_webhook_that_is_exported() {
    const FILE: &str = "manifests/components/warn-templates/kustomization.yaml";
    let (arguments, _) = GENERATED[2];
    let configuration: Value = serde_saphyr::from_slice(&pullthrough(arguments, b"").stdout).expect("YAML");
    let mut webhook = configuration["webhooks"][1].clone();
    let copied = ["clientConfig", "namespaceSelector"];
    copied.iter().for_each(|field| drop(webhook.as_object_mut().expect("an object").remove(*field).expect("a field")));
    let copy =
        |field| json!({"op": "copy", "from": format!("/webhooks/0/{field}"), "path": format!("/webhooks/1/{field}")});
    let add = json!({"op": "add", "path": "/webhooks/-", "value": webhook});
    let operations: Vec<Value> = [add].into_iter().chain(copied.map(copy)).collect();
    let patch = serde_saphyr::to_string(&operations).expect("YAML");
    let component = std::fs::read_to_string(FILE).expect("a file of this repository");
    let (head, _) = component.split_once("    patch: |\n").expect("a patch");
    let patch: String = patch.lines().map(|line| format!("      {line}\n")).collect();
    is_current(
        FILE,
        &format!("{head}    patch: |\n{patch}"),
        "the webhook of `pullthrough export webhook --warn-templates`",
    );
}

/// The schema of the chart's values has the rules of the rules file's schema.
#[test]
fn the_values_of_the_chart_know_the_rules() {
    const DEFINITIONS: &str = "  \"$defs\": {";
    let file = "manifests/chart/values.schema.json";
    let values = std::fs::read_to_string(file).expect("a file of this repository");
    let schema = String::from_utf8(pullthrough(&["schema"], b"").stdout).expect("UTF-8");
    let before = values.split(DEFINITIONS).next().unwrap_or_default();
    let (_, definitions) = schema.split_once(DEFINITIONS).expect("definitions");
    is_current(file, &format!("{before}{DEFINITIONS}{definitions}"), "what `pullthrough schema` prints under $defs");
}

/// See [`what_is_generated_is_current`].
#[test]
fn the_findings_of_doctor_are_documented() {
    const FILE: &str = "docs/reference/doctor.md";
    let (start, end) = ("<!-- written by `make generate` -->\n", "<!-- end -->");
    let page = std::fs::read_to_string(FILE).expect("a file of this repository");
    let (head, rest) = page.split_once(start).expect("the start of the table");
    let (_, tail) = rest.split_once(end).expect("the end of the table");
    let mut table = String::from("\n| Finding | Severity | Fix |\n| --- | --- | --- |\n");
    for fault in Fault::ALL {
        let fix = fault.fix().replace('|', "\\|");
        let _ = writeln!(table, "| `{}` | {} | {fix} |", fault.as_str(), fault.severity().as_str());
    }
    table.push('\n');
    is_current(FILE, &[head, start, &table, end, tail].concat(), "the page with the findings that the code has");
    let names: std::collections::BTreeSet<_> = Fault::ALL.iter().map(|fault| fault.as_str()).collect();
    assert_eq!(names.len(), Fault::ALL.len());
    let is_kebab =
        |name: &&&str| name.split('-').all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase()));
    assert_eq!(names.iter().filter(is_kebab).count(), names.len());
}

/// Pages that help to find a fault, in tables with a column `Finding`.
#[test]
fn pages_name_findings_that_doctor_has() {
    let (mut named, mut unknown) = (0, Vec::new());
    for page in ["docs/troubleshooting", "docs/how-to"].into_iter().flat_map(walkdir::WalkDir::new) {
        let page = page.expect("an entry").into_path();
        let Ok(text) = std::fs::read_to_string(&page) else { continue };
        let mut column = None;
        for line in text.lines() {
            let cells: Vec<&str> = line.split(" | ").collect();
            match column {
                _ if !line.starts_with('|') => column = None,
                None => column = cells.iter().position(|cell| cell.trim_start_matches("| ").starts_with("Finding")),
                Some(at) => {
                    let cell = cells.get(at).copied().unwrap_or_default();
                    let words = cell.split('`').skip(1).step_by(2).filter(|word| word.contains('-'));
                    named += words.clone().count();
                    let is_unknown = |word: &&str| !Fault::ALL.iter().any(|fault| fault.as_str() == *word);
                    unknown.extend(words.filter(is_unknown).map(|word| format!("{}: {word}", page.display())));
                }
            }
        }
    }
    assert!(named > 10, "{named} findings");
    assert!(unknown.is_empty(), "doctor has no such findings: {unknown:?}");
}

/// As [`what_is_generated_is_current`].
#[test]
fn the_lints_are_documented() {
    const FILE: &str = "docs/reference/lints.md";
    let (start, end) = ("<!-- written by `make generate` -->\n", "<!-- end -->");
    let page = std::fs::read_to_string(FILE).expect("a file of this repository");
    let (head, rest) = page.split_once(start).expect("the start of the table");
    let (_, tail) = rest.split_once(end).expect("the end of the table");
    let mut table = String::from("\n| Lint | Finds |\n| --- | --- |\n");
    for lint in Lint::ALL {
        let _ = writeln!(table, "| `{}` | {} |", lint.as_str(), lint.describe());
    }
    table.push('\n');
    is_current(FILE, &[head, start, &table, end, tail].concat(), "the page with the lints that the code has");
}

/// See [`what_is_generated_is_current`].
#[test]
fn the_reasons_are_documented() {
    const FILE: &str = "docs/reference/rules-file.md";
    let (start, end) = ("<!-- reasons: written by `make generate` -->\n", "<!-- end of reasons -->");
    let page = std::fs::read_to_string(FILE).expect("a file of this repository");
    let (head, rest) = page.split_once(start).expect("the start of the table");
    let (_, tail) = rest.split_once(end).expect("the end of the table");
    let mut table = String::from("\n| Reason | When |\n| --- | --- |\n");
    for reason in Reason::ALL {
        let _ = writeln!(table, "| `{}` | {} |", reason.as_str(), reason.when());
    }
    table.push('\n');
    is_current(FILE, &[head, start, &table, end, tail].concat(), "the page with the reasons that the engine has");
    let help = std::fs::read_to_string("docs/troubleshooting/pod-not-rewritten.md").expect("a page");
    let missing: Vec<_> =
        Reason::ALL.iter().filter(|reason| !help.contains(&format!("\n| `{}` | ", reason.as_str()))).collect();
    assert!(missing.is_empty(), "docs/troubleshooting/pod-not-rewritten.md does not say what to do: {missing:?}");
}

/// See [`what_is_generated_is_current`].
#[test]
fn the_causes_are_documented() {
    const FILE: &str = "docs/reference/verify.md";
    let (start, end) = ("<!-- causes: written by `make generate` -->\n", "<!-- end of causes -->");
    let page = std::fs::read_to_string(FILE).expect("a file of this repository");
    let (head, rest) = page.split_once(start).expect("the start of the table");
    let (_, tail) = rest.split_once(end).expect("the end of the table");
    let mut table = String::from("\n| Cause | What it means | Fix |\n| --- | --- | --- |\n");
    for cause in Cause::ALL {
        let _ = writeln!(table, "| `{}` | {} | {} |", cause.as_str(), cause.what(), cause.fix());
    }
    table.push('\n');
    is_current(FILE, &[head, start, &table, end, tail].concat(), "the page with the causes that the code has");
    let missing: Vec<_> =
        Status::ALL.iter().filter(|status| !page.contains(&format!("\n| `{}` | ", status.as_str()))).collect();
    assert!(missing.is_empty(), "{FILE} lacks {missing:?}");
}

fn is_current(file: &str, text: &str, what: &str) {
    if std::env::var_os("GENERATED").is_some_and(|mode| mode == "overwrite") {
        std::fs::write(file, text).expect("a file of this repository");
    }
    let kept = std::fs::read_to_string(file).unwrap_or_default();
    assert_eq!(text, kept, "{file} is not {what}: run `make generate`");
}

#[test]
fn the_exit_code_is_the_same_when_nobody_reads() {
    let shadowed = "tests/data/rules-shadowed.yaml";
    let scan = ["scan", "--fail-on", "registry.k8s.io", "tests/data/scan/shop.yaml", "-o"];
    let scans = ["table", "json", "sarif", "markdown", "html"].map(|format| ([&scan[..], &[format]].concat(), 1));
    let others = [
        (vec!["check", shadowed], 1),
        (vec!["check", shadowed, "-o", "json"], 1),
        (vec!["check", "Cargo.toml", "-o", "json"], 2),
        (vec!["test", "--rules", "tests/data/examples/rules.yaml", "tests/data/tests-that-fail.yaml"], 1),
        (vec!["rewrite", "--check", "--cache", "cache.example.com", "tests/data/scan/shop.yaml"], 1),
        (vec!["explain", "--cache", "cache.example.com", "nginx"], 0),
    ];
    for (arguments, code) in scans.into_iter().chain(others) {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let status = Command::new(env!("CARGO_BIN_EXE_pullthrough")).args(&arguments).stdout(writer).status();
        assert_eq!(status.expect("the binary runs").code(), Some(code), "{arguments:?}");
    }
}

#[test]
fn usage_and_rules_that_are_wrong_exit_with_2() {
    for arguments in [
        &["nonsense"][..],
        &["explain", "nginx"],
        &["explain", "--cache", "a.io", "--rules", "x.yaml", "nginx"],
        &["explain", "--cache", "cache", "nginx"],
        &["explain", "--rules", "tests/data/absent.yaml", "nginx"],
        &["check", "Cargo.toml"],
        &["check"],
        &["check", "--rules", "tests/data/rules.yaml"],
        &["scan", "--context", "a", "tests/data/scan"],
        &["scan", "--kubeconfig", "a", "tests/data/scan"],
        &["scan", "--timeout", "3s", "tests/data/scan"],
        &["scan", "--configuration", "a", "-"],
        &["scan", "--no-catalogue"],
        &["scan", "--summary", "-o", "json", "-"],
        &["check", "tests/data/rules.yaml", "--allow", "nonsense"],
        &["test", "--rules", "tests/data/rules.yaml"],
        &["test", "--rules", "tests/data/rules.yaml", "tests/data/absent.yaml"],
        &["test", "--rules", "tests/data/rules.yaml", "tests/data/rules.yaml"],
        &["init", "harbor"],
        &["init", "quay", "--cache", "quay.example.com"],
        &["init", "harbor", "--cache", "harbor"],
        &["init", "harbor", "--cache", "harbor.example.com", "--upstream", "example.com"],
        &["init", "ecr", "--cache", "123456789012.dkr.ecr.eu-west-1.amazonaws.com", "--upstream", "nvcr.io"],
        &["completions", "tcsh"],
        &["man", "nonsense"],
        &["man", "--dir", "tests/data/absent"],
        &["export", "webhook", "--cache", "a.io"],
        &["export", "webhook", "--cache", "a.io", "--service", "a"],
        &["export", "webhook", "--cache", "a.io", "--service", "a/b:0"],
        &["export", "webhook", "--cache", "a.io", "--service", "a/b", "--url", "https://a/mutate"],
        &["export", "webhook", "--cache", "a.io", "--service", "a/b", "--ca-file", "Cargo.toml"],
        &["export", "webhook", "--cache", "a.io", "--service", "a/b", "--timeout-seconds", "31"],
        &["serve", "--cache", "a.io", "--tls-cert", "a"],
        &["doctor", "--kubeconfig", "tests/data/absent.yaml"],
        &["doctor", "--kubeconfig", "Cargo.toml"],
        &["doctor", "--rules", "Cargo.toml"],
        &["doctor", "--timeout", "0s"],
        &["doctor", "--timeout", "10"],
        &["scan", "--kubeconfig", "tests/data/absent.yaml"],
        &["scan", "--fail-on", "docker", "-"],
        &["scan", "--fail-on", "https://docker.io", "-"],
        &["scan", "--cache", "a.io", "--rules", "x.yaml", "-"],
        &["scan", "-n", "a", "-n", "b", "-"],
        &["scan", "-o", "xml", "-"],
        &["warm", "-"],
        &["warm", "--cache", "a.io", "--images", "-", "tests/data/scan"],
        &["warm", "--cache", "a.io", "--rate", "10", "-"],
        &["warm", "--cache", "a.io", "--rate", "0/s", "-"],
        &["warm", "--cache", "a.io", "--rate", "10/d", "-"],
        &["warm", "--cache", "a.io", "--keep-quota", "100%", "-"],
        &["warm", "--cache", "a.io", "--max-requests", "0", "-"],
        &["warm", "--cache", "a.io", "--concurrency", "0", "-"],
        &["warm", "--cache", "a.io", "--platform", "linux", "-"],
        &["warm", "--cache", "a.io", "--resume-within", "1h", "-"],
        &["warm", "--cache", "a.io", "--kubeconfig", "tests/data/absent.yaml"],
        &["verify", "-"],
        &["verify", "--cache", "a.io", "--images", "-", "tests/data/scan"],
        &["verify", "--cache", "a.io", "--kubeconfig", "a", "--images", "-"],
        &["verify", "--cache", "a.io", "--context", "a", "-"],
        &["verify", "--cache", "a.io", "--no-catalogue"],
        &["verify", "--cache", "a.io", "--fail-on", "served", "-"],
        &["verify", "--cache", "a.io", "-n", "a", "-n", "b", "-"],
        &["verify", "--cache", "a.io", "--kubeconfig", "tests/data/absent.yaml"],
        &["drill", "-"],
        &["drill", "--cache", "a.io", "--storage", "a.io", "-"],
        &["drill", "--cache", "a.io", "--storage", "a.io=tests", "-"],
        &["drill", "--cache", "a.io", "--fail-on", "yes", "-"],
        &["drill", "--cache", "a.io", "--outage", "1", "-"],
    ] {
        let output = pullthrough(arguments, b"");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty() && output.stderr.starts_with(b"error: "), "{arguments:?}");
    }
}

/// Returns the options of all commands that name an object in the cluster, with the path of the command.
fn options_that_name_objects(command: &clap::Command, path: &[&str]) -> Vec<(Vec<String>, String, bool)> {
    let mut options = Vec::new();
    for option in command.get_arguments() {
        let Some(long) = option.get_long() else { continue };
        let is_namespace = option.get_value_names().is_some_and(|names| names.iter().any(|name| name == "NAMESPACE"));
        let objects = ["configuration", "secret", "certificate-secret", "webhook-configuration"];
        if is_namespace || objects.contains(&long) {
            options.push((path.iter().map(|&word| word.to_owned()).collect(), format!("--{long}"), is_namespace));
        }
    }
    for command in command.get_subcommands() {
        options.extend(options_that_name_objects(command, &[path, &[command.get_name()]].concat()));
    }
    options
}

#[test]
fn names_of_objects_are_checked_before_they_are_used() {
    let options = options_that_name_objects(&pullthrough::cli::command(None), &[]);
    assert!(options.len() > 10, "{options:?}");
    for (path, option, is_namespace) in options {
        for (value, is_name) in [
            ("a-1", true),
            ("a.b", !is_namespace),
            ("", false),
            ("a/b", false),
            ("A", false),
            ("..", false),
            ("a?", false),
        ] {
            let value = format!("{option}={value}");
            let arguments: Vec<&str> = path.iter().map(String::as_str).chain([value.as_str(), "--help"]).collect();
            let output = pullthrough(&arguments, b"");
            let told = String::from_utf8(output.stderr).expect("UTF-8");
            assert_eq!(output.status.code(), Some(if is_name { 0 } else { 2 }), "{arguments:?}: {told}");
            assert!(
                is_name || told.contains("write lower-case letters, digits and inner dashes"),
                "{arguments:?}: {told}"
            );
        }
    }
}
