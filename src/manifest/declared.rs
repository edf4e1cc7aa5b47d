//! Where a rules file says that images are, beside the kinds that are known.

use std::sync::Arc;

use globset::{GlobBuilder, GlobMatcher};
use thiserror::Error;

use super::found::{Found, Shape, Slot, suffix};
use super::objects::{Header, Origin};
use super::path::Hit;
pub use super::path::{InvalidPath, Path};
use super::pointer::{Step, below};
use super::tree::{Document, Id};
use super::{Known, Object, pods};

/// An entry of `manifests` in the rules file, checked.
#[derive(Debug, Clone)]
pub struct Declaration {
    pub subject: Subject,
    /// Each is a PodSpec.
    pub pod_specs: Vec<Path>,
    /// Each is an image.
    pub images: Vec<Path>,
    /// Each is a mapping of `registry`, `repository`, `tag` and `digest`.
    pub split_images: Vec<Path>,
    /// Flags that take an image, in `command` and `args` of every container.
    pub args: Vec<String>,
    /// Names of variables whose value is an image, in `env` of every container.
    pub env: Vec<GlobMatcher>,
}

/// What a declaration is about.
#[derive(Debug, Clone)]
pub enum Subject {
    /// Objects, in any version of the group.
    Kind { group: String, kind: String },
    /// Documents of files, whatever they are.
    Files(Vec<GlobMatcher>),
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
pub fn name_glob(text: &str) -> Result<GlobMatcher, InvalidGlob> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '*');
    match text.chars().find(|&c| !is_allowed(c)) {
        Some(character) => Err(InvalidGlob::Character(character)),
        None if text.is_empty() => Err(InvalidGlob::Empty),
        None => {
            let glob = GlobBuilder::new(text).build();
            glob.map(|glob| glob.compile_matcher()).map_err(|error| InvalidGlob::Pattern(error.kind().to_string()))
        }
    }
}

impl Subject {
    /// Whether it has containers that are known without a declaration.
    pub(crate) fn has_containers(&self) -> bool {
        match self {
            Self::Kind { group, kind } => pods::path(group, kind).is_some(),
            Self::Files(_) => false,
        }
    }
}

impl Declaration {
    fn is_of(&self, header: &Header) -> bool {
        match &self.subject {
            Subject::Kind { group, kind } => header.group() == group && header.kind == *kind,
            Subject::Files(_) => false,
        }
    }

    fn is_of_file(&self, file: &str) -> bool {
        match &self.subject {
            Subject::Kind { .. } => false,
            Subject::Files(globs) => globs.iter().any(|glob| glob.is_match(file)),
        }
    }
}

/// Whether a declaration says where an object has images.
pub(super) fn is_kind(known: &Known, header: &Header) -> bool {
    known.declared.iter().any(|declaration| declaration.is_of(header))
}

/// Whether a declaration says where a file has images.
pub(super) fn is_file(known: &Known, file: &str) -> bool {
    known.declared.iter().any(|declaration| declaration.is_of_file(file))
}

/// The declared images of an object.
pub(super) fn of_kind(document: &Document, header: &Header, number: usize, known: &Known, found: &mut Vec<Found>) {
    if header.api_version.is_empty() {
        return;
    }
    let extra = Extra::of(known, header);
    for declaration in known.declared.iter().filter(|declaration| declaration.is_of(header)) {
        images(document, header, number, declaration, &extra, found);
    }
}

/// The declared images of a document of a file.
pub(super) fn of_file(document: &Document, root: Id, origin: Origin, known: &Known, found: &mut Vec<Found>) {
    let declarations: Vec<&Declaration> =
        known.declared.iter().filter(|declaration| declaration.is_of_file(origin.file)).collect();
    let extra = Extra(declarations.clone());
    for declaration in declarations {
        let text = |key| document.get(root, key).and_then(|node| document.string(node)).unwrap_or_default().to_owned();
        let header = Header { root, pointer: String::new(), api_version: text("apiVersion"), kind: text("kind") };
        images(document, &header, origin.document, declaration, &extra, found);
    }
}

fn images(
    document: &Document,
    header: &Header,
    number: usize,
    declaration: &Declaration,
    extra: &Extra,
    found: &mut Vec<Found>,
) {
    let query = |path: &Path| {
        let mut hits = path.query(document, header.root, &header.pointer);
        // Of an object these are not what somebody wants: the one is the cluster's, the other text.
        let is_object = !header.kind.is_empty();
        let is_off = |pointer: &str| {
            let below = pointer.strip_prefix(header.pointer.as_str()).unwrap_or(pointer);
            ["/status", "/metadata"].iter().any(|start| below == *start || below.starts_with(&format!("{start}/")))
        };
        hits.retain(|hit| !(is_object && is_off(&hit.pointer)));
        hits
    };
    let object = Arc::new(header.object(document, number));
    for path in &declaration.pod_specs {
        for Hit { node, parent, pointer, .. } in query(path) {
            let state = parent.filter(|_| path.parent().is_some()).map(|pod| pods::state(document, pod));
            let object = Arc::new(Object { state: state.unwrap_or_default(), ..Object::clone(&object) });
            pods::of_spec(document, node, &pointer, &object, extra, found);
        }
    }
    for hit in declaration.split_images.iter().flat_map(query) {
        found.extend(split_image(document, hit, &object));
    }
    for Hit { node, parent, pointer, path } in declaration.images.iter().flat_map(query) {
        if let Some(image) = document.string(node) {
            found.push(Found {
                object: Arc::clone(&object),
                place: path,
                image: image.to_owned(),
                pull_never: parent.is_some_and(|parent| is_never_pulled(document, parent)),
                shape: Shape::Whole,
                slots: vec![Slot { node, pointer }],
            });
        }
    }
}

