//! Are the rules valid, and loaded in every replica?

use std::collections::BTreeMap;

use crate::cluster::doctor::answers::Answers;
use crate::cluster::doctor::arguments::Arguments;
use crate::cluster::doctor::endpoint::Endpoint;
use crate::cluster::doctor::fault::Fault;
use crate::cluster::doctor::metrics::Metrics;
use crate::cluster::doctor::objects::Objects;
use crate::cluster::doctor::report::Check;
use crate::cluster::doctor::rules::{NoRules, Rules};
use crate::engine::Mode;
use crate::words::{count, when};

pub fn check(objects: &Objects, answers: &Answers) -> Check {
    let mut check = Check::new("rules", "Are the rules valid, and loaded in every replica?");
    match &objects.rules {
        Ok(rules) => parsed(&mut check, rules),
        Err(NoRules::Missing { place, what }) => {
            check.find(Fault::RulesMissing, place, what);
        }
        Err(NoRules::Unknown(why)) => check.skipped("the rules", why),
        Err(NoRules::Skipped(failure)) => check.skip_for(failure, "the rules"),
    }
    if let Some(mount) = objects.arguments.as_ref().and_then(Arguments::mount)
        && mount.by_sub_path
    {
        let what =
            format!("it mounts ConfigMap {} with subPath; the kubelet never updates such a mount", mount.config_map);
        check.find(Fault::RulesBySubPath, format!("the Deployment in namespace {}", objects.namespace), what);
    }
    loaded(&mut check, objects, answers);
    check
}

fn parsed(check: &mut Check, rules: &Rules) {
    match &rules.parsed {
        Err(error) => {
            check.find(Fault::RulesInvalid, &rules.place, format!("the rules are invalid\n{error}"));
        }
        Ok((policy, notes)) => {
            check.fact(format!("{}: {}, hash {}", rules.place, count(policy.rules().len(), "rule"), rules.hash));
            for note in notes {
                check.find(Fault::RulesLikelyMistake, &rules.place, note);
            }
            if !policy.rules().iter().any(|rule| rule.mode == Mode::Enforce) {
                check.find(Fault::NoRuleEnforced, &rules.place, "no rule rewrites images: none has mode `enforce`");
            }
        }
    }
}

fn loaded(check: &mut Check, objects: &Objects, answers: &Answers) {
    let mut hashes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for replica in &answers.replicas {
        let Some(asked) = &replica.asked else { continue };
        let place = format!("Pod {}/{}", objects.namespace, replica.name);
        let metrics = match &asked.metrics {
            Ok(metrics) => metrics,
            Err(failure) => {
                check.skip_for(failure, format!("the loaded rules of {place}"));
                continue;
            }
        };
        if let Some(hash) = &metrics.rules_hash {
            hashes.entry(hash).or_default().push(&replica.name);
        }
        if let Some(version) = &metrics.version {
            versions.entry(version).or_default().push(&replica.name);
        }
        look(check, objects, &place, metrics);
    }
    let is_by_service = matches!(objects.endpoint, Endpoint::Service { .. });
    if is_by_service && answers.replicas.iter().all(|replica| replica.asked.is_none()) {
        check.skipped("the loaded rules", "no Pod is running");
    }
    let groups = |map: &BTreeMap<&str, Vec<&str>>| {
        let groups = map.iter().map(|(value, names)| format!("{value} in {}", names.join(", ")));
        groups.collect::<Vec<_>>().join("; ")
    };
    let place = format!("the Pods in namespace {}", objects.namespace);
    if hashes.len() > 1 {
        let what = format!("the replicas have loaded different rules: {}", groups(&hashes));
        check.find(Fault::RulesDiffer, &place, what);
    }
    if versions.len() > 1 {
        let what = format!("the replicas have different versions: {}", groups(&versions));
        check.find(Fault::VersionsDiffer, &place, what);
    }
}

fn look(check: &mut Check, objects: &Objects, place: &str, metrics: &Metrics) {
    let since = metrics.rules_since_secs.map(|secs| when(secs, objects.now)).unwrap_or_else(|| "unknown".to_owned());
    let hash = metrics.rules_hash.as_deref().unwrap_or("unknown");
    check.fact(format!("{place}: rules {hash}, loaded at {since}"));
    if let Ok(rules) = &objects.rules
        && metrics.rules_hash.as_ref().is_some_and(|hash| *hash != rules.hash)
    {
        let what = format!("it loaded the rules {hash} at {since}, not {} of {}", rules.hash, rules.place);
        let finding = check.find(Fault::RulesNotLoaded, place, what);
        if !rules.of_cluster {
            finding.fix = "apply these rules, if the replicas should use them".to_owned();
        } else if rules.parsed.is_err() {
            finding.fix = "fix the rules; replicas use the last valid ones until then".to_owned();
        }
    }
    if metrics.rules_reload_ok == Some(false) {
        let what = format!("its last reload of the rules file failed; it uses the rules loaded at {since}");
        check.find(Fault::RulesReloadFailing, place, what);
    }
    if metrics.certificate_reload_ok == Some(false) {
        let what = "its last reload or renewal of the certificate failed; it serves the last valid one";
        check.find(Fault::CertificateReloadFailing, place, what);
    }
}
