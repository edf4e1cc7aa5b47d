//! The CAs that are trusted beside the one of the Secret's certificate, each for a limited time, while some replica may
//! still serve a certificate of theirs.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::annotations;
use crate::certificate::trust::{Authority, Bundle, Validity, secs};

/// Far longer than replicas take to serve another certificate: they look every 3 s, and an API server that is overloaded may
/// not answer some of them for minutes.
const GRACE: Duration = Duration::from_secs(60 * 60);
/// For replicas that the API server answers: two looks, the time in which a published CA settles, and some more.
const TRANSITION: Duration = Duration::from_secs(30);
/// In which the clocks of replicas may differ.
const SLACK: Duration = Duration::from_secs(60);
/// A bound for renewals that are requested again and again.
const MOST: usize = 7;

/// On which terms a CA is trusted.
#[derive(Debug)]
pub struct Terms {
    pub now: SystemTime,
    /// How long a certificate and its CA may be valid.
    pub lifetime: Duration,
    /// The SHA-256 of CAs that are not to be trusted.
    pub revoked: Vec<String>,
}

impl Terms {
    pub fn is_revoked(&self, ca: &Authority) -> bool {
        self.revoked.contains(&ca.sha256())
    }

    /// Whether more than the configured lifetime is left, so it was not made here, or with another configuration.
    pub fn is_too_long(&self, validity: Validity) -> bool {
        u64::try_from(validity.left_secs(self.now)).is_ok_and(|left| left > (self.lifetime + SLACK).as_secs())
    }

    /// Until when a CA is trusted at most, once another one vouches for the Secret's certificate.
    fn until_secs(&self, ca: &Authority) -> i64 {
        let is_short = self.is_revoked(ca) || self.is_too_long(ca.validity());
        secs(self.now + if is_short { TRANSITION } else { GRACE })
    }
}

/// The CAs, and until when each is trusted, in seconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Previous(Vec<(Authority, i64)>);

impl Previous {
    /// Those CAs that a Secret's annotation has. Others were added by somebody else.
    pub fn of(secret: &Value, cas: impl Iterator<Item = Authority>) -> Previous {
        let until = annotations::trusted_until(secret);
        Previous(cas.filter_map(|ca| until.get(&ca.sha256()).map(|&until_secs| (ca, until_secs))).collect())
    }

    /// Drops those whose time is over, and limits the time of the others.
    pub fn limit(&mut self, terms: &Terms) {
        for (ca, until_secs) in &mut self.0 {
            *until_secs = terms.until_secs(ca).min(*until_secs);
        }
        let now_secs = secs(terms.now);
        self.0.retain(|(ca, until_secs)| *until_secs > now_secs && ca.validity().left_secs(terms.now) > 0);
    }

    /// Trusts further CAs, unless they are expired. The time of those that are trusted already stays.
    pub fn extend<'a>(&mut self, cas: impl IntoIterator<Item = &'a Authority>, terms: &Terms) {
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

    /// For the Secret's annotation.
    pub fn records(&self) -> impl Iterator<Item = (String, i64)> {
        self.0.iter().map(|(ca, until_secs)| (ca.sha256(), *until_secs))
    }
}
