//! The pages on caches and pull credentials: their commands run, their files load, and they agree with `init` and with the
//! values of the chart.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pullthrough::init::Product;
use regex::Regex;
use serde_json::Value;

const FOLDER: &str = "docs/how-to/caches";
const OTHERS: [&str; 2] = ["docs/how-to/pull-credentials.md", "docs/troubleshooting/image-pull-errors.md"];

fn read(file: impl AsRef<Path>) -> String {
    let file = file.as_ref();
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn yaml(text: &str, of: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{of}: {error}\n{text}"))
}

/// Every page of this test.
fn pages() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(FOLDER).expect(FOLDER).map(|entry| entry.expect(FOLDER).path());
    entries.chain(OTHERS.map(PathBuf::from)).collect()
}

/// The blocks of a page, with the language after the fence, and without the indentation of a list.
fn blocks(page: &str) -> Vec<(String, String)> {
    let fence = Regex::new(r"(?ms)^( *)```(\w+)\n(.*?)^ *```$").expect("an expression");
    let dedent = |text: &str, indent: &str| -> String {
        text.lines().map(|line| format!("{}\n", line.strip_prefix(indent).unwrap_or(line))).collect()
    };
    fence.captures_iter(page).map(|found| (found[2].to_owned(), dedent(&found[3], &found[1]))).collect()
}

/// A row of the table that says what each product makes of `nginx:1.29`.
struct Row {
    page: String,
    product: String,
    cache: String,
    result: String,
}

fn rows() -> Vec<Row> {
    let row = Regex::new(r"(?m)^\| \[[^]]+\]\(([^)]+)\.md\) \| `([^`]+)` \| `([^`]+)` \| `([^`]+)` \|$")
        .expect("an expression");
    let readme = read(format!("{FOLDER}/README.md"));
    let rows = row.captures_iter(&readme).map(|found| {
        let [page, product, cache, result] = found.extract().1.map(str::to_owned);
        Row { page, product, cache, result }
    });
    rows.collect()
}

/// Runs a command line in a folder, with the binary of this build in the PATH.
fn run(line: &str, folder: &Path) -> Output {
    let binary = Path::new(env!("CARGO_BIN_EXE_pullthrough")).parent().expect("a folder");
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap_or_default());
    let output =
        Command::new("bash").args(["-euo", "pipefail", "-c", line]).current_dir(folder).env("PATH", path).output();
    let output = output.expect("bash");
    assert!(output.status.success(), "{line}\n{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// The rules that `init` prints for a product.
fn init(product: &str, cache: &str, options: &str, folder: &Path) -> Value {
    run(&format!("pullthrough init {product} --cache {cache} {options} > rules.yaml"), folder);
    yaml(&read(folder.join("rules.yaml")), product)["rules"].clone()
}

#[test]
fn the_table_of_caches_is_what_init_and_explain_make() {
    let folder = tempfile::tempdir().expect("a folder");
    let rows = rows();
    let products: Vec<&str> = rows.iter().map(|row| row.product.as_str()).collect();
    assert_eq!(products, Product::ALL.map(Product::as_str), "{FOLDER}/README.md has a row for each product of `init`");
    for row in &rows {
        init(&row.product, &row.cache, "", folder.path());
        let output = run("pullthrough explain --rules rules.yaml --output json nginx:1.29", folder.path());
        let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(answer["would_be"], row.result.as_str(), "{}", row.page);
    }
    let files = pages().into_iter().filter(|page| page.starts_with(FOLDER) && !page.ends_with("README.md"));
    let files: BTreeSet<String> =
        files.map(|page| page.file_stem().expect("a name").to_string_lossy().into_owned()).collect();
    assert_eq!(rows.iter().map(|row| row.page.clone()).collect::<BTreeSet<_>>(), files);
}

/// The chart takes the values of each product. They observe, and their rules are those that the page has `init` print.
#[test]
fn the_values_of_caches_are_those_of_their_pages_and_of_init() {
    let folder = tempfile::tempdir().expect("a folder");
    let schema: Value = serde_json::from_str(&read("manifests/chart/values.schema.json")).expect("JSON");
    let schema = jsonschema::validator_for(&schema).expect("a schema");
    let options = Regex::new(r"--upstream \S+").expect("an expression");
    for row in rows() {
        let file = format!("manifests/values/caches/{}.yaml", row.page);
        let (page, text) = (read(format!("{FOLDER}/{}.md", row.page)), read(&file));
        assert!(page.contains(&format!("\n```yaml\n{text}```\n")), "{FOLDER}/{}.md does not print {file}", row.page);
        let values = yaml(&text, &file);
        let errors: Vec<String> = schema.iter_errors(&values).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{file}: {errors:?}");

        let without = |rules: &Value, fields: &[&str]| -> Vec<Value> {
            let mut rules = rules.as_array().expect("rules").clone();
            for rule in rules.iter_mut().filter_map(Value::as_object_mut) {
                rule.retain(|field, _| !fields.contains(&field.as_str()));
            }
            rules
        };
        let rules = &values["rules"];
        assert!(
            rules.as_array().expect("rules").iter().all(|rule| rule["mode"] == "observe"),
            "{file}: a rule rewrites"
        );
        let upstreams = options.find(&page).expect("--upstream").as_str();
        let printed = init(&row.product, &row.cache, upstreams, folder.path());
        let fields = ["imagePullSecrets"];
        assert_eq!(without(rules, &fields), without(&printed, &fields), "{file}");
    }
}

#[test]
fn the_commands_of_the_pages_on_caches_run() {
    let command = Regex::new(r"pullthrough (?:init|explain|check) [^|)#\n]*").expect("an expression");
    let mut count = 0;
    for page in pages() {
        let folder = tempfile::tempdir().expect("a folder");
        init("harbor", "harbor.example.com", "", folder.path());
        for (_, script) in blocks(&read(&page)).into_iter().filter(|(language, _)| language == "sh") {
            run(&format!("bash -n <<'SCRIPT'\n{script}SCRIPT"), folder.path());
            for line in command.find_iter(&script.replace("\\\n", " ")) {
                run(line.as_str(), folder.path());
                count += 1;
            }
        }
    }
    assert!(count > 2 * Product::ALL.len(), "{count}");
}

#[test]
fn the_files_of_the_pages_on_caches_load() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut kinds = BTreeSet::new();
    for page in pages() {
        let name = page.display().to_string();
        for (language, text) in blocks(&read(&page)) {
            match language.as_str() {
                "json" => {
                    serde_json::from_str::<Value>(&text).unwrap_or_else(|error| panic!("{name}: {error}\n{text}"));
                }
                "yaml" => {
                    let value = yaml(&text, &name);
                    match value["kind"].as_str() {
                        None => {
                            let rules = format!("apiVersion: pullthrough.dev/v1alpha1\nkind: Rules\n{text}");
                            std::fs::write(folder.path().join("rules.yaml"), rules).expect("a file");
                            run("pullthrough check rules.yaml --allow placeholder", folder.path());
                        }
                        Some("CredentialProviderConfig") => credential_providers(&value, &name),
                        Some("Secret") => pull_secret(&value, &name),
                        Some(kind) => panic!("{name}: {kind}"),
                    }
                    kinds.insert(value["kind"].as_str().unwrap_or("rules").to_owned());
                }
                _ => {}
            }
        }
    }
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["CredentialProviderConfig", "Secret", "rules"]);
}

