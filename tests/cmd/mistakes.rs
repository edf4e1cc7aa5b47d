//! Mistakes that people make, and what they read.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

/// The time that a server may take for its next log line.
const DEADLINE: Duration = Duration::from_secs(60);
const HEAD: &str = "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules:\n";
const GOOD: &str = "  - {name: a, from: [a.io], to: c.io}\n";

/// Rules files with a mistake, each with what follows `rules:`.
const RULES: [(&str, &str); 22] = [
    ("good.yaml", GOOD),
    ("indented-more.yaml", "  - name: a\n     from: [a.io]\n    to: c.io\n"),
    ("indented-less.yaml", "  - name: a\n    from: [a.io]\n   to: c.io\n"),
    ("not-indented.yaml", "  - name: a\n  from: [a.io]\n  to: c.io\n"),
    ("tab.yaml", "  - name: a\n\tfrom: [a.io]\n"),
    ("list-indented-more.yaml", "  - name: a\n    from:\n    - a.io\n     - b.io\n    to: c.io\n"),
    ("no-space.yaml", "  - name:a\n    from: [a.io]\n    to: c.io\n"),
    ("star.yaml", "  - {name: a, from: [a.io], to: c.io, namespaces: {exclude: [*-system]}}\n"),
    ("template.yaml", "  {{- range .Values.rules }}\n"),
    ("namespaces-list.yaml", "  - {name: a, from: [a.io], to: c.io, namespaces: [x]}\n"),
    ("namespaces-text.yaml", "  - {name: a, from: [a.io], to: c.io, namespaces: x}\n"),
    ("secrets-of-pods.yaml", "  - {name: a, from: [a.io], to: c.io, imagePullSecrets: [{name: x}]}\n"),
    ("secrets-text.yaml", "  - {name: a, from: [a.io], to: c.io, imagePullSecrets: x}\n"),
    ("to-list.yaml", "  - {name: a, from: [a.io], to: [c.io]}\n"),
    ("mode-list.yaml", "  - {name: a, from: [a.io], to: c.io, mode: [observe]}\n"),
    ("rules-by-name.yaml", "  hub:\n    from: [a.io]\n    to: c.io\n"),
    ("rules-of-hosts.yaml", "  - docker.io\n"),
    ("upper-case.yaml", "  - {name: a, from: [a.io], to: c.io/K8S}\n"),
    ("upper-case-pattern.yaml", "  - {name: a, pattern: 'a.io/(.+)', to: 'c.io/K8S/$1'}\n"),
    ("two-slashes.yaml", "  - {name: a, from: [a.io], to: c.io//k8s}\n"),
    ("underscore.yaml", "  - {name: a, from: [a.io], to: c_x.io/k8s}\n"),
    ("port.yaml", "  - {name: a, from: [a.io], to: 'c.io:port/k8s'}\n"),
];

