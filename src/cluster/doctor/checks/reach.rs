//! Which namespaces and Pods are out of reach, and why?

use std::collections::BTreeMap;

use crate::cluster::doctor::answers::Answers;
use crate::cluster::doctor::endpoint::Endpoint;
use crate::cluster::doctor::fault::Fault;
use crate::cluster::doctor::objects::{Namespace, Objects};
use crate::cluster::doctor::pods::{Survey, Tally};
use crate::cluster::doctor::report::Check;
use crate::cluster::words::{count, few, when};

pub fn check(objects: &Objects, answers: &Answers) -> Check {
    let mut check = Check::new("reach", "Which namespaces and Pods are out of reach?");
    if objects.webhook().is_none() {
        return check.skip("the webhook is not registered");
    }
    match &objects.namespaces {
        Ok(namespaces) => {
            out_of_reach(&mut check, objects, namespaces);
            without_namespace(&mut check, objects, namespaces);
        }
        Err(failure) => check.could_not_look(failure, "the namespaces"),
    }
    match &answers.survey {
        None => check.unseen("the Pods", "the rules are not known"),
        Some(Err(failure)) => check.could_not_look(failure, "the Pods"),
        Some(Ok(survey)) => pods(&mut check, objects, answers, survey),
    }
    check
}

fn out_of_reach(check: &mut Check, objects: &Objects, namespaces: &[Namespace]) {
    let mut by_reason: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let own = match &objects.endpoint {
        Endpoint::Service { namespace, .. } => Some(namespace),
        Endpoint::Url(_) => None,
    };
    let mut inside = 0;
    for namespace in namespaces {
        let obstacles: Vec<String> =
            objects.obstacles(&namespace.name).iter().map(|requirement| format!("`{requirement}`")).collect();
        if obstacles.is_empty() {
            inside += 1;
        } else if Some(&namespace.name) != own {
            by_reason.entry(obstacles.join(" and ")).or_default().push(&namespace.name);
        }
    }
    let place = objects.configuration_place();
    let outside = namespaces.len() - inside;
    let own_one = own.filter(|own| !objects.is_in_reach(own));
    let own_one = own_one.map(|own| format!(", {own} among them as it should be")).unwrap_or_default();
    check.fact(format!("{} in reach, {outside} not{own_one}", count(inside, "namespace")));
    if inside == 0 {
        let reasons: Vec<&str> = by_reason.keys().map(String::as_str).collect();
        let what = format!("its namespaceSelector leaves out every namespace: {}", reasons.join("; "));
        check.find(Fault::NothingInReach, &place, what);
        return;
    }
    for (reason, names) in by_reason {
        let what =
            format!("{} fails {reason} of the namespaceSelector: {}", count(names.len(), "namespace"), few(&names));
        let what = if names.len() == 1 { what } else { what.replacen(" fails ", " fail ", 1) };
        check.find(Fault::NamespacesOutOfReach, &place, what);
    }
}

/// Rules that apply in no namespace, or not in all.
fn without_namespace(check: &mut Check, objects: &Objects, namespaces: &[Namespace]) {
    let Ok(rules) = &objects.rules else { return };
    for rule in rules.policy().iter().flat_map(|policy| policy.rules()) {
        let within = namespaces.iter().filter(|namespace| rule.namespaces.contain(&namespace.name)).count();
        match within {
            0 => {
                let what = format!("the rule {} applies in no namespace that exists", rule.name);
                check.find(Fault::RuleWithoutNamespace, &rules.place, what);
            }
            within if within < namespaces.len() => {
                check.fact(format!("rule {} applies in {within} of {} namespaces", rule.name, namespaces.len()));
            }
            _ => {}
        }
    }
}

fn pods(check: &mut Check, objects: &Objects, answers: &Answers, survey: &Survey) {
    let Survey { pods, mirror, opted_out, stale, examples: _, cut_short } = survey;
    check.fact(format!("{} looked at", count(*pods, "Pod")));
    if let Some(failure) = cut_short {
        check.could_not_look(failure, format!("Pods beyond the first {pods}"));
    }
    each(check, Fault::MirrorPods, mirror.iter(), |tally| {
        format!("{} of static Pods, which admission can't change", count(tally.count, "mirror Pod"))
    });
    each(check, Fault::OptedOutPods, opted_out.iter(), |tally| {
        format!("{} opted out by label", count(tally.count, "Pod"))
    });
    each(check, Fault::PodsFromBefore, stale.iter().map(|(name, stale)| (name, &stale.before)), |tally| {
        format!("{} with images that the rules would rewrite today", count(tally.count, "Pod"))
    });
    let since = answers.in_force_since_secs.map(|secs| when(secs, objects.now)).unwrap_or_default();
    each(check, Fault::PodsEscaped, stale.iter().map(|(name, stale)| (name, &stale.since)), |tally| {
        format!("{} created after the rules came in force ({since}), and not rewritten", count(tally.count, "Pod"))
    });
}

fn each<'t>(
    check: &mut Check,
    fault: Fault,
    tallies: impl Iterator<Item = (&'t String, &'t Tally)>,
    tell: impl Fn(&Tally) -> String,
) {
    for (namespace, tally) in tallies.filter(|(_, tally)| tally.count > 0) {
        let more = if tally.count > tally.examples.len() { ", …" } else { "" };
        let what = format!("{}: {}{more}", tell(tally), tally.examples.join(", "));
        check.find(fault, format!("namespace {namespace}"), what);
    }
}
