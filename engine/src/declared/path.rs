//! The supported part of JSONPath (RFC 9535).

use thiserror::Error;

/// A JSONPath of names, positions, wildcards, names at any depth, and comparisons of a field with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    segments: Vec<Segment>,
}

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    Name(String),
    Index(usize),
    All,
    /// The name at any depth.
    Descendant(String),
    /// Children in which the field has the value.
    Filter {
        name: String,
        value: String,
    },
}

/// Why a text is not a path. The message says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidPath {
    #[error("a path starts with `$`, which stands for the whole object; write `{suggestion}`")]
    Start { suggestion: String },
    #[error(
        "`{rest}` is not supported; after `$` write `.name`, `['name']`, `[0]`, `[*]`, `.*`, `..name` or `[?@.name == 'value']`"
    )]
    Segment { rest: String },
    #[error("`{rest}` is not closed; write `['name']`")]
    Quote { rest: String },
}

impl Path {
    /// Parses a path.
    ///
    /// # Errors
    ///
    /// Returns an error if the text is not a path, or uses a part of JSONPath that is not supported.
    pub fn parse(text: &str) -> Result<Self, InvalidPath> {
        let Some(mut rest) = text.strip_prefix('$') else {
            let suggestion = format!("$.{}", text.trim_start_matches(['.', '/']).replace('/', "."));
            return Err(InvalidPath::Start { suggestion });
        };
        let mut segments = Vec::new();
        while !rest.is_empty() {
            let (segment, after) = segment(rest)?;
            segments.push(segment);
            rest = after;
        }
        Ok(Self { segments })
    }

    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Returns the path without its last name; `None` if it does not end in a name.
    pub fn parent(&self) -> Option<Self> {
        let (last, segments) = self.segments.split_last()?;
        matches!(last, Segment::Name(_)).then(|| Self { segments: segments.to_vec() })
    }
}

fn segment(text: &str) -> Result<(Segment, &str), InvalidPath> {
    let invalid = || InvalidPath::Segment { rest: text.to_owned() };
    if let Some(rest) = text.strip_prefix("..") {
        let (name, rest) = name(rest).ok_or_else(invalid)?;
        return Ok((Segment::Descendant(name), rest));
    }
    if let Some(rest) = text.strip_prefix(".*").or_else(|| text.strip_prefix("[*]")) {
        return Ok((Segment::All, rest));
    }
    if let Some(rest) = text.strip_prefix('.') {
        let (name, rest) = name(rest).ok_or_else(invalid)?;
        return Ok((Segment::Name(name), rest));
    }
    let inner = text.strip_prefix('[').ok_or_else(invalid)?;
    if let Some(quote) = inner.chars().next().filter(|first| matches!(first, '\'' | '"')) {
        let (name, rest) = quoted(&inner[1..], quote).ok_or_else(|| InvalidPath::Quote { rest: text.to_owned() })?;
        return Ok((Segment::Name(name), rest));
    }
    if let Some(filter) = inner.strip_prefix('?') {
        return filter_of(filter).ok_or_else(invalid);
    }
    let (index, rest) = inner.split_once(']').ok_or_else(invalid)?;
    let is_index = !index.is_empty() && index.bytes().all(|b| b.is_ascii_digit());
    let index = index.parse().ok().filter(|_| is_index).ok_or_else(invalid)?;
    Ok((Segment::Index(index), rest))
}

/// Parses `@.name == 'value']`, and returns the rest.
fn filter_of(text: &str) -> Option<(Segment, &str)> {
    let (name, rest) = name(text.trim_start().strip_prefix("@.")?)?;
    let value = rest.trim_start().strip_prefix("==")?.trim_start();
    let quote = value.chars().next().filter(|first| matches!(first, '\'' | '"'))?;
    let (value, rest) = quoted(&value[1..], quote)?;
    Some((Segment::Filter { name, value }, rest))
}

/// Parses a name without quotes, and returns the rest.
fn name(text: &str) -> Option<(String, &str)> {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    (end > 0).then(|| (text[..end].to_owned(), &text[end..]))
}

/// Parses a name up to its closing quote and bracket, and returns the rest.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => name.push(characters.next().filter(|(_, next)| matches!(next, '\\' | '\'' | '"'))?.1),
            _ if character == quote => return Some((name, text[at + 1..].strip_prefix(']')?)),
            _ => name.push(character),
        }
    }
    None
}
