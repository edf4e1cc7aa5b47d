//! Log lines, which go to standard error.
//!
//! Strings from users are always fields, never part of the message. They are quoted or cleaned, so that they can't forge a
//! line or another field. Whole reviews are never logged: they contain values of environment variables.

mod format;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use self::format::{Format, all};
use super::lines::Writing;
use crate::engine::{CustomOwner, Decision, Operator, Outcome, Place, Reason, Rule, Summary};

/// Format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The lowest level that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Level {
    /// No lines.
    Off,
    /// Faults that need action now.
    Error,
    /// Faults that may need action soon.
    Warn,
    /// Changes: reloads, and the images of each Pod that a rule rewrites or observes.
    Info,
    /// One line for each admission, rejected request and failed handshake.
    Debug,
    /// All lines, including those of libraries.
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

/// Bytes of one string from a user. Names are validated after admission, so here they may be of any length.
const FIELD_BYTES: usize = 255;

/// Bytes of all changes of one admission.
const CHANGES_BYTES: usize = 4 * 1024;

/// Starts logging for the whole process. Lines are written until the returned value is dropped.
pub fn start(format: LogFormat, level: Level) -> Writing {
    let level = LevelFilter::from(level);
    // hyper and rustls log every frame: only with `trace`.
    let of_others = if level < LevelFilter::TRACE { level.min(LevelFilter::WARN) } else { level };
    let mut shown = Targets::new().with_default(of_others).with_target("pullthrough", level);
    if level < LevelFilter::TRACE {
        // kube logs each failed request as an error. Its callers report it once, with the consequence.
        shown = shown.with_target("kube_client", LevelFilter::OFF);
        // h2 warns of every invalid frame of a client.
        shown = shown.with_target("h2", level.min(LevelFilter::ERROR));
    }
    let writing = Writing::start();
    // Its internal errors would bypass the queue.
    let format = Format { format, is_coloured: io::stderr().is_terminal() };
    let lines = fmt::layer().event_format(format).with_writer(writing.lines().clone()).log_internal_errors(false);
    // It fails if a logger exists already, as in a test. That one is used then.
    let _ = tracing_subscriber::registry().with(shown).with(lines).try_init();
    writing
}

/// Logs panics by their place alone: a panic's message may quote strings from users.
pub fn panics_by_place() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic (bug); please report it");
    }));
}

/// The reasons of images that have a rewritten name and do not get it.
const WHY_WOULD_BE: [(Reason, &str); 4] = [
    (Reason::NotRolledOut, "the rollout of their rules does not include the workload"),
    (Reason::Observed, "their rules observe"),
    (Reason::NotInCache, "the cache does not have them"),
    (Reason::CacheDown, "all of their caches are down"),
];

/// Logs an admission at debug, its rewritten and observed images at info, and objects that are not understood as warnings.
pub fn admission(summary: &Summary<'_>) {
    let Summary {
        resource,
        operation,
        dry_run,
        outcome,
        uid,
        namespace,
        name,
        generate_name,
        origin,
        images,
        warned,
        problem,
    } = summary;
    let operator = origin.operator.map(|operator| operator.name);
    let (uid, namespace, name, generate_name) = (short(uid), short(namespace), short(name), short(generate_name));
    let (uid, namespace) = (uid.as_ref(), namespace.as_ref());
    // A field without a value is absent from the line.
    let [name, generate_name] = [&name, &generate_name].map(|name| Some(name.as_ref()).filter(|name| !name.is_empty()));
    if tracing::enabled!(tracing::Level::INFO) {
        let rewritten = listed(summary, |decision| match decision {
            Decision::Rewrite { rule, result, .. } => Some((*rule, result)),
            Decision::Restore { .. } | Decision::NotRewritten { .. } => None,
        });
        if !rewritten.is_empty() {
            tracing::info!(
                namespace,
                name,
                generate_name,
                uid,
                dry_run,
                operator,
                changes = rewritten,
                "images rewritten"
            );
        }
        for (reason, why) in WHY_WOULD_BE {
            let would_be = listed(summary, |decision| {
                decision.rule().zip(decision.would_be()).filter(|_| decision.reason() == Some(reason))
            });
            if !would_be.is_empty() {
                tracing::info!(namespace, name, generate_name, uid, dry_run, would_be, "images not rewritten; {why}");
            }
        }
    }
    if let Some(problem) = problem {
        let problem = short(problem);
        let problem = problem.as_ref();
        match outcome {
            Outcome::Denied => {
                tracing::warn!(namespace, name, generate_name, uid, problem, "object not understood; denied")
            }
            _ => tracing::warn!(
                namespace,
                name,
                generate_name,
                uid,
                problem,
                "object not understood; admitted unchanged"
            ),
        }
    }
    tracing::debug!(
        namespace,
        name,
        generate_name,
        uid,
        dry_run,
        resource = resource.as_str(),
        operation = operation.as_str(),
        outcome = outcome.as_str(),
        images = images.len(),
        warned = warned.iter().map(|(_, images)| images).sum::<usize>(),
        "admission"
    );
}

