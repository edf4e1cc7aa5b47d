//! The part of the rules file about manifests, checked.

use serde_saphyr::Spanned;

use super::checker::{Checker, is_object_name};
use super::schema::ManifestEntry;
use crate::manifest::declared::{self, Declaration, Path, Subject};

/// A list of texts that may be left out.
type Texts = Option<Spanned<Vec<Spanned<String>>>>;

impl Checker {
    pub(super) fn declaration(&mut self, entry: &Spanned<ManifestEntry>) -> Option<Declaration> {
        let ManifestEntry { group, kind, files, pod_specs, images, split_images, args, env } = &entry.value;
        let before = self.problems.len();
        let subject = self.subject(entry, group.as_ref(), kind.as_ref(), files);
        let lists =
            [("podSpecs", pod_specs), ("images", images), ("splitImages", split_images), ("args", args), ("env", env)];
        if lists.iter().all(|(_, list)| list.is_none()) {
            let cure = "add `podSpecs`, `images`, `splitImages`, `args` or `env`";
            self.problem(entry, "the entry does not say where images are", cure);
        }
        for (name, list) in lists {
            if let Some(list) = list.as_ref().filter(|list| list.value.is_empty()) {
                self.problem(list, format!("`{name}` is empty"), "list something in it, or remove it");
            }
        }
        let has_containers = pod_specs.is_some() || subject.as_ref().is_none_or(Subject::has_containers);
        for (name, list) in lists[3..].iter().filter(|_| !has_containers) {
            if let Some(list) = list {
                self.problem(
                    list,
                    format!("`{name}` has no container to look at"),
                    "say where the PodSpec is: `podSpecs`",
                );
            }
        }
        let declaration = Declaration {
            subject: subject?,
            pod_specs: self.paths(pod_specs),
            images: self.paths(images),
            split_images: self.paths(split_images),
            args: self.all(args, "flag", flag),
            env: self.all(env, "name of a variable", declared::name_glob),
        };
        (self.problems.len() == before).then_some(declaration)
    }

    fn subject(
        &mut self,
        entry: &Spanned<ManifestEntry>,
        group: Option<&Spanned<String>>,
        kind: Option<&Spanned<String>>,
        files: &Texts,
    ) -> Option<Subject> {
        match (group, kind, files) {
            (Some(group), Some(kind), None) => {
                if !is_group(&group.value) {
                    let name = group.value.split_once('/').map_or("", |(name, _)| name);
                    let cure = format!("write it without a version: `{}`", if name.is_empty() { "\"\"" } else { name });
                    self.problem(group, format!("invalid API group `{}`", group.value), cure);
                }
                if !is_kind(&kind.value) {
                    let cure = "write it as manifests do, such as `Rollout`";
                    self.problem(kind, format!("invalid kind `{}`", kind.value), cure);
                }
                Some(Subject::Kind { group: group.value.clone(), kind: kind.value.clone() })
            }
            (None, None, Some(list)) => {
                if list.value.is_empty() {
                    self.problem(list, "`files` is empty", "name files, such as `values*.yaml`");
                }
                Some(Subject::Files(self.all(files, "file name", declared::file_glob)))
            }
            (Some(at), None, None) | (None, Some(at), None) => {
                self.problem(at, "`group` and `kind` go together", "write both; the group of core kinds is `\"\"`");
                None
            }
            (Some(at), _, Some(_)) | (None, Some(at), Some(_)) => {
                let cure = "keep one, and write a second entry for the other";
                self.problem(at, "the entry has both a kind and `files`", cure);
                None
            }
            (None, None, None) => {
                let cure = "add `group` and `kind`, or `files`";
                self.problem(entry, "the entry does not say what it is about", cure);
                None
            }
        }
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

/// An API group without a version, as a declaration names it.
pub fn is_group(text: &str) -> bool {
    (text.is_empty() || is_object_name(text)) && !is_version(text)
}

/// A kind, as a declaration names it.
pub fn is_kind(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn is_version(group: &str) -> bool {
    group.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()) && !rest.contains('.'))
}

fn flag(text: &str) -> Result<String, &'static str> {
    match text {
        _ if !text.starts_with('-') || text.trim_matches('-').is_empty() => {
            Err("write it as in the arguments: `--flag`")
        }
        _ if text.contains(['=', ' ', '*']) => Err("write the flag alone, without its value: `--flag`"),
        _ => Ok(text.to_owned()),
    }
}
