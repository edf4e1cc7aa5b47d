//! Previous CAs, which are trusted for a limited time while a replica may still serve their certificates.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::annotations;
use crate::certificate::trust::{Bundle, Ca, Validity, secs};

/// How long a previous CA is trusted. Replicas change certificates within seconds; with an overloaded API server, within
/// minutes.
const GRACE: Duration = Duration::from_secs(60 * 60);
/// How long a revoked CA is trusted: enough for two intervals of reconciling and the time in which a published CA settles.
const TRANSITION: Duration = Duration::from_secs(30);
/// How far the clocks of replicas may differ.
const SLACK: Duration = Duration::from_secs(60);
/// A limit on CAs, for renewals that are requested many times.
const MOST: usize = 7;

/// The conditions under which a CA is trusted.
#[derive(Debug)]
pub struct Terms {
    pub now: SystemTime,
    /// How long a certificate and its CA may be valid.
    pub lifetime: Duration,
    /// The SHA-256 of CAs that are not trusted.
    pub revoked: Vec<String>,
}

impl Terms {
    pub fn is_revoked(&self, ca: &Ca) -> bool {
        self.revoked.contains(&ca.sha256())
    }

    /// Returns whether more than the configured lifetime is left. Then it was issued elsewhere or with another lifetime.
    pub fn is_too_long(&self, validity: Validity) -> bool {
        u64::try_from(validity.left_secs(self.now)).is_ok_and(|left| left > (self.lifetime + SLACK).as_secs())
    }

    /// Returns until when a CA is trusted at most, once another CA signed the Secret's certificate.
    fn until_secs(&self, ca: &Ca) -> i64 {
        let is_short = self.is_revoked(ca) || self.is_too_long(ca.validity());
        secs(self.now + if is_short { TRANSITION } else { GRACE })
    }
}

/// The CAs, and until when each is trusted, in seconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Previous(Vec<(Ca, i64)>);

impl Previous {
    /// Returns the CAs that the Secret's annotation has. Other clients added the others.
    pub fn of(secret: &Value, cas: impl Iterator<Item = Ca>) -> Previous {
        let until = annotations::trusted_until(secret);
        Previous(cas.filter_map(|ca| until.get(&ca.sha256()).map(|&until_secs| (ca, until_secs))).collect())
    }

    /// Removes CAs whose time is over, and limits the time of the others.
    pub fn limit(&mut self, terms: &Terms) {
        for (ca, until_secs) in &mut self.0 {
            *until_secs = terms.until_secs(ca).min(*until_secs);
        }
        let now_secs = secs(terms.now);
        self.0.retain(|(ca, until_secs)| *until_secs > now_secs && ca.validity().left_secs(terms.now) > 0);
    }

    /// Adds CAs, unless they are expired. The time of CAs that are already trusted stays.
    pub fn extend<'a>(&mut self, cas: impl IntoIterator<Item = &'a Ca>, terms: &Terms) {
        for ca in cas {
            if ca.validity().left_secs(terms.now) > 0 && !self.0.iter().any(|(known, _)| known == ca) {
                self.0.push((ca.clone(), terms.until_secs(ca)));
            }
        }
        self.0.sort_by_key(|(_, until_secs)| -until_secs);
        self.0.truncate(MOST);
    }

    pub fn bundle(&self) -> Bundle {
        self.0.iter().map(|(ca, _)| ca.clone()).collect()
    }

    /// Returns the entries of the Secret's annotation.
    pub fn records(&self) -> impl Iterator<Item = (String, i64)> {
        self.0.iter().map(|(ca, until_secs)| (ca.sha256(), *until_secs))
    }
}
