//! Does the API server trust the serving certificates, and until when?

use rustls::pki_types::ServerName;

use crate::certificate::trust::{Bundle, Distrust, Trusted};
use crate::cluster::api::Failure;
use crate::cluster::doctor::answers::Answers;
use crate::cluster::doctor::endpoint::{Endpoint, server_name};
use crate::cluster::doctor::fault::Fault;
use crate::cluster::doctor::handshake::Chain;
use crate::cluster::doctor::objects::Objects;
use crate::cluster::doctor::report::Check;
use crate::words::{count, few, when};

pub fn check(objects: &Objects, answers: &Answers) -> Check {
    let mut check = Check::new("certificates", "Does the API server trust the serving certificates?");
    let Some(webhook) = objects.webhook() else { return check.not_applicable("there is no webhook configuration") };
    let place = objects.configuration_place();
    let Some(name) = server_name(&objects.endpoint) else {
        check.skipped("the certificate", "the webhook configuration has no valid host");
        return check;
    };
    let pem = webhook.client_config.ca_bundle.as_ref().map(|bytes| bytes.0.as_slice()).unwrap_or_default();
    let bundle = match pem {
        [] if matches!(objects.endpoint, Endpoint::Url(_)) => {
            check.skipped("the certificate", "without caBundle, the API server trusts the CAs of its own system");
            None
        }
        [] => {
            check.find(
                Fault::CaBundleEmpty,
                &place,
                "caBundle is empty, so the API server trusts only CAs of its own system",
            );
            None
        }
        pem => match Bundle::parse(pem) {
            Ok(bundle) => Some(bundle),
            Err(error) => {
                check.find(Fault::CaBundleInvalid, &place, format!("caBundle is invalid: {error}"));
                None
            }
        },
    };
    if let Some(bundle) = &bundle {
        check.fact(format!("caBundle has {}", count(bundle.len(), "CA")));
        for (subject, at_secs) in bundle.expired(objects.now) {
            let what = format!("the CA `{subject}` in caBundle expired at {}", when(at_secs, objects.now));
            check.find(Fault::ExpiredCaInBundle, &place, what);
        }
    }
    let servers = servers(objects, answers);
    if servers.is_empty() {
        check.skipped("the serving certificate", "no Pod is running");
    }
    for (place, shown) in servers {
        look(&mut check, objects, &place, shown, bundle.as_ref(), &name);
    }
    check
}

/// Returns each server that was connected to, and its certificate chain.
fn servers<'a>(objects: &Objects, answers: &'a Answers) -> Vec<(String, &'a Result<Chain, Failure>)> {
    let direct = match (&objects.endpoint, &answers.direct) {
        (Endpoint::Url(url), Some(shown)) => return vec![(url.clone(), shown)],
        _ => answers.replicas.iter(),
    };
    let asked = direct.filter_map(|replica| Some((replica, &replica.asked.as_ref()?.chain)));
    asked.map(|(replica, shown)| (format!("Pod {}/{}", objects.namespace, replica.name), shown)).collect()
}

fn look(
    check: &mut Check,
    objects: &Objects,
    place: &str,
    shown: &Result<Chain, Failure>,
    bundle: Option<&Bundle>,
    name: &ServerName<'_>,
) {
    let chain = match shown {
        Ok(chain) => chain,
        Err(failure @ Failure::Broken(message)) if message.starts_with("TLS handshake") => {
            check.find(Fault::HandshakeFailing, place, failure.to_string());
            return;
        }
        Err(failure) if matches!(objects.endpoint, Endpoint::Url(_)) => {
            check.find(Fault::EndpointUnreachable, place, format!("from this machine: {failure}"));
            return;
        }
        Err(failure) => return check.skip_for(failure, format!("the certificate of {place}")),
    };
    let Some(bundle) = bundle else { return };
    let now = objects.now;
    match bundle.trusts(chain, name, now) {
        Ok(Trusted { validity, ca_validity }) => {
            check.fact(format!("{place}: its certificate expires at {}", when(validity.not_after_secs, now)));
            if validity.is_expiring(now) {
                let what = format!("its certificate expires at {}", when(validity.not_after_secs, now));
                check.find(Fault::CertificateExpiring, place, what);
            }
            // If the certificate expires soon too, its own finding is enough.
            if let Some(ca) = ca_validity.filter(|ca| ca.is_expiring(now) && !validity.is_expiring(now)) {
                let what = format!("the CA of its certificate expires at {}", when(ca.not_after_secs, now));
                check.find(Fault::CaExpiring, place, what);
            }
        }
        Err(distrust) => {
            let (fault, what) = describe(objects, &distrust, name);
            check.find(fault, place, what);
        }
    }
}

fn describe(objects: &Objects, distrust: &Distrust, name: &ServerName<'_>) -> (Fault, String) {
    let now = objects.now;
    match distrust {
        Distrust::WrongCa => (Fault::WrongCa, "no CA in caBundle signed its certificate".to_owned()),
        Distrust::CaExpired { subject, not_after_secs } => {
            let what =
                format!("the CA `{subject}` that signed its certificate expired at {}", when(*not_after_secs, now));
            (Fault::CaExpired, what)
        }
        Distrust::CaNotYetValid { subject, not_before_secs } => {
            let what = format!(
                "the CA `{subject}` that signed its certificate is not valid before {}",
                when(*not_before_secs, now)
            );
            (Fault::CaNotYetValid, what)
        }
        Distrust::Expired { not_after_secs } => {
            (Fault::CertificateExpired, format!("its certificate expired at {}", when(*not_after_secs, now)))
        }
        Distrust::NotYetValid { not_before_secs } => (
            Fault::CertificateNotYetValid,
            format!("its certificate is not valid before {}", when(*not_before_secs, now)),
        ),
        Distrust::WrongName { names } => {
            let has = if names.is_empty() { "no name".to_owned() } else { few(names) };
            let what = format!("the API server expects {}; the certificate has {has}", name.to_str());
            (Fault::CertificateWrongName, what)
        }
        Distrust::NotForServers => (Fault::CertificateUnusable, format!("its certificate is unusable: {distrust}")),
        Distrust::Unusable(why) => (Fault::CertificateUnusable, format!("its certificate is unusable: {why}")),
    }
}
