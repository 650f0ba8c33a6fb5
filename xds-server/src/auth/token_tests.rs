//! Tokens with real signatures, and each way to have none.

use jsonwebtoken::{EncodingKey, Header, encode};
use proptest::prelude::*;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PublicKeyData};
use serde_json::{Value, json};

use super::*;

/// Seconds since 1970 at which everything here happens.
const NOW: u64 = 1_764_000_000;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

struct Issuer {
    pair: KeyPair,
}

impl Issuer {
    fn new() -> Self {
        Self { pair: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap() }
    }

    fn keys(&self) -> KeySet {
        KeySet::es256("k1", self.pair.der_bytes())
    }

    fn key(&self) -> EncodingKey {
        EncodingKey::from_ec_pem(self.pair.serialize_pem().as_bytes()).unwrap()
    }

    fn sign(&self, claims: &Value) -> String {
        encode(&header(Algorithm::ES256), claims, &self.key()).unwrap()
    }
}

fn header(algorithm: Algorithm) -> Header {
    Header { kid: Some("k1".into()), ..Header::new(algorithm) }
}

fn claims() -> Value {
    json!({
        "iss": "https://kubernetes.default.svc", "sub": "system:serviceaccount:weir-system:weir-edge", "aud": ["weir"],
        "iat": NOW, "nbf": NOW, "exp": NOW + 3600,
        "kubernetes.io": {"namespace": "weir-system", "serviceaccount": {"name": "weir-edge", "uid": "u"}},
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

/// All that a door does with it.
fn judge(text: &str, keys: &KeySet) -> Result<String, Refusal> {
    let token = Token::read(text)?;
    token.claims.check("weir", at(NOW + 10))?;
    token.verify(keys)?;
    Ok(token.claims.account.to_string())
}

/// The parts of a token, put together anew.
fn forged(token: &str, change: impl FnOnce(&mut Vec<String>)) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    change(&mut parts);
    parts.join(".")
}

/// Base64url of JSON, by way of a token that is thrown away.
fn part(json: &Value) -> String {
    let whole = encode(&Header::new(Algorithm::HS256), json, &EncodingKey::from_secret(b"x")).unwrap();
    whole.split('.').nth(1).unwrap().to_owned()
}

#[test]
fn a_token_is_its_service_accounts() {
    let issuer = Issuer::new();
    let right = Ok("weir-system/weir-edge".to_owned());
    for claims in
        [claims(), with("aud", json!("weir")), with("aud", json!(["other", "weir"])), without("kubernetes.io")]
    {
        assert_eq!(judge(&issuer.sign(&claims), &issuer.keys()), right, "{claims}");
    }
    for claims in [without("nbf"), without("iat")] {
        assert_eq!(judge(&issuer.sign(&claims), &issuer.keys()), right, "{claims}");
    }
}

#[test]
fn what_is_not_for_us_or_not_now_is_refused() {
    let issuer = Issuer::new();
    let judge = |claims: &Value| judge(&issuer.sign(claims), &issuer.keys()).unwrap_err().kind();
    assert_eq!(judge(&with("aud", json!(["kubernetes"]))), "audience");
    assert_eq!(judge(&with("aud", json!([]))), "audience");
    assert_eq!(judge(&with("aud", json!("WEIR"))), "audience");
    assert_eq!(judge(&without("aud")), "malformed");
    assert_eq!(judge(&with("exp", json!(NOW + 10))), "expired", "no leeway at the end");
    assert_eq!(judge(&with("exp", json!(NOW - 1000))), "expired");
    assert_eq!(judge(&without("exp")), "malformed", "a token without an end, as old Secrets hold it");
    assert_eq!(judge(&with("exp", json!(u64::MAX))), "malformed");
    assert_eq!(judge(&with("exp", json!("never"))), "malformed");
    assert_eq!(judge(&with("exp", json!(-5))), "malformed");
    assert_eq!(judge(&with("nbf", json!(NOW + 10 + 61))), "not_yet_valid");
    assert_eq!(judge(&with("iat", json!(NOW + 10 + 61))), "not_yet_valid");
}

#[test]
fn a_clock_that_is_a_minute_behind_its_issuers_refuses_nothing() {
    let issuer = Issuer::new();
    assert!(judge(&issuer.sign(&with("nbf", json!(NOW + 10 + 60))), &issuer.keys()).is_ok());
}

#[test]
fn what_is_no_service_accounts_is_refused() {
    let issuer = Issuer::new();
    for subject in [
        "weir-edge",
        "system:serviceaccount:weir-system",
        "system:serviceaccount::weir-edge",
        "system:serviceaccount:weir-system:",
        "system:serviceaccount:weir-system/weir-edge:x",
        "system:serviceaccount:weir-system:weir/edge",
        "system:serviceaccount:a:b:c",
        "system:serviceaccount:Weir-System:weir-edge",
        "system:node:n1",
        "",
    ] {
        let claims = json!({"iss": "i", "sub": subject, "aud": ["weir"], "exp": NOW + 3600});
        assert_eq!(judge(&issuer.sign(&claims), &issuer.keys()).unwrap_err().kind(), "malformed", "{subject}");
    }
    let other = json!({"namespace": "acme", "serviceaccount": {"name": "weir-edge"}});
    assert_eq!(judge(&issuer.sign(&with("kubernetes.io", other)), &issuer.keys()).unwrap_err().kind(), "malformed");
}

#[test]
fn what_was_altered_is_refused() {
    let issuer = Issuer::new();
    let token = issuer.sign(&claims());
    let payload = forged(&token, |parts| parts[1] = part(&with("sub", json!("system:serviceaccount:acme:default"))));
    assert_eq!(judge(&payload, &issuer.keys()).unwrap_err().kind(), "malformed", "sub and kubernetes.io differ");
    let payload = forged(&token, |parts| parts[1] = part(&with("exp", json!(NOW + 99_999))));
    assert_eq!(judge(&payload, &issuer.keys()), Err(Refusal::WrongSignature));
    let foreign = Issuer::new().sign(&claims());
    assert_eq!(
        judge(&foreign, &issuer.keys()),
        Err(Refusal::WrongSignature),
        "signed by another, with the same key id"
    );
    let swapped = forged(&token, |parts| parts[2] = foreign.split('.').nth(2).unwrap().to_owned());
    assert_eq!(judge(&swapped, &issuer.keys()), Err(Refusal::WrongSignature));
    let cut = forged(&token, |parts| {
        parts[2].truncate(20);
    });
    assert_eq!(judge(&cut, &issuer.keys()), Err(Refusal::WrongSignature));
}

#[test]
fn what_is_not_signed_is_refused() {
    let issuer = Issuer::new();
    let token = issuer.sign(&claims());
    for alg in ["none", "None", "NONE", "", "nOnE"] {
        for signature in ["", "AAAA"] {
            let text = forged(&token, |parts| {
                parts[0] = part(&json!({"alg": alg, "kid": "k1"}));
                parts[2] = signature.into();
            });
            assert_eq!(judge(&text, &issuer.keys()).unwrap_err().kind(), "malformed", "{alg} {signature}");
        }
    }
    let text = forged(&token, |parts| parts[2] = String::new());
    assert_eq!(judge(&text, &issuer.keys()), Err(Refusal::Malformed("it is not signed")));
    let text = forged(&token, |parts| drop(parts.pop()));
    assert_eq!(judge(&text, &issuer.keys()).unwrap_err().kind(), "malformed");
    let text = forged(&token, |parts| parts.push("more".into()));
    assert_eq!(judge(&text, &issuer.keys()).unwrap_err().kind(), "malformed");
}

/// The public key, which everybody has, as the secret of an HMAC.
#[test]
fn a_public_key_is_no_secret() {
    let issuer = Issuer::new();
    for secret in [
        issuer.pair.der_bytes().to_vec(),
        issuer.pair.public_key_pem().into_bytes(),
        issuer.pair.subject_public_key_info(),
    ] {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let text = encode(&header(algorithm), &claims(), &EncodingKey::from_secret(&secret)).unwrap();
            assert_eq!(judge(&text, &issuer.keys()), Err(Refusal::WrongAlgorithm), "{algorithm:?}");
        }
    }
}

#[test]
fn the_key_says_the_algorithm_and_the_token_does_not() {
    let issuer = Issuer::new();
    let other = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let key = EncodingKey::from_ec_pem(other.serialize_pem().as_bytes()).unwrap();
    let text = encode(&header(Algorithm::ES384), &claims(), &key).unwrap();
    assert_eq!(judge(&text, &issuer.keys()), Err(Refusal::WrongAlgorithm));
    for alg in ["RS256", "PS256", "EdDSA", "ES384"] {
        let text = forged(&issuer.sign(&claims()), |parts| parts[0] = part(&json!({"alg": alg, "kid": "k1"})));
        assert_eq!(judge(&text, &issuer.keys()), Err(Refusal::WrongAlgorithm), "{alg}");
    }
}

#[test]
fn a_key_is_found_by_its_id_alone() {
    let issuer = Issuer::new();
    for kid in [Some("k2"), Some(""), Some("../k1"), None] {
        let header = Header { kid: kid.map(str::to_owned), ..Header::new(Algorithm::ES256) };
        let text = encode(&header, &claims(), &issuer.key()).unwrap();
        assert_eq!(judge(&text, &issuer.keys()).unwrap_err().kind(), "unknown_key", "{kid:?}");
    }
    assert_eq!(judge(&issuer.sign(&claims()), &KeySet::default()).unwrap_err().kind(), "unknown_key");
}

/// A token may bring keys along, or say where to get them: they are its maker's.
#[test]
fn keys_that_a_token_brings_along_count_for_nothing() {
    let (issuer, attacker) = (Issuer::new(), Issuer::new());
    let point = attacker.pair.der_bytes();
    let (x, y) = (part_of(&point[1..33]), part_of(&point[33..65]));
    let jwk = json!({"kty": "EC", "crv": "P-256", "kid": "mine", "x": x, "y": y});
    let tricks = [
        json!({"alg": "ES256", "kid": "k1", "jwk": jwk}),
        json!({"alg": "ES256", "kid": "mine", "jwk": jwk}),
        json!({"alg": "ES256", "jwk": jwk}),
        json!({"alg": "ES256", "kid": "k1", "jku": "https://attacker.test/keys"}),
        json!({"alg": "ES256", "kid": "k1", "x5u": "https://attacker.test/chain"}),
        json!({"alg": "ES256", "kid": "k1", "x5c": ["AAAA"]}),
    ];
    for header in tricks {
        let unsigned = format!("{}.{}", part(&header), part(&claims()));
        let signature = crypto::sign(unsigned.as_bytes(), &attacker.key(), Algorithm::ES256).unwrap();
        let refusal = judge(&format!("{unsigned}.{signature}"), &issuer.keys()).unwrap_err();
        assert!(matches!(refusal.kind(), "signature" | "unknown_key" | "malformed"), "{header}: {refusal}");
        // The issuer's own signature over such a header is right: what the header brings is not looked at.
        if header["kid"] == "k1" {
            let signature = crypto::sign(unsigned.as_bytes(), &issuer.key(), Algorithm::ES256).unwrap();
            assert!(judge(&format!("{unsigned}.{signature}"), &issuer.keys()).is_ok(), "{header}");
        }
    }
}

/// Base64url of bytes.
fn part_of(bytes: &[u8]) -> String {
    use std::fmt::Write;
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits: String = bytes.iter().fold(String::new(), |mut bits, byte| {
        write!(bits, "{byte:08b}").unwrap();
        bits
    });
    let digit = |bits: &[u8]| {
        let bits = std::str::from_utf8(bits).unwrap();
        char::from(DIGITS[usize::from_str_radix(&format!("{bits:0<6}"), 2).unwrap()])
    };
    bits.as_bytes().chunks(6).map(digit).collect()
}

#[test]
fn a_header_that_must_be_understood_and_is_not_is_refused() {
    let issuer = Issuer::new();
    for header in [
        json!({"alg": "ES256", "kid": "k1", "crit": ["exp"]}),
        json!({"alg": "ES256", "kid": "k1", "crit": ["b64"], "b64": false}),
        json!({"alg": "ES256", "kid": "k1", "zip": "DEF"}),
        json!({"alg": "ES256", "kid": "k1", "enc": "A128GCM"}),
    ] {
        let unsigned = format!("{}.{}", part(&header), part(&claims()));
        let signature = crypto::sign(unsigned.as_bytes(), &issuer.key(), Algorithm::ES256).unwrap();
        assert_eq!(
            judge(&format!("{unsigned}.{signature}"), &issuer.keys()).unwrap_err().kind(),
            "malformed",
            "{header}"
        );
    }
}

#[test]
fn a_claim_that_comes_twice_is_refused() {
    let issuer = Issuer::new();
    let text = issuer.sign(&claims());
    let twice = claims().to_string().replacen('{', "{\"exp\": 1,", 1);
    let payload = part_of(twice.as_bytes());
    let unsigned = format!("{}.{payload}", text.split('.').next().unwrap());
    let signature = crypto::sign(unsigned.as_bytes(), &issuer.key(), Algorithm::ES256).unwrap();
    assert_eq!(judge(&format!("{unsigned}.{signature}"), &issuer.keys()).unwrap_err().kind(), "malformed");
}

#[test]
fn a_token_that_is_too_long_is_not_looked_at() {
    let issuer = Issuer::new();
    let long = issuer.sign(&with("padding", json!("x".repeat(MAX_TOKEN))));
    assert_eq!(judge(&long, &issuer.keys()), Err(Refusal::TooLong(long.len())));
    let fits = issuer.sign(&with("padding", json!("x".repeat(MAX_TOKEN / 2))));
    assert!(judge(&fits, &issuer.keys()).is_ok());
}

#[test]
fn no_refusal_shows_the_token() {
    let issuer = Issuer::new();
    let token = Issuer::new().sign(&claims());
    let said = judge(&token, &issuer.keys()).unwrap_err();
    for part in token.split('.') {
        assert!(!said.to_string().contains(part) && !format!("{said:?}").contains(part));
    }
}

proptest! {
    /// Whatever bytes come: no panic, and nothing is let in.
    #[test]
    fn noise_is_refused(text in ".*|[A-Za-z0-9_.-]{0,200}|[A-Za-z0-9_-]{0,80}\\.[A-Za-z0-9_-]{0,80}\\.[A-Za-z0-9_-]{0,90}") {
        prop_assert!(judge(&text, &Issuer::new().keys()).is_err());
    }

    /// A token in which anything at all is other than it was signed is refused. (The last character of base64 may
    /// hold bits that mean nothing; those are refused too.)
    #[test]
    fn every_change_is_refused(place in any::<prop::sample::Index>(), to in "[A-Za-z0-9_.-]", longer in "[A-Za-z0-9_.=-]{0,3}") {
        let issuer = Issuer::new();
        let token = issuer.sign(&claims());
        let place = place.index(token.len());
        let mut changed = token.clone();
        changed.replace_range(place..=place, &to);
        changed.push_str(&longer);
        prop_assume!(changed != token);
        prop_assert!(judge(&changed, &issuer.keys()).is_err());
    }

    /// Claims of any shape: read or refused, and never another's account than was signed.
    #[test]
    fn claims_of_any_shape_are_read_or_refused(sub in "[a-z:/.-]{0,40}", ns in "[a-z0-9./-]{0,12}", name in "[a-z0-9./-]{0,12}", exp in any::<u64>(), nbf in any::<u64>()) {
        let issuer = Issuer::new();
        for sub in [sub, format!("system:serviceaccount:{ns}:{name}")] {
            let text = issuer.sign(&json!({"iss": "i", "sub": sub, "aud": ["weir"], "exp": exp, "nbf": nbf}));
            if let Ok(account) = judge(&text, &issuer.keys()) {
                prop_assert_eq!(account.replace('/', ":"), sub.trim_start_matches("system:serviceaccount:"));
                prop_assert!(exp > NOW + 10 && nbf <= NOW + 70);
            }
        }
    }
}
