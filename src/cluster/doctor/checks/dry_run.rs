//! Is a new Pod rewritten?

use super::other_webhooks::suspects;
use crate::cluster::api::Failure;
use crate::cluster::doctor::answers::Answers;
use crate::cluster::doctor::endpoint::Endpoint;
use crate::cluster::doctor::fault::Fault;
use crate::cluster::doctor::objects::Objects;
use crate::cluster::doctor::probe::{DryRun, Plan, Probe, Probed};
use crate::cluster::doctor::report::Check;
use crate::export::webhook::WEBHOOK_NAME;
use crate::words::count;

/// The prefix of the webhook's warnings.
const OURS: &str = "pullthrough: ";

pub fn check(objects: &Objects, answers: &Answers) -> Check {
    let mut check = Check::new("dry-run", "Is a Pod that is created in a dry run rewritten?");
    let (plan, probed) = match &answers.dry_run {
        DryRun::Skipped(why) => return check.not_applicable(why.as_str()),
        DryRun::Done(plan, probed) => (plan, probed),
    };
    let place = format!("a Pod in namespace {}", plan.namespace);
    for rule in &plan.not_tested {
        check.fact(format!("not tested: rule {rule}"));
    }
    match probed {
        Ok(probed) => compare(&mut check, objects, plan, probed, &place),
        Err(Failure::Rejected { message, .. }) => denied(&mut check, objects, message, &place),
        Err(failure) => check.skip_for(failure, format!("the dry run of {place}")),
    }
    check
}

fn compare(check: &mut Check, objects: &Objects, plan: &Plan, probed: &Probed, place: &str) {
    let mut rewritten = 0;
    let mut missed: Vec<&Probe> = Vec::new();
    let mut reverted: Vec<&Probe> = Vec::new();
    for (index, probe) in plan.probes.iter().enumerate() {
        match probed.image(index) {
            Some(image) if image == probe.expected => rewritten += 1,
            Some(image) if image == probe.image => {
                if has_warning_for(probed, probe) {
                    reverted.push(probe)
                } else {
                    missed.push(probe)
                }
            }
            image => {
                let image = image.unwrap_or("no image");
                let what = format!(
                    "{} was rewritten to {image}, not to {} (rule {}){}",
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
        let what = format!("{}{}", not_rewritten(&missed), not_called(objects, plan, probed));
        let finding = check.find(Fault::NotRewritten, place, what);
        // Without `caBundle`, the check `certificates` has no finding for a URL.
        if let Endpoint::Url(url) = &objects.endpoint
            && objects.webhook().is_some_and(|webhook| webhook.client_config.ca_bundle.is_none())
        {
            finding.fix = format!(
                "caBundle is not set, so the API server trusts only CAs of its own system: set it with `pullthrough \
                 export webhook --url {url} --ca-file ca.crt …`; if a CA of that system signed the certificate, check the \
                 API server's log for failed calls of the webhook"
            );
        }
    }
    if !reverted.is_empty() {
        let what = format!(
            "{}; the webhook rewrote it, and the rewrite was reverted{}",
            not_rewritten(&reverted),
            named(objects, plan)
        );
        check.find(Fault::RewriteReverted, place, what);
    }
}

fn not_rewritten(probes: &[&Probe]) -> String {
    let Some(first) = probes.first() else { return String::new() };
    let more = match probes.len() {
        1 => String::new(),
        number => format!(", nor {} more", number - 1),
    };
    format!("{} was not rewritten to {} (rule {}){more}", first.image, first.expected, first.rule)
}

/// Returns whether a warning of the webhook says that this rule was applied.
fn has_warning_for(probed: &Probed, probe: &Probe) -> bool {
    let mut ours = probed.warnings.iter().filter(|warning| warning.starts_with(OURS));
    let of_rule = format!("(rule {})", probe.rule);
    // Long warnings are truncated, and warnings name only the first rules.
    ours.any(|warning| {
        warning.contains(&of_rule) || warning.ends_with('…') || warning.ends_with("more rules rewrote images")
    })
}

/// Concludes from the warnings why an image was not rewritten.
fn not_called(objects: &Objects, plan: &Plan, probed: &Probed) -> String {
    let sends = objects.arguments.as_ref().map_or(&Ok(true), |arguments| &arguments.sends_warnings);
    let is_called = probed.warnings.iter().any(|warning| warning.starts_with(OURS));
    if is_called {
        return "; the webhook was called and did not rewrite it, so it has loaded other rules".to_owned();
    }
    if objects.gets_warnings && *sends == Ok(true) {
        let why = match &objects.endpoint {
            Endpoint::Url(url) => format!("at {url}"),
            Endpoint::Service { namespace, name, .. } => format!("through Service {namespace}/{name}"),
        };
        return format!("; the webhook was not called, or was unavailable {why}");
    }
    let since = match sends {
        Err(why) if objects.gets_warnings => why,
        _ => "it sends no warnings to this user",
    };
    format!("; it is unknown whether the webhook was called, since {since}{}", named(objects, plan))
}

/// Names the webhooks and policies that may have changed the image.
fn named(objects: &Objects, plan: &Plan) -> String {
    match suspects(objects, &plan.namespace).as_slice() {
        [] => String::new(),
        suspects => format!("; possible causes: {}", suspects.join(", ")),
    }
}

fn denied(check: &mut Check, objects: &Objects, message: &str, place: &str) {
    let is_our_call = message.contains("failed calling webhook") && message.contains(WEBHOOK_NAME);
    let fault = if is_our_call { Fault::WebhookCallFailing } else { Fault::PodDenied };
    let finding = check.find(fault, place, format!("the API server denied it: {message}"));
    // The check `service` does not apply to a URL.
    if let (Fault::WebhookCallFailing, Endpoint::Url(url)) = (fault, &objects.endpoint) {
        finding.fix = format!(
            "check that the server runs at {url} and that the API server can connect to it; fix the findings of the check \
             `certificates`"
        );
    }
}
