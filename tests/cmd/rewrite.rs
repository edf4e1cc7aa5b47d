//! `pullthrough rewrite` on files, folders and streams.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::pullthrough;

const CACHE: [&str; 2] = ["--cache", "cache.example.com/k8s"];

fn pod(image: &str) -> String {
    format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec:\n  containers:\n  - name: a\n    image: {image}\n")
}

fn before() -> String {
    pod("registry.k8s.io/pause:3.10")
}

fn after() -> String {
    pod("cache.example.com/k8s/pause:3.10")
}

/// Files in a new folder.
struct Tree(TempDir);

impl Tree {
    fn new(files: &[(&str, &str)]) -> Self {
        let tree = Self(tempfile::tempdir().expect("a folder"));
        for (name, text) in files {
            let path = tree.path(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        tree
    }

    fn root(&self) -> &Path {
        self.0.path()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("a file")
    }

    /// Runs `rewrite` on the whole folder.
    fn rewrite(&self, arguments: &[&str]) -> Run {
        let root = self.root().display().to_string();
        rewrite(&[arguments, &[&root]].concat(), b"").below(self.root())
    }
}

/// Exit code and output of a run.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl From<Output> for Run {
    fn from(Output { status, stdout, stderr }: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }
}

impl Run {
    /// Removes the folder from the paths in the output.
    fn below(self, folder: &Path) -> Self {
        let prefix = format!("{}/", folder.display());
        let strip = |text: String| text.replace(&prefix, "");
        Self { stdout: strip(self.stdout), stderr: strip(self.stderr), ..self }
    }
}

fn rewrite(arguments: &[&str], stdin: &[u8]) -> Run {
    pullthrough(&[&["rewrite"], &CACHE[..], arguments].concat(), stdin).into()
}

#[test]
fn standard_input_is_printed_with_other_images() {
    let stream = format!("---\n# Source: a\n{}---\n{}", before(), pod("nginx"));
    let expected = format!("---\n# Source: a\n{}---\n{}", after(), pod("nginx"));
    for arguments in [&[][..], &["-"]] {
        let run = rewrite(arguments, stream.as_bytes());
        assert_eq!((run.code, run.stdout.as_str()), (Some(0), expected.as_str()));
        assert_eq!(run.stderr, "1 file: 1 image rewritten in 1, 1 unchanged (1 no_rule)\n");
    }
    let run = rewrite(&["--check", "-"], stream.as_bytes());
    assert_eq!(run.code, Some(1));
    assert_eq!(run.stdout, "-:9: registry.k8s.io/pause:3.10 → cache.example.com/k8s/pause:3.10 (kubernetes)\n");
}

#[test]
fn one_file_is_printed_and_stays() {
    let tree = Tree::new(&[("a.txt", &before())]);
    let run = rewrite(&[&tree.path("a.txt").display().to_string()], b"");
    assert_eq!((run.code, run.stdout), (Some(0), after()));
    assert_eq!(tree.read("a.txt"), before());
}

#[test]
fn what_can_not_be_printed_is_an_error_with_a_place() {
    for (text, message) in [("a: [\n", "error: -:"), ("{{ if x }}\na: 1\n", "error: -:2: a template")] {
        let run = rewrite(&[], text.as_bytes());
        assert!(run.code == Some(2) && run.stdout.is_empty() && run.stderr.starts_with(message), "{run:?}");
    }
    let run = rewrite(&[], b"a: \xff\n");
    assert!(run.code == Some(2) && run.stdout.is_empty(), "{run:?}");
    assert!(run.stderr.starts_with("error: -: line 1 is not UTF-8; save it as UTF-8\n"), "{run:?}");
}

#[test]
fn files_are_written_in_place_once() {
    let [plain, crlf, bom] = [before(), before().replace('\n', "\r\n"), format!("\u{feff}{}", before())];
    let bare = before().trim_end().to_owned();
    let tree = Tree::new(&[
        ("a.yaml", &plain),
        ("b/crlf.yml", &crlf),
        ("b/bom.yaml", &bom),
        ("c/bare", &bare),
        ("c/same.yaml", &pod("nginx")),
        ("c/empty.yaml", ""),
        ("c/notes.txt", &format!("Notes.\n{plain}")),
    ]);
    let inode = |name: &str| fs::metadata(tree.path(name)).expect("a file").ino();
    let same = inode("c/same.yaml");
    assert_eq!(tree.rewrite(&["--check"]).code, Some(1));
    let run = tree.rewrite(&["-w"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), ""));
    assert_eq!(run.stderr, "6 files: 4 images rewritten in 4, 1 unchanged (1 no_rule)\n");
    let expected = [
        ("a.yaml", after()),
        ("b/crlf.yml", after().replace('\n', "\r\n")),
        ("b/bom.yaml", format!("\u{feff}{}", after())),
        ("c/bare", after().trim_end().to_owned()),
        ("c/same.yaml", pod("nginx")),
        ("c/empty.yaml", String::new()),
        ("c/notes.txt", format!("Notes.\n{plain}")),
    ];
    let is_as_expected = || expected.iter().for_each(|(name, text)| assert_eq!(tree.read(name), *text, "{name}"));
    is_as_expected();
    assert_eq!(inode("c/same.yaml"), same, "an unchanged file was written");

