//! Laws that hold for every manifest, in every style.

use std::fmt::Write as _;

use proptest::collection::vec;
use proptest::prelude::*;
use pullthrough::manifest::{Known, Manifest};
use serde_json::Value;

/// The style of a scalar.
#[derive(Debug, Clone, Copy)]
enum Style {
    Plain,
    Single,
    Double,
    Escaped,
    Literal,
    Folded,
    Tagged,
    Anchored,
}

#[derive(Debug, Clone)]
struct Container {
    image: String,
    style: Style,
    flow: bool,
    quoted_keys: bool,
    /// A duplicate key: another image before the image.
    duplicate: Option<String>,
    /// Whether the image is an alias of the previous container's image.
    alias: bool,
    comment: bool,
    indentation: usize,
}

#[derive(Debug, Clone)]
struct Text {
    documents: Vec<Vec<Container>>,
    /// Whether the object has an unknown kind.
    custom: bool,
    crlf: bool,
    bom: bool,
    final_line_end: bool,
}

fn image() -> impl Strategy<Value = String> {
    prop_oneof![
        "k8s\\.gcr\\.io/[a-z]{1,8}(:v[0-9]{1,2})?",
        "six\\.io/[a-z]{1,8}",
        // No word that YAML reads as another type, such as `on`.
        "x[a-z]{1,7}(:[0-9]\\.[0-9])?",
        "quay\\.io/[a-z]{1,8}@sha256:[0-9a-f]{64}",
    ]
}

fn style() -> impl Strategy<Value = Style> {
    use Style::{Anchored, Double, Escaped, Folded, Literal, Plain, Single, Tagged};
    prop::sample::select(vec![Plain, Plain, Single, Double, Escaped, Literal, Folded, Tagged, Anchored])
}

prop_compose! {
    fn container()(
        image in image(), style in style(), flow in prop::bool::weighted(0.3), quoted_keys: bool,
        duplicate in prop::option::weighted(0.2, image()), alias in prop::bool::weighted(0.1), comment: bool,
        indentation in 0..3_usize,
    ) -> Container {
        Container { image, style, flow, quoted_keys, duplicate, alias, comment, indentation }
    }
}

prop_compose! {
    fn text()(
        documents in vec(vec(container(), 1..5), 1..4), custom: bool, crlf: bool, bom: bool, final_line_end: bool,
    ) -> Text {
        Text { documents, custom, crlf, bom, final_line_end }
    }
}

impl Container {
    fn is_block_scalar(&self) -> bool {
        !self.flow && matches!(self.style, Style::Literal | Style::Folded)
    }

    fn scalar(&self, number: usize, indentation: &str) -> String {
        let image = &self.image;
        match self.style {
            Style::Single => format!("'{image}'"),
            Style::Double => format!("\"{image}\""),
            Style::Escaped => format!("\"{}\"", image.replace('a', "\\x61").replace('.', "\\u002e")),
            Style::Literal if !self.flow => format!("|-\n{indentation}  {image}"),
            Style::Folded if !self.flow => format!(">-\n{indentation}   {image}"),
            Style::Tagged => format!("!!str {image}"),
            Style::Anchored => format!("&i{number} {image}"),
            Style::Plain | Style::Literal | Style::Folded => image.clone(),
        }
    }

    fn write(&self, number: usize, anchor: Option<usize>, text: &mut String) {
        let lead = " ".repeat(2 + self.indentation);
        let inner = format!("{lead}  ");
        let key = |key: &str| if self.quoted_keys { format!("\"{key}\"") } else { key.to_owned() };
        let scalar = match anchor {
            Some(anchor) => format!("*i{anchor} "),
            None => self.scalar(number, &inner),
        };
        let comment =
            if self.comment && (anchor.is_some() || !self.is_block_scalar()) { " # k8s.gcr.io/é" } else { "" };
        let (name, image) = (key("name"), key("image"));
        let duplicate = self.duplicate.as_ref().map(|duplicate| format!("{image}: {duplicate}"));
        if self.flow {
            let duplicate = duplicate.map(|duplicate| duplicate + ", ").unwrap_or_default();
            let _ = writeln!(text, "{lead}- {{{name}: c{number}, {duplicate}{image}: {scalar}}}{comment}");
        } else {
            let duplicate = duplicate.map(|duplicate| format!("{inner}{duplicate}\n")).unwrap_or_default();
            let _ = writeln!(text, "{lead}- {name}: c{number}\n{duplicate}{inner}{image}: {scalar}{comment}");
        }
    }
}