/// As the kubelet's `validateCredentialProviderConfig` has it; and a cache of the table is among the images.
fn credential_providers(config: &Value, page: &str) {
    assert_eq!(config["apiVersion"], "kubelet.config.k8s.io/v1", "{page}");
    let duration = Regex::new(r"^(\d+(s|m|h))+$").expect("an expression");
    let known = ["name", "apiVersion", "matchImages", "defaultCacheDuration", "args", "env"];
    for provider in config["providers"].as_array().expect("providers") {
        let fields: Vec<&String> = provider.as_object().expect("a provider").keys().collect();
        assert!(fields.iter().all(|field| known.contains(&field.as_str())), "{page}: {fields:?}");
        let text = |field: &str| provider[field].as_str().unwrap_or_else(|| panic!("{page}: {field}"));
        assert!(!text("name").contains(['/', ' ']), "{page}");
        assert_eq!(text("apiVersion"), "credentialprovider.kubelet.k8s.io/v1", "{page}");
        assert!(duration.is_match(text("defaultCacheDuration")), "{page}");
        let globs: Vec<&str> =
            provider["matchImages"].as_array().expect("matchImages").iter().filter_map(Value::as_str).collect();
        let is_matched = |cache: &str| globs.iter().any(|glob| matches_labels(glob, cache));
        assert!(
            rows().iter().any(|row| is_matched(&row.cache)),
            "{page}: {globs:?} match no cache of {FOLDER}/README.md"
        );
    }
}

/// As the kubelet compares hosts: each label by itself.
fn matches_labels(glob: &str, cache: &str) -> bool {
    let host = cache.split('/').next().unwrap_or_default();
    let (globs, labels): (Vec<&str>, Vec<&str>) = (glob.split('.').collect(), host.split('.').collect());
    let is_label = |(glob, label): (&&str, &&str)| {
        Regex::new(&format!("^{}$", regex::escape(glob).replace(r"\*", ".*"))).expect("an expression").is_match(label)
    };
    globs.len() == labels.len() && globs.iter().zip(&labels).all(is_label)
}

fn pull_secret(secret: &Value, page: &str) {
    assert_eq!(secret["type"], "kubernetes.io/dockerconfigjson", "{page}");
    let config = secret["stringData"][".dockerconfigjson"].as_str().expect("a configuration");
    let config: Value = serde_json::from_str(config).unwrap_or_else(|error| panic!("{page}: {error}"));
    for (host, entry) in config["auths"].as_object().expect("auths") {
        assert!(rows().iter().any(|row| row.cache == *host), "{page}: {host}");
        assert!(entry["username"].is_string() && entry["password"].is_string(), "{page}: {host}");
    }
}