    let written = inode("a.yaml");
    assert_eq!(
        tree.rewrite(&["-w"]).stderr,
        "6 files: 0 images rewritten in 0, 5 unchanged (4 already_cached, 1 no_rule)\n"
    );
    is_as_expected();
    assert_eq!(inode("a.yaml"), written);
    let check = tree.rewrite(&["--check"]);
    assert_eq!((check.code, check.stdout.as_str()), (Some(0), ""));
}

#[test]
fn what_can_not_be_read_is_named_and_the_others_are_done() {
    let (template, broken) = ("{{- if .Values.a }}\nkind: Pod\n{{- end }}\n", "a: [\n");
    let tree = Tree::new(&[("1.yaml", template), ("2.yaml", broken), ("4.yaml", &before())]);
    fs::write(tree.path("3.yaml"), b"a: 1\nb: \xfe\n").expect("a file");
    let run = tree.rewrite(&["-w"]);
    assert_eq!(run.code, Some(2));
    assert_eq!(tree.read("4.yaml"), after());
    assert_eq!((tree.read("1.yaml").as_str(), tree.read("2.yaml").as_str()), (template, broken));
    let lines: Vec<&str> = run.stderr.lines().collect();
    let [first, second, third, hint, totals] = lines[..] else { panic!("{run:?}") };
    assert!(first.starts_with("skipped: 1.yaml:1: a template"), "{run:?}");
    assert!(second.starts_with("error: 2.yaml:1: "), "{run:?}");
    assert_eq!(third, "error: 3.yaml: line 2 is not UTF-8; save it as UTF-8");
    assert!(hint.starts_with("hint: render templates first: helm template"), "{run:?}");
    assert_eq!(totals, "1 file: 1 image rewritten in 1, 0 unchanged; 3 files skipped");
}

#[test]
fn templates_among_files_count_for_a_check_alone() {
    let tree = Tree::new(&[("a.yaml", "{{ a }}: [\n"), ("b.yaml", &pod("nginx"))]);
    for (arguments, code) in
        [(&["-w"][..], 0), (&["--diff"], 0), (&["--check"], 2), (&["--check", "--allow-unknown"], 0)]
    {
        assert_eq!(tree.rewrite(arguments).code, Some(code), "{arguments:?}");
    }
}

/// A file that does not parse counts more than files that would change: the check is incomplete.
#[test]
fn the_exit_code_of_check_is_dependable() {
    for (files, code) in [
        (&[("a.yaml", pod("nginx"))][..], 0),
        (&[("a.yaml", before())], 1),
        (&[("a.yaml", before()), ("b.yaml", pod("nginx"))], 1),
        (&[("a.yaml", before()), ("b.yaml", "a: [\n".to_owned())], 2),
        (&[("a.yaml", pod("nginx")), ("b.yaml", "a: [\n".to_owned())], 2),
        // The scalar also serves a field that is not an image, so it can't be changed. But the image does not match the rules.
        (&[("a.yaml", pod("&a registry.k8s.io/pause:3.10\n    args: [*a]"))], 1),
        (&[], 2),
    ] {
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let tree = Tree::new(&files);
        for arguments in [&["--check"][..], &["--check", "--diff"]] {
            assert_eq!(tree.rewrite(arguments).code, Some(code), "{files:?}");
        }
        assert!(files.iter().all(|(name, text)| tree.read(name) == *text), "a file was written");
    }
}

