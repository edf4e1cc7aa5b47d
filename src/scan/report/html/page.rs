//! What the pages of reports share: the skeleton, the filter of rows, and parts of them. Names are text, never markup.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use crate::words::visible;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("filter.js");
/// A list with more lines than these shows the first ones.
const MAX_LINES: usize = 8;
const FIRST_LINES: usize = 6;

/// Returns a page that loads nothing, with the style and the script of reports.
pub fn page(title: &str, command: &str, content: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                // A policy applies only to what follows it.
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                meta name="generator" content=(concat!("pullthrough ", env!("CARGO_PKG_VERSION")));
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    (content)
                    footer { "Created by " code { (command) } " " (env!("CARGO_PKG_VERSION")) "." }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

/// Returns a policy that allows the style and the script of the page alone.
fn policy() -> String {
    let hash = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}

pub fn tile(class: &str, name: &str, number: &str) -> Markup {
    html! { div class=(format!("tile {class}").trim_end()) { dt { (name) } dd { (number) } } }
}

/// Returns the filter of the rows of `table.images`, whose `data-bucket` is the first text of an option. `of` names what the options are.
/// The script of the page shows it.
pub fn filter<'o>(placeholder: &str, of: &str, options: impl Iterator<Item = (&'o str, &'o str)>) -> Markup {
    html! {
        div.filter role="search" hidden {
            label.label for="text" { "Show rows with this text" }
            input #text type="search" placeholder=(placeholder) autocomplete="off";
            label.label for="bucket" { "Show rows with this " (of) }
            select #bucket {
                option value="" { "all" }
                @for (bucket, title) in options { option value=(bucket) { (title) } }
            }
            output for="text bucket" {}
        }
    }
}

pub fn headings(headings: &[&str]) -> Markup {
    html! {
        thead role="rowgroup" {
            tr role="row" {
                @for heading in headings {
                    th role="columnheader" scope="col" { (heading) }
                }
            }
        }
    }
}

/// Formats text between backticks as code.
pub fn prose(text: &str) -> Markup {
    let text = visible(text);
    let parts = text.split('`').enumerate();
    html! { @for (index, part) in parts { @if index % 2 == 1 { code { (part) } } @else { (part) } } }
}

/// The first lines, and the others behind a click.
pub fn list(lines: impl Iterator<Item = String>) -> Markup {
    let lines: Vec<String> = lines.collect();
    let (first, more) = lines.split_at(lines.len().min(if lines.len() > MAX_LINES { FIRST_LINES } else { MAX_LINES }));
    html! {
        ul { @for line in first { li { code { (line) } } } }
        @if !more.is_empty() {
            details {
                summary { (more.len()) " more" }
                ul { @for line in more { li { code { (line) } } } }
            }
        }
    }
}
