//! Reads YAML into documents.

use std::collections::HashMap;
use std::ops::Range;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, StrInput, StructureStyle, options};

use super::resolve::{Style, Tag};
use super::tree::{Content, Document, Id};

/// A syntax error: its position in the text, and the cause.
#[derive(Debug)]
pub(super) struct Fault {
    pub offset: usize,
    pub message: String,
}

/// The limit of nested collections, including the targets of aliases.
pub(super) const MAX_DEPTH: u32 = 1_000;
pub(super) const TOO_DEEP: &str = "the document is nested too deeply";

/// Reads the documents of a text one by one.
pub(super) struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    text: &'t str,
    /// The number of bytes before the parser's input.
    base: usize,
    /// The end of the last document.
    end: usize,
    /// The start of the first template value. YAML reads it as a mapping with a mapping as its key.
    template: Option<usize>,
}

/// Passes on each document of a text, or its error. Empty ones count. Returns [`Reader::template`].
pub(super) fn each<'t>(text: &'t str, mut each: impl FnMut(Result<Document<'t>, Fault>)) -> Option<usize> {
    let mut reader = Reader::new(text);
    loop {
        match reader.next_document() {
            Ok(Some(document)) => each(Ok(document)),
            Ok(None) => break,
            Err(fault) => {
                each(Err(fault));
                if !reader.skip_document() {
                    break;
                }
            }
        }
    }
    reader.template
}

/// A collection that is still open.
struct Open {
    id: Id,
    is_mapping: bool,
    in_flow: bool,
    children: usize,
    /// The last key.
    key: Option<Id>,
    weight: Weight,
    anchor: usize,
}

/// The size of a node with all its aliases written out.
#[derive(Debug, Clone, Copy, Default)]
struct Weight {
    nodes: u64,
    /// The part of the size that comes from aliases.
    copies: u64,
    depth: u32,
}

impl<'t> Reader<'t> {
    pub fn new(text: &'t str) -> Self {
        let content = text.strip_prefix('\u{feff}').unwrap_or(text);
        let depth = MAX_DEPTH as usize;
        let options = options! {
            emit_anchor_events: false,
            // As go-yaml does.
            block_scalar_eof_without_line_feed: true,
            emit_comments: false,
            flow_nesting_limit: depth,
            block_nesting_limit: depth,
        };
        let parser = Parser::new_from_str_with_options(content, options);
        Self { parser, text, base: text.len() - content.len(), end: 0, template: None }
    }

