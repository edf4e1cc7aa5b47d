//! Where a rules file and the catalogue say that images are, beside the kinds that are known.

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
    /// Each is an image if it names its registry: others have another default than Docker Hub.
    pub qualified_images: Vec<Path>,
    /// Each is a mapping of `registry`, `repository`, `tag` and `digest`, or of `repository`, `image` and `version`.
    pub split_images: Vec<Path>,
    /// Each is the values of a Helm chart.
    pub helm_values: Vec<Path>,
    /// Each is an object of its own.
    pub objects: Vec<Path>,
    /// What stands for an image in `images`.
    pub parameters: Vec<Parameter>,
    /// Flags that take an image, in `command` and `args` of every container.
    pub args: Vec<String>,
    /// Names of variables whose value is an image, in `env` of every container.
    pub env: Vec<NameGlob>,
}

/// A text such as `$(params.NAME)`, and where the image stands that it refers to.
#[derive(Debug, Clone)]
pub struct Parameter {
    before_name: String,
    after_name: String,
    /// Each stands beside the `name` of the parameter.
    pub values: Vec<Path>,
}

impl Parameter {
    /// Where the name of the parameter stands in a reference.
    const NAME: &str = "NAME";

    /// # Errors
    ///
    /// Where the reference does not have the name once, with a text before it. The message says what to write instead.
    pub fn new(reference: &str, values: Vec<Path>) -> Result<Self, &'static str> {
        match reference.split_once(Self::NAME) {
            Some((before, after)) if !before.is_empty() && !after.contains(Self::NAME) => {
                Ok(Self { before_name: before.to_owned(), after_name: after.to_owned(), values })
            }
            _ => Err("write it as manifests do, with `NAME` for the name of the parameter: `$(params.NAME)`"),
        }
    }

    /// The name of the parameter that a text is, and nothing else.
    pub fn name_in<'t>(&self, text: &'t str) -> Option<&'t str> {
        text.strip_prefix(self.before_name.as_str())?.strip_suffix(self.after_name.as_str())
    }
}

/// What a declaration is about.
#[derive(Debug, Clone)]
pub enum Subject {
    /// Objects, in any version of the group.
    Kind { group: String, kind: String },
    /// Objects of any kind: their containers.
    AnyKind,
    /// Documents of files, whatever they are.
    Files(Vec<GlobMatcher>),
    /// Documents that are no Kubernetes objects, and have each of these keys.
    Keys(Vec<String>),
}

/// A variable's name in which `*` stands for any characters.
#[derive(Debug, Clone)]
pub struct NameGlob {
    /// What is before the first `*`: most names are told apart by it.
    start: String,
    glob: GlobMatcher,
}

/// Why a text is no name of files, or of variables. The message says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidGlob {
    #[error("it is empty; write a name, in which `*` stands for any characters")]
    Empty,
    #[error("`{0}` can't be in it; write letters, digits, `_`, `-`, `.`, and `*` for any characters")]
    Character(char),
    #[error("it is no pattern: {0}")]
    Pattern(String),
}

/// A path, or the last parts of one, with `*` for what is no `/` and `**` for any folders.
///
/// # Errors
///
/// Where the text is no pattern.
pub fn file_glob(text: &str) -> Result<GlobMatcher, InvalidGlob> {
    let pattern = match text.strip_prefix("./").unwrap_or(text) {
        "" => return Err(InvalidGlob::Empty),
        rooted if rooted.starts_with('/') => rooted.to_owned(),
        end => format!("**/{end}"),
    };
    let glob = GlobBuilder::new(&pattern).literal_separator(true).build();
    glob.map(|glob| glob.compile_matcher()).map_err(|error| InvalidGlob::Pattern(error.kind().to_string()))
}

/// A variable's name in which `*` stands for any characters.
///
/// # Errors
///
/// Where the text has other characters than such names have.
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
    /// Whether it has containers that are known without a declaration.
    pub fn has_containers(&self) -> bool {
        match self {
            Self::Kind { group, kind } => PodKind::of(group, kind).is_some(),
            Self::AnyKind => true,
            Self::Files(_) | Self::Keys(_) => false,
        }
    }
}

impl Declaration {
    /// One that says nothing yet.
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

    /// Whether it is about objects of a group and kind.
    pub fn is_of(&self, group: &str, kind: &str) -> bool {
        match &self.subject {
            Subject::Kind { group: of_group, kind: of_kind } => kind == of_kind && group == of_group,
            Subject::AnyKind | Subject::Files(_) | Subject::Keys(_) => false,
        }
    }

    /// Whether it is about a file, by its path.
    pub fn is_of_file(&self, file: &str) -> bool {
        match &self.subject {
            Subject::Files(globs) => globs.iter().any(|glob| glob.is_match(file)),
            Subject::Kind { .. } | Subject::AnyKind | Subject::Keys(_) => false,
        }
    }
}
