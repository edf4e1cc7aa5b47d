//! The checks of an image, in the order of the chain.

use std::time::Duration;

use super::Facts;
use super::hosts::{Host, Mirrors};
use super::pods::Use;
use super::pull_secrets::PullSecret;
use crate::cluster::doctor::fault::{Fault, Severity};
use crate::cluster::doctor::report::Check;
use crate::cluster::pull_secrets::{Content, invalid};
use crate::diagnosis::{Advice, Cause, Status};
use crate::engine::{Decision, ImageRef, Reason};
use crate::products::Fill;
use crate::registry::{Outcome, Phase, Unreachable};
use crate::verify::Match;
use crate::words::{count, few};

/// The time that containerd 2.3 and later wait for the first header.
const CONTAINERD_WAIT: Duration = Duration::from_secs(30);
/// Messages of a container that are printed. Others are in JSON.
const MESSAGES: usize = 2;

pub(super) fn all(facts: &Facts) -> Vec<Check> {
    let checks = [rule, webhook, credentials, cache, upstream, nodes, pods];
    checks.into_iter().map(|check| check(facts)).collect()
}

fn rule(facts: &Facts) -> Check {
    let mut check = Check::new("rule", "Which name does a rule give the image?");
    let Facts { image, namespace, rules, decision, .. } = facts;
    check.fact(format!("rules: {rules}"));
    match ImageRef::parse(image) {
        Ok(parsed) => check.fact(format!("canonical: {}{}", parsed.canonical(), parsed.suffix())),
        Err(error) => {
            check.find(Fault::ImageInvalid, *image, error.to_string());
            return check;
        }
    }
    let rule = decision.rule().map(|rule| format!("rule {}", rule.name)).unwrap_or_default();
    match decision {
        Decision::Rewrite { result, .. } => check.fact(format!("{rule}: {result}")),
        // It has no fault: the image names a cache.
        Decision::NotRewritten { reason: Reason::AlreadyCached, .. } => check.fact("the image names a cache already"),
        Decision::Restore { .. } | Decision::NotRewritten { .. } => {
            let reason = decision.reason().map(Reason::describe).unwrap_or_default();
            if let Some(name) = decision.would_be() {
                check.fact(format!("{rule} would give: {name}"));
            }
            let what = format!("it is unchanged: {reason}; nodes pull it from the upstream");
            check.find(Fault::ImageNotRewritten, format!("{image} in namespace {namespace}"), what);
        }
    }
    check
}

fn webhook(facts: &Facts) -> Check {
    let mut check = Check::new("webhook", "Does the webhook cover the namespace?");
    let Some((cluster, _)) = &facts.cluster else { return check.not_applicable("no cluster was read") };
    let objects = &cluster.objects;
    let place = objects.configuration_place();
    match &objects.configuration {
        Err(failure) => check.skip_for(failure, place),
        Ok(None) => {
            check.find(Fault::WebhookConfigurationMissing, place, "it does not exist, so no image is rewritten");
        }
        Ok(Some(_)) if objects.webhook().is_none() => {
            check.find(
                Fault::WebhookMissing,
                place,
                "it does not have pullthrough's webhook, so no image is rewritten",
            );
        }
        Ok(Some(_)) => {
            let failed = objects.failed_requirements(facts.namespace);
            if failed.is_empty() {
                check.fact(format!("namespace {} is covered", facts.namespace));
            } else {
                let failed: Vec<String> = failed.iter().map(|requirement| format!("`{requirement}`")).collect();
                let what = format!("the namespaceSelector of {place} excludes it: {}", failed.join(", "));
                check.find(Fault::NamespaceNotCovered, format!("namespace {}", facts.namespace), what);
            }
        }
    }
    check
}

