//! Why a caller is not let in. The reason is for the server's log; the caller hears none.

use std::fmt;
use std::time::{Duration, SystemTime};

use super::identity::Principal;

/// Characters of what a caller sent that a reason repeats.
const SHOWN: usize = 128;

/// Why a caller is not let in. Never holds a token, nor a part of its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It sent neither a token nor a certificate that counts.
    NoCredential,
    /// Its `authorization` is not one `Bearer TOKEN`.
    NotBearer,
    /// Its token has more bytes than a token may have.
    TooLong(usize),
    /// Its token is no signed JSON Web Token with the claims of one; the text says what is wrong.
    Malformed(&'static str),
    /// Its token names an issuer of which the server has no keys; with TokenReview nobody is asked either.
    UnknownIssuer(Claimed),
    /// No key of the issuer has the token's key id.
    UnknownKey(Claimed),
    /// The key with that id does not go with the token's algorithm.
    WrongAlgorithm,
    /// The signature is not the key's: altered, or signed by somebody else.
    WrongSignature,
    /// The token is meant for others.
    WrongAudience(Claimed),
    /// The token or certificate ended at this time.
    Expired(SystemTime),
    /// The token begins at this time.
    NotYetValid(SystemTime),
    /// The API server does not vouch for the token: it is altered, ended, or bound to what is gone.
    NotVouched(Claimed),
    /// The client certificate proves nothing; the text says why.
    Certificate(String),
    /// What it proved before was taken back while it was connected.
    Revoked,
    /// It proved who it is, and that account has no part here.
    NoRole(Principal),
    /// Whether it is right cannot be found out now; the text says why.
    Unavailable(String),
}

/// What a caller says of itself, bounded, so that it can be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed(String);

impl Claimed {
    /// The first characters of `text`, which is whatever the caller sent.
    pub fn new(text: &str) -> Self {
        Self(text.chars().take(SHOWN).collect())
    }

    /// The same of a list.
    pub fn list<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut all = String::new();
        for text in texts {
            if !all.is_empty() {
                all.push_str(", ");
            }
            all.extend(text.chars().take(SHOWN));
            if all.len() > SHOWN {
                break;
            }
        }
        Self::new(&all)
    }
}

/// What a refusal means to its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// UNAUTHENTICATED: who it is, is not proven.
    Unauthenticated,
    /// PERMISSION_DENIED: it is proven, and has no part here.
    Denied,
    /// UNAVAILABLE: come again.
    Unavailable,
}

impl Refusal {
    /// What it means to the caller.
    pub fn answer(&self) -> Answer {
        match self {
            Self::NoRole(_) => Answer::Denied,
            Self::Unavailable(_) => Answer::Unavailable,
            _ => Answer::Unauthenticated,
        }
    }

    /// A word for it, for metrics and for what is logged alike: one of [`CALLER_REFUSALS`](crate::metrics::CALLER_REFUSALS).
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NoCredential => "none",
            Self::NotBearer | Self::TooLong(_) | Self::Malformed(_) => "malformed",
            Self::UnknownIssuer(_) | Self::UnknownKey(_) | Self::WrongAlgorithm => "unknown_key",
            Self::WrongSignature => "signature",
            Self::WrongAudience(_) => "audience",
            Self::Expired(_) => "expired",
            Self::NotYetValid(_) => "not_yet_valid",
            Self::NotVouched(_) => "not_vouched",
            Self::Certificate(_) => "certificate",
            Self::Revoked => "revoked",
            Self::NoRole(_) => "no_role",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCredential => f.write_str("it sent no token, and no client certificate that counts"),
            Self::NotBearer => f.write_str("its `authorization` is not one `Bearer TOKEN`"),
            Self::TooLong(bytes) => write!(f, "its token has {bytes} bytes, more than any real one"),
            Self::Malformed(what) => write!(f, "its token cannot be read: {what}"),
            Self::UnknownIssuer(issuer) => write!(f, "there are no keys of its token's issuer {issuer}"),
            Self::UnknownKey(id) => {
                write!(f, "the issuer has no key {id}: was it rotated away, or is it another cluster's?")
            }
            Self::WrongAlgorithm => f.write_str("its token's algorithm is not the one of the key that it names"),
            Self::WrongSignature => f.write_str("its token's signature is wrong: altered, or signed by somebody else"),
            Self::WrongAudience(audiences) => write!(
                f,
                "its token is meant for {audiences}: ask for one with the audience of `authentication.audience`"
            ),
            Self::Expired(at) => write!(f, "what it proves itself by ended at {}", Time(*at)),
            Self::NotYetValid(at) => {
                write!(f, "its token begins only at {}: compare the clocks of both machines", Time(*at))
            }
            Self::NotVouched(why) => write!(f, "the API server does not vouch for its token: {why}"),
            Self::Certificate(why) => write!(f, "its certificate proves nothing: {why}"),
            Self::Revoked => f.write_str("what it proved itself by was taken back"),
            Self::NoRole(principal) => write!(
                f,
                "service account {principal} is no proxy class, no operator, and no sidecar: list it in `proxyClasses` or `operators`"
            ),
            Self::Unavailable(why) => write!(f, "whether it is right cannot be found out now: {why}"),
        }
    }
}

/// Quoted, with what is no letter escaped: it cannot forge a line of the log.
impl fmt::Display for Claimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// A time as people read it.
struct Time(SystemTime);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::try_from(self.0) {
            Ok(time) => write!(f, "{time:.0}"),
            Err(_) => {
                let since = self.0.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
                write!(f, "{} s after 1970", since.as_secs())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_caller_sent_is_cut_and_quoted() {
        let text =
            Refusal::UnknownIssuer(Claimed::new(&format!("x\n2026 INFO all is well{}", "é".repeat(9999)))).to_string();
        assert!(text.contains(r#""x\n2026 INFO all is well"#) && !text.contains('\n'), "{text}");
        assert!(text.chars().count() < 300, "{text}");
        let many = Claimed::list(std::iter::repeat_n("audience", 100_000)).to_string();
        assert!(many.len() < 200, "{many}");
    }

    #[test]
    fn times_are_written_whatever_they_are() {
        let at = |seconds| Refusal::Expired(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).to_string();
        assert!(at(1_764_000_000).ends_with("2025-11-24T16:00:00Z"), "{}", at(1_764_000_000));
        assert!(at(1 << 60).ends_with("1152921504606846976 s after 1970"));
    }
}
