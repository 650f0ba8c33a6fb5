//! Certificates of real authorities, and names of every shape.

use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
    date_time_ymd,
};

use super::*;

const EDGE: &str = "spiffe://platform.test/ns/weir-system/sa/weir-edge";

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![uri(EDGE)];
        (params.not_before, params.not_after) = (date_time_ymd(2025, 1, 1), date_time_ymd(2027, 1, 1));
        change(&mut params);
        params.signed_by(&KeyPair::generate().unwrap(), &self.0).unwrap().der().clone()
    }
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

/// What `chain` proves in the middle of 2026 to one that trusts `authorities`.
fn judge(authorities: &[&Authority], chain: &[CertificateDer<'static>]) -> Result<String, Refusal> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.crt");
    std::fs::write(&file, authorities.iter().map(|authority| authority.0.pem()).collect::<String>()).unwrap();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_782_864_000);
    Authorities::open(&file).unwrap().verify(chain, now).map(|identity| identity.principal.to_string())
}

#[test]
fn a_certificate_of_an_authority_that_counts_is_its_accounts() {
    let (authority, other) = (Authority::new(), Authority::new());
    let certificate = authority.issue(|_| {});
    assert_eq!(judge(&[&authority], std::slice::from_ref(&certificate)).unwrap(), "weir-system/weir-edge");
    assert_eq!(judge(&[&other, &authority], std::slice::from_ref(&certificate)).unwrap(), "weir-system/weir-edge");
    let client = authority.issue(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    assert!(judge(&[&authority], &[client]).is_ok());
}

#[test]
fn others_prove_nothing() {
    let (authority, other) = (Authority::new(), Authority::new());
    let refused = |chain: &[CertificateDer<'static>]| judge(&[&authority], chain).unwrap_err().to_string();
    assert!(refused(&[other.issue(|_| {})]).contains("proves nothing"));
    let over = authority.issue(|params| params.not_after = date_time_ymd(2026, 1, 1));
    assert!(refused(&[over]).contains("xpired"));
    let early = authority.issue(|params| params.not_before = date_time_ymd(2026, 12, 1));
    assert!(refused(&[early]).contains("not valid yet"));
    let server = authority.issue(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    assert!(!refused(&[server]).is_empty());
    assert!(!refused(&[CertificateDer::from(b"noise".to_vec())]).is_empty());
    assert_eq!(judge(&[&authority], &[]), Err(Refusal::NoCredential));
    let own = authority.issue(|_| {});
    assert!(refused(&vec![own; MAX_CHAIN + 1]).contains("chain"));
}

#[test]
fn a_certificate_names_one_account_by_one_uri() {
    let authority = Authority::new();
    let named = |names: Vec<SanType>| {
        let certificate = authority.issue(|params| params.subject_alt_names = names);
        judge(&[&authority], &[certificate])
    };
    assert!(named(vec![SanType::DnsName("weir-edge.weir-system".try_into().unwrap()), uri(EDGE)]).is_ok());
    assert!(named(vec![]).is_err());
    assert!(named(vec![SanType::DnsName("weir-edge.weir-system".try_into().unwrap())]).is_err());
    assert!(named(vec![uri(EDGE), uri("spiffe://platform.test/ns/acme/sa/default")]).is_err(), "two identities");
    assert!(named(vec![uri(EDGE), uri(EDGE)]).is_err());
}

#[test]
fn a_uri_is_an_account_or_nothing() {
    let account = |uri: &str| account_of_uri(uri).map(|account| account.to_string());
    assert_eq!(account(EDGE).as_deref(), Some("weir-system/weir-edge"));
    assert_eq!(account("spiffe://a/ns/b/sa/c.d").as_deref(), Some("b/c.d"));
    for wrong in [
        "",
        "spiffe://",
        "spiffe:///ns/a/sa/b",
        "https://platform.test/ns/a/sa/b",
        "SPIFFE://platform.test/ns/a/sa/b",
        "spiffe://platform.test/ns/a/sa/b/",
        "spiffe://platform.test/ns/a/sa/b/c",
        "spiffe://platform.test/ns//sa/b",
        "spiffe://platform.test/ns/a/sa/",
        "spiffe://platform.test/ns/a%2Fb/sa/c",
        "spiffe://platform.test/ns/a/sa/b?x=y",
        "spiffe://platform.test/ns/a/sa/b#x",
        "spiffe://platform.test:8443/ns/a/sa/b",
        "spiffe://user@platform.test/ns/a/sa/b",
        "spiffe://platform.test/sa/b/ns/a",
        "spiffe://platform.test/ns/a/sa/B",
        "spiffe://platform.test/ns/../sa/b",
        "spiffe://platform.test/ns/a/sa/b\0",
    ] {
        assert_eq!(account(wrong), None, "{wrong}");
    }
    assert_eq!(account(&format!("spiffe://{}/ns/a/sa/b", "d".repeat(MAX_URI))), None);
}

#[test]
fn an_identity_ends_with_the_first_certificate_of_its_chain_that_does() {
    let authority = Authority::new();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (params.not_before, params.not_after) = (date_time_ymd(2025, 1, 1), date_time_ymd(2026, 8, 1));
    let between = CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &authority.0).unwrap();
    let between = Authority(between);
    let leaf = between.issue(|_| {});
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.crt");
    std::fs::write(&file, authority.0.pem()).unwrap();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_782_864_000);
    let authorities = Authorities::open(&file).unwrap();
    let chain = [leaf, between.0.der().clone()];
    let identity = authorities.verify(&chain, now).unwrap();
    assert_eq!(identity.expires, Some(date_time_ymd(2026, 8, 1).into()));
    assert!(authorities.verify(&chain[..1], now).is_err(), "without what is between");

    // The file changes: others count.
    std::fs::write(&file, Authority::new().0.pem()).unwrap();
    assert!(authorities.reread());
    assert!(authorities.verify(&chain, now).is_err());
    assert!(!authorities.reread());
}

proptest! {
    #[test]
    fn uris_of_any_shape_are_an_account_or_nothing(text in ".*|spiffe://[a-z./]{0,12}/ns/[a-z0-9./%-]{0,12}/sa/[a-z0-9./%-]{0,12}") {
        if let Some(account) = account_of_uri(&text) {
            let written = format!("/ns/{}/sa/{}", account.namespace, account.name);
            prop_assert!(text.starts_with("spiffe://") && text.ends_with(&written));
        }
    }

    #[test]
    fn noise_is_no_certificate(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(read(&bytes).is_err());
    }

    /// A certificate in which any byte is other than it was signed proves nothing.
    #[test]
    fn every_change_of_a_certificate_is_refused(place in any::<prop::sample::Index>(), bit in 0..8u8) {
        thread_local! {
            static SIGNED: (Authority, Vec<u8>) = {
                let authority = Authority::new();
                let certificate = authority.issue(|_| {}).to_vec();
                (authority, certificate)
            };
        }
        SIGNED.with(|(authority, signed)| {
            let mut changed = signed.clone();
            let place = place.index(changed.len());
            changed[place] ^= 1 << bit;
            prop_assert!(judge(&[authority], &[CertificateDer::from(changed)]).is_err(), "byte {place}, bit {bit}");
            Ok(())
        })?;
    }
}