fn credentials(facts: &Facts) -> Check {
    let mut check = Check::new("credentials", "Which credentials apply to the name?");
    let Facts { credentials, namespace, .. } = facts;
    for source in &credentials.sources {
        check.fact(format!("looked for in: {source}"));
    }
    match &credentials.secrets {
        None => {}
        Some(Err(failure)) => check.skip_for(failure, format!("pull Secrets of namespace {namespace}")),
        Some(Ok(secrets)) => {
            if secrets.is_empty() {
                check.fact(format!("no pull Secret applies in namespace {namespace}"));
            }
            secrets.iter().for_each(|one| secret(&mut check, namespace, one));
        }
    }
    for (source, keys) in &credentials.matches {
        match &keys[..] {
            [] => check.fact(format!("{source}: no key matches {}", name(facts))),
            keys => {
                check.fact(format!("{source}: {} {}", if keys.len() == 1 { "key" } else { "keys" }, keys.join(", ")))
            }
        }
    }
    if let Some(verified) = facts.verified {
        let trace = &verified.seen.cache.trace;
        check.fact(match &trace.credential {
            Some(source) => format!("the cache's answer is for: {source}"),
            None => "the cache was asked without credentials".to_owned(),
        });
        for fault in &trace.credential_faults {
            check.skipped("credentials", fault.to_string());
        }
    }
    if !credentials.are_of_node {
        check.fact(
            "nodes do not use these; set --pull-secret, --image-credential-provider-config or --read-pull-secrets",
        );
    }
    check
}

fn secret(check: &mut Check, namespace: &str, secret: &PullSecret) {
    let PullSecret { name, of, content } = secret;
    let place = format!("Secret {namespace}/{name}");
    match content {
        Content::Credentials(_) => check.fact(format!("{place}, of {of}")),
        Content::Missing => {
            check.find(Fault::PullSecretUnusable, place, format!("it does not exist, and {of} names it"));
        }
        Content::Unusable(why) => {
            check.find(Fault::PullSecretUnusable, place, format!("the kubelet can't use it: {why}; {of} names it"));
        }
        Content::Invalid(error) => {
            let (what, fix) = invalid(error);
            check.find(Fault::PullSecretUnusable, place, format!("{what}; {of} names it")).fix = fix;
        }
        Content::Unreadable(failure) => check.skip_for(failure, place),
    }
}

/// Returns the name without tag and digest.
fn name<'f>(facts: &'f Facts) -> &'f str {
    facts.verified.map_or(facts.image, |verified| &verified.seen.name)
}

fn cache(facts: &Facts) -> Check {
    let mut check = Check::new("cache", "Does the cache serve the image?");
    for note in &facts.cache_notes {
        check.skipped("a CA", note.as_str());
    }
    let Some(verified) = facts.verified else {
        return check.not_applicable("no rule sends the image to a cache");
    };
    let seen = &verified.seen;
    let host = seen.name.split('/').next().unwrap_or_default();
    let status = verified.diagnosis.status.title();
    check.fact(format!("{host} ({}): {status}; answer: {}", verified.product.as_str(), seen.cache.in_words()));
    if let Some(first_byte) = seen.cache.trace.first_byte.filter(|time| *time >= Duration::from_secs(1)) {
        check.fact(format!("the first header took {} s", first_byte.as_secs()));
    }
    for warning in &seen.cache.trace.warnings {
        check.fact(format!("warning of the cache: {warning}"));
    }
    if let Some(digest) = &seen.digest {
        check.fact(format!("digest: {}", digest.as_str()));
    }
    let names = |platforms: &[crate::registry::Platform]| platforms.iter().map(ToString::to_string).collect::<Vec<_>>();
    if let Some(found) = &seen.platforms.found {
        check.fact(format!("platforms: {}", names(found).join(", ")));
    }
    if !seen.platforms.missing.is_empty() {
        check.fact(format!("missing platforms: {}", names(&seen.platforms.missing).join(", ")));
    }
    if let Some(proof) = seen.proof.as_ref().filter(|proof| !matches!(proof.result, Match::Equal | Match::Unknown)) {
        let (what, fix) = proof.result.words();
        let found = check.find(Fault::ImageDiffers, &verified.target.image, what);
        fix.clone_into(&mut found.fix);
        if proof.result == Match::Stale {
            found.severity = Severity::Note;
        }
    }
    if verified.diagnosis.status != Status::Served {
        if let Some(answer) = seen.cache.trace.status.and_then(|status| facts.model().answer(status)) {
            let sources: Vec<&str> = answer.sources.iter().map(|source| source.address()).collect();
            check.fact(format!("{} of {}: {}", answer.status, verified.product.as_str(), answer.text));
            check.fact(format!("source: {}", sources.join(", ")));
        }
        let (what, fix) = words_of(facts, &verified.diagnosis.causes);
        check.find(Fault::ImageNotServed, facts.name(), what).fix = fix;
    }
    check
}