impl Text {
    /// Returns the text, and its images.
    fn write(&self) -> (String, Vec<String>) {
        let mut text = String::new();
        let mut images = Vec::new();
        for (index, containers) in self.documents.iter().enumerate() {
            let separator = if index > 0 { "---\n" } else { "" };
            let kind = if self.custom { "example.com/v1\nkind: Custom" } else { "v1\nkind: Pod" };
            let _ = write!(text, "{separator}apiVersion: {kind}\nspec:\n  containers:\n");
            // All items of a list start at the same column.
            let indentation = containers[0].indentation;
            let mut anchor: Option<(usize, String)> = None;
            for (number, container) in containers.iter().enumerate() {
                let container = Container { indentation, ..container.clone() };
                let alias = anchor.clone().filter(|_| container.alias);
                container.write(number, alias.as_ref().map(|(number, _)| *number), &mut text);
                let image = alias.as_ref().map_or(&container.image, |(_, image)| image).clone();
                if alias.is_none() && matches!(container.style, Style::Anchored) {
                    anchor = Some((number, image.clone()));
                }
                images.push(image);
            }
        }
        if !self.final_line_end {
            text.truncate(text.trim_end_matches('\n').len());
        }
        if self.crlf {
            text = text.replace('\n', "\r\n");
        }
        (format!("{}{text}", if self.bom { "\u{feff}" } else { "" }), images)
    }
}

/// Generates lines without images, to insert before an item of a list or a top-level field.
fn padding() -> impl Strategy<Value = String> {
    let comments =
        (0..150_usize, "( |\t)?# ?['\"{&*: a-zé]{0,9}").prop_map(|(count, line)| format!("{line}\n").repeat(count));
    let quoted = (prop::sample::select(vec!['\'', '"']), "[a-z]{1,5}(\n{1,3}[ \t]{0,6}[a-z:#é{]{1,5}){0,3} ?")
        .prop_map(|(quote, text)| format!("x-note: {quote}{text}{quote}\n"));
    prop_oneof![comments, quoted]
}

/// Inserts lines. Those with quoted scalars are only inserted before top-level fields.
fn pad(text: &str, padding: &[String]) -> String {
    let mut padding = padding.iter().cycle();
    let pad = |line: &str| {
        let is_top = ["apiVersion:", "kind:", "spec:"].iter().any(|key| line.starts_with(key));
        let is_item = line.trim_start().starts_with("- ");
        let lines = padding.next().filter(|lines| is_top || is_item && !lines.starts_with('x'));
        [lines.map_or("", String::as_str), line].concat()
    };
    text.split_inclusive('\n').map(pad).collect()
}

