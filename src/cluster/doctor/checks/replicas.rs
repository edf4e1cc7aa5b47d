//! Are the replicas available, and if not, why?

use crate::cluster::api::found;
use crate::cluster::doctor::answers::Answers;
use crate::cluster::doctor::endpoint::Endpoint;
use crate::cluster::doctor::fault::{Fault, Severity};
use crate::cluster::doctor::objects::Objects;
use crate::cluster::doctor::replica::Replica;
use crate::cluster::doctor::report::Check;
use crate::words::{count, when};

const PULL_REASONS: [&str; 5] =
    ["ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"];
/// Reasons of waiting containers while a Pod starts.
const STARTING: [&str; 2] = ["ContainerCreating", "PodInitializing"];

pub fn check(objects: &Objects, answers: &Answers) -> Check {
    let mut check = Check::new("replicas", "Are the replicas available?");
    let is_by_url = matches!(objects.endpoint, Endpoint::Url(_));
    let deployment = match &objects.deployment {
        Err(failure) if !is_by_url => {
            check.skip_for(failure, "the Deployment");
            None
        }
        Ok(None) if !is_by_url => {
            let what = "no Deployment matches the Service's selector, or has the name or the label of pullthrough";
            check.find(Fault::DeploymentMissing, format!("namespace {}", objects.namespace), what);
            None
        }
        deployment => found(deployment),
    };
    if is_by_url && deployment.is_none() {
        return check.not_applicable("the webhook configuration has a URL, and there is no Deployment");
    }
    if let Some(deployment) = deployment {
        let name = deployment.metadata.name.as_deref().unwrap_or_default();
        let place = format!("Deployment {}/{name}", objects.namespace);
        let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        let available = deployment.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0);
        check.fact(format!("{available} of {} available", count(usize::try_from(wanted).unwrap_or(0), "replica")));
        match wanted {
            0 => {
                check.find(Fault::NoReplicas, &place, "it is scaled to 0, so the webhook is unavailable");
            }
            1 if available == 1 => {
                let what = "it has a single replica; while that is rescheduled, the webhook is unavailable";
                check.find(Fault::SingleReplica, &place, what);
            }
            _ => {}
        }
        if available < wanted {
            let what = format!("{available} of {wanted} replicas are available");
            let finding = check.find(Fault::ReplicasUnavailable, &place, what);
            if available == 0 {
                finding.severity = Severity::Error;
            }
        }
    }
    if let Err(failure) = &objects.pods {
        check.skip_for(failure, "the Pods");
    }
    for replica in answers.replicas.iter().filter(|replica| !replica.terminating) {
        look(&mut check, objects, replica);
    }
    check
}

fn look(check: &mut Check, objects: &Objects, replica: &Replica) {
    let place = format!("Pod {}/{}", objects.namespace, replica.name);
    if let Some(message) = &replica.unschedulable {
        check.find(Fault::PodUnschedulable, &place, format!("it is not scheduled: {message}"));
    }
    for (reason, message) in &replica.waiting {
        let fault = match reason.as_str() {
            reason if PULL_REASONS.contains(&reason) => Fault::ImagePullFailing,
            reason if STARTING.contains(&reason) => continue,
            _ => Fault::ContainerFailing,
        };
        let message = if message.is_empty() { String::new() } else { format!(": {message}") };
        check.find(fault, &place, format!("its container is waiting, {reason}{message}"));
    }
    if replica.is_restarting(objects.now)
        && let Some((at_secs, how)) = &replica.last_end
    {
        let restarts = count(usize::try_from(replica.restarts).unwrap_or(0), "restart");
        let what = format!("{restarts}; it last terminated at {}: {how}", when(*at_secs, objects.now));
        check.find(Fault::PodRestarting, &place, what);
    }
    if !replica.ready && replica.waiting.is_empty() && replica.unschedulable.is_none() {
        let readyz = replica.asked.as_ref().and_then(|asked| asked.readyz.as_ref());
        let what = match readyz {
            Some(Ok((200, _))) => "it is not ready; /readyz returns 200 now".to_owned(),
            Some(Ok((status, text))) => format!("it is not ready: /readyz returns {status}, {}", text.trim()),
            Some(Err(failure)) => {
                check.skip_for(failure, format!("/readyz of {place}"));
                "it is not ready, and /readyz is unavailable".to_owned()
            }
            None => format!("it is not ready, in phase {}", replica.phase),
        };
        check.find(Fault::PodNotReady, &place, what);
    }
}
