//! Tokens like those of a Kubernetes API server, signed with ES256.

use std::fmt;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use serde_json::json;
use sha2::{Digest, Sha256};
use weir_config::bootstrap::ServiceAccount;

use super::super::keys::KeySet;

/// `iss` of the tokens.
pub(super) const ISSUER: &str = "weir-server";

/// The key, and what each token says.
pub(super) struct Signer {
    id: String,
    audience: String,
    key: EncodingKey,
    public: Vec<u8>,
}

/// A new key, PEM (PKCS #8).
pub(super) fn make_key() -> anyhow::Result<String> {
    Ok(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?.serialize_pem())
}

impl Signer {
    pub(super) fn new(pem: &str, audience: &str) -> anyhow::Result<Self> {
        let pair = KeyPair::from_pkcs8_pem_and_sign_algo(pem, &PKCS_ECDSA_P256_SHA256)
            .context("it is no key of ECDSA on P-256, PEM")?;
        let public = pair.der_bytes().to_vec();
        let id: String = Sha256::digest(&public).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let key = EncodingKey::from_ec_pem(pem.as_bytes())?;
        Ok(Self { id, audience: audience.to_owned(), key, public })
    }

    /// A token for `account` that lives from `now` on for `life`.
    pub(super) fn token(&self, account: &ServiceAccount, now: SystemTime, life: Duration) -> anyhow::Result<String> {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).context("the clock is before 1970")?;
        let ServiceAccount { namespace, name } = account;
        let claims = json!({
            "iss": ISSUER,
            "sub": format!("system:serviceaccount:{namespace}:{name}"),
            "aud": [&self.audience],
            "iat": now.as_secs(),
            "nbf": now.as_secs(),
            "exp": (now + life).as_secs(),
            "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name}},
        });
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.id.clone());
        Ok(encode(&header, &claims, &self.key)?)
    }

    pub(super) fn keys(&self) -> KeySet {
        KeySet::es256(&self.id, &self.public)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("id", &self.id).finish_non_exhaustive()
    }
}