fn is_never_pulled(document: &Document, parent: Id) -> bool {
    ["imagePullPolicy", "pullPolicy"]
        .iter()
        .any(|key| document.get(parent, key).and_then(|node| document.string(node)) == Some("Never"))
}

/// `registry`, `repository`, `tag` and `digest`, as charts have them.
pub(super) fn split_image(document: &Document, hit: Hit, object: &Arc<Object>) -> Option<Found> {
    let node = |key| document.get(hit.node, key).filter(|&node| !document.is_null(node));
    let string = |key| node(key).and_then(|node| document.string(node));
    let repository = string("repository").filter(|text| !text.is_empty() && !text.contains(['{', '$']))?;
    // A tag that looks like a number is still one.
    let tag = node("tag").and_then(|node| document.scalar(node));
    let suffix = suffix(tag, string("digest"));
    let slot = |key| Some(Slot { node: node(key)?, pointer: below(&hit.pointer, &[Step::Key(key)]) });
    let (name, shape, slots) = match string("registry") {
        Some(registry) => {
            let name = if registry.is_empty() { repository.to_owned() } else { [registry, "/", repository].concat() };
            (name, Shape::Split { suffix: suffix.clone() }, vec![slot("registry")?, slot("repository")?])
        }
        None => (repository.to_owned(), Shape::Name { suffix: suffix.clone() }, vec![slot("repository")?]),
    };
    Some(Found {
        object: Arc::clone(object),
        place: hit.path,
        image: name + &suffix,
        pull_never: is_never_pulled(document, hit.node),
        shape,
        slots,
    })
}

/// What containers have beside their image.
#[derive(Debug)]
pub(super) struct Extra<'k>(Vec<&'k Declaration>);

impl<'k> Extra<'k> {
    pub fn of(known: &'k Known, header: &Header) -> Self {
        Self(known.declared.iter().filter(|declaration| declaration.is_of(header)).collect())
    }

    /// The images in the arguments and variables of a container.
    pub fn images(
        &self,
        document: &Document,
        container: Id,
        place: &str,
        pointer: &str,
        object: &Arc<Object>,
        found: &mut Vec<Found>,
    ) {
        let mut add = |key: &str, name: &str, node: Id, steps: &[Step], shape: Shape| {
            let prefix = if let Shape::Flag { prefix } = &shape { prefix.as_str() } else { "" };
            let Some(image) = document.string(node).and_then(|text| text.strip_prefix(prefix)) else { return };
            found.push(Found {
                object: Arc::clone(object),
                place: format!("{place}/{key}/{name}"),
                image: image.to_owned(),
                pull_never: false,
                shape,
                slots: vec![Slot { node, pointer: below(pointer, steps) }],
            });
        };
        let list = |key| document.get(container, key).and_then(|list| document.items(list)).into_iter().flatten();
        let flags = || self.0.iter().flat_map(|declaration| &declaration.args);
        for key in ["command", "args"].into_iter().filter(|_| flags().next().is_some()) {
            let mut before = None;
            for (index, node) in list(key).enumerate() {
                let steps = [Step::Key(key), Step::Index(index)];
                let text = document.string(node);
                if let Some(flag) = flags().find(|flag| before == Some(flag.as_str())) {
                    add(key, flag, node, &steps, Shape::Whole);
                } else if let Some((name, _)) = text.and_then(|text| text.split_once('='))
                    && flags().any(|flag| flag == name)
                {
                    add(key, name, node, &steps, Shape::Flag { prefix: format!("{name}=") });
                }
                before = text;
            }
        }
        let globs = || self.0.iter().flat_map(|declaration| &declaration.env);
        for (index, variable) in list("env").enumerate().filter(|_| globs().next().is_some()) {
            let Some(name) = document.get(variable, "name").and_then(|node| document.string(node)) else { continue };
            let Some(value) = document.get(variable, "value") else { continue };
            if globs().any(|glob| glob.is_match(name)) {
                let steps = [Step::Key("env"), Step::Index(index), Step::Key("value")];
                add("env", name, value, &steps, Shape::Whole);
            }
        }
    }
}