/// Other files.
const FILES: [(&str, &str); 15] = [
    ("values.yaml", "replicaCount: 2\nimage: {repository: nginx}\n"),
    ("deployment.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n"),
    ("chart-values.yaml", "image: {tag: a}\nrules:\n  - {name: a, from: [a.io], to: c.io}\n"),
    ("rules-alone.yaml", "rules:\n  - {name: a, from: [a.io], to: c.io}\n"),
    ("configmap.yaml", "apiVersion: v1\nkind: ConfigMap\ndata:\n  other.yaml: |\n    kind: Rules\n"),
    (
        "rendered.yaml",
        "---\n# Source: pullthrough/templates/rules.yaml\napiVersion: v1\nkind: ConfigMap\ndata:\n  rules.yaml: |\n    \
         apiVersion: pullthrough.dev/v1alpha1\n    kind: Rules\n    rules:\n      - {name: a, from: [a], to: c.io}\n",
    ),
    ("tests.yaml", "apiVersion: pullthrough.dev/v1alpha1\nkind: Tests\ntests: [{image: a, reason: no_rule}]\n"),
    ("list.yaml", "- {name: a, from: [a.io], to: c.io}\n"),
    ("notes.txt", "Dear all,\n"),
    ("comments.yaml", "# nothing yet\n"),
    ("no-rules.yaml", "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules: []\n"),
    ("no-comma.json", "{\"apiVersion\": \"pullthrough.dev/v1alpha1\"\n \"kind\": \"Rules\", \"rules\": []}\n"),
    ("not-closed.json", "{\"apiVersion\": \"pullthrough.dev/v1alpha1\",\n \"rules\": [\n"),
    (
        "kubeconfig",
        "contexts:\n- {name: dev, context: {cluster: down}}\n- {name: prod, context: {cluster: gone}}\n\
         clusters:\n- {name: down, cluster: {server: \"https://127.0.0.1:1\"}}\ncurrent-context: dev\n",
    ),
    ("csr.pem", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"),
];

/// PEM files with their labels and headers; nothing in them is a key.
const PEM: [(&str, &str, &str); 5] = [
    ("tls.crt", "CERTIFICATE", ""),
    ("tls.key", "PRIVATE KEY", ""),
    ("pkcs1.key", "RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n"),
    ("sec1.key", "EC PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n"),
    ("pkcs8.key", "ENCRYPTED PRIVATE KEY", ""),
];

/// Each line is a command.
const COMMANDS: &str = "
check values.yaml
check chart-values.yaml
check rules-alone.yaml
check deployment.yaml
check configmap.yaml
check rendered.yaml
check tests.yaml
check list.yaml
check notes.txt
check comments.yaml
check absent.yaml
check -o json absent.yaml
test -o json --rules absent.yaml absent.yaml
test -o json --rules rules-alone.yaml absent.yaml
test -o json --rules good.yaml absent.yaml
check .
test --rules tests.yaml good.yaml
test --rules good.yaml good.yaml
test --rules good.yaml deployment.yaml
scan good.yaml
scan tests.yaml deployment.yaml
rewrite --diff --rules good.yaml good.yaml
check 40000.yaml
check indented-more.yaml
check indented-less.yaml
check not-indented.yaml
check tab.yaml
check list-indented-more.yaml
check no-space.yaml
check star.yaml
check template.yaml
check no-comma.json
check not-closed.json
check namespaces-list.yaml
check namespaces-text.yaml
check secrets-of-pods.yaml
check secrets-text.yaml
check to-list.yaml
check mode-list.yaml
check rules-by-name.yaml
check rules-of-hosts.yaml
check no-rules.yaml
check no-rules.yaml --allow no-rules
check upper-case.yaml
check upper-case-pattern.yaml
check two-slashes.yaml
check underscore.yaml
check port.yaml
explain --cache c.io/K8S nginx
serve --rules good.yaml --listen 8443
serve --rules good.yaml --listen localhost:8443
serve --rules good.yaml --listen :8443
serve --rules good.yaml --listen webhook:8443
serve --rules good.yaml --listen 0.0.0.0
serve --rules good.yaml --listen ::1:8443
serve --rules good.yaml --listen 0.0.0.0:84430
serve --rules good.yaml --metrics-listen http://0.0.0.0:8080
serve --rules good.yaml --tls-cert absent --tls-key tls.key
serve --rules good.yaml --tls-cert tls.key --tls-key tls.crt
serve --rules good.yaml --tls-cert tls.key --tls-key tls.key
serve --rules good.yaml --tls-cert csr.pem --tls-key tls.key
serve --rules good.yaml --tls-cert tls.crt --tls-key tls.crt
serve --rules good.yaml --tls-cert tls.crt --tls-key notes.txt
serve --rules good.yaml --tls-cert tls.crt --tls-key pkcs1.key
serve --rules good.yaml --tls-cert tls.crt --tls-key sec1.key
serve --rules good.yaml --tls-cert tls.crt --tls-key pkcs8.key
serve --rules good.yaml --manage-certificates
scan --kubeconfig kubeconfig --context staging
scan --kubeconfig kubeconfig --context prod
explain --rules good.yaml https://a.io/x Nginx
rewrite --rules good.yaml absent.yaml
rewrite --rules good.yaml --diff absent.yaml
rewrite --rules good.yaml --check absent.yaml
scan absent.yaml
doctor --kubeconfig kubeconfig -o json
doctor --kubeconfig absent -o json
doctor --kubeconfig kubeconfig --rules values.yaml -o json
";

fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file");
    RULES.iter().for_each(|(name, rules)| write(name, &format!("{HEAD}{rules}")));
    FILES.iter().for_each(|(name, text)| write(name, text));
    for (name, label, headers) in PEM {
        write(name, &format!("-----BEGIN {label}-----\n{headers}AAAA\n-----END {label}-----\n"));
    }
    write("40000.yaml", &many(40_000));
    folder
}