#[test]
fn the_mode_stays() {
    let tree = Tree::new(&[("a.yaml", &before())]);
    fs::set_permissions(tree.path("a.yaml"), Permissions::from_mode(0o640)).expect("a mode");
    assert_eq!(tree.rewrite(&["-w"]).code, Some(0));
    assert_eq!(tree.read("a.yaml"), after());
    assert_eq!(fs::metadata(tree.path("a.yaml")).expect("a file").mode() & 0o7777, 0o640);
    assert_eq!(fs::read_dir(tree.root()).expect("a folder").count(), 1);
}

/// A link is followed if it leads to a file of the folder, or if it is an argument.
#[test]
fn links_that_leave_the_folder_are_named_and_skipped() {
    let tree = Tree::new(&[("in/a.yaml", &before()), ("in/b.txt", &before()), ("out/c.yaml", &before())]);
    fs::create_dir_all(tree.path("in/.git")).expect("a folder");
    fs::write(tree.path("in/.git/d.yaml"), before()).expect("a file");
    for (link, target) in [
        ("in/1.yaml", "a.yaml"),
        ("in/2.yaml", "b.txt"),
        ("in/3.yaml", "../out/c.yaml"),
        ("in/4.yaml", ".git/d.yaml"),
        ("in/5.yaml", "/dev/zero"),
        ("in/6", "../out"),
        ("in/7", "."),
        ("in/8.txt", "../out/c.yaml"),
        ("named.yaml", "out/e.yaml"),
    ] {
        symlink(target, tree.path(link)).expect("a link");
    }
    fs::write(tree.path("out/e.yaml"), before()).expect("a file");
    let [folder, named] = ["in", "named.yaml"].map(|name| tree.path(name).display().to_string());
    let run = rewrite(&["-w", &folder, &named], b"").below(tree.root());
    assert_eq!(run.code, Some(0), "{run:?}");
    let outside = |link: &str, target: &str| {
        let target = fs::canonicalize(tree.path("in")).expect("a folder").join(target);
        format!(
            "skipped: in/{link}: a symbolic link to {}, outside the folder; pass the link itself as an argument",
            target.display()
        )
    };
    let real_out = |name: &str| fs::canonicalize(tree.path(name)).expect("a value").display().to_string();
    let expected = [
        outside("3.yaml", &real_out("out/c.yaml")),
        outside("4.yaml", ".git/d.yaml"),
        outside("5.yaml", "/dev/zero"),
        outside("6", &real_out("out")),
        "3 files: 3 images rewritten in 3, 0 unchanged".to_owned(),
    ];
    let strip = |text: &String| text.replace(&format!("{}/", tree.root().display()), "");
    assert_eq!(run.stderr.lines().collect::<Vec<_>>(), expected.iter().map(strip).collect::<Vec<_>>());
    for (name, text) in [
        ("in/a.yaml", after()),
        ("in/b.txt", after()),
        ("out/c.yaml", before()),
        ("in/.git/d.yaml", before()),
        ("out/e.yaml", after()),
    ] {
        assert_eq!(tree.read(name), text, "{name}");
    }
    for link in ["in/1.yaml", "in/2.yaml", "named.yaml"] {
        assert!(fs::symlink_metadata(tree.path(link)).expect("a link").is_symlink(), "{link}");
    }
    assert_eq!(rewrite(&["--check", &folder, &named], b"").code, Some(0), "-w and --check skip different files");
}

