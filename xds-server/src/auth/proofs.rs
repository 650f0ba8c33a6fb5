//! Credentials that were proven, by their fingerprints: each is checked once for all its streams, again when it is
//! due, and ends for all of them at once. Bounded; no clock of its own.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::identity::Identity;
use super::life::{Life, Now};
use super::refusal::Refusal;

/// Credentials that are held at one time. Those that nobody uses give way.
const MAX_HELD: usize = 65_536;
/// Refused ones that are remembered.
const MAX_REFUSED: usize = 4_096;
/// How long the API server's yes is good for another stream.
const YES: Duration = Duration::from_secs(120);
/// How long its no is: an attacker shall not make us ask for each try, and a token that is right a moment later
/// shall not wait.
const NO: Duration = Duration::from_secs(5);
/// How often it is asked again about a credential with open streams, on average.
const REVIEW: Duration = Duration::from_secs(60);

/// SHA-256 of a credential.
pub type Fingerprint = [u8; 32];

/// What a caller proves itself by. Never shown.
#[derive(Clone)]
pub enum Credential {
    /// A token, checked by its issuer's keys.
    Signed(Arc<str>),
    /// A token that the API server is asked about.
    Reviewed(Arc<str>),
    /// A chain of certificates whose key the caller has, its own first.
    Certificate(Arc<[CertificateDer<'static>]>),
}

/// All that is held.
#[derive(Debug, Default)]
pub struct Proofs {
    held: HashMap<Fingerprint, Proof>,
    refused: HashMap<Fingerprint, (Refusal, Instant)>,
}

#[derive(Debug)]
struct Proof {
    credential: Credential,
    identity: Arc<Identity>,
    life: Life,
    ended: CancellationToken,
    /// When it was found right last.
    checked: Instant,
    /// Somebody asks about it now.
    asking: bool,
    streams: Arc<()>,
}

/// A credential that holds, as one stream has it.
#[derive(Clone, Debug)]
pub struct Held {
    /// Whose it is.
    pub identity: Arc<Identity>,
    /// Cancelled when it no longer holds.
    pub ended: CancellationToken,
    _open: Arc<()>,
}

/// What is known of a credential.
#[derive(Debug)]
pub enum Known {
    /// It holds.
    Held(Held),
    /// It does not.
    Refused(Refusal),
    /// It must be checked.
    Nothing,
}

/// A credential that must be asked about again.
#[derive(Debug)]
pub struct Due {
    /// Which.
    pub fingerprint: Fingerprint,
    /// What to ask about.
    pub token: Arc<str>,
}

impl Credential {
    /// Its fingerprint.
    pub fn fingerprint(&self) -> Fingerprint {
        match self {
            Self::Signed(token) | Self::Reviewed(token) => Sha256::digest(token.as_bytes()).into(),
            Self::Certificate(chain) => {
                let mut hash = Sha256::new();
                // The length of each keeps chains apart that are cut differently.
                for certificate in chain.iter() {
                    hash.update((certificate.len() as u64).to_be_bytes());
                    hash.update(certificate);
                }
                hash.finalize().into()
            }
        }
    }
}

impl Proofs {
    /// What is known of a credential.
    pub fn look(&self, fingerprint: &Fingerprint, now: Now) -> Known {
        if let Some(proof) = self.held.get(fingerprint) {
            if proof.life.is_over(now) {
                return Known::Refused(Refusal::Expired(proof.life.expires()));
            }
            return match proof.credential {
                Credential::Reviewed(_) if now.mono >= proof.checked + YES => Known::Nothing,
                _ => Known::Held(proof.held()),
            };
        }
        match self.refused.get(fingerprint) {
            Some((refusal, until)) if now.mono < *until => Known::Refused(refusal.clone()),
            _ => Known::Nothing,
        }
    }

    /// A credential was found right. It lives no longer than it would have from the first time on.
    ///
    /// # Errors
    /// One whose life is over, or no room.
    pub fn prove(&mut self, credential: Credential, identity: Identity, now: Now) -> Result<Held, Refusal> {
        let fingerprint = credential.fingerprint();
        if let Some(proof) = self.held.get_mut(&fingerprint) {
            if proof.life.is_over(now) {
                return Err(Refusal::Expired(proof.life.expires()));
            }
            // Whose it is does not change while it is the same credential; if it did, streams would be another's.
            if *proof.identity == identity {
                (proof.checked, proof.asking) = (now.mono, false);
                return Ok(proof.held());
            }
            proof.ended.cancel();
        }
        let expires = identity.expires.ok_or(Refusal::Malformed("it never ends"))?;
        let life = Life::new(expires, now);
        if life.is_over(now) {
            return Err(Refusal::Expired(expires));
        }
        self.make_room(now)?;
        self.refused.remove(&fingerprint);
        let proof = Proof {
            credential,
            identity: Arc::new(identity),
            life,
            ended: CancellationToken::new(),
            checked: now.mono,
            asking: false,
            streams: Arc::default(),
        };
        let held = proof.held();
        self.held.insert(fingerprint, proof);
        Ok(held)
    }

    /// A credential was found wrong: its streams end, and for a moment it is refused without asking.
    pub fn refuse(&mut self, fingerprint: Fingerprint, refusal: Refusal, now: Now) {
        if let Some(proof) = self.held.remove(&fingerprint) {
            proof.end(&refusal);
        }
        if self.refused.len() >= MAX_REFUSED {
            self.refused.retain(|_, (_, until)| now.mono < *until);
        }
        if self.refused.len() < MAX_REFUSED {
            self.refused.insert(fingerprint, (refusal, now.mono + NO));
        }
    }

    /// Nobody could say whether a credential is right: the last answer stands, and it is asked about again later.
    pub fn unknown(&mut self, fingerprint: &Fingerprint) {
        if let Some(proof) = self.held.get_mut(fingerprint) {
            proof.asking = false;
        }
    }

    /// Ends what is over, forgets what nobody uses, and says what must be asked about again: those with open
    /// streams, spread over time. To be called about once a second.
    pub fn tend(&mut self, now: Now) -> Vec<Due> {
        self.refused.retain(|_, (_, until)| now.mono < *until);
        let mut due = Vec::new();
        self.held.retain(|fingerprint, proof| {
            if proof.life.is_over(now) {
                proof.end(&Refusal::Expired(proof.life.expires()));
                // While the wall clock still says that it holds, it must not come back to life.
                return !proof.life.is_over_by_wall(now);
            }
            if let Credential::Reviewed(token) = &proof.credential {
                if !proof.in_use() {
                    return now.mono < proof.checked + YES;
                }
                if !proof.asking && now.mono >= proof.checked + spread(fingerprint) {
                    proof.asking = true;
                    due.push(Due { fingerprint: *fingerprint, token: Arc::clone(token) });
                }
            }
            true
        });
        due
    }

    /// What credentials are checked by has changed: those that `check` refuses end now.
    pub fn recheck(&mut self, mut check: impl FnMut(&Credential) -> Result<(), Refusal>) {
        self.held.retain(|_, proof| match check(&proof.credential) {
            Ok(()) => true,
            Err(refusal) => {
                proof.end(&refusal);
                false
            }
        });
    }

    fn make_room(&mut self, now: Now) -> Result<(), Refusal> {
        if self.held.len() < MAX_HELD {
            return Ok(());
        }
        self.held.retain(|_, proof| proof.in_use() || (proof.life.is_over(now) && !proof.life.is_over_by_wall(now)));
        if self.held.len() < MAX_HELD {
            return Ok(());
        }
        Err(Refusal::Unavailable(format!("{MAX_HELD} callers are connected already")))
    }
}

impl Proof {
    fn held(&self) -> Held {
        Held { identity: Arc::clone(&self.identity), ended: self.ended.clone(), _open: Arc::clone(&self.streams) }
    }

    fn in_use(&self) -> bool {
        Arc::strong_count(&self.streams) > 1
    }

    fn end(&self, refusal: &Refusal) {
        if self.ended.is_cancelled() {
            return;
        }
        self.ended.cancel();
        if self.in_use() {
            let streams = Arc::strong_count(&self.streams) - 1;
            tracing::info!(who = %self.identity.principal, streams, reason = %refusal, "a caller's streams end");
        }
    }
}

/// When to ask again: from three quarters to five quarters of [`REVIEW`], always the same for one credential.
fn spread(fingerprint: &Fingerprint) -> Duration {
    let share = f64::from(u16::from_be_bytes([fingerprint[0], fingerprint[1]])) / f64::from(u16::MAX);
    REVIEW.mul_f64(0.75 + share / 2.0)
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signed(_) => "Signed(..)",
            Self::Reviewed(_) => "Reviewed(..)",
            Self::Certificate(_) => "Certificate(..)",
        })
    }
}

#[cfg(test)]
#[path = "proofs_tests.rs"]
mod tests;
