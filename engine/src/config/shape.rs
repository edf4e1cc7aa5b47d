//! A YAML document of any shape, read to explain why it is not of the expected one.

use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::{Error, Spanned};

use super::bytes;

/// A value of any shape.
pub(super) enum Shape {
    Fields(Vec<(String, Spanned<Shape>)>),
    List(Vec<Spanned<Shape>>),
    /// Any scalar; empty for null.
    Text(String),
}

/// Reads the documents of a text.
pub(super) fn documents(text: &str) -> Result<Vec<Spanned<Shape>>, Error> {
    serde_saphyr::from_multiple_with_options(text, super::options(text))
}

/// A value of a document, and the name of the field that has it or that has the list with it.
pub(super) struct Value<'s> {
    pub field: Option<&'s str>,
    pub shape: &'s Shape,
    pub is_entry: bool,
}

/// Returns the outermost value that starts at a byte.
pub(super) fn value_at<'s>(root: &'s Spanned<Shape>, start: usize) -> Option<Value<'s>> {
    find(root, Value { field: None, shape: &root.value, is_entry: false }, start)
}

fn find<'s>(node: &'s Spanned<Shape>, value: Value<'s>, start: usize) -> Option<Value<'s>> {
    if bytes(node.defined).start == start {
        return Some(value);
    }
    match &node.value {
        Shape::Fields(fields) => fields.iter().find_map(|(name, node)| {
            find(node, Value { field: Some(name), shape: &node.value, is_entry: false }, start)
        }),
        Shape::List(entries) => entries
            .iter()
            .find_map(|node| find(node, Value { field: value.field, shape: &node.value, is_entry: true }, start)),
        Shape::Text(_) => None,
    }
}

impl Shape {
    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Fields(_) | Self::List(_) => None,
        }
    }

    /// Returns the one text that it consists of: itself, or the only value below it.
    pub(super) fn only_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::List(entries) => match entries.as_slice() {
                [entry] => entry.value.only_text(),
                _ => None,
            },
            Self::Fields(fields) => match fields.as_slice() {
                [(_, value)] => value.value.only_text(),
                _ => None,
            },
        }
    }

    /// Returns the value of a field.
    pub(super) fn field(&self, name: &str) -> Option<&Spanned<Self>> {
        match self {
            Self::Fields(fields) => fields.iter().find_map(|(field, value)| (field == name).then_some(value)),
            Self::List(_) | Self::Text(_) => None,
        }
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Shape, E> {
        Ok(Shape::Text(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Shape, E> {
        Ok(Shape::Text(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Shape, E> {
        Ok(Shape::Text(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Shape, E> {
        Ok(Shape::Text(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Shape, E> {
        Ok(Shape::Text(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::Text(String::new()))
    }

    fn visit_none<E>(self) -> Result<Shape, E> {
        Ok(Shape::Text(String::new()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Shape, A::Error> {
        let mut list = Vec::new();
        while let Some(entry) = entries.next_element()? {
            list.push(entry);
        }
        Ok(Shape::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Shape, A::Error> {
        let mut fields = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            fields.push(entry);
        }
        Ok(Shape::Fields(fields))
    }
}