#[test]
fn hard_links_stay_and_are_named() {
    let tree = Tree::new(&[("in/a.yaml", &before()), ("in/b.yaml", &pod("nginx"))]);
    fs::hard_link(tree.path("in/a.yaml"), tree.path("other")).expect("a link");
    fs::hard_link(tree.path("in/b.yaml"), tree.path("unchanged")).expect("a link");
    let folder = tree.path("in").display().to_string();
    let run = rewrite(&["-w", &folder], b"").below(tree.root());
    assert_eq!(run.code, Some(2), "{run:?}");
    let error = "error: in/a.yaml: can't be written: the file has 2 hard links; replace it with a copy first\n";
    assert!(run.stderr.starts_with(error), "{run:?}");
    assert_eq!((tree.read("in/a.yaml"), tree.read("other")), (before(), before()));
    assert_eq!(fs::metadata(tree.path("other")).expect("a file").nlink(), 2);
}

/// No run waits for a pipe without a writer, or reads a device to its end.
#[test]
fn what_is_no_file_is_named_and_skipped() {
    let tree = Tree::new(&[("a.yaml", &pod("nginx")), (".pullthrough-Ab12Cd", &before())]);
    let pipe = tree.path("pipe.yaml");
    assert!(Command::new("mkfifo").arg(&pipe).arg(tree.path("other-pipe")).status().expect("mkfifo").success());
    let _socket = std::os::unix::net::UnixListener::bind(tree.path("socket.json")).expect("a socket");
    symlink("pipe.yaml", tree.path("link.yaml")).expect("a link");
    let root = tree.root().display().to_string();
    for command in [&["rewrite", "-w"][..], &["rewrite", "--check"], &["scan"], &["export", "kustomize"]] {
        let run = Run::from(pullthrough(&[command, &CACHE[..], &[&root]].concat(), b"")).below(tree.root());
        assert_eq!(run.code, Some(0), "{command:?} {run:?}");
        for skipped in [
            [".pullthrough-Ab12Cd", "temporary file of an interrupted run", "remove it"],
            ["link.yaml", "a named pipe, not a file", "move it out of the folder"],
            ["pipe.yaml", "a named pipe, not a file", "move it out of the folder"],
            ["socket.json", "a socket, not a file", "move it out of the folder"],
        ] {
            let is_told = |text: &&str| run.stderr.contains(*text) || run.stdout.contains(*text);
            assert!(skipped.iter().all(is_told), "{command:?}: {skipped:?}: {run:?}");
        }
    }
    let run = rewrite(&["-w", &pipe.display().to_string()], b"").below(tree.root());
    let error =
        "error: pipe.yaml is not a regular file, and can't be changed in place; remove -w to print the new text\n";
    assert_eq!((run.code, run.stderr.replace(&format!("{root}/"), "").as_str()), (Some(2), error));
}

/// A file that can't be written is reported, and no temporary file remains.
#[test]
fn read_only_files_and_folders_stay() {
    let tree = Tree::new(&[("a/1.yaml", &before()), ("b/2.yaml", &before()), ("c/3.yaml", &before())]);
    fs::set_permissions(tree.path("a/1.yaml"), Permissions::from_mode(0o444)).expect("a mode");
    for file in ["a", "b", "b/2.yaml", "c/3.yaml", "c", "."] {
        // The user that runs the program below needs access.
        let mode = if file.ends_with("yaml") { 0o666 } else { 0o777 };
        fs::set_permissions(tree.path(file), Permissions::from_mode(mode)).expect("a mode");
    }
    fs::set_permissions(tree.path("b"), Permissions::from_mode(0o555)).expect("a mode");

    // Root may write any file. Other users may not have access to the folder of the binary.
    let program = tree.path("pullthrough");
    fs::copy(env!("CARGO_BIN_EXE_pullthrough"), &program).expect("a copy");
    let mut command = Command::new(program);
    command.arg("rewrite").args(CACHE).arg("-w").arg(tree.root()).stdin(Stdio::null());
    if rustix::process::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    // A child process of another test may still have the copy open for writing (ETXTBSY).
    let output = loop {
        match command.output() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => thread::sleep(Duration::from_millis(10)),
            output => break output.expect("the binary runs"),
        }
    };
    let run = Run::from(output).below(tree.root());
    fs::set_permissions(tree.path("b"), Permissions::from_mode(0o755)).expect("a mode");

    assert_eq!(run.code, Some(2), "{run:?}");
    let expected = format!(
        "error: a/1.yaml: can't be written: the file is read-only; run `chmod u+w`\n\
         error: b/2.yaml: can't be written: the folder {} is not writable; make it writable\n\
         1 file: 1 image rewritten in 1, 0 unchanged; 2 files skipped\n",
        tree.path("b").display(),
    );
    assert_eq!(run.stderr, expected.replace(&format!("{}/", tree.root().display()), ""));
    assert_eq!((tree.read("a/1.yaml"), tree.read("b/2.yaml"), tree.read("c/3.yaml")), (before(), before(), after()));
    for folder in ["a", "b", "c"] {
        assert_eq!(fs::read_dir(tree.path(folder)).expect("a folder").count(), 1, "{folder}");
    }
}