fn many(count: usize) -> String {
    (0..count).fold(HEAD.to_owned(), |mut text, number| {
        let _ =
            writeln!(text, "  - {{name: r{number}, from: [r{number}.example.com], to: cache.example.com/r{number}}}");
        text
    })
}

fn command(folder: &Path, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pullthrough"));
    command.args(arguments.split_whitespace()).current_dir(folder).stdin(Stdio::null());
    command.env("HOME", folder).env_remove("KUBECONFIG").env_remove("KUBERNETES_SERVICE_HOST");
    command
}

/// `INSTA_UPDATE=always cargo test --test cmd mistakes` writes the snapshot again.
#[test]
fn mistakes_are_explained() {
    let folder = folder();
    let mut text = String::new();
    for arguments in COMMANDS.lines().filter(|line| !line.is_empty()) {
        let output = command(folder.path(), arguments).output().expect("the binary runs");
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8(printed).expect("UTF-8");
        let _ = writeln!(text, "$ pullthrough {arguments}");
        printed.lines().filter(|line| !is_log(line)).for_each(|line| text.extend([line.trim_end(), "\n"]));
        let _ = writeln!(text, "exit code {}\n", output.status.code().expect("an exit code"));
    }
    insta::assert_snapshot!(text);
}

/// Log lines start with a time.
fn is_log(line: &str) -> bool {
    line.starts_with("20") && line.contains("Z  ")
}

#[test]
fn a_rules_file_may_have_10000_rules() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("rules.yaml"), many(10_000)).expect("a file");
    let output = command(folder.path(), "explain -o json --rules rules.yaml r9999.example.com/x").output();
    let output = output.expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"result\":\"cache.example.com/r9999/x\""));
}

/// What a server logs at warning level and above, without times, until it has logged this.
fn log(folder: &Path, mut and_then: impl FnMut(&str), until: &str) -> String {
    let arguments = "serve --rules served.yaml --listen 127.0.0.1:0 --metrics-listen 127.0.0.1:0";
    let mut server = command(folder, arguments).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let mut text = String::new();
    let (send, lines) = mpsc::channel();
    let stderr = BufReader::new(server.stderr.take().expect("a pipe"));
    let reader = thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
    loop {
        let line = lines.recv_timeout(DEADLINE).unwrap_or_else(|error| {
            let _ = server.kill();
            panic!("no line with {until:?} ({error}) after:\n{text}")
        });
        and_then(&line);
        if let Some((_, logged)) = line.split_once("Z ").filter(|(_, rest)| !rest.starts_with(" INFO")) {
            text.extend([logged.trim_start(), "\n"]);
        }
        if line.contains(until) {
            break;
        }
    }
    server.kill().expect("it runs");
    server.wait().expect("it ends");
    drop(lines);
    let _ = reader.join();
    text
}

#[test]
fn a_server_without_rules_starts_and_warns() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("served.yaml"), format!("{} []\n", HEAD.trim_end())).expect("a file");
    insta::assert_snapshot!(log(folder.path(), |_| {}, " serving "));
}

#[test]
fn a_reload_that_fails_is_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("served.yaml");
    fs::write(&file, format!("{HEAD}{GOOD}")).expect("a file");
    let broken = format!("{HEAD}  - {{name: a, form: [a.io], to: c.io}}\n");
    let wrong = format!("{HEAD}  - {{name: a, from: [nginx], to: c}}\n  - {{name: a, from: [], to: c.io}}\n");
    let mut texts = [broken, wrong].into_iter();
    let replace = |line: &str| {
        if line.contains(" serving ") || line.contains("reload failed") {
            fs::write(&file, texts.next().unwrap_or_default()).expect("a file");
        }
    };
    insta::assert_snapshot!(log(folder.path(), replace, "more problem"));
}
