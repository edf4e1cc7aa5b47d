//! A cache that requires a login.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::registry::{self, Reply};

/// The password of the user `jane`.
pub const PASSWORD: &str = "hunter2";
const INDEX: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
const DENIED: &str = r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;

pub struct Cache {
    pub host: String,
    /// The values of `Authorization` in requests for manifests, empty without one.
    logins: Arc<Mutex<Vec<String>>>,
}

impl Cache {
    /// Starts a cache for the rest of the process. It serves each image to [`PASSWORD`].
    pub fn start() -> Self {
        let logins = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&logins);
        let host = registry::start(move |head| {
            let header = |line: &str| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("authorization").then(|| value.to_owned())
            };
            let login = head.lines().find_map(header).unwrap_or_default();
            if head.contains("/manifests/") {
                seen.lock().expect("no panic").push(login.clone());
            }
            if login == basic("jane", PASSWORD) {
                return Reply::index(INDEX.to_owned());
            }
            let headers = vec!["WWW-Authenticate: Basic realm=\"cache\"".to_owned()];
            Reply { status: "401 Unauthorized", headers, body: DENIED.to_owned() }
        });
        Self { host, logins }
    }

    /// Returns the `Authorization` of the requests for manifests since the last call.
    pub fn logins(&self) -> Vec<String> {
        std::mem::take(&mut self.logins.lock().expect("no panic"))
    }
}

/// Returns the `Authorization` of a user.
pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}
