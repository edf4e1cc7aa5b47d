//! Who may pull from a cache: the user of the tests, with Basic or with Bearer authorization.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, SigningKey as _};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::server::{Answer, Ca, Seen, Server, answer, error};

pub const USER: &str = "puller";
pub const PASSWORD: &str = "secret";
/// The bcrypt hash of [`PASSWORD`].
const HASH: &str = "$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a";
const SERVICE: &str = "cache";
const ISSUER: &str = "tests";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Basic,
    Bearer,
}

/// A server that issues tokens for [`USER`].
pub struct TokenServer {
    server: Server,
    _runtime: Runtime,
}

impl Access {
    /// Returns the `auth` of a registry's configuration, whose files are in this folder.
    pub fn configuration(self, ca: &Ca, folder: &Path) -> (Value, Option<TokenServer>) {
        if self == Self::Basic {
            let file = folder.join("htpasswd");
            std::fs::write(&file, format!("{USER}:{HASH}\n")).unwrap();
            return (json!({"htpasswd": {"realm": "cache", "path": file}}), None);
        }
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
        let certificate = CertificateParams::new([]).unwrap().self_signed(&key).unwrap();
        let file = folder.join("tokens.crt");
        std::fs::write(&file, certificate.pem()).unwrap();
        let header = json!({"typ": "JWT", "alg": "RS256", "x5c": [STANDARD.encode(certificate.der())]});
        let runtime = Runtime::new().unwrap();
        let acceptor = ca.acceptor(&["127.0.0.1"]);
        let server = runtime.block_on(Server::tls(acceptor, move |seen| issue(seen, &header, &key)));
        let realm = format!("https://{}/token", server.host());
        let token = json!({"realm": realm, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": file});
        (json!({"token": token}), Some(TokenServer { server, _runtime: runtime }))
    }
}

impl TokenServer {
    /// Returns the number of requests.
    pub fn requests(&self) -> usize {
        self.server.lines().len()
    }
}

/// Issues a token for the scopes that are asked for, as in
/// <https://distribution.github.io/distribution/spec/auth/token/>. The only right is to pull.
fn issue(seen: &Seen, header: &Value, key: &KeyPair) -> Answer {
    let login = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
    if seen.authorization.as_deref() != Some(&*login) {
        return error(401, "UNAUTHORIZED", "wrong user or password");
    }
    let query = seen.path.split_once('?').map_or("", |(_, query)| query);
    let scopes = query.split('&').filter_map(|field| field.strip_prefix("scope="));
    let access: Vec<Value> = scopes
        .filter_map(|scope| {
            let scope = percent_encoding::percent_decode_str(scope).decode_utf8().unwrap().into_owned();
            let (name, _) = scope.strip_prefix("repository:")?.rsplit_once(':')?;
            Some(json!({"type": "repository", "name": name, "actions": ["pull"]}))
        })
        .collect();
    let claims = json!({
        "iss": ISSUER, "sub": USER, "aud": SERVICE, "nbf": 0, "iat": 0, "exp": u32::MAX, "jti": "1", "access": access,
    });
    let signed = [header, &claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()).unwrap());
    let token = json!({"token": format!("{signed}.{signature}")}).to_string();
    answer(200, &[("content-type", "application/json")], token)
}
