use super::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};

const NAME: &str = "pullthrough.pullthrough.svc";

type Ca = CertifiedIssuer<'static, KeyPair>;

fn new_ca(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Ca {
    let mut params = CertificateParams::new([]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut params);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn chain(ca: &Ca, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Vec<CertificateDer<'static>> {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    change(&mut params);
    vec![params.signed_by(&KeyPair::generate().unwrap(), ca).unwrap().der().clone()]
}

fn judge(bundle: &[&Ca], chain: &[CertificateDer<'static>]) -> Result<Trusted, Distrust> {
    let pem: String = bundle.iter().map(|ca| ca.pem()).collect();
    let name = ServerName::try_from(NAME).unwrap();
    Bundle::parse(pem.as_bytes()).unwrap().trusts(chain, &name, SystemTime::now())
}

#[test]
fn each_fault_has_its_error() {
    let ca = new_ca("ca", |_| {});
    let good = chain(&ca, &[NAME], |_| {});
    assert!(judge(&[&ca], &good).is_ok());
    assert_eq!(judge(&[&new_ca("other", |_| {})], &good), Err(Distrust::WrongCa));
    // The previous CA, with the same name.
    assert_eq!(judge(&[&new_ca("ca", |_| {})], &good), Err(Distrust::WrongCa));
    assert!(judge(&[&new_ca("ca", |_| {}), &ca], &good).is_ok());

    let named = chain(&ca, &["a.example.com", "10.0.0.1"], |_| {});
    let names = vec!["a.example.com".to_owned(), "10.0.0.1".to_owned()];
    assert_eq!(judge(&[&ca], &named), Err(Distrust::WrongName { names }));

    let expired = chain(&ca, &[NAME], |params| params.not_after = date_time_ymd(2001, 1, 1));
    assert_eq!(judge(&[&ca], &expired), Err(Distrust::Expired { not_after_secs: 978_307_200 }));
    let future = chain(&ca, &[NAME], |params| params.not_before = date_time_ymd(2990, 1, 1));
    assert!(matches!(judge(&[&ca], &future), Err(Distrust::NotYetValid { .. })));
    assert!(matches!(judge(&[&ca], &[]), Err(Distrust::Unusable(_))));
    assert!(matches!(judge(&[&ca], &[CertificateDer::from(vec![1, 2, 3])]), Err(Distrust::Unusable(_))));
}

#[test]
fn an_expired_ca_is_not_trusted() {
    let old = new_ca("old", |params| params.not_after = date_time_ymd(2001, 1, 1));
    let shown = chain(&old, &[NAME], |_| {});
    assert!(matches!(judge(&[&old], &shown), Err(Distrust::CaExpired { .. })));
    // If both are expired, the error is about the certificate, which is renewed first.
    let both = chain(&old, &[NAME], |params| params.not_after = date_time_ymd(2001, 1, 1));
    assert!(matches!(judge(&[&old], &both), Err(Distrust::Expired { .. })));
    // An expired CA does not matter if another one signed.
    let ca = new_ca("ca", |_| {});
    assert!(judge(&[&old, &ca], &chain(&ca, &[NAME], |_| {})).is_ok());
}

#[test]
fn the_validity_of_each_certificate_of_a_chain_is_checked() {
    type Change = fn(&mut CertificateParams);
    const VALID: Change = |_| {};
    const EXPIRED: Change = |params| params.not_after = date_time_ymd(2001, 1, 1);
    const EARLY: Change = |params| params.not_before = date_time_ymd(2990, 1, 1);
    let judge = |ca: Change, issuer: Change, leaf: Change| {
        let ca = new_ca("ca", ca);
        let direct = chain(&ca, &[NAME], leaf);
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "issuer");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        issuer(&mut params);
        let issuer = CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &ca).unwrap();
        let mut through = chain(&issuer, &[NAME], leaf);
        through.push(issuer.der().clone());
        [direct, through].map(|chain| judge(&[&ca], &chain))
    };
    let (expired, early) = (978_307_200, 32_188_147_200);
    let name = |name: &str| format!("CN={name}");
    let ca_expired = |of: &str| Err(Distrust::CaExpired { subject: name(of), not_after_secs: expired });
    let ca_early = |of: &str| Err(Distrust::CaNotYetValid { subject: name(of), not_before_secs: early });
    let results = |[direct, through]: [Result<Trusted, Distrust>; 2]| (direct.map(drop), through.map(drop));
    for (ca, issuer, leaf, direct, through) in [
        (VALID, VALID, VALID, Ok(()), Ok(())),
        (EXPIRED, VALID, VALID, ca_expired("ca"), ca_expired("ca")),
        (EARLY, VALID, VALID, ca_early("ca"), ca_early("ca")),
        (VALID, EXPIRED, VALID, Ok(()), ca_expired("issuer")),
        (VALID, EARLY, VALID, Ok(()), ca_early("issuer")),
    ] {
        assert_eq!(results(judge(ca, issuer, leaf)), (direct, through));
    }
    // If the certificate itself is not valid, the error is about it, since it is renewed first.
    for (of_leaf, end) in [
        (EXPIRED, Err(Distrust::Expired { not_after_secs: expired })),
        (EARLY, Err(Distrust::NotYetValid { not_before_secs: early })),
    ] {
        for ca in [VALID, EXPIRED, EARLY] {
            assert_eq!(results(judge(ca, VALID, of_leaf)), (end.clone(), end.clone()));
        }
    }
}

#[test]
fn a_bundle_without_certificates_is_an_error() {
    assert_eq!(Bundle::parse(b"nonsense").unwrap_err(), "it has no certificate");
    let damaged = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(Bundle::parse(damaged).unwrap_err().starts_with("not a certificate: "));
}

#[test]
fn a_renewal_is_overdue_in_the_last_quarter() {
    let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
    let of = |lifetime: i64, left: i64| Validity {
        not_before_secs: 1_000_000 + left - lifetime,
        not_after_secs: 1_000_000 + left,
    };
    assert!(!of(60, 20).is_expiring(now));
    assert!(of(60, 10).is_expiring(now));
    let day = 86_400;
    assert!(!of(28 * day, 8 * day).is_expiring(now));
    assert!(of(28 * day, 6 * day).is_expiring(now));
    assert!(of(60, -10).is_expiring(now));
}
