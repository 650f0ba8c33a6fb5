//! Decides who is let in: finds the credential of a request, has it checked, and keeps checking it while it is in
//! use.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use weir_config::bootstrap::ServerBootstrap;

use super::certificate::Authorities;
use super::clock::Clock;
use super::files::{LOOK, Watched};
use super::identity::{Caller, Identity, Principal};
use super::issuer::OwnIssuer;
use super::keys::KeySet;
use super::life::Now;
use super::peer::Peer;
use super::proofs::{Credential, Due, Held, Known, Proofs};
use super::refusal::{Claimed, Refusal};
use super::reports::Reports;
use super::review::{Reviewer, Verdict};
use super::roles::Roles;
use super::token::{MAX_TOKEN, Token};
use crate::metrics::Metrics;

/// Questions to the API server that may be open at one time.
const QUESTIONS: usize = 32;
/// How long a caller may wait for an answer to one.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often what is held is looked at: an identity that ends is noticed within this.
const TICK: Duration = Duration::from_secs(1);

/// Who is let in, and how that is found out.
pub struct Door {
    anonymous: bool,
    audience: String,
    roles: Roles,
    issuers: Vec<KnownIssuer>,
    reviewer: Option<Arc<dyn Reviewer>>,
    authorities: Option<Authorities>,
    proofs: Mutex<Proofs>,
    reports: Reports,
    metrics: Arc<Metrics>,
    questions: Semaphore,
    clock: Clock,
}

/// An issuer whose keys are at hand.
struct KnownIssuer {
    name: String,
    keys: RwLock<Arc<KeySet>>,
    /// Where they come from; none: they are this server's own.
    file: Option<Mutex<Watched>>,
}

/// A caller that was let in. Dropped when its stream has ended.
#[derive(Debug)]
pub struct Admitted {
    /// Who it is.
    pub caller: Caller,
    /// Says that the credential is in use.
    pub(super) held: Option<Held>,
    /// Whether that is the connection's certificate.
    pub(super) by_certificate: bool,
}

impl Door {
    /// The door that a bootstrap asks for. `own` is this server's own issuer, where it has one; `reviewer` asks
    /// the API server, where it is asked; who is refused is counted in `metrics`.
    ///
    /// # Errors
    /// A file of keys or authorities that cannot be read.
    pub fn new(
        bootstrap: &ServerBootstrap,
        own: Option<&OwnIssuer>,
        reviewer: Option<Arc<dyn Reviewer>>,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let settings = &bootstrap.authentication;
        let own = own.map(|own| KnownIssuer::fixed(own.name(), own.keys()));
        let files = settings.issuers.iter().map(|issuer| KnownIssuer::of_file(&issuer.issuer, &issuer.keys_file));
        Ok(Self {
            anonymous: settings.anonymous,
            audience: settings.audience.clone(),
            roles: Roles::new(bootstrap),
            issuers: own.into_iter().map(Ok).chain(files).collect::<anyhow::Result<_>>()?,
            reviewer,
            authorities: settings.client_ca_file.as_deref().map(Authorities::open).transpose()?,
            proofs: Mutex::default(),
            reports: Reports::default(),
            metrics,
            questions: Semaphore::new(QUESTIONS),
            clock,
        })
    }

    /// Client certificates that are asked for, where they prove something.
    pub fn authorities(&self) -> Option<&Authorities> {
        self.authorities.as_ref()
    }

    /// Who sent a request with these headers over `peer`'s connection.
    ///
    /// # Errors
    /// Why it is not let in; that was said in the log.
    pub async fn admit(&self, headers: &HeaderMap, peer: &Peer) -> Result<Admitted, Refusal> {
        let outcome = self.identify(headers, peer).await;
        match &outcome {
            Ok(_) => peer.note_let_in(),
            Err(refusal) => {
                self.metrics.caller_refused(refusal.kind());
                self.reports.refused(refusal, peer, (self.clock)().mono);
            }
        }
        outcome
    }

