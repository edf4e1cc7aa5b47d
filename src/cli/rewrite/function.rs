//! The KRM function: a ResourceList on standard input, and the same with rewritten images on standard output.
//!
//! <https://github.com/kubernetes-sigs/kustomize/blob/master/cmd/config/docs/api-conventions/functions-spec.md>

use std::process::ExitCode;

use anyhow::{Context, anyhow, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::{output, unknown};
use crate::config::{self, Config};
use crate::files::Source;
use crate::manifest;
use crate::rewrite::{Refused, RewriteOptions, Task, fixed, not_rolled_out};

const GROUP: &str = "config.kubernetes.io/";
/// The name of the rules in errors.
const CONFIG: &str = "functionConfig";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceList {
    api_version: String,
    kind: String,
    #[serde(default)]
    items: Vec<Value>,
    #[serde(default)]
    function_config: Value,
    #[serde(default)]
    results: Value,
}

/// The settings of functionConfig.
#[derive(Default)]
struct Wanted {
    config: Option<Config>,
    namespace: Option<String>,
}

pub fn run(config: Option<Config>, options: RewriteOptions) -> anyhow::Result<ExitCode> {
    let text = Source::standard_input().read()?;
    let list: ResourceList = serde_json::from_value(manifest::value("-", &text)?)
        .map_err(|error| anyhow!("standard input is not a ResourceList: {error}; remove --fn for other input"))?;
    ensure!(
        list.kind == "ResourceList" && list.api_version.starts_with(GROUP),
        "standard input is not a ResourceList, but {} of {}; remove --fn for other input",
        list.kind,
        list.api_version
    );
    let wanted = wanted(&list.function_config)?;
    let config = wanted.config.or(config).context(
        "functionConfig has no rules; use a ConfigMap with `cache` or `rules.yaml` in its data, use `kind: Rules`, or set \
         --rules or --cache",
    )?;
    let namespace = wanted.namespace.unwrap_or(options.namespace);
    let task = Task::new(config, RewriteOptions { namespace, ..options });
    let (done, new) = task.rewrite("-", &text, true)?;
    let waiting = done.not_rolled_out();
    if let Some(unreadable) = done.unreadable.into_iter().next() {
        return Err(unreadable.into());
    }
    unknown::tell(&done.unknowns);
    let mut results: Vec<Value> = done.refused.iter().map(|refused| result(refused, &list.items)).collect();
    results.extend(
        done.by_facts.iter().map(|(rule, images)| json!({"message": fixed(rule, *images), "severity": "warning"})),
    );
    results.extend(
        (waiting > 0)
            .then(|| json!({"message": format!("not rewritten: {}", not_rolled_out(waiting)), "severity": "info"})),
    );
    output::data(with_results(new.unwrap_or(text), &list.results, &results)?)?;
    Ok(ExitCode::SUCCESS)
}

fn wanted(function_config: &Value) -> anyhow::Result<Wanted> {
    let Some(object) = function_config.as_object().filter(|object| !object.is_empty()) else {
        return Ok(Wanted::default());
    };
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    match text("kind") {
        "Rules" => {
            let mut rules = object.clone();
            // Orchestrators add it; a rules file has none.
            rules.remove("metadata");
            let config = config::parse(CONFIG, &serde_json::to_string_pretty(&rules)?)?;
            Ok(Wanted { config: Some(config), namespace: None })
        }
        "ConfigMap" => {
            let mut wanted = Wanted::default();
            for (key, value) in object.get("data").and_then(Value::as_object).into_iter().flatten() {
                let value =
                    value.as_str().ok_or_else(|| anyhow!("data.{key} of functionConfig is not a string; quote it"))?;
                let is_second = wanted.config.is_some();
                match key.as_str() {
                    "rules.yaml" | "cache" if is_second => {
                        bail!("functionConfig has both `rules.yaml` and `cache`; remove one of them")
                    }
                    "rules.yaml" => wanted.config = Some(config::parse(key, value)?),
                    "cache" => {
                        let config =
                            Config::for_cache(value).map_err(|error| anyhow!("invalid cache `{value}`: {error}"))?;
                        wanted.config = Some(config);
                    }
                    "namespace" => wanted.namespace = Some(value.to_owned()),
                    _ => {
                        bail!(
                            "functionConfig has the unknown key `{key}` in its data; known are `rules.yaml`, `cache` and `namespace`"
                        )
                    }
                }
            }
            Ok(wanted)
        }
        kind => bail!("the kind `{kind}` of functionConfig is not supported; use a ConfigMap, or `kind: Rules`"),
    }
}

/// Returns the entry of `results` for an image that could not be rewritten.
fn result(refused: &Refused, items: &[Value]) -> Value {
    let Refused { image, after, why, pointer, .. } = refused;
    let mut steps = pointer.trim_start_matches("/items/").splitn(2, '/');
    let item = steps.next().and_then(|index| items.get(index.parse::<usize>().ok()?)).unwrap_or(&Value::Null);
    let metadata = &item["metadata"];
    let mut entry = json!({
        "message": format!("the image is not rewritten: {why}"),
        "severity": "warning",
        "resourceRef": {"apiVersion": item["apiVersion"], "kind": item["kind"], "name": metadata["name"]},
        "field": {"path": field_path(steps.next().unwrap_or_default()), "currentValue": image, "proposedValue": after},
    });
    if metadata["namespace"].is_string() {
        entry["resourceRef"]["namespace"] = metadata["namespace"].clone();
    }
    let annotation = |name: &str| {
        let annotations = &metadata["annotations"];
        [format!("internal.config.kubernetes.io/{name}"), format!("{GROUP}{name}")]
            .iter()
            .find_map(|key| annotations[key].as_str().map(str::to_owned))
    };
    if let Some(path) = annotation("path") {
        let index: u64 = annotation("index").and_then(|index| index.parse().ok()).unwrap_or_default();
        entry["file"] = json!({"path": path, "index": index});
    }
    entry
}

/// Returns `spec.containers[0].image` for `spec/containers/0/image`.
fn field_path(pointer: &str) -> String {
    pointer.split('/').fold(String::new(), |path, step| match step.parse::<usize>() {
        Ok(index) => format!("{path}[{index}]"),
        Err(_) if path.is_empty() => step.to_owned(),
        Err(_) => format!("{path}.{step}"),
    })
}

/// Returns the list with further entries in its `results`.
fn with_results(mut text: String, known: &Value, results: &[Value]) -> anyhow::Result<String> {
    if results.is_empty() {
        return Ok(text);
    }
    let is_flow = text.trim_start().starts_with('{');
    if is_flow || !known.is_null() || text.trim_end().ends_with("\n...") {
        let mut list: Value = manifest::value("-", &text)?;
        let mut entries = known.as_array().cloned().unwrap_or_default();
        entries.extend_from_slice(results);
        list["results"] = entries.into();
        return Ok(serde_json::to_string_pretty(&list)? + "\n");
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text += "results:\n";
    for result in results {
        // JSON is YAML.
        text += &format!("- {result}\n");
    }
    Ok(text)
}
