//! TLS settings of a filter chain.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};

use weir_config::model::ClientCertificates;

use super::certificate::Certificate;
use super::clients;
use super::slot::SecretSlot;

/// Makes the TLS settings of filter chains. One for the process: the keys of session tickets are
/// its, so that a session can be resumed after a listener changed. (A ticket holds the SNI it was
/// given for, and rustls resumes no other.)
pub struct Terminator {
    provider: Arc<CryptoProvider>,
    tickets: Arc<dyn ProducesTickets>,
    /// Settings of chains that ask for no certificates of clients, by what they offer: of thousands of chains, a few.
    shared: Mutex<BTreeMap<Vec<String>, Arc<ServerConfig>>>,
}

impl Terminator {
    /// A new set of ticket keys, which rotate by themselves.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn new() -> Result<Self, rustls::Error> {
        let (provider, tickets) = (Arc::new(aws_lc_rs::default_provider()), aws_lc_rs::Ticketer::new()?);
        Ok(Self { provider, tickets, shared: Mutex::default() })
    }

    /// Settings that serve the first of `secrets` whose certificate covers the SNI; without SNI, or
    /// where none covers it, the first that is there. TLS 1.2 and 1.3; `alpn` as the chain offers it.
    ///
    /// # Errors
    /// The provider lacks what TLS 1.2 and 1.3 need, or the clients' authorities cannot be used.
    pub fn chain(
        &self,
        secrets: Box<[Arc<SecretSlot>]>,
        alpn: &[String],
        clients: Option<&ClientCertificates>,
    ) -> Result<ChainTls, rustls::Error> {
        let settings = match clients {
            Some(clients) => {
                let verifier = clients::verifier(clients, &self.provider);
                let verifier = verifier.map_err(|error| rustls::Error::General(error.to_string()))?;
                // A ticket stands for the certificate that was shown when it was given: it must not resume a session
                // where none, or another authority's, was asked for.
                self.settings(alpn, verifier, aws_lc_rs::Ticketer::new()?)?
            }
            None => self.shared(alpn)?,
        };
        Ok(ChainTls { secrets, settings })
    }

    fn shared(&self, alpn: &[String]) -> Result<Arc<ServerConfig>, rustls::Error> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(settings) = shared.get(alpn) {
            return Ok(settings.clone());
        }
        let settings = self.settings(alpn, WebPkiClientVerifier::no_client_auth(), self.tickets.clone())?;
        // Those that no chain has any more.
        shared.retain(|_, settings| Arc::strong_count(settings) > 1);
        shared.insert(alpn.to_vec(), settings.clone());
        Ok(settings)
    }

    /// Settings without a certificate.
    fn settings(
        &self,
        alpn: &[String],
        verifier: Arc<dyn ClientCertVerifier>,
        tickets: Arc<dyn ProducesTickets>,
    ) -> Result<Arc<ServerConfig>, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(Chosen(None)));
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        config.ticketer = tickets;
        // Tickets resume sessions; a cache beside them would only hold memory.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Arc::new(config))
    }
}

impl fmt::Debug for Terminator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminator").finish_non_exhaustive()
    }
}

/// TLS of a filter chain: its certificates, and the settings that it may share with other chains.
#[derive(Debug)]
pub struct ChainTls {
    secrets: Box<[Arc<SecretSlot>]>,
    settings: Arc<ServerConfig>,
}

impl ChainTls {
    /// Whether all its certificates are here, so that no handshake has to wait.
    pub fn is_complete(&self) -> bool {
        self.secrets.iter().all(|slot| slot.is_filled())
    }

    /// Its certificates that are here.
    pub fn here(&self) -> Vec<Arc<Certificate>> {
        self.secrets.iter().filter_map(|slot| slot.get()).collect()
    }

    /// Its certificates, those too that must be fetched first. The caller bounds the time.
    pub async fn fetched(&self) -> Vec<Arc<Certificate>> {
        let mut certificates = Vec::with_capacity(self.secrets.len());
        for slot in &self.secrets {
            certificates.extend(slot.fetched().await);
        }
        certificates
    }

    /// Counts a handshake that fails because no certificate is here and none came. The log hears of the first, and
    /// each time that they have doubled.
    pub fn refuse(&self) {
        let Some(slot) = self.secrets.first() else { return };
        let refused = slot.refuse();
        if refused.is_power_of_two() {
            tracing::warn!(
                secret = slot.name(),
                refused,
                "handshakes are refused: a certificate is not here and did not come"
            );
        }
    }

    /// Settings of one handshake, for a client that asks for this name, with what of `certificates` serves it. Without
    /// one that is of use the handshake fails (alert `access_denied`).
    pub fn config(&self, certificates: &[Arc<Certificate>], sni: Option<&str>) -> Arc<ServerConfig> {
        let mut config = ServerConfig::clone(&self.settings);
        config.cert_resolver = Arc::new(Chosen(key(certificates, sni)));
        Arc::new(config)
    }
}

fn key(certificates: &[Arc<Certificate>], sni: Option<&str>) -> Option<Arc<CertifiedKey>> {
    // One certificate is served whatever was asked for: the client judges it.
    if let [only] = certificates {
        return only.certified_key();
    }
    let covering = |name| certificates.iter().filter(|c| c.covers(name)).find_map(|c| c.certified_key());
    sni.and_then(covering).or_else(|| certificates.iter().find_map(|certificate| certificate.certified_key()))
}

/// What was chosen for a handshake, when its hello had been read.
#[derive(Debug)]
struct Chosen(Option<Arc<CertifiedKey>>);

impl ResolvesServerCert for Chosen {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }
}
