//! TLS on the xDS port. The certificate is read anew when its files change; connections that are open stay.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use anyhow::Context;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_util::sync::CancellationToken;

use crate::auth::certificate::Possession;
use crate::auth::files::{LOOK, Watched};

/// The port's certificate, as the files say.
pub(super) struct Certificate {
    key: RwLock<Arc<CertifiedKey>>,
    files: Mutex<Watched>,
}

impl Certificate {
    /// Reads a certificate chain and its key, both PEM.
    ///
    /// # Errors
    /// Files that cannot be read, or do not belong together; the text names them.
    pub(super) fn open(certificate: &Path, key: &Path) -> anyhow::Result<Arc<Self>> {
        let files = Watched::open(&[certificate, key]).context("cannot read the certificate of the xDS port")?;
        let pair = certified(files.contents()).map_err(|problem| {
            anyhow::anyhow!("cannot use the certificate of the xDS port, {}: {problem}", certificate.display())
        })?;
        Ok(Arc::new(Self { key: RwLock::new(Arc::new(pair)), files: Mutex::new(files) }))
    }

    /// Settings of the handshake. `asks`: clients may send a certificate.
    ///
    /// # Errors
    /// Never with the provider that the program uses, which has both versions.
    pub(super) fn config(self: &Arc<Self>, asks: bool) -> anyhow::Result<Arc<rustls::ServerConfig>> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13, &TLS12])?;
        let resolver: Arc<dyn ResolvesServerCert> = Arc::new(Resolver(Arc::clone(self)));
        let mut config = match asks {
            true => builder.with_client_cert_verifier(Arc::new(Possession::new(provider))),
            false => builder.with_no_client_auth(),
        }
        .with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"h2".to_vec()];
        // Streams last for hours: nothing is won by resuming, and a resumed session would bring an old certificate.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    /// Reads the files anew as they change, until `stop`.
    pub(super) async fn keep(self: Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! { () = tokio::time::sleep(LOOK) => {} () = stop.cancelled() => return }
            let this = Arc::clone(&self);
            let _ = tokio::task::spawn_blocking(move || this.look()).await;
        }
    }

    fn look(&self) {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).look(|contents| {
            let key = certified(contents)?;
            *self.key.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
            Ok(())
        });
    }
}

/// Gives whatever certificate is in effect, whatever name the client asks for.
#[derive(Debug)]
struct Resolver(Arc<Certificate>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.key.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Certificate")
    }
}

fn certified(contents: &[Vec<u8>]) -> Result<CertifiedKey, String> {
    let [certificate, key] = contents else { return Err("a certificate and a key are needed".into()) };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("the certificate is not PEM: {error}"))?;
    if chain.is_empty() {
        return Err("the certificate file holds none".into());
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("the key is not PEM: {error}"))?;
    CertifiedKey::from_der(chain, key, &rustls::crypto::aws_lc_rs::default_provider())
        .map_err(|error| error.to_string())
}
