//! A serving certificate without its CA: whether a client could accept it, whichever CAs the client trusts.

use std::time::SystemTime;

use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::trust::{Distrust, Validity, names};

/// The checks of a certificate that do not depend on its CA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    validity: Validity,
    /// A fault that does not depend on the time.
    fault: Option<Distrust>,
}

impl Leaf {
    /// Reads a certificate. `hosts` are the names that clients expect, as far as they are known.
    ///
    /// # Errors
    ///
    /// Returns why it is not a certificate.
    pub fn new(certificate: &CertificateDer<'_>, hosts: &[ServerName<'_>]) -> Result<Leaf, String> {
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
        let usage = parsed.extended_key_usage().map_err(|error| error.to_string())?;
        let is_for_servers = usage.is_none_or(|usage| usage.value.server_auth || usage.value.any);
        let as_server = ParsedCertificate::try_from(certificate).map_err(|error| error.to_string())?;
        let names = names(certificate);
        let has_names = !names.is_empty() && hosts.iter().all(|host| verify_server_name(&as_server, host).is_ok());
        let fault = match (is_for_servers, has_names) {
            (false, _) => Some(Distrust::NotForServers),
            (true, false) => Some(Distrust::WrongName { names }),
            (true, true) => None,
        };
        Ok(Leaf { validity: Validity::from(&parsed), fault })
    }

    /// Checks whether a client could accept it at `now`.
    ///
    /// # Errors
    ///
    /// Returns why no client would accept it.
    pub fn check(&self, now: SystemTime) -> Result<(), Distrust> {
        match &self.fault {
            Some(fault) => Err(fault.clone()),
            None => self.validity.check(now),
        }
    }

    /// Returns when it expires, in seconds since 1970.
    pub fn not_after_secs(&self) -> i64 {
        self.validity.not_after_secs
    }
}

#[cfg(test)]
mod tests {
    use rcgen::ExtendedKeyUsagePurpose::{Any, ClientAuth, ServerAuth};
    use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

    use super::*;

    type Change = fn(&mut CertificateParams);

    #[test]
    fn each_fault_has_its_error() {
        let host = ServerName::try_from("pullthrough.pullthrough.svc").unwrap();
        let table: [(&[&str], Change, &str); 11] = [
            (&["pullthrough.pullthrough.svc"], |_| {}, ""),
            (&["*.pullthrough.svc"], |params| params.extended_key_usages = vec![ClientAuth, ServerAuth], ""),
            (&["pullthrough.pullthrough.svc"], |params| params.extended_key_usages = vec![Any], ""),
            (&["pullthrough.pullthrough.svc"], |params| params.extended_key_usages = vec![ClientAuth], "serverAuth"),
            (&["pullthrough.default.svc"], |_| {}, "it is for pullthrough.default.svc"),
            (&["*.svc"], |_| {}, "it is for *.svc"),
            (&["10.0.0.1"], |_| {}, "it is for 10.0.0.1"),
            (
                &[],
                |params| params.distinguished_name.push(DnType::CommonName, "pullthrough.pullthrough.svc"),
                "it has no subjectAltName",
            ),
            (
                &["pullthrough.pullthrough.svc"],
                |params| params.not_after = date_time_ymd(2001, 1, 1),
                "it expired at 2001-01-01T00:00:00Z",
            ),
            (
                &["pullthrough.pullthrough.svc"],
                |params| params.not_before = date_time_ymd(2990, 1, 1),
                "it is not valid before 2990-01-01T00:00:00Z",
            ),
            // A fault that does not depend on the time comes first.
            (&["other"], |params| params.not_before = date_time_ymd(2990, 1, 1), "it is for other"),
        ];
        for (names, change, expected) in table {
            let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
            let mut params = CertificateParams::new(names.clone()).unwrap();
            change(&mut params);
            let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            let leaf = Leaf::new(certificate.der(), std::slice::from_ref(&host)).unwrap();
            let why = leaf.check(SystemTime::now()).err().map(|why| why.to_string()).unwrap_or_default();
            assert!(why.contains(expected) && why.is_empty() == expected.is_empty(), "{names:?}: {why:?}");
        }
        assert!(Leaf::new(&CertificateDer::from(vec![1, 2, 3]), &[]).is_err());
    }
}