#[test]
fn what_is_missing_or_empty_is_said() {
    let tree = Tree::new(&[("a.yaml", &before())]);
    fs::create_dir(tree.path("empty")).expect("a folder");
    let [file, absent, empty] = ["a.yaml", "absent", "empty"].map(|name| tree.path(name).display().to_string());
    let run = rewrite(&["-w", &absent, &file], b"").below(tree.root());
    assert_eq!((run.code, tree.read("a.yaml")), (Some(2), after()));
    assert!(run.stderr.starts_with("error: absent: not found; check the path\n"), "{run:?}");
    let run = rewrite(&[&absent], b"").below(tree.root());
    assert!(run.code == Some(2) && run.stderr.starts_with("error: absent: not found; check the path\n"), "{run:?}");
    let run = rewrite(&["--check", &empty], b"");
    let expected = format!(
        "skipped: {empty}: no Kubernetes object; check the path, or the command that writes the manifests\n\
         0 files: no image found\n\
         error: nothing was inspected: no Kubernetes object in {empty}; check the path, or the command that writes the manifests\n"
    );
    assert_eq!((run.code, run.stderr), (Some(2), expected));
    let run = rewrite(&["-w", &empty], b"");
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), "0 files: no image found\n"));
}

#[test]
fn namespaces_decide_where_rules_do() {
    let rules = "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules:\n- {name: a, from: [docker.io], to: c.io, namespaces: {include: [shop]}}\n";
    let in_shop = pod("nginx").replace("{name: p}", "{name: p, namespace: shop}");
    let tree = Tree::new(&[("rules.txt", rules)]);
    let rules = tree.path("rules.txt").display().to_string();
    for (arguments, text, is_rewritten) in [
        (&[][..], pod("nginx"), false),
        (&["-n", "shop"], pod("nginx"), true),
        (&[], in_shop.clone(), true),
        (&["--namespace", "other"], in_shop, true),
    ] {
        let output = pullthrough(
            &[&["rewrite", "--rewrite-short-names", "--rules", &rules], arguments].concat(),
            text.as_bytes(),
        );
        let printed = String::from_utf8(output.stdout).expect("UTF-8");
        assert_eq!(printed.contains("image: c.io/library/nginx\n"), is_rewritten, "{arguments:?} {text}");
    }
}

#[test]
fn whoever_has_seen_enough_may_leave() {
    let tree = Tree::new(&[]);
    for index in 0..2000 {
        fs::write(tree.path(&format!("{index}.yaml")), before()).expect("a file");
    }
    for (argument, code) in [("--diff", 0), ("--check", 1)] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_pullthrough"))
            .arg("rewrite")
            .args(CACHE)
            .arg(argument)
            .arg(tree.root())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        drop(child.stdout.take());
        let run = Run::from(child.wait_with_output().expect("the binary ends"));
        assert_eq!(run.code, Some(code), "{argument}");
        assert_eq!(run.stderr, "2000 files: 2000 images to be rewritten in 2000, 0 unchanged\n");
    }
}