fn upstream(facts: &Facts) -> Check {
    let mut check = Check::new("upstream", "Does the upstream serve the image?");
    let Some(answer) = facts.upstream else {
        let has_upstream = facts.verified.is_none_or(|verified| verified.target.upstream.is_some());
        return check.not_applicable(if has_upstream {
            "it was not asked"
        } else {
            "it is not known: the image names a cache; set --image to the original name"
        });
    };
    let host = ImageRef::parse(facts.image).ok().and_then(|image| image.registry().map(str::to_owned));
    let is_served = if matches!(answer.outcome, Outcome::Served(())) { "served" } else { "not served" };
    check.fact(format!("{}: {is_served}; answer: {}", host.unwrap_or_default(), answer.in_words()));
    check.fact("asked from this machine, with its network and credentials; the cache has its own");
    if facts.verified.is_none() && !matches!(answer.outcome, Outcome::Served(())) {
        let found = check.find(
            Fault::ImageNotServed,
            facts.image,
            "no rule sends it to a cache, and the upstream does not serve it",
        );
        found.fix = match answer.outcome {
            Outcome::Missing => Cause::Absent.fix().to_owned(),
            _ => "fix what the answer names; nodes have a network and credentials of their own".to_owned(),
        };
    }
    check
}

fn nodes(facts: &Facts) -> Check {
    let mut check = Check::new("nodes", "How do nodes ask for the name?");
    let host = name(facts).split('/').next().unwrap_or_default();
    match &facts.mirrors {
        None => {
            check.fact("containerd's hosts.toml: not read; set --containerd-hosts to a copy of the node's config_path")
        }
        Some((folder, Mirrors::None)) => {
            check.fact(format!("{}: nothing for {host}; nodes with this folder ask https://{host}", folder.display()));
        }
        Some((_, Mirrors::Certificates { folder })) => {
            check.fact(format!("{}: no hosts.toml; its certificates apply to {host}", folder.display()));
        }
        Some((_, Mirrors::File { file, hosts })) => {
            let hosts: Vec<String> = hosts.iter().map(Host::describe).collect();
            check.fact(format!("{}: {}", file.display(), hosts.join("; then ")));
        }
        Some((_, Mirrors::Invalid { file, why })) => {
            let place = file.display().to_string();
            check.find(Fault::MirrorConfigurationInvalid, place, format!("pulls from {host} fail: {why}"));
        }
    }
    let nodes = match &facts.cluster {
        None => None,
        Some((_, workloads)) => match &workloads.nodes {
            Ok(nodes) => Some(nodes),
            Err(failure) => {
                check.skip_for(failure, "container runtimes of nodes");
                None
            }
        },
    };
    if let Some(nodes) = nodes {
        let runtimes: Vec<String> =
            nodes.runtimes.iter().map(|(runtime, number)| format!("{runtime} ({})", count(*number, "node"))).collect();
        if !runtimes.is_empty() {
            check.fact(format!("runtimes: {}", few(&runtimes)));
        }
    }
    patience(facts, &mut check, nodes.map(super::nodes::Nodes::impatient));
    check
}

