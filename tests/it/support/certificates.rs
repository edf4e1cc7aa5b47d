//! Certificates of all supported kinds, and clients that trust them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

/// A CA.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A certificate (chain) and its key, in PEM.
#[derive(Clone)]
pub struct Pair {
    pub chain: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Authority {
        let key = KeyPair::generate().unwrap();
        let params = authority_params("root");
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// Issues a serving (or client) certificate for localhost.
    pub fn issue(&self) -> Pair {
        self.issue_for(&KeyPair::generate().unwrap())
    }

    pub fn issue_for(&self, key: &KeyPair) -> Pair {
        let chain = leaf().signed_by(key, &self.issuer).unwrap().pem();
        Pair { chain, key: key.serialize_pem() }
    }

    /// Issues a certificate with changed parameters.
    pub fn issue_with(&self, change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut params = leaf();
        change(&mut params);
        Pair { chain: params.signed_by(&key, &self.issuer).unwrap().pem(), key: key.serialize_pem() }
    }

    /// Issues a certificate of an intermediate CA, which is in the chain.
    pub fn issue_through_intermediate(&self) -> Pair {
        let (key, intermediate_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let params = authority_params("intermediate");
        let intermediate = params.signed_by(&intermediate_key, &self.issuer).unwrap().pem();
        let certificate = leaf().signed_by(&key, &Issuer::new(params, intermediate_key)).unwrap().pem();
        Pair { chain: format!("{certificate}{intermediate}"), key: key.serialize_pem() }
    }

    pub fn trust(&self) -> Trust {
        Trust::pem(&self.pem)
    }
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn leaf() -> CertificateParams {
    CertificateParams::new(vec!["localhost".to_owned()]).unwrap()
}

impl Pair {
    /// Writes `tls.crt` and `tls.key`, as in a mounted Secret.
    pub fn write(&self, directory: &Path) -> (PathBuf, PathBuf) {
        let (chain, key) = (directory.join("tls.crt"), directory.join("tls.key"));
        std::fs::write(&chain, &self.chain).unwrap();
        std::fs::write(&key, &self.key).unwrap();
        (chain, key)
    }

    /// Returns the serving certificate without its chain, in DER.
    pub fn leaf_der(&self) -> Vec<u8> {
        CertificateDer::from_pem_slice(self.chain.as_bytes()).unwrap().to_vec()
    }

    /// Writes the key in an older format: PKCS#1 (`RSA PRIVATE KEY`) or SEC1 (`EC PRIVATE KEY`).
    pub fn with_key_as(mut self, label: &str) -> Pair {
        let PrivateKeyDer::Pkcs8(key) = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap() else {
            panic!("PKCS#8 expected")
        };
        // PrivateKeyInfo is a sequence: version, algorithm, and the key in its older format as an octet string.
        let (_, inside, _) = der_item(key.secret_pkcs8_der());
        let (_, _, rest) = der_item(inside);
        let (_, _, rest) = der_item(rest);
        let (tag, older, _) = der_item(rest);
        assert_eq!(tag, 4, "an octet string");
        let base64 = STANDARD.encode(older);
        self.key = format!("-----BEGIN {label}-----\n");
        for line in base64.as_bytes().chunks(64) {
            self.key += std::str::from_utf8(line).unwrap();
            self.key.push('\n');
        }
        self.key += &format!("-----END {label}-----\n");
        self
    }
}

/// Returns tag, content and remaining bytes.
fn der_item(der: &[u8]) -> (u8, &[u8], &[u8]) {
    let (header, length) = match der[1] {
        short if short < 0x80 => (2, usize::from(short)),
        long => {
            let count = usize::from(long & 0x7f);
            (2 + count, der[2..2 + count].iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte)))
        }
    };
    let (item, rest) = der.split_at(header + length);
    (item[0], &item[header..], rest)
}

/// The CAs that a client trusts, and its own certificate.
#[derive(Clone)]
pub struct Trust {
    roots: RootCertStore,
    versions: &'static [&'static SupportedProtocolVersion],
    pub identity: Option<Pair>,
}

impl Trust {
    pub fn pem(pem: &str) -> Trust {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        Trust { roots, versions: rustls::ALL_VERSIONS, identity: None }
    }

    pub fn with_versions(mut self, versions: &'static [&'static SupportedProtocolVersion]) -> Trust {
        self.versions = versions;
        self
    }

    pub fn with_identity(mut self, identity: Pair) -> Trust {
        self.identity = Some(identity);
        self
    }

    pub fn config(&self, alpn: &[&str]) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(self.roots.clone());
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(Pair { chain, key }) => {
                let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).map(Result::unwrap).collect();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }
}