    async fn identify(&self, headers: &HeaderMap, peer: &Peer) -> Result<Admitted, Refusal> {
        if self.anonymous {
            return Ok(Admitted::anyone());
        }
        // Where a token is sent it alone says who it is, whatever certificate the connection has.
        let (held, by_certificate) = match (bearer(headers)?, &peer.certificates) {
            (Some(token), _) => (self.token(token).await?, false),
            (None, Some(chain)) if self.authorities.is_some() => {
                let outcome = self.certificate(chain);
                if outcome.is_err() {
                    peer.note_spent();
                }
                (outcome?, true)
            }
            (None, _) => return Err(Refusal::NoCredential),
        };
        let principal = &held.identity.principal;
        let role = self.roles.of(principal).ok_or_else(|| Refusal::NoRole(principal.clone()))?;
        let caller = Caller { identity: Arc::clone(&held.identity), role, ended: held.ended.clone() };
        Ok(Admitted { caller, held: Some(held), by_certificate })
    }

    async fn token(&self, text: &str) -> Result<Held, Refusal> {
        if text.len() > MAX_TOKEN {
            return Err(Refusal::TooLong(text.len()));
        }
        let token = Token::read(text)?;
        let now = (self.clock)();
        let issuer = self.issuers.iter().find(|issuer| issuer.name == token.claims.issuer);
        let credential = match (issuer, &self.reviewer) {
            (Some(_), _) => Credential::Signed(text.into()),
            (None, Some(_)) => Credential::Reviewed(text.into()),
            (None, None) => return Err(Refusal::UnknownIssuer(Claimed::new(&token.claims.issuer))),
        };
        let fingerprint = credential.fingerprint();
        match self.proofs().look(&fingerprint, now) {
            Known::Held(held) => return Ok(held),
            Known::Refused(refusal) => return Err(refusal),
            Known::Nothing => {}
        }
        // What it says of itself can only keep it out; nobody is asked about a token that would not be let in.
        token.claims.check(&self.audience, now.wall)?;
        if let Some(issuer) = issuer {
            token.verify(&issuer.keys())?;
        } else if let Err(refusal) = self.review(text, &token).await {
            if !matches!(refusal, Refusal::Unavailable(_)) {
                self.proofs().refuse(fingerprint, refusal.clone(), now);
            }
            return Err(refusal);
        }
        let principal = Principal::ServiceAccount(token.claims.account.clone());
        let identity = Identity { principal, expires: Some(token.claims.expires) };
        self.proofs().prove(credential, identity, (self.clock)())
    }

    /// Asks the API server whether the token is what it says.
    async fn review(&self, text: &str, token: &Token<'_>) -> Result<(), Refusal> {
        let Some(reviewer) = &self.reviewer else {
            return Err(Refusal::UnknownIssuer(Claimed::new(&token.claims.issuer)));
        };
        let asking = async {
            let _turn = self.questions.acquire().await;
            reviewer.review(text, &self.audience).await
        };
        let late = || Err(format!("the API server gave no answer within {PATIENCE:?}"));
        match tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| late()) {
            Ok(Verdict::Account(account)) if account == token.claims.account => Ok(()),
            Ok(Verdict::Account(account)) => {
                Err(Refusal::NotVouched(Claimed::new(&format!("it is {account}'s and names another"))))
            }
            Ok(Verdict::No(why)) => Err(Refusal::NotVouched(Claimed::new(&why))),
            Err(problem) => Err(Refusal::Unavailable(problem)),
        }
    }

    fn certificate(&self, chain: &Arc<[rustls_pki_types::CertificateDer<'static>]>) -> Result<Held, Refusal> {
        let Some(authorities) = &self.authorities else { return Err(Refusal::NoCredential) };
        let now = (self.clock)();
        let credential = Credential::Certificate(Arc::clone(chain));
        match self.proofs().look(&credential.fingerprint(), now) {
            Known::Held(held) => return Ok(held),
            Known::Refused(refusal) => return Err(refusal),
            Known::Nothing => {}
        }
        let identity = authorities.verify(chain, now.wall)?;
        self.proofs().prove(credential, identity, now)
    }

    /// Keeps checking what is in use until `stop`: ends what expires, asks again, reads files anew.
    pub async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut look = tokio::time::Instant::now() + LOOK;
        loop {
            tokio::select! { _ = tick.tick() => {} () = stop.cancelled() => return }
            self.tend();
            if tokio::time::Instant::now() >= look {
                look = tokio::time::Instant::now() + LOOK;
                let door = Arc::clone(&self);
                // A disk that hangs shall not hang the port.
                let _ = tokio::task::spawn_blocking(move || door.reread()).await;
            }
        }
    }

    /// Ends what is over, and has asked about what is due.
    fn tend(self: &Arc<Self>) {
        for due in self.proofs().tend((self.clock)()) {
            tokio::spawn(Arc::clone(self).ask_again(due));
        }
    }

    /// Asks again about a credential in use. While nobody answers, the last answer stands until it expires.
    async fn ask_again(self: Arc<Self>, due: Due) {
        let answer = match Token::read(&due.token) {
            Ok(token) => {
                let answer = self.review(&due.token, &token).await;
                answer.map(|()| Identity {
                    principal: Principal::ServiceAccount(token.claims.account),
                    expires: Some(token.claims.expires),
                })
            }
            Err(refusal) => Err(refusal),
        };
        let now = (self.clock)();
        let mut proofs = self.proofs();
        match answer {
            Ok(identity) => drop(proofs.prove(Credential::Reviewed(due.token), identity, now)),
            Err(Refusal::Unavailable(problem)) => {
                tracing::debug!(problem, "a connected caller cannot be checked again now");
                proofs.unknown(&due.fingerprint);
            }
            Err(refusal) => proofs.refuse(due.fingerprint, refusal, now),
        }
    }

    /// Reads keys and authorities anew where their files changed: what they no longer prove ends.
    pub fn reread(&self) {
        let mut changed = false;
        for issuer in &self.issuers {
            changed |= issuer.reread();
        }
        if let Some(authorities) = &self.authorities {
            changed |= authorities.reread();
        }
        if changed {
            let now = (self.clock)();
            self.proofs().recheck(|credential| self.check(credential, now));
        }
    }

    /// Whether what is at hand still proves a credential.
    fn check(&self, credential: &Credential, now: Now) -> Result<(), Refusal> {
        match credential {
            Credential::Signed(text) => {
                let token = Token::read(text)?;
                let issuer = self.issuers.iter().find(|issuer| issuer.name == token.claims.issuer);
                token.verify(&issuer.ok_or(Refusal::Revoked)?.keys())
            }
            Credential::Reviewed(_) => Ok(()),
            Credential::Certificate(chain) => match &self.authorities {
                Some(authorities) => authorities.verify(chain, now.wall).map(drop),
                None => Err(Refusal::Revoked),
            },
        }
    }

    fn proofs(&self) -> MutexGuard<'_, Proofs> {
        self.proofs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("anonymous", &self.anonymous).field("roles", &self.roles).finish_non_exhaustive()
    }
}

