//! Can `--manage-certificates` do its work?

use crate::certificate::trust::Bundle;
use crate::cluster::doctor::answers::Answers;
use crate::cluster::doctor::fault::Fault;
use crate::cluster::doctor::managed::Managed;
use crate::cluster::doctor::managed::authorities;
use crate::cluster::doctor::objects::Objects;
use crate::cluster::doctor::report::Check;
use crate::cluster::words::few;

pub fn check(objects: &Objects, answers: &Answers) -> Check {
    let mut check = Check::new("permissions", "Can the replicas look after their certificates?");
    let managed = match &answers.managed {
        Ok(Some(managed)) => managed,
        Ok(None) => return check.skip("no Deployment runs with --manage-certificates"),
        Err(why) => {
            check.unseen("whether the replicas look after their certificates, and in which Secret", why);
            return check;
        }
    };
    secret(&mut check, objects, managed);
    let account = objects.arguments.as_ref().map(|arguments| arguments.service_account.as_str()).unwrap_or_default();
    let place = format!("ServiceAccount {}/{account}", objects.namespace);
    match &managed.permissions {
        Err(failure) => check.could_not_look(failure, format!("what the {place} may do")),
        Ok(permissions) => {
            let missing: Vec<&str> =
                permissions.iter().filter(|one| !one.allowed).map(|one| one.what.as_str()).collect();
            match missing.as_slice() {
                [] => check.fact(format!("the {place} may do what it needs to")),
                missing => {
                    check.find(Fault::PermissionMissing, &place, format!("it may not {}", missing.join("; ")));
                }
            }
        }
    }
    if managed.has_token == Some(false) {
        let what = "its token is not mounted into the Pods, so they can't talk to the API server";
        check.find(Fault::TokenNotMounted, &place, what);
    }
    check
}

fn secret(check: &mut Check, objects: &Objects, managed: &Managed) {
    let place = format!("Secret {}/{}", objects.namespace, managed.secret_name);
    let secret = match &managed.secret {
        Err(failure) => return check.could_not_look(failure, &place),
        Ok(None) => {
            check.find(
                Fault::ManagedSecretMissing,
                place,
                "it does not exist, and should be made again within seconds",
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
    let Some(published) = authorities(secret) else { return };
    if let Err(error) = Bundle::parse(published) {
        check.find(Fault::ManagedSecretInvalid, &place, format!("ca.crt can't be used: {error}"));
        return;
    }
    // A bundle that was never asked for is the business of the check `registration`.
    if objects.webhook().is_some() && managed.ca_bundle.as_deref() != Some(published) {
        let what = format!("caBundle is not the ca.crt of {place}");
        check.find(Fault::ManagedCaDiffers, objects.configuration_place(), what);
    }
}
