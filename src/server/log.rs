//! What is written to standard error.
//!
//! Strings that come from users are always fields, never part of the message, and quoted or stripped of what could
//! forge a line or another field. A review is never logged as a whole, as
//! it holds the values of environment variables.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use super::lines::Writing;
use crate::engine::{Decision, Outcome, Place, Summary};

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For machines: one object a line.
    Json,
}

/// The least important lines that are still written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Level {
    /// Nothing.
    Off,
    /// What needs somebody.
    Error,
    /// What may need somebody soon.
    Warn,
    /// What was changed: reloads, and the images of each Pod that was patched.
    Info,
    /// One line for each admission, refused request and failed handshake.
    Debug,
    /// All there is.
    Trace,
}

impl From<Level> for LevelFilter {
    fn from(level: Level) -> LevelFilter {
        match level {
            Level::Off => LevelFilter::OFF,
            Level::Error => LevelFilter::ERROR,
            Level::Warn => LevelFilter::WARN,
            Level::Info => LevelFilter::INFO,
            Level::Debug => LevelFilter::DEBUG,
            Level::Trace => LevelFilter::TRACE,
        }
    }
}

/// Of one string from a user: names are validated after admission only, so here they may be of any length.
const FIELD_BYTES: usize = 255;

/// Of all changes of one admission.
const CHANGES_BYTES: usize = 4 * 1024;

/// Starts logging, for the whole process. Lines are written until what is returned is dropped.
pub fn start(format: Format, level: Level) -> Writing {
    let level = LevelFilter::from(level);
    // What hyper and rustls say of every frame drowns the rest: it comes with `trace` alone.
    let of_others = if level < LevelFilter::TRACE { level.min(LevelFilter::WARN) } else { level };
    let mut shown = Targets::new().with_default(of_others).with_target("pullthrough", level);
    if level < LevelFilter::TRACE {
        // It tells each failed request as an error; whoever sent it tells what comes of it, once.
        shown = shown.with_target("kube_client", LevelFilter::OFF);
        // It warns of every frame that a client should not have sent, as often as the client sends one.
        shown = shown.with_target("h2", level.min(LevelFilter::ERROR));
    }
    let writing = Writing::start();
    // Its own errors would go to standard error past the queue.
    let lines = fmt::layer().with_writer(writing.lines().clone()).with_target(false).log_internal_errors(false);
    let lines = match format {
        Format::Text => lines.with_ansi(io::stderr().is_terminal()).boxed(),
        Format::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
    };
    // Whoever logs already, such as a test, goes on.
    let _ = tracing_subscriber::registry().with(shown).with(lines).try_init();
    writing
}

/// Has panics logged by their place alone: a panic's message may quote what a user sent.
pub fn panics_by_place() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic: a defect in pullthrough, please report it");
    }));
}

/// One line at debug for each admission, one at info for each that changed something.
pub fn admission(summary: &Summary<'_>) {
    let Summary { resource, operation, dry_run, outcome, uid, namespace, name, images, problem } = summary;
    let (uid, namespace, name) = (short(uid), short(namespace), short(name));
    let (uid, namespace, name) = (uid.as_ref(), namespace.as_ref(), name.as_ref());
    if tracing::enabled!(tracing::Level::INFO) {
        let changes = changes(summary);
        if !changes.is_empty() {
            tracing::info!(namespace, name, uid, dry_run, %changes, "images rewritten");
        }
    }
    if let Some(problem) = problem {
        let problem = short(problem);
        let problem = problem.as_ref();
        match outcome {
            Outcome::Denied => tracing::warn!(namespace, name, uid, problem, "object not understood, and denied"),
            _ => tracing::warn!(namespace, name, uid, problem, "object not understood, and allowed unchanged"),
        }
    }
    tracing::debug!(
        namespace,
        name,
        uid,
        dry_run,
        resource = resource.as_str(),
        operation = operation.as_str(),
        outcome = outcome.as_str(),
        images = images.len(),
        "admission"
    );
}

/// `containers/app: nginx -> cache.example.com/library/nginx (rule hub); …`
fn changes(summary: &Summary<'_>) -> String {
    let mut text = String::new();
    for (index, image) in summary.images.iter().enumerate() {
        let Decision::Rewrite { rule, result } = &image.decision else {
            continue;
        };
        if text.len() > CHANGES_BYTES {
            let rest = summary.images.len() - index;
            let _ = write!(text, "; and up to {rest} more");
            break;
        }
        let separator = if text.is_empty() { "" } else { "; " };
        // A reference that was rewritten is a valid one; a container's name is validated later, if ever.
        let Place { list, index, name } = &image.place;
        let place = Place { list: *list, index: *index, name: short(name) }.to_string();
        let place = place.replace(|c: char| !c.is_ascii_alphanumeric() && !"-/[]".contains(c), "?");
        let (place, from, result) = (short(&place), short(&image.image), short(result));
        let _ = write!(text, "{separator}{place}: {from} -> {result} (rule {})", rule.name);
    }
    text
}

/// Returns the beginning of a text that a user sent, with `?` for what a formatter would escape with many bytes.
fn short(text: &str) -> Cow<'_, str> {
    let text = &text[..text.floor_char_boundary(FIELD_BYTES)];
    let is_plain = |character: char| character == ' ' || character.is_ascii_graphic();
    match text.chars().all(is_plain) {
        true => Cow::Borrowed(text),
        false => Cow::Owned(text.replace(|character| !is_plain(character), "?")),
    }
}
