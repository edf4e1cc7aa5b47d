//! Checks `manifests` of the rules file.

use serde_saphyr::Spanned;

use super::checker::{Checker, is_object_name};
use super::schema::{ManifestEntry, ParameterEntry};
use crate::declared::{self, Declaration, Parameter, Path, Subject};

/// An optional list of texts.
type Texts = Option<Spanned<Vec<Spanned<String>>>>;

/// Any group, and any kind.
const ANY: &str = "*";

impl Checker {
    pub(super) fn declaration(&mut self, entry: &Spanned<ManifestEntry>) -> Option<Declaration> {
        let ManifestEntry {
            group,
            kind,
            files,
            keys,
            pod_specs,
            images,
            qualified_images,
            split_images,
            helm_values,
            objects,
            parameters,
            args,
            env,
        } = &entry.value;
        let before = self.problems.len();
        let subject = self.subject(entry, (group.as_ref(), kind.as_ref()), files, keys);
        let paths = [
            ("podSpecs", pod_specs),
            ("images", images),
            ("qualifiedImages", qualified_images),
            ("splitImages", split_images),
            ("helmValues", helm_values),
            ("objects", objects),
        ];
        let of_containers = [("args", args), ("env", env)];
        let lists = || paths.iter().chain(&of_containers);
        if lists().all(|(_, list)| list.is_none()) {
            let fix =
                "add `podSpecs`, `images`, `qualifiedImages`, `splitImages`, `helmValues`, `objects`, `args` or `env`";
            self.problem(entry, "the entry has no paths of images", fix);
        }
        for (name, list) in lists() {
            if let Some(list) = list.as_ref().filter(|list| list.value.is_empty()) {
                self.problem(list, format!("`{name}` is empty"), "add an entry, or remove it");
            }
        }
        let has_containers = pod_specs.is_some() || subject.as_ref().is_none_or(Subject::has_containers);
        for (name, list) in of_containers.iter().filter(|_| !has_containers) {
            if let Some(list) = list {
                self.problem(list, format!("`{name}` needs a PodSpec"), "add the path of the PodSpec: `podSpecs`");
            }
        }
        for (name, list) in paths.iter().filter(|_| matches!(subject, Some(Subject::AnyKind))) {
            if let Some(list) = list {
                self.problem(
                    list,
                    format!("`{name}` of any kind is not supported"),
                    "write the group and the kind, or use `args` or `env`",
                );
            }
        }
        if let (Some(list), Some(Subject::Files(_) | Subject::Keys(_))) = (objects, &subject) {
            self.problem(
                list,
                "`objects` of documents that are not Kubernetes objects is not supported",
                "write a group and a kind",
            );
        }
        if let (Some(list), None) = (parameters, images) {
            self.problem(list, "`parameters` without `images`", "add the paths of the fields that have them: `images`");
        }
        let declaration = Declaration {
            subject: subject?,
            pod_specs: self.paths(pod_specs),
            images: self.paths(images),
            qualified_images: self.paths(qualified_images),
            split_images: self.paths(split_images),
            helm_values: self.paths(helm_values),
            objects: self.paths(objects),
            parameters: parameters
                .iter()
                .flat_map(|list| &list.value)
                .filter_map(|entry| self.parameter(entry))
                .collect(),
            args: self.all(args, "flag", flag),
            env: self.all(env, "name of a variable", declared::name_glob),
        };
        (self.problems.len() == before).then_some(declaration)
    }

    fn subject(
        &mut self,
        entry: &Spanned<ManifestEntry>,
        (group, kind): (Option<&Spanned<String>>, Option<&Spanned<String>>),
        files: &Texts,
        keys: &Texts,
    ) -> Option<Subject> {
        if let (Some(keys), Some(_)) = (keys, files) {
            self.problem(keys, "the entry has both `files` and `keys`", "remove one, and write a second entry for it");
            return None;
        }
        match (group, kind, files.as_ref().or(keys.as_ref())) {
            (Some(group), Some(kind), None) if group.value == ANY || kind.value == ANY => {
                if group.value != kind.value {
                    self.problem(group, "`*` stands for any object", "write `*` for both `group` and `kind`");
                    return None;
                }
                Some(Subject::AnyKind)
            }
            (Some(group), Some(kind), None) => {
                if !is_group(&group.value) {
                    let name = group.value.split_once('/').map_or("", |(name, _)| name);
                    let fix = format!("write it without a version: `{}`", if name.is_empty() { "\"\"" } else { name });
                    self.problem(group, format!("invalid API group `{}`", group.value), fix);
                }
                if !is_kind(&kind.value) {
                    let fix = "write it as manifests do, such as `Rollout`";
                    self.problem(kind, format!("invalid kind `{}`", kind.value), fix);
                }
                Some(Subject::Kind { group: group.value.clone(), kind: kind.value.clone() })
            }
            (None, None, Some(list)) => {
                let (name, fix) = match keys {
                    Some(_) => ("keys", "add keys, such as `presubmits`"),
                    None => ("files", "add names of files, such as `values*.yaml`"),
                };
                if list.value.is_empty() {
                    self.problem(list, format!("`{name}` is empty"), fix);
                }
                Some(match keys {
                    Some(keys) => Subject::Keys(keys.value.iter().map(|key| key.value.clone()).collect()),
                    None => Subject::Files(self.all(files, "file name", declared::file_glob)),
                })
            }
            (Some(at), None, None) | (None, Some(at), None) => {
                self.problem(
                    at,
                    "`group` without `kind`, or `kind` without `group`",
                    "write both; the group of core kinds is `\"\"`",
                );
                None
            }
            (Some(at), _, Some(_)) | (None, Some(at), Some(_)) => {
                let name = if keys.is_some() { "keys" } else { "files" };
                let fix = "remove one, and write a second entry for it";
                self.problem(at, format!("the entry has both a kind and `{name}`"), fix);
                None
            }
            (None, None, None) => {
                let fix = "add `group` and `kind`, `files`, or `keys`";
                self.problem(entry, "the entry applies to no object", fix);
                None
            }
        }
    }

    fn parameter(&mut self, entry: &ParameterEntry) -> Option<Parameter> {
        let ParameterEntry { reference, values } = entry;
        if values.value.is_empty() {
            self.problem(values, "`values` is empty", "add the paths of the parameters' values");
        }
        let paths: Vec<_> =
            values.value.iter().filter_map(|path| self.valid(path, "path", Path::parse(&path.value))).collect();
        self.valid(reference, "reference", Parameter::new(&reference.value, paths))
    }

    fn paths(&mut self, list: &Texts) -> Vec<Path> {
        self.all(list, "path", Path::parse)
    }

    fn all<T, E: std::fmt::Display>(
        &mut self,
        list: &Texts,
        what: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        let entries = list.iter().flat_map(|list| &list.value);
        entries.filter_map(|entry| self.valid(entry, what, parse(&entry.value))).collect()
    }
}

/// Returns whether a text is an API group without a version.
pub fn is_group(text: &str) -> bool {
    (text.is_empty() || is_object_name(text)) && !is_version(text)
}

/// Returns whether a text is a kind.
pub fn is_kind(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn is_version(group: &str) -> bool {
    group.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()) && !rest.contains('.'))
}

fn flag(text: &str) -> Result<String, &'static str> {
    match text {
        _ if !text.starts_with('-') || text.trim_matches('-').is_empty() => {
            Err("write the flag with its dashes: `--flag`")
        }
        _ if text.contains(['=', ' ', '*']) => Err("write the flag without its value: `--flag`"),
        _ => Ok(text.to_owned()),
    }
}
