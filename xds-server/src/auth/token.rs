//! Service-account tokens: what one says, and whether a key of its issuer signed that. Pure.

use std::time::{Duration, SystemTime};

use jsonwebtoken::dangerous::insecure_decode_claims;
use jsonwebtoken::{Algorithm, crypto, decode_header};
use serde::Deserialize;
use weir_config::bootstrap::ServiceAccount;

use super::keys::KeySet;
use super::refusal::{Claimed, Refusal};

/// Bytes of a token. A service account's has about 1,000; with an RSA signature and long names 2,000.
pub const MAX_TOKEN: usize = 16 << 10;
/// How much earlier than its issuer's clock ours may be. Nothing is given at the other end: tokens are renewed
/// long before they end.
pub const LEEWAY: Duration = Duration::from_secs(60);

/// A token that was read. Nothing that it says is proven before [`Token::verify`].
#[derive(Debug)]
pub struct Token<'a> {
    signed: &'a str,
    signature: &'a str,
    algorithm: Algorithm,
    key: Option<String>,
    /// What it says.
    pub claims: Claims,
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Who says that they made it.
    pub issuer: String,
    /// Whom it is meant for.
    pub audiences: Vec<String>,
    /// Whose it is.
    pub account: ServiceAccount,
    /// When it ends.
    pub expires: SystemTime,
    /// When it begins.
    pub begins: SystemTime,
}

/// As it is written. A name that comes twice is an error, so that no two readers understand it differently.
#[derive(Deserialize)]
struct Written {
    iss: String,
    sub: String,
    aud: Audiences,
    exp: u64,
    #[serde(default)]
    nbf: u64,
    #[serde(default)]
    iat: u64,
    #[serde(rename = "kubernetes.io")]
    kubernetes: Option<Kubernetes>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct Kubernetes {
    namespace: String,
    serviceaccount: Named,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

impl<'a> Token<'a> {
    /// Reads a token, and proves nothing.
    ///
    /// # Errors
    /// What is no signed token of a service account.
    pub fn read(text: &'a str) -> Result<Self, Refusal> {
        if text.len() > MAX_TOKEN {
            return Err(Refusal::TooLong(text.len()));
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Refusal::Malformed("it is no JSON Web Token"))?;
        // Of the header only `alg`, `kid` and `crit` mean something: keys that a token brings along, or says
        // where to fetch (`jwk`, `x5c`, `jku`, `x5u`), are its maker's and prove nothing.
        let header = decode_header(text).map_err(|_| {
            Refusal::Malformed("its header is no header of a signed token, or of an algorithm that is not accepted")
        })?;
        if header.crit.is_some() || header.enc.is_some() || header.zip.is_some() {
            return Err(Refusal::Malformed("its header asks for what is not understood here (crit, enc or zip)"));
        }
        if signature.is_empty() {
            return Err(Refusal::Malformed("it is not signed"));
        }
        let written: Written = insecure_decode_claims(text)
            .map_err(|_| Refusal::Malformed("it lacks iss, sub, aud or exp, or they are not what they must be"))?;
        Ok(Self { signed, signature, algorithm: header.alg, key: header.kid, claims: written.try_into()? })
    }

    /// Proves that a key of `keys` signed it.
    ///
    /// # Errors
    /// A key that is not there, does not go with the token's algorithm, or did not sign it.
    pub fn verify(&self, keys: &KeySet) -> Result<(), Refusal> {
        let mut refusal = Refusal::UnknownKey(Claimed::new(self.key.as_deref().unwrap_or("(none named)")));
        for key in keys.find(self.key.as_deref()) {
            if !key.may_verify(self.algorithm) {
                refusal = Refusal::WrongAlgorithm;
                continue;
            }
            match crypto::verify(self.signature, self.signed.as_bytes(), &key.key, self.algorithm) {
                Ok(true) => return Ok(()),
                Ok(false) | Err(_) => refusal = Refusal::WrongSignature,
            }
        }
        Err(refusal)
    }
}

impl Claims {
    /// Whether it is meant for `audience`, and now.
    ///
    /// # Errors
    /// A token for others, one that has ended, or one that begins more than [`LEEWAY`] from now.
    pub fn check(&self, audience: &str, now: SystemTime) -> Result<(), Refusal> {
        if !self.audiences.iter().any(|one| one == audience) {
            return Err(Refusal::WrongAudience(Claimed::list(self.audiences.iter().map(String::as_str))));
        }
        if now >= self.expires {
            return Err(Refusal::Expired(self.expires));
        }
        match self.begins.duration_since(now) {
            Ok(early) if early > LEEWAY => Err(Refusal::NotYetValid(self.begins)),
            _ => Ok(()),
        }
    }
}

impl TryFrom<Written> for Claims {
    type Error = Refusal;

    fn try_from(written: Written) -> Result<Self, Refusal> {
        let account = account_of(&written.sub)
            .ok_or(Refusal::Malformed("its subject is no service account (system:serviceaccount:NAMESPACE:NAME)"))?;
        if let Some(also) = written.kubernetes
            && (also.namespace != account.namespace || also.serviceaccount.name != account.name)
        {
            return Err(Refusal::Malformed("its subject and its kubernetes.io name different service accounts"));
        }
        let time = |seconds| {
            let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
            time.ok_or(Refusal::Malformed("a time in it is beyond all times"))
        };
        Ok(Self {
            issuer: written.iss,
            audiences: match written.aud {
                Audiences::One(one) => vec![one],
                Audiences::Many(many) => many,
            },
            account,
            expires: time(written.exp)?,
            begins: time(written.nbf.max(written.iat))?,
        })
    }
}

/// The service account of a user name of Kubernetes, `system:serviceaccount:NAMESPACE:NAME`.
pub fn account_of(user: &str) -> Option<ServiceAccount> {
    let (namespace, name) = user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    account(namespace, name)
}

/// A service account whose names are names of Kubernetes: no other can exist, and none is another's when both are
/// written `namespace/name`.
pub fn account(namespace: &str, name: &str) -> Option<ServiceAccount> {
    let is_name = |name: &str, longest: usize| {
        (1..=longest).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
    };
    let fits = is_name(namespace, 63) && !namespace.contains('.') && is_name(name, 253);
    fits.then(|| ServiceAccount { namespace: namespace.to_owned(), name: name.to_owned() })
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
