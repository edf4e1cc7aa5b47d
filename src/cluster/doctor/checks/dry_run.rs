//! Does a Pod come back rewritten?

use super::rivals::suspects;
use crate::cluster::api::Failure;
use crate::cluster::doctor::answers::Answers;
use crate::cluster::doctor::endpoint::Endpoint;
use crate::cluster::doctor::fault::Fault;
use crate::cluster::doctor::objects::Objects;
use crate::cluster::doctor::probe::{DryRun, Plan, Probe, Probed};
use crate::cluster::doctor::report::Check;
use crate::cluster::words::count;
use crate::export::webhook::WEBHOOK_NAME;

/// How the webhook's warnings start.
const OURS: &str = "pullthrough: ";

pub fn check(objects: &Objects, answers: &Answers) -> Check {
    let mut check = Check::new("dry-run", "Does a Pod, created in a dry run, come back rewritten?");
    let (plan, probed) = match &answers.dry_run {
        DryRun::Skipped(why) => return check.skip(why.as_str()),
        DryRun::Done(plan, probed) => (plan, probed),
    };
    let place = format!("a Pod in namespace {}", plan.namespace);
    for rule in &plan.left_out {
        check.fact(format!("not tried: rule {rule}"));
    }
    match probed {
        Ok(probed) => compare(&mut check, objects, plan, probed, &place),
        Err(Failure::Refused { message, .. }) => refused(&mut check, message, &place),
        Err(failure) => check.could_not_look(failure, format!("what becomes of {place}")),
    }
    check
}

fn compare(check: &mut Check, objects: &Objects, plan: &Plan, probed: &Probed, place: &str) {
    let mut rewritten = 0;
    let mut missed: Vec<&Probe> = Vec::new();
    let mut undone: Vec<&Probe> = Vec::new();
    for (index, probe) in plan.probes.iter().enumerate() {
        match probed.image(index) {
            Some(image) if image == probe.expected => rewritten += 1,
            Some(image) if image == probe.image => match is_told_of(probed, probe) {
                true => undone.push(probe),
                false => missed.push(probe),
            },
            image => {
                let image = image.unwrap_or("no image at all");
                let what = format!(
                    "{} became {image}, not {} (rule {}){}",
                    probe.image,
                    probe.expected,
                    probe.rule,
                    named(objects, plan)
                );
                check.find(Fault::RewrittenDifferently, place, what);
            }
        }
    }
    check.fact(format!(
        "{rewritten} of {} rewritten in namespace {}",
        count(plan.probes.len(), "image"),
        plan.namespace
    ));
    if !missed.is_empty() {
        let what = format!("{}{}", not_as_expected("came back as it was", &missed), not_called(objects, plan, probed));
        check.find(Fault::NotRewritten, place, what);
    }
    if !undone.is_empty() {
        let what = format!(
            "{}, although the webhook said that it rewrote it: somebody undid that{}",
            not_as_expected("came back as it was", &undone),
            named(objects, plan)
        );
        check.find(Fault::RewriteUndone, place, what);
    }
}

fn not_as_expected(how: &str, probes: &[&Probe]) -> String {
    let Some(first) = probes.first() else { return String::new() };
    let more = match probes.len() {
        1 => String::new(),
        number => format!(", and so did {} more", number - 1),
    };
    format!("{} {how}, not as {} (rule {}){more}", first.image, first.expected, first.rule)
}

/// Whether the webhook told the person who asked that this rule was applied.
fn is_told_of(probed: &Probed, probe: &Probe) -> bool {
    let mut ours = probed.warnings.iter().filter(|warning| warning.starts_with(OURS));
    let of_rule = format!("(rule {})", probe.rule);
    // Long warnings are cut, and of many rules only the first are named.
    ours.any(|warning| {
        warning.contains(&of_rule) || warning.ends_with('…') || warning.ends_with("more rules rewrote images")
    })
}

/// What the lack of a warning says.
fn not_called(objects: &Objects, plan: &Plan, probed: &Probed) -> String {
    let tells = objects.arguments.as_ref().map_or(&Ok(true), |arguments| &arguments.tells_warnings);
    let is_called = probed.warnings.iter().any(|warning| warning.starts_with(OURS));
    if is_called {
        return "; the webhook was called, and did not rewrite it: its rules are others".to_owned();
    }
    if objects.is_told_warnings && *tells == Ok(true) {
        let why = match &objects.endpoint {
            Endpoint::Url(url) => format!("at {url}"),
            Endpoint::Service { namespace, name, .. } => format!("by way of Service {namespace}/{name}"),
        };
        return format!("; the webhook was not called, or could not be reached {why}");
    }
    let since = match tells {
        Err(why) if objects.is_told_warnings => why,
        _ => "it warns nobody",
    };
    format!("; whether the webhook was called can't be told, since {since}{}", named(objects, plan))
}

/// Who could have done it.
fn named(objects: &Objects, plan: &Plan) -> String {
    match suspects(objects, &plan.namespace).as_slice() {
        [] => String::new(),
        suspects => format!("; it could be {}", suspects.join(", or ")),
    }
}

fn refused(check: &mut Check, message: &str, place: &str) {
    let is_our_call = message.contains("failed calling webhook") && message.contains(WEBHOOK_NAME);
    let fault = if is_our_call { Fault::WebhookCallFailing } else { Fault::PodRefused };
    check.find(fault, place, format!("the API server refused it: {message}"));
}
