//! An issuer of service-account tokens that a test has: keys in a file, tokens that live as long as it says.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::json;

/// `iss` of the tokens.
pub const ISSUER: &str = "https://cluster.test";

/// The issuer.
pub struct Tokens {
    key: EncodingKey,
}

impl Tokens {
    /// One with a new key.
    pub fn new() -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        Self { key: EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap() }
    }

    /// Its key set.
    pub fn keys(&self) -> String {
        let mut key = serde_json::to_value(Jwk::from_encoding_key(&self.key, Algorithm::ES256).unwrap()).unwrap();
        key["kid"] = "k1".into();
        json!({"keys": [key]}).to_string()
    }

    /// A token of `namespace/name` that lives for so many seconds.
    pub fn sign(&self, account: &str, lives: u64) -> String {
        self.sign_by_clock(account, lives, 0)
    }

    /// The same of an issuer whose clock is ahead by so many seconds.
    pub fn sign_by_clock(&self, account: &str, lives: u64, ahead: i64) -> String {
        let (namespace, name) = account.split_once('/').unwrap();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let now = now.checked_add_signed(ahead).unwrap();
        let claims = json!({
            "iss": ISSUER, "sub": format!("system:serviceaccount:{namespace}:{name}"), "aud": ["weir"],
            "iat": now, "nbf": now, "exp": now + lives,
        });
        let header = Header { kid: Some("k1".into()), ..Header::new(Algorithm::ES256) };
        encode(&header, &claims, &self.key).unwrap()
    }
}

/// Puts a file in place by a rename, as whoever rotates one does.
pub fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let next = path.with_extension("next");
    fs::write(&next, text).unwrap();
    fs::rename(next, path).unwrap();
}