/// Reports that containerd may give up on a first pull. `impatient` are the runtimes that do so, if nodes were read.
fn patience(facts: &Facts, check: &mut Check, impatient: Option<Vec<&str>>) {
    let Some(verified) = facts.verified else { return };
    let model = facts.model();
    let is_slow = model.fill.value == Fill::Image;
    let trace = &verified.seen.cache.trace;
    let was_late = trace.first_byte.is_some_and(|time| time >= CONTAINERD_WAIT)
        || matches!(&verified.seen.cache.outcome, Outcome::Unreachable(Unreachable::Timeout { phase: Phase::Headers, after, .. }) if *after >= CONTAINERD_WAIT);
    if !(is_slow || was_late) || impatient.as_ref().is_some_and(Vec::is_empty) {
        return;
    }
    let place = match &impatient {
        Some(runtimes) => few(runtimes),
        None => "nodes with containerd 2.3 or later".to_owned(),
    };
    let what = if was_late {
        "they wait 30 s for the first header, and the cache took longer".to_owned()
    } else {
        let sources: Vec<&str> = model.order.sources.iter().map(|source| source.address()).collect();
        format!("{} ({})", model.order.text, sources.join(", "))
    };
    let found = check.find(Fault::FirstPullTooSlow, place, what);
    if was_late {
        found.severity = Severity::Warning;
    }
}

fn pods(facts: &Facts) -> Check {
    let mut check = Check::new("pods", "Do Pods fail to pull it?");
    let Some((_, workloads)) = &facts.cluster else { return check.not_applicable("no cluster was read") };
    let namespace = facts.namespace;
    let uses = match &workloads.uses {
        Ok(uses) => uses,
        Err(failure) => {
            check.skip_for(failure, format!("Pods of namespace {namespace}"));
            return check;
        }
    };
    let failing: Vec<&Use> = uses.iter().filter(|one| one.failing.is_some()).collect();
    check.fact(format!(
        "{} with the image in namespace {namespace}, {} of them not pulled",
        count(uses.len(), "container"),
        failing.len()
    ));
    if let Some(failure) = &workloads.events {
        check.skip_for(failure, format!("events of namespace {namespace}"));
    }
    let is_cached = facts.verified.is_some() && matches!(facts.decision, Decision::Rewrite { .. });
    let not_rewritten: Vec<String> =
        uses.iter().filter(|one| is_cached && !facts.is_rewritten(one)).map(|one| one.pod.clone()).collect();
    if !not_rewritten.is_empty() {
        let what = "their image is not rewritten: they are older than the rule, or the webhook was not called";
        check.find(Fault::PodNotRewritten, format!("Pods {} in namespace {namespace}", few(&not_rewritten)), what);
    }
    let is_served = facts.verified.is_some_and(|verified| verified.diagnosis.status == Status::Served);
    for one in failing {
        let Some(one_failing) = &one.failing else { continue };
        let node = one.node.as_deref().map(|node| format!(" on node {node}")).unwrap_or_default();
        check.fact(format!("Pod {}, container {}{node}: {}", one.pod, one.container, one_failing.reason));
        for message in one_failing.messages.iter().take(MESSAGES) {
            check.fact(format!("  {message}"));
        }
        let place = format!("Pod {namespace}/{}, container {}", one.pod, one.container);
        let causes = facts.causes_of(one);
        let (mut what, fix) = words_of(facts, &causes);
        if causes.is_empty() {
            "the messages name no known cause".clone_into(&mut what);
        }
        if !facts.is_rewritten(one) {
            what = format!("nodes pull {} from the upstream: {what}", one.image);
        } else if is_served {
            what += "\nthe cache serves the image to this machine: the fault is of the nodes, or it has passed";
        }
        let found = check.find(Fault::PodPullFailing, place, what);
        if !fix.is_empty() {
            found.fix = fix;
        }
    }
    check
}

/// Returns the causes and their fixes as the texts of a finding. Several are numbered.
fn words_of(facts: &Facts, causes: &[Cause]) -> (String, String) {
    let lines = |text: &dyn Fn(Cause) -> String| -> String {
        let numbered = causes.iter().enumerate().map(|(index, cause)| match causes {
            [_] => text(*cause),
            _ => format!("{}. {}", index + 1, text(*cause)),
        });
        numbered.collect::<Vec<_>>().join("\n")
    };
    let heading =
        if causes.len() > 1 { "one of these, which look alike from outside; the most likely is first\n" } else { "" };
    let what = format!("{heading}{}", lines(&|cause| cause.what().to_owned()));
    let fix = lines(&|cause| {
        let Advice { fix, source, .. } = cause.advice(facts.model());
        source.map_or_else(|| fix.to_owned(), |source| format!("{fix} ({source})"))
    });
    (what, fix)
}