/// Logs that Pods of an operator that compares images are rewritten.
pub fn operator(operator: &Operator, namespace: &str) {
    tracing::warn!(
        operator = operator.name,
        namespace = short(namespace).as_ref(),
        set = places(operator),
        "Pods of an operator that compares images are rewritten, and it may recreate them; write the rewritten image names there, or add the operator to operators.skip"
    );
}

/// Logs a workload whose Pods are rewritten and recreated again and again.
pub fn recreate_loop(owner: &CustomOwner<'_>, pod: &str, operator: Option<&Operator>, stands_down: bool) {
    let CustomOwner { namespace, group, kind, name } = owner;
    let set = operator.map(places);
    let fix = if stands_down {
        "its new Pods are not rewritten until the rules change or this replica restarts; write the rewritten image names into its fields"
    } else {
        "write the rewritten image names into its fields, or set operators.onRecreateLoop: standDown"
    };
    tracing::warn!(
        namespace = short(namespace).as_ref(),
        group = short(group).as_ref(),
        kind = short(kind).as_ref(),
        owner = short(name).as_ref(),
        pod = short(pod).as_ref(),
        operator = operator.map(|operator| operator.name),
        set,
        "Pods of a workload are rewritten and recreated again and again; {fix}"
    );
}

/// Returns where the images of an operator are set.
fn places(operator: &Operator) -> String {
    operator.places().replace('`', "")
}

/// Returns images with their new names: `containers/app: nginx -> cache.example.com/library/nginx (rule hub); …`.
fn listed<'s>(summary: &'s Summary<'_>, change: impl Fn(&'s Decision<'s>) -> Option<(&'s Rule, &'s str)>) -> String {
    let mut text = String::new();
    for (index, image) in summary.images.iter().enumerate() {
        let Some((rule, result)) = change(&image.decision) else { continue };
        if text.len() > CHANGES_BYTES {
            let rest = summary.images.len() - index;
            let _ = write!(text, "; and up to {rest} more");
            break;
        }
        if !text.is_empty() {
            text.push_str("; ");
        }
        // Rewritten references are valid. Names of containers are validated later.
        let Place { list, index, name } = &image.place;
        let place = Place { list: *list, index: *index, name: short(name) };
        let start = text.len();
        let _ = write!(text, "{place}");
        if !text[start..].bytes().all(is_of_place) {
            let place = text[start..].replace(|c: char| !u8::try_from(c).is_ok_and(is_of_place), "?");
            text.replace_range(start.., &place);
        }
        for part in [": ", &short(&image.image), " -> ", &short(result), " (rule ", &rule.name, ")"] {
            text.push_str(part);
        }
    }
    text
}

fn is_of_place(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-/[]".contains(&byte)
}

/// Returns the start of a user's text, with `?` for characters that formatters escape with many bytes.
fn short(text: &str) -> Cow<'_, str> {
    let text = &text[..text.floor_char_boundary(FIELD_BYTES)];
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~');
    if all(text, is_plain) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.replace(|character| !u8::try_from(character).is_ok_and(is_plain), "?"))
    }
}
