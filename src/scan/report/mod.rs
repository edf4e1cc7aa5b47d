//! A report as text, JSON lines, SARIF, Markdown or HTML.
//!
//! | format | function | for |
//! | --- | --- | --- |
//! | table | [`table::table`] | terminals, and pipes that end in `grep` |
//! | JSON lines | [`json::line`] | programs; one finding a line, as it comes in |
//! | SARIF 2.1.0 | [`sarif::sarif`] | code scanning |
//! | Markdown | [`markdown::markdown`] | an issue or a merge request |
//! | HTML | [`html::html`] | mail |
//!
//! Each gives the same bytes for the same report. Names and images are somebody else's: none reaches a terminal or a
//! browser as anything but text.

pub mod html;
pub mod json;
pub mod markdown;
pub mod sarif;
pub mod table;
mod words;
mod wrap;

pub(crate) use words::{contents, cure, visible};
