//! Formats a report as text, JSON lines, SARIF, Markdown, HTML or a list of images.
//!
//! | format | function | for |
//! | --- | --- | --- |
//! | table | [`table::table`] | terminals, and pipes that end in `grep` |
//! | JSON lines | [`json::line`] | programs; one line for each finding, while the scan runs |
//! | SARIF 2.1.0 | [`sarif::sarif`] | code scanning |
//! | Markdown | [`markdown::markdown`] | an issue or a merge request |
//! | HTML | [`html::html`] | mail |
//! | names | [`names::Names`] | programs that fetch images |
//!
//! Each gives the same bytes for the same report. Names and images come from users: terminals and browsers get them as
//! text alone.

pub mod html;
pub mod json;
pub mod markdown;
pub mod names;
mod operators;
pub mod sarif;
pub mod table;
mod words;
mod wrap;

pub(crate) use words::{contents, few, fix, skipped};
pub(crate) use wrap::wrap;