impl KnownIssuer {
    fn fixed(name: &str, keys: KeySet) -> Self {
        Self { name: name.to_owned(), keys: RwLock::new(Arc::new(keys)), file: None }
    }

    fn of_file(name: &str, path: &Path) -> anyhow::Result<Self> {
        let file = Watched::open(&[path]).with_context(|| format!("cannot read the keys of issuer {name}"))?;
        let keys = read_keys(name, &file.contents()[0]).map_err(|why| anyhow::anyhow!("{}: {why}", path.display()))?;
        Ok(Self { name: name.to_owned(), keys: RwLock::new(Arc::new(keys)), file: Some(Mutex::new(file)) })
    }

    fn keys(&self) -> Arc<KeySet> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether its keys are others now.
    fn reread(&self) -> bool {
        let Some(file) = &self.file else { return false };
        let mut changed = false;
        file.lock().unwrap_or_else(PoisonError::into_inner).look(|contents| {
            let keys = read_keys(&self.name, &contents[0])?;
            *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
            changed = true;
            Ok(())
        });
        changed
    }
}

fn read_keys(issuer: &str, json: &[u8]) -> Result<KeySet, String> {
    let (keys, skipped) = KeySet::parse(json)?;
    for problem in skipped {
        tracing::warn!(issuer, problem, "a key is not used");
    }
    if keys.is_empty() {
        tracing::warn!(issuer, "the issuer has no key: none of its tokens is right");
    }
    Ok(keys)
}

impl Admitted {
    /// Whoever can connect, where that is enough.
    fn anyone() -> Self {
        let identity = Arc::new(Identity { principal: Principal::Anonymous, expires: None });
        let caller = Caller { identity, role: crate::scope::Role::Anyone, ended: CancellationToken::new() };
        Self { caller, held: None, by_certificate: false }
    }
}

/// The token of a request.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (first, another) = (all.next(), all.next());
    let Some(value) = first else { return Ok(None) };
    if another.is_some() {
        return Err(Refusal::NotBearer);
    }
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(Refusal::NotBearer)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Refusal::NotBearer);
    }
    Ok(Some(token.trim()))
}

#[cfg(test)]
#[path = "door_tests.rs"]
mod tests;