/// Images in documents beside unreadable ones, for which the corpus has no expected values.
const BESIDE_UNREADABLE: [(&str, usize); 7] = [
    (
        "kubernetes+kops/upup/models/cloudup/resources/addons/gcp-pd-csi-driver.addons.k8s.io/k8s-1.23.yaml.template",
        517,
    ),
    (
        "kubernetes+kops/upup/models/cloudup/resources/addons/gcp-pd-csi-driver.addons.k8s.io/k8s-1.23.yaml.template",
        546,
    ),
    (
        "kubernetes+kops/upup/models/cloudup/resources/addons/gcp-pd-csi-driver.addons.k8s.io/k8s-1.23.yaml.template",
        575,
    ),
    (
        "kubernetes+kops/upup/models/cloudup/resources/addons/gcp-pd-csi-driver.addons.k8s.io/k8s-1.23.yaml.template",
        605,
    ),
    ("kubernetes+kops/upup/models/cloudup/resources/addons/kube-dns.addons.k8s.io/k8s-1.12.yaml.template", 130),
    ("kubernetes+kops/upup/models/cloudup/resources/addons/kube-dns.addons.k8s.io/k8s-1.12.yaml.template", 182),
    ("kubernetes+kops/upup/models/cloudup/resources/addons/kube-dns.addons.k8s.io/k8s-1.12.yaml.template", 224),
];

/// Rules for the corpus, and the changes that the corpus lists.
#[test]
fn the_corpus_changes_as_expected_and_nothing_else() {
    let data = Path::new("tests/data");
    let (manifests, expected) = (data.join("manifests"), data.join("manifests-expected.jsonl"));
    let tree = Tree::new(&[(
        "rules",
        "apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\nrules:\n- {name: kubernetes, from: [k8s.gcr.io, registry.k8s.io], to: c.io/k8s}\n",
    )]);
    let copied = Command::new("cp").arg("-r").arg(&manifests).arg(tree.path("copy")).status().expect("cp runs");
    assert!(copied.success());
    let rules = tree.path("rules").display().to_string();
    let arguments = ["rewrite", "--rules", &rules, "-w", "--no-kustomize", &tree.path("copy").display().to_string()];
    let run = Run::from(pullthrough(&arguments, b""));
    // Some files do not parse, and are reported.
    assert_eq!(run.code, Some(2));

    let mut wanted: BTreeMap<PathBuf, Vec<(usize, String, String)>> = BTreeMap::new();
    for line in fs::read_to_string(expected).expect("a list").lines() {
        let entry: serde_json::Value = serde_json::from_str(line).expect("JSON");
        if entry["after_valid"] == true {
            let text = |key: &str| entry[key].as_str().expect("text").replace("CACHE/", "c.io/");
            let line = entry["line"].as_u64().and_then(|line| usize::try_from(line).ok()).expect("a line");
            wanted.entry(text("file").into()).or_default().push((line, text("before"), text("after")));
        }
    }
    for (file, line) in BESIDE_UNREADABLE {
        let change = (line, "registry.k8s.io/".to_owned(), "c.io/k8s/".to_owned());
        wanted.entry(file.into()).or_default().push(change);
    }
    let total: usize = wanted.values().map(Vec::len).sum();
    assert!(total > 200 && run.stderr.contains(&format!(": {total} images rewritten in ")), "{}", run.stderr);
    for entry in walkdir::WalkDir::new(&manifests) {
        let entry = entry.expect("an entry");
        if !entry.file_type().is_file() {
            continue;
        }
        let name = entry.path().strip_prefix(&manifests).expect("a path below the folder");
        let (old, new) =
            (fs::read(entry.path()).expect("a file"), fs::read(tree.path("copy").join(name)).expect("a file"));
        let Some(changes) = wanted.remove(name) else {
            assert_eq!(old, new, "{}", name.display());
            continue;
        };
        let text = String::from_utf8(old).expect("UTF-8");
        let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
        for (line, before, after) in changes {
            lines[line - 1] = lines[line - 1].replacen(&before, &after, 1);
        }
        assert_eq!(String::from_utf8(new).expect("UTF-8"), lines.concat(), "{}", name.display());
    }
    assert!(wanted.is_empty(), "{wanted:?}");

    let again = Run::from(pullthrough(&arguments, b""));
    assert!(again.stderr.contains(": 0 images rewritten in 0, "), "{}", again.stderr);
}
