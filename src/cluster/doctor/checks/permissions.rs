//! Can the replicas manage their certificates?

use crate::certificate::trust::Bundle;
use crate::cluster::doctor::answers::Answers;
use crate::cluster::doctor::fault::Fault;
use crate::cluster::doctor::managed::Managed;
use crate::cluster::doctor::managed::trusted_cas;
use crate::cluster::doctor::objects::Objects;
use crate::cluster::doctor::report::Check;
use crate::words::few;

pub fn check(objects: &Objects, answers: &Answers) -> Check {
    let mut check = Check::new("permissions", "Can the replicas manage their certificates?");
    let managed = match &answers.managed {
        Ok(Some(managed)) => managed,
        Ok(None) => return check.not_applicable("no Deployment has --manage-certificates"),
        Err(why) => {
            check.skipped("the Secret and the permissions of --manage-certificates", why);
            return check;
        }
    };
    secret(&mut check, objects, managed);
    let account = objects.arguments.as_ref().map(|arguments| arguments.service_account.as_str()).unwrap_or_default();
    let place = format!("ServiceAccount {}/{account}", objects.namespace);
    match &managed.permissions {
        Err(failure) => check.skip_for(failure, format!("the permissions of {place}")),
        Ok(permissions) => {
            let missing: Vec<&str> =
                permissions.iter().filter(|one| !one.allowed).map(|one| one.what.as_str()).collect();
            match missing.as_slice() {
                [] => check.fact(format!("{place} has the permissions that it needs")),
                missing => {
                    let what = format!("it has no permission to {}", missing.join("; "));
                    check.find(Fault::PermissionMissing, &place, what);
                }
            }
        }
    }
    if managed.has_token == Some(false) {
        let what = "its token is not mounted into the Pods, so they can't access the API server";
        check.find(Fault::TokenNotMounted, &place, what);
    }
    check
}

fn secret(check: &mut Check, objects: &Objects, managed: &Managed) {
    let place = format!("Secret {}/{}", objects.namespace, managed.secret_name);
    let secret = match &managed.secret {
        Err(failure) => return check.skip_for(failure, &place),
        Ok(None) => {
            check.find(
                Fault::ManagedSecretMissing,
                place,
                "it does not exist; replicas should create it within seconds",
            );
            return;
        }
        Ok(Some(secret)) => secret,
    };
    let keys = ["ca.crt", "tls.crt", "tls.key"];
    let has = |key: &&str| secret.data.iter().flatten().any(|(name, value)| name == key && !value.0.is_empty());
    let missing: Vec<&str> = keys.into_iter().filter(|key| !has(key)).collect();
    if !missing.is_empty() {
        check.find(Fault::ManagedSecretInvalid, &place, format!("it has no {}", few(&missing)));
    }
    let Some(published) = trusted_cas(secret) else { return };
    if let Err(error) = Bundle::parse(published) {
        check.find(Fault::ManagedSecretInvalid, &place, format!("its ca.crt is invalid: {error}"));
        return;
    }
    // If there is no webhook, the check `webhook-configuration` reports that.
    if objects.webhook().is_some() && managed.ca_bundle.as_deref() != Some(published) {
        let what = format!("caBundle differs from ca.crt of {place}");
        check.find(Fault::ManagedCaDiffers, objects.configuration_place(), what);
    }
}
