//! Declarations of images in kinds that are not built in, from a rules file or the catalogue.

mod path;

use globset::{GlobBuilder, GlobMatcher};
use thiserror::Error;

pub use self::path::{InvalidPath, Path, Segment};
use crate::PodKind;

/// An entry of `manifests` in the rules file or in the catalogue, checked.
#[derive(Debug, Clone)]
pub struct Declaration {
    pub subject: Subject,
    /// Each is a PodSpec.
    pub pod_specs: Vec<Path>,
    /// Each is an image.
    pub images: Vec<Path>,
    /// Each is an image if it has a registry: without one, the default is another than Docker Hub.
    pub qualified_images: Vec<Path>,
    /// Each is a mapping with `registry`, `repository`, `tag` and `digest`, or of `repository`, `image` and `version`.
    pub split_images: Vec<Path>,
    /// Each has the values of a Helm chart.
    pub helm_values: Vec<Path>,
    /// Each is a nested object.
    pub objects: Vec<Path>,
    /// References that may take the place of an image in `images`.
    pub parameters: Vec<Parameter>,
    /// Flags that take an image, in `command` and `args` of every container.
    pub args: Vec<String>,
    /// Names of variables whose value is an image, in `env` of every container.
    pub env: Vec<NameGlob>,
}

/// A reference such as `$(params.NAME)`, and the paths of the images that it can refer to.
#[derive(Debug, Clone)]
pub struct Parameter {
    before_name: String,
    after_name: String,
    /// Each has the `name` of the parameter beside it.
    pub values: Vec<Path>,
}

impl Parameter {
    /// The place of the parameter's name in a reference.
    const NAME: &str = "NAME";

    /// Makes a parameter of a reference that has `NAME`.
    ///
    /// # Errors
    ///
    /// Returns what to write instead, if the reference does not have the name once with a text before it.
    pub fn new(reference: &str, values: Vec<Path>) -> Result<Self, &'static str> {
        match reference.split_once(Self::NAME) {
            Some((before, after)) if !before.is_empty() && !after.contains(Self::NAME) => {
                Ok(Self { before_name: before.to_owned(), after_name: after.to_owned(), values })
            }
            _ => Err("write it as manifests do, with `NAME` for the name of the parameter: `$(params.NAME)`"),
        }
    }

    /// Returns the name of the parameter, if the whole text is a reference.
    pub fn name_in<'t>(&self, text: &'t str) -> Option<&'t str> {
        text.strip_prefix(self.before_name.as_str())?.strip_suffix(self.after_name.as_str())
    }
}

/// The objects or documents that a declaration applies to.
#[derive(Debug, Clone)]
pub enum Subject {
    /// Objects, in any version of the group.
    Kind { group: String, kind: String },
    /// The containers of objects of any kind.
    AnyKind,
    /// All documents of some files.
    Files(Vec<GlobMatcher>),
    /// Documents that are not Kubernetes objects, and have each of these keys.
    Keys(Vec<String>),
}

/// A variable's name in which `*` stands for any characters.
#[derive(Debug, Clone)]
pub struct NameGlob {
    /// The text before the first `*`, which rejects most names.
    start: String,
    glob: GlobMatcher,
}

/// Why a text is not a pattern of file or variable names. The message says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidGlob {
    #[error("it is empty; write a name, in which `*` stands for any characters")]
    Empty,
    #[error("`{0}` is not allowed; write letters, digits, `_`, `-`, `.`, and `*` for any characters")]
    Character(char),
    #[error("it is not a valid pattern: {0}")]
    Pattern(String),
}

/// Parses the pattern of a path, or of its last parts. `*` stands for any characters except `/`, and `**` for any folders.
///
/// # Errors
///
/// Returns an error if the text is not a pattern.
pub fn file_glob(text: &str) -> Result<GlobMatcher, InvalidGlob> {
    let pattern = match text.strip_prefix("./").unwrap_or(text) {
        "" => return Err(InvalidGlob::Empty),
        rooted if rooted.starts_with('/') => rooted.to_owned(),
        end => format!("**/{end}"),
    };
    let glob = GlobBuilder::new(&pattern).literal_separator(true).build();
    glob.map(|glob| glob.compile_matcher()).map_err(|error| InvalidGlob::Pattern(error.kind().to_string()))
}

/// Parses a variable's name in which `*` stands for any characters.
///
/// # Errors
///
/// Returns an error if the text has characters that names of variables do not have.
pub fn name_glob(text: &str) -> Result<NameGlob, InvalidGlob> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '*');
    match text.chars().find(|&c| !is_allowed(c)) {
        Some(character) => Err(InvalidGlob::Character(character)),
        None if text.is_empty() => Err(InvalidGlob::Empty),
        None => {
            let start = text.split('*').next().unwrap_or_default().to_owned();
            let glob = GlobBuilder::new(text).build();
            let glob = glob.map_err(|error| InvalidGlob::Pattern(error.kind().to_string()))?;
            Ok(NameGlob { start, glob: glob.compile_matcher() })
        }
    }
}

impl NameGlob {
    pub fn is_match(&self, name: &str) -> bool {
        name.starts_with(&self.start) && self.glob.is_match(name)
    }
}

impl Subject {
    /// Returns whether it has containers that need no declaration.
    pub fn has_containers(&self) -> bool {
        match self {
            Self::Kind { group, kind } => PodKind::of(group, kind).is_some(),
            Self::AnyKind => true,
            Self::Files(_) | Self::Keys(_) => false,
        }
    }
}

impl Declaration {
    /// Returns an empty declaration.
    pub fn new(subject: Subject) -> Self {
        Self {
            subject,
            pod_specs: Vec::new(),
            images: Vec::new(),
            qualified_images: Vec::new(),
            split_images: Vec::new(),
            helm_values: Vec::new(),
            objects: Vec::new(),
            parameters: Vec::new(),
            args: Vec::new(),
            env: Vec::new(),
        }
    }

    /// Returns whether it applies to objects of a group and kind.
    pub fn is_of(&self, group: &str, kind: &str) -> bool {
        match &self.subject {
            Subject::Kind { group: of_group, kind: of_kind } => kind == of_kind && group == of_group,
            Subject::AnyKind | Subject::Files(_) | Subject::Keys(_) => false,
        }
    }

    /// Returns whether it applies to a file, by its path.
    pub fn is_of_file(&self, file: &str) -> bool {
        match &self.subject {
            Subject::Files(globs) => globs.iter().any(|glob| glob.is_match(file)),
            Subject::Kind { .. } | Subject::AnyKind | Subject::Keys(_) => false,
        }
    }
}
