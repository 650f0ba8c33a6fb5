//! This server's own issuer, for a directory of manifests: a certificate authority, a certificate for the xDS port,
//! and tokens for each proxy class, as files that local proxies read.
//!
//! All lie in `<stateDir>/identity`, which its user alone may open. Keys are made once and kept, so that proxies of an
//! earlier start are known after a restart. Tokens live for an hour and are written anew when half of it is over.

mod authority;
mod folder;
mod sign;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use tokio_util::sync::CancellationToken;
use weir_config::bootstrap::{Address, ServerBootstrap, ServiceAccount};

use super::keys::KeySet;
use super::life::Now;
use folder::Folder;
use sign::Signer;

/// How long a token lives.
const LIFE: Duration = Duration::from_secs(3600);
/// How often it is looked whether something must be made anew.
const LOOK: Duration = Duration::from_secs(1);
/// After this, something that could not be written is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// Where the issuer of a server with this state directory keeps what proxies need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    folder: PathBuf,
}

/// The issuer.
#[derive(Debug)]
pub struct OwnIssuer {
    folder: Folder,
    places: Places,
    signer: Signer,
    /// Each account that gets a token, and its file.
    accounts: Vec<(ServiceAccount, PathBuf)>,
    address: Address,
    /// When the tokens were written.
    written: Now,
}

impl Places {
    /// Those of a server with this state directory.
    pub fn new(state_dir: &Path) -> Self {
        Self { folder: state_dir.join("identity") }
    }

    /// The certificate authority, PEM.
    pub fn ca(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// The certificate of the xDS port, PEM.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("server.crt")
    }

    /// Its key, PEM.
    pub fn key(&self) -> PathBuf {
        self.folder.join("server.key")
    }

    /// The token of a proxy class.
    pub fn class_token(&self, class: &str) -> PathBuf {
        self.folder.join("tokens").join(format!("{class}.token"))
    }

    /// The token of an operator.
    pub fn operator_token(&self, operator: &ServiceAccount) -> PathBuf {
        let file = format!("{}_{}.token", operator.namespace, operator.name);
        self.folder.join("operators").join(file)
    }
}

impl OwnIssuer {
    /// Opens the issuer of a bootstrap; makes what is not there, and writes the tokens anew.
    ///
    /// # Errors
    /// Files that cannot be read, used or written; the text names them.
    pub fn open(bootstrap: &ServerBootstrap, now: Now) -> anyhow::Result<Self> {
        let places = Places::new(&bootstrap.state_dir);
        let folder = Folder::open(&places.folder).context("cannot keep the identity of this server")?;
        let audience = &bootstrap.authentication.audience;
        let signer = Signer::new(&folder.kept("signing.key", sign::make_key)?, audience)
            .with_context(|| format!("cannot use {}", folder.path("signing.key").display()))?;
        let classes = bootstrap.classes().into_iter().map(|class| {
            let file = places.class_token(&class.name);
            (class.service_account, file)
        });
        let operators = bootstrap.operators.iter().map(|account| (account.clone(), places.operator_token(account)));
        let accounts = classes.chain(operators).collect();
        let mut issuer =
            Self { folder, places, signer, accounts, address: bootstrap.xds.address.clone(), written: now };
        issuer.renew_certificate(now.wall)?;
        issuer.write_tokens(now)?;
        Ok(issuer)
    }

    /// `iss` of its tokens.
    pub fn name(&self) -> &str {
        sign::ISSUER
    }

    /// What its tokens are checked by.
    pub fn keys(&self) -> KeySet {
        self.signer.keys()
    }

    /// Where proxies find what they need.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// Renews tokens and certificate in time, until `stop`.
    pub async fn keep(mut self, clock: super::clock::Clock, stop: CancellationToken) {
        let mut wait = LOOK;
        loop {
            tokio::select! { () = tokio::time::sleep(wait) => {} () = stop.cancelled() => return }
            let now = clock();
            // Small files, seldom: not worth a thread of their own.
            wait = match self.renew(now) {
                Ok(()) => LOOK,
                Err(error) => {
                    tracing::error!(error = format!("{error:#}"), "tokens of local proxies cannot be renewed");
                    RETRY
                }
            };
        }
    }

    /// Renews what is due.
    fn renew(&mut self, now: Now) -> anyhow::Result<()> {
        if due(self.written, now) {
            self.renew_certificate(now.wall)?;
            self.write_tokens(now)?;
        }
        Ok(())
    }

    fn renew_certificate(&self, now: SystemTime) -> anyhow::Result<()> {
        let authority = authority::Authority::open(&self.folder, now)?;
        authority.renew(&self.folder, &self.address, now)
    }

    fn write_tokens(&mut self, now: Now) -> anyhow::Result<()> {
        for (account, file) in &self.accounts {
            let token = self.signer.token(account, now.wall, LIFE)?;
            self.folder.write(file, token.as_bytes())?;
        }
        self.written = now;
        Ok(())
    }
}

/// Whether tokens that were written at `written` must be written anew: half of their life is over by either clock, or
/// the wall clock was set back, and they would begin only later.
fn due(written: Now, now: Now) -> bool {
    let passed: Duration = now.mono.saturating_duration_since(written.mono);
    match now.wall.duration_since(written.wall) {
        Ok(wall) => wall.max(passed) >= LIFE / 2,
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests;
