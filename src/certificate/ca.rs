//! A CA that issues one serving certificate. Its key is discarded, so it can't issue another.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData,
};
use sha2::{Digest, Sha256};

/// A certificate is valid from this long before now, for clients whose clock is slow.
pub const BACKDATED: Duration = Duration::from_secs(60 * 60);

/// A serving certificate, its key, and the CA that issued it.
#[derive(Debug, Clone)]
pub struct Made {
    /// The CA's certificate in PEM, for `caBundle` of the webhook configuration.
    pub ca: String,
    /// The serving certificate in PEM.
    pub certificate: String,
    /// Its key in PEM.
    pub key: String,
    /// SHA-256 of the serving certificate's public key (SubjectPublicKeyInfo).
    pub public_key_sha256: [u8; 32],
}

/// Issues a certificate for DNS names and IP addresses, which is valid from `now` for `lifetime`.
pub fn make(names: Vec<String>, now: SystemTime, lifetime: Duration) -> Result<Made, rcgen::Error> {
    let params = |common_name: &str, names: Vec<String>| -> Result<CertificateParams, rcgen::Error> {
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.not_before = (now - BACKDATED).into();
        params.not_after = (now + lifetime).into();
        Ok(params)
    };
    let ca_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut ca = params("pullthrough CA", Vec::new())?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_certificate = ca.self_signed(&ca_key)?;

    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut serving = params("pullthrough", names)?;
    serving.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    serving.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    serving.use_authority_key_identifier_extension = true;
    let certificate = serving.signed_by(&key, &Issuer::new(ca, ca_key))?;
    Ok(Made {
        ca: ca_certificate.pem(),
        certificate: certificate.pem(),
        public_key_sha256: Sha256::digest(key.subject_public_key_info()).into(),
        key: key.serialize_pem(),
    })
}
