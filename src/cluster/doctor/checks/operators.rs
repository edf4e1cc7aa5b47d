//! Do operators recreate rewritten Pods?

use crate::cluster::doctor::answers::Answers;
use crate::cluster::doctor::fault::Fault;
use crate::cluster::doctor::objects::Objects;
use crate::cluster::doctor::pods::Comparing;
use crate::cluster::doctor::report::Check;
use crate::engine::Operator;
use crate::words::count;

pub fn check(objects: &Objects, answers: &Answers) -> Check {
    let mut check = Check::new("operators", "Do operators recreate rewritten Pods?");
    for replica in &answers.replicas {
        let Some(metrics) = replica.metrics() else { continue };
        let place = format!("Pod {}/{}", objects.namespace, replica.name);
        if metrics.looping > 0 {
            let what = format!(
                "the Pods of {} were rewritten and recreated again and again in the last ten minutes",
                count(metrics.looping, "workload")
            );
            check.find(Fault::RecreateLoop, &place, what);
        }
        if metrics.standing_down > 0 {
            let what = format!(
                "{} of operators that compare images stand down: their new Pods are not rewritten",
                count(metrics.standing_down, "workload")
            );
            check.find(Fault::StandingDown, &place, what);
        }
    }
    let survey = match &answers.survey {
        None => {
            check.skipped("Pods of operators", "the rules are unknown");
            return check;
        }
        Some(Err(failure)) => {
            check.skip_for(failure, "Pods of operators");
            return check;
        }
        Some(Ok(survey)) => survey,
    };
    for (name, Comparing { rewritten, skipped }) in &survey.operators {
        if *skipped > 0 {
            check.fact(format!("{} of {name} skipped by the rules", count(*skipped, "Pod")));
        }
        let Some(operator) = Operator::named(name).filter(|_| rewritten.count > 0) else { continue };
        let what = format!(
            "the rules would rewrite {} of {}; then the operator {}: {}",
            count(rewritten.count, "Pod"),
            operator.title,
            operator.effect,
            rewritten.examples.join(", ")
        );
        let finding = check.find(Fault::OperatorComparesImages, format!("operator {name}"), what);
        finding.fix = format!(
            "write the rewritten image names into {}; or set `operators: {{skip: [{name}]}}` in the rules",
            operator.places()
        );
    }
    for (kind, tally) in &survey.custom {
        let what = format!(
            "the rules would rewrite {} of this kind, and its operator may compare images: {}",
            count(tally.count, "Pod"),
            tally.examples.join(", ")
        );
        check.find(Fault::OperatorMayCompareImages, format!("kind {kind}"), what);
    }
    check
}