    /// Returns the next document, or `None` at the end. Empty ones count.
    pub fn next_document(&mut self) -> Result<Option<Document<'t>>, Fault> {
        loop {
            match self.event()? {
                Some((Event::DocumentStart(..), _)) => {
                    let document = self.document()?;
                    self.check_end()?;
                    return Ok(Some(document));
                }
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    /// The parser ends a document before text that follows without `---`. That text still belongs to the document.
    fn check_end(&mut self) -> Result<(), Fault> {
        let Some(Err(error)) = self.parser.peek() else { return Ok(()) };
        let fault = self.fault(&error);
        let between = self.text.get(self.end..fault.offset).unwrap_or_default();
        let is_separator = |line: &str| line.starts_with("---") || line.starts_with("...");
        if between.split(['\n', '\r']).any(is_separator) { Ok(()) } else { Err(fault) }
    }

    /// Skips the rest of an unreadable document. Returns whether another one follows.
    fn skip_document(&mut self) -> bool {
        // Reading from memory never fails.
        self.parser.proceed_next_document().unwrap_or(false)
    }

    fn event(&mut self) -> Result<Option<(Event<'t>, Range<usize>)>, Fault> {
        let Some(event) = self.parser.next_event() else { return Ok(None) };
        let (event, span) = event.map_err(|error| self.fault(&error))?;
        Ok(Some((event, self.bytes(&span))))
    }

    fn bytes(&self, span: &Span) -> Range<usize> {
        span.byte_range().map_or(0..0, |range| range.start + self.base..range.end + self.base)
    }

    fn fault(&self, error: &ScanError) -> Fault {
        let offset = error.marker().byte_offset().map_or(self.text.len(), |offset| offset + self.base);
        let message = match error.kind() {
            ErrorKind::RecursionLimitExceeded => TOO_DEEP.to_owned(),
            _ => error.info(),
        };
        Fault { offset, message }
    }

    fn document(&mut self) -> Result<Document<'t>, Fault> {
        let mut document = Document::new(self.text);
        let mut open: Vec<Open> = Vec::new();
        // The weight of an incomplete node is unknown.
        let mut anchors: HashMap<usize, (Id, Option<Weight>)> = HashMap::new();
        while let Some((event, span)) = self.event()? {
            let fault = |message: &str| Fault { offset: span.start, message: message.to_owned() };
            let in_flow = open.last().is_some_and(|parent| parent.in_flow);
            let (id, weight, anchor) = match event {
                Event::Scalar(value, style, anchor, tag) => {
                    let tag = tag.as_ref().map_or(Tag::Absent, |tag| self::tag(tag));
                    let content = scalar(&value, style, tag, &span);
                    (document.push(content, span.clone(), in_flow), Weight { nodes: 1, ..Weight::default() }, anchor)
                }
                Event::Alias(anchor) => {
                    let Some(&(target, weight)) = anchors.get(&anchor) else { return Err(fault("unknown anchor")) };
                    let Some(weight) = weight else {
                        return Err(fault("the alias is inside its own anchor"));
                    };
                    let id = document.push(Content::Alias(target), span.clone(), in_flow);
                    let nodes = weight.nodes.saturating_add(1);
                    (id, Weight { nodes, copies: weight.nodes, depth: weight.depth }, 0)
                }
                Event::SequenceStart(style, anchor, _) | Event::MappingStart(style, anchor, _) => {
                    let is_mapping = matches!(event, Event::MappingStart(..));
                    let content = if is_mapping { Content::Mapping } else { Content::Sequence };
                    let in_flow = in_flow || style == StructureStyle::Flow;
                    if is_mapping && self.text[span.start..].starts_with("{{") {
                        self.template = self.template.or(Some(span.start));
                    }
                    let id = document.push(content, span.clone(), in_flow);
                    if anchor > 0 {
                        anchors.insert(anchor, (id, None));
                    }
                    let weight = Weight { nodes: 1, copies: 0, depth: 1 };
                    open.push(Open { id, is_mapping, in_flow, children: 0, key: None, weight, anchor });
                    continue;
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    let Some(closed) = open.pop() else { continue };
                    document.close(closed.id);
                    (closed.id, closed.weight, closed.anchor)
                }
                Event::DocumentEnd => {
                    self.end = span.start;
                    return Ok(document);
                }
                _ => continue,
            };
            if anchor > 0 {
                anchors.insert(anchor, (id, Some(weight)));
            }
            let Some(parent) = open.last_mut() else {
                if is_excessive(weight) {
                    let offset = document.root().map_or(0, |root| document.node(root).span.start);
                    return Err(Fault { offset, message: "the document has too many aliases".to_owned() });
                }
                continue;
            };
            parent.add(&document, id, weight).map_err(fault)?;
        }
        Ok(document)
    }
}

impl Open {
    fn expects_key(&self) -> bool {
        self.is_mapping && self.children.is_multiple_of(2)
    }

    fn add(&mut self, document: &Document, child: Id, weight: Weight) -> Result<(), &'static str> {
        if self.expects_key() {
            self.key = Some(child);
        } else if self.key.is_some_and(|key| self.is_mapping && document.is_merge_key(key)) {
            let is_mergeable = document.is_mapping(child)
                || matches!(document.node(child).content, Content::Sequence)
                    && document.children(child).all(|item| document.is_mapping(item));
            if !is_mergeable {
                return Err("`<<` needs a mapping or a list of mappings");
            }
        }
        let Weight { nodes, copies, depth } = weight;
        self.weight.nodes = self.weight.nodes.saturating_add(nodes);
        self.weight.copies = self.weight.copies.saturating_add(copies);
        self.weight.depth = self.weight.depth.max(depth + 1);
        self.children += 1;
        if self.weight.depth > MAX_DEPTH { Err(TOO_DEEP) } else { Ok(()) }
    }
}

/// The limit of go-yaml v2 (`decoder.unmarshal`) against documents that grow without bound when aliases are expanded.
fn is_excessive(weight: Weight) -> bool {
    const FEW: f64 = 400_000.0;
    const MANY: f64 = 4_000_000.0;
    let (nodes, copies) = (weight.nodes as f64, weight.copies as f64);
    let allowed = 0.99 - 0.89 * ((nodes - FEW) / (MANY - FEW)).clamp(0.0, 1.0);
    weight.copies > 100 && weight.nodes > 1_000 && copies / nodes > allowed
}

fn scalar<'v>(value: &'v str, style: ScalarStyle, tag: Tag, span: &Range<usize>) -> Content<'v> {
    let style = match style {
        ScalarStyle::Plain => Style::Plain,
        ScalarStyle::SingleQuoted => Style::SingleQuoted,
        ScalarStyle::DoubleQuoted => Style::DoubleQuoted,
        ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
    };
    // The parser returns `~` for a missing value.
    let value = if style == Style::Plain && span.is_empty() { "" } else { value };
    Content::Scalar { value, style, tag }
}

fn tag(tag: &granit_parser::Tag) -> Tag {
    match tag.core_suffix() {
        Some("str") => Tag::String,
        Some("int" | "float" | "bool" | "null" | "binary") => Tag::NoString,
        // The API server's reader does not know this tag and uses the text unchanged.
        _ => Tag::String,
    }
}
