//! The keys of an issuer of tokens (RFC 7517). Pure.

use std::fmt;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;

/// Keys of one issuer at most: a set is a few keys in rotation.
const MAX_KEYS: usize = 64;

/// The public keys of one issuer.
#[derive(Clone, Default)]
pub struct KeySet {
    keys: Vec<Key>,
}

/// A public key. A symmetric one never comes here, so no token is "signed" with what everybody can read.
#[derive(Clone)]
pub(super) struct Key {
    id: Option<String>,
    /// What it may verify: the token does not choose.
    algorithms: Vec<Algorithm>,
    pub(super) key: DecodingKey,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

impl KeySet {
    /// Reads a JSON Web Key Set. A key that cannot be used is left out, and the second value says why.
    ///
    /// # Errors
    /// What is no key set, or one of too many keys.
    pub fn parse(json: &[u8]) -> Result<(Self, Vec<String>), String> {
        let document: Document = serde_json::from_slice(json).map_err(|error| format!("no key set: {error}"))?;
        if document.keys.len() > MAX_KEYS {
            return Err(format!("{} keys: more than {MAX_KEYS} are no rotation", document.keys.len()));
        }
        let (mut keys, mut skipped) = (Vec::new(), Vec::new());
        for (n, key) in document.keys.into_iter().enumerate() {
            match serde_json::from_value::<Jwk>(key).map_err(|error| error.to_string()).and_then(|jwk| Key::new(&jwk)) {
                Ok(key) => keys.push(key),
                Err(why) => skipped.push(format!("keys[{n}]: {why}")),
            }
        }
        Ok((Self { keys }, skipped))
    }

    /// A set of one key: a point on P-256 (SEC 1, uncompressed), for ES256.
    pub fn es256(id: &str, point: &[u8]) -> Self {
        let key = DecodingKey::from_ec_der(point);
        Self { keys: vec![Key { id: Some(id.to_owned()), algorithms: vec![Algorithm::ES256], key }] }
    }

    /// Keys with this id. A token without one is only for a key without one.
    pub(super) fn find<'a>(&'a self, id: Option<&'a str>) -> impl Iterator<Item = &'a Key> {
        self.keys.iter().filter(move |key| key.id.as_deref() == id)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

impl Key {
    fn new(jwk: &Jwk) -> Result<Self, String> {
        let common = &jwk.common;
        if common.public_key_use.as_ref().is_some_and(|purpose| *purpose != PublicKeyUse::Signature)
            || common.key_operations.as_ref().is_some_and(|operations| !operations.contains(&KeyOperations::Verify))
        {
            return Err("not meant for signatures".into());
        }
        let possible: &[Algorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => &[
                Algorithm::RS256,
                Algorithm::RS384,
                Algorithm::RS512,
                Algorithm::PS256,
                Algorithm::PS384,
                Algorithm::PS512,
            ],
            AlgorithmParameters::EllipticCurve(key) => match key.curve {
                EllipticCurve::P256 => &[Algorithm::ES256],
                EllipticCurve::P384 => &[Algorithm::ES384],
                _ => return Err("an elliptic curve other than P-256 and P-384".into()),
            },
            AlgorithmParameters::OctetKeyPair(_) => &[Algorithm::EdDSA],
            AlgorithmParameters::OctetKey(_) => return Err("a secret, not a public key".into()),
            _ => return Err("a kind of key that is not known".into()),
        };
        let algorithms = match common.key_algorithm {
            None => possible.to_vec(),
            Some(named) => match Algorithm::try_from(named) {
                Ok(algorithm) if possible.contains(&algorithm) => vec![algorithm],
                _ => return Err(format!("{named} is no algorithm for such a key")),
            },
        };
        let key = DecodingKey::from_jwk(jwk).map_err(|error| error.to_string())?;
        Ok(Self { id: common.key_id.clone(), algorithms, key })
    }

    pub(super) fn may_verify(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.keys.iter().map(|key| key.id.as_deref().unwrap_or("(no id)"))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
    const Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";

    #[test]
    fn only_public_keys_for_signatures_are_taken() {
        let set = format!(
            r#"{{"keys": [
              {{"kty": "EC", "crv": "P-256", "kid": "a", "x": "{X}", "y": "{Y}"}},
              {{"kty": "oct", "kid": "b", "k": "c2VjcmV0"}},
              {{"kty": "EC", "crv": "P-256", "kid": "c", "use": "enc", "x": "{X}", "y": "{Y}"}},
              {{"kty": "EC", "crv": "P-256", "kid": "d", "alg": "HS256", "x": "{X}", "y": "{Y}"}},
              {{"kty": "EC", "crv": "P-256", "kid": "e", "alg": "ES384", "x": "{X}", "y": "{Y}"}},
              {{"kty": "EC", "crv": "P-521", "kid": "f", "x": "{X}", "y": "{Y}"}},
              {{"kty": "what"}},
              17,
              {{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "x": "{X}", "y": "{Y}"}}
            ]}}"#
        );
        let (keys, skipped) = KeySet::parse(set.as_bytes()).unwrap();
        assert_eq!((keys.len(), skipped.len()), (2, 7), "{skipped:?}");
        assert_eq!(keys.find(Some("a")).count(), 1);
        assert_eq!(keys.find(None).count(), 1);
        assert!(skipped[0].contains("keys[1]: a secret"), "{skipped:?}");
        let key = keys.find(Some("a")).next().unwrap();
        assert!(
            key.may_verify(Algorithm::ES256) && !key.may_verify(Algorithm::ES384) && !key.may_verify(Algorithm::HS256)
        );
    }

    #[test]
    fn what_is_no_key_set_is_an_error() {
        assert!(KeySet::parse(b"").is_err());
        assert!(KeySet::parse(b"{}").is_err());
        assert!(KeySet::parse(b"-----BEGIN CERTIFICATE-----").is_err());
        let many = format!(r#"{{"keys": [{}1]}}"#, "1,".repeat(MAX_KEYS));
        assert!(KeySet::parse(many.as_bytes()).is_err());
        assert!(KeySet::parse(br#"{"keys": []}"#).unwrap().0.is_empty(), "an issuer may take all its keys back");
    }
}
