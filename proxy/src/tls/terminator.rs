//! TLS settings of a filter chain.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};

use weir_config::model::ClientCertificates;

use super::certificate::SecretSlot;
use super::clients;

/// Makes the TLS settings of filter chains. One for the process: the keys of session tickets are
/// its, so that a session can be resumed after a listener changed. (A ticket holds the SNI it was
/// given for, and rustls resumes no other.)
pub struct Terminator {
    provider: Arc<CryptoProvider>,
    tickets: Arc<dyn ProducesTickets>,
}

impl Terminator {
    /// A new set of ticket keys, which rotate by themselves.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn new() -> Result<Self, rustls::Error> {
        Ok(Self { provider: Arc::new(aws_lc_rs::default_provider()), tickets: aws_lc_rs::Ticketer::new()? })
    }

    /// Settings that serve the first of `secrets` whose certificate covers the SNI; without SNI, or
    /// where none covers it, the first that is there. TLS 1.2 and 1.3; `alpn` as the chain offers it.
    ///
    /// # Errors
    /// The provider lacks what TLS 1.2 and 1.3 need, or the clients' authorities cannot be used.
    pub fn config(
        &self,
        secrets: Vec<Arc<SecretSlot>>,
        alpn: &[String],
        clients: Option<&ClientCertificates>,
    ) -> Result<Arc<ServerConfig>, rustls::Error> {
        let verifier = match clients {
            Some(clients) => {
                clients::verifier(clients, &self.provider).map_err(|error| rustls::Error::General(error.to_string()))?
            }
            None => WebPkiClientVerifier::no_client_auth(),
        };
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(BySni(secrets)));
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        // A ticket stands for the certificate that was shown when it was given: it must not resume a session where
        // none, or another authority's, was asked for.
        config.ticketer = if clients.is_some() { aws_lc_rs::Ticketer::new()? } else { Arc::clone(&self.tickets) };
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

/// Chooses a certificate at each handshake, from what the slots hold then.
#[derive(Debug)]
struct BySni(Vec<Arc<SecretSlot>>);

impl ResolvesServerCert for BySni {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // One certificate is served whatever was asked for: the client judges it.
        if let [only] = self.0.as_slice() {
            return only.get().map(|certificate| certificate.certified_key());
        }
        let certificates = || self.0.iter().filter_map(|slot| slot.get());
        let covering = hello.server_name().and_then(|name| certificates().find(|c| c.covers(name)));
        covering.or_else(|| certificates().next()).map(|certificate| certificate.certified_key())
    }
}