fn read(text: &str) -> Manifest<'_> {
    Manifest::read("", text, &Known::default()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn images(manifest: &Manifest) -> Vec<String> {
    manifest.fields().iter().map(|field| field.image.clone()).collect()
}

fn rewritten(image: &str) -> Option<String> {
    image
        .strip_prefix("k8s.gcr.io/")
        .map(|rest| format!("c.io/k8s/{rest}"))
        .or_else(|| image.strip_prefix("six.io/").map(|rest| format!("[::1]:5000/x/{rest}")))
}

/// Returns every document, read by a parser that is not this crate's.
fn values(text: &str) -> Vec<Value> {
    let options = serde_saphyr::options! { duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins };
    serde_saphyr::from_multiple_with_options(text, options).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

proptest! {
    #[test]
    fn only_images_change(text in text()) {
        let (text, expected) = text.write();
        let manifest = read(&text);
        prop_assert_eq!(images(&manifest), expected.clone());

        let written = manifest.write(|field| rewritten(&field.image));
        prop_assert_eq!(&written.refused, &[]);
        let wanted: Vec<String> = expected.iter().map(|image| rewritten(image).unwrap_or_else(|| image.clone())).collect();
        let after = read(&written.text);
        prop_assert_eq!(images(&after), wanted);
        prop_assert_eq!(after.write(|field| rewritten(&field.image)).text, written.text.clone());

        // All other values stay equal.
        let (mut before_values, after_values) = (values(&text), values(&written.text));
        for &changed in &written.changed {
            let field = &manifest.fields()[changed];
            let value = before_values[field.object.document].pointer_mut(&field.pointer).expect("a field");
            *value = rewritten(&field.image).expect("a change").into();
        }
        prop_assert_eq!(before_values, after_values);

        // All other text stays equal, line by line.
        let mut images_of_old = manifest.fields().iter().map(|field| field.line).collect::<std::collections::HashSet<_>>();
        images_of_old.extend(manifest.fields().iter().map(|field| field.line + 1));
        prop_assert_eq!(text.lines().count(), written.text.lines().count());
        for (number, (old, new)) in text.lines().zip(written.text.lines()).enumerate() {
            prop_assert!(old == new || images_of_old.contains(&(number + 1)), "line {}: {old:?} {new:?}", number + 1);
        }
        prop_assert_eq!(text.ends_with('\n'), written.text.ends_with('\n'));
    }

    /// The amount of text between images does not change the decisions.
    #[test]
    fn comments_and_quoted_lines_change_nothing(text in text(), padding in vec(padding(), 1..4)) {
        let (text, expected) = text.write();
        let padded = pad(&text, &padding);
        let (plain, manifest) = (read(&text), read(&padded));
        prop_assert_eq!((images(&manifest), manifest.unreadable().len()), (expected, 0));
        prop_assert_eq!(manifest.fields().len(), plain.fields().len());
        for (before, after) in plain.fields().iter().zip(manifest.fields()) {
            prop_assert_eq!((&before.pointer, &before.object, before.column), (&after.pointer, &after.object, after.column));
        }
        let [plain, written] = [plain, manifest].map(|manifest| manifest.write(|field| rewritten(&field.image)));
        prop_assert_eq!(&written.text, &pad(&plain.text, &padding));
        let again = read(&written.text);
        prop_assert_eq!(again.write(|field| rewritten(&field.image)).text, written.text.clone());
    }

    /// If an image is written in the standard style, a change and its reverse give the original text.
    #[test]
    fn what_was_changed_can_be_changed_back(text in text()) {
        let mut text = text;
        for container in text.documents.iter_mut().flatten() {
            container.image = container.image.replace("six.io", "k8s.gcr.io");
            if matches!(container.style, Style::Escaped) {
                container.style = Style::Double;
            }
        }
        let (text, _) = text.write();
        let manifest = read(&text);
        let written = manifest.write(|field| rewritten(&field.image));
        let after = read(&written.text);
        let mut old = images(&manifest).into_iter();
        prop_assert_eq!(after.write(|_| old.next()).text, text);
    }

    #[test]
    fn json_keeps_its_form(containers in vec((image(), "[ \\t\\n]{0,3}"), 1..4), escape: bool, count in 1..3_usize) {
        let list: Vec<String> =
            containers.iter().map(|(image, space)| format!("{space}{{{space}\"image\"{space}:{space}\"{image}\"}}{space}")).collect();
        let pod = format!("{{\"apiVersion\": \"v1\",\t\"kind\": \"Pod\", \"spec\": {{\"containers\": [{}]}}}}", list.join(","));
        let text = if escape { pod.replace('/', "\\/") } else { pod }.repeat(count);
        let manifest = read(&text);
        prop_assert_eq!(manifest.fields().len(), containers.len() * count);
        let written = manifest.write(|field| rewritten(&field.image));
        let expected = containers.iter().fold(text.clone(), |text, (image, _)| match rewritten(image) {
            Some(result) => text.replace(&format!("\"{image}\""), &format!("\"{result}\"")).replace(&format!("\"{}\"", image.replace('/', "\\/")), &format!("\"{result}\"")),
            None => text,
        });
        prop_assert_eq!(written.text, expected);
    }

    #[test]
    fn any_text_is_read_or_rejected(text in "[-:{}\\[\\]&*!|>'\"%@`#?, \\n\\tabc\u{feff}]{0,60}") {
        if let Ok(manifest) = Manifest::read("kustomization.yaml", &text, &Known::default()) {
            prop_assert_eq!(manifest.write(|_| None).text, text);
        }
    }
}
