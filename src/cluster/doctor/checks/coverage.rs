//! Which namespaces and Pods does the webhook not cover, and why?

use std::collections::BTreeMap;

use crate::cluster::doctor::answers::Answers;
use crate::cluster::doctor::endpoint::Endpoint;
use crate::cluster::doctor::fault::Fault;
use crate::cluster::doctor::objects::{Namespace, Objects};
use crate::cluster::doctor::pods::{Survey, Tally};
use crate::cluster::doctor::report::Check;
use crate::words::{count, few, when};

pub fn check(objects: &Objects, answers: &Answers) -> Check {
    let mut check = Check::new("coverage", "Which namespaces and Pods does the webhook not cover?");
    if objects.webhook().is_none() {
        return check.not_applicable("there is no webhook configuration");
    }
    match &objects.namespaces {
        Ok(namespaces) => {
            not_covered(&mut check, objects, namespaces);
            without_namespace(&mut check, objects, namespaces);
        }
        Err(failure) => check.skip_for(failure, "the namespaces"),
    }
    match &answers.survey {
        None => check.skipped("the Pods", "the rules are unknown"),
        Some(Err(failure)) => check.skip_for(failure, "the Pods"),
        Some(Ok(survey)) => pods(&mut check, objects, answers, survey),
    }
    check
}

fn not_covered(check: &mut Check, objects: &Objects, namespaces: &[Namespace]) {
    let mut by_reason: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let own = match &objects.endpoint {
        Endpoint::Service { namespace, .. } => Some(namespace),
        Endpoint::Url(_) => None,
    };
    let mut covered = 0;
    for namespace in namespaces {
        let failed_requirements: Vec<String> =
            objects.failed_requirements(&namespace.name).iter().map(|requirement| format!("`{requirement}`")).collect();
        if failed_requirements.is_empty() {
            covered += 1;
        } else if Some(&namespace.name) != own {
            by_reason.entry(failed_requirements.join(" and ")).or_default().push(&namespace.name);
        }
    }
    let place = objects.configuration_place();
    let excluded = namespaces.len() - covered;
    let own_one = own.filter(|own| !objects.covers(own));
    let own_one = own_one.map_or("", |_| ", including pullthrough's own");
    check.fact(format!("{} covered, {excluded} not covered{own_one}", count(covered, "namespace")));
    if covered == 0 {
        let reasons: Vec<&str> = by_reason.keys().map(String::as_str).collect();
        let what = format!("its namespaceSelector excludes every namespace: {}", reasons.join("; "));
        check.find(Fault::NoNamespaceCovered, &place, what);
        return;
    }
    for (reason, names) in by_reason {
        let what =
            format!("the namespaceSelector excludes {} by {reason}: {}", count(names.len(), "namespace"), few(&names));
        check.find(Fault::NamespacesNotCovered, &place, what);
    }
}

/// Finds rules that apply in no namespace, and counts the namespaces of rules that do not apply in all.
fn without_namespace(check: &mut Check, objects: &Objects, namespaces: &[Namespace]) {
    let Ok(rules) = &objects.rules else { return };
    for rule in rules.policy().iter().flat_map(|policy| policy.rules()) {
        let within = namespaces.iter().filter(|namespace| rule.namespaces.contain(&namespace.name)).count();
        match within {
            0 => {
                let what = format!("the rule {} applies in no existing namespace", rule.name);
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
    let Survey { pods, mirror, opted_out, stale, examples: _, operators: _, custom: _, incomplete } = survey;
    check.fact(format!("{} evaluated", count(*pods, "Pod")));
    if let Some(failure) = incomplete {
        check.skip_for(failure, format!("Pods after the first {pods}"));
    }
    each(check, Fault::MirrorPods, mirror.iter(), |tally| {
        format!("{} of static Pods; admission can't change their images", count(tally.count, "mirror Pod"))
    });
    each(check, Fault::OptedOutPods, opted_out.iter(), |tally| {
        format!("{} opted out by label", count(tally.count, "Pod"))
    });
    each(check, Fault::ExistingPodsNotRewritten, stale.iter().map(|(name, stale)| (name, &stale.before)), |tally| {
        format!("{} with images that the rules would rewrite now", count(tally.count, "Pod"))
    });
    let since = answers.loaded_since_secs.map(|secs| when(secs, objects.now)).unwrap_or_default();
    each(check, Fault::NewPodsNotRewritten, stale.iter().map(|(name, stale)| (name, &stale.since)), |tally| {
        format!("{} created after the rules were loaded ({since}), and not rewritten", count(tally.count, "Pod"))
    });
}

fn each<'t>(
    check: &mut Check,
    fault: Fault,
    tallies: impl Iterator<Item = (&'t String, &'t Tally)>,
    describe: impl Fn(&Tally) -> String,
) {
    for (namespace, tally) in tallies.filter(|(_, tally)| tally.count > 0) {
        let more = if tally.count > tally.examples.len() { ", …" } else { "" };
        let what = format!("{}: {}{more}", describe(tally), tally.examples.join(", "));
        check.find(fault, format!("namespace {namespace}"), what);
    }
}
