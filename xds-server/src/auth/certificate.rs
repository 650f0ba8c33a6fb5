//! Client certificates: which authorities count, and whose a certificate is.
//!
//! The handshake proves only that the client has the key of its certificate ([`Possession`]). What the certificate
//! proves is judged for each request, so that authorities that are taken away, and certificates that end, count on
//! open connections too, and so that the log has the reason of each refusal.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use rustls::RootCertStore;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use weir_config::bootstrap::ServiceAccount;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::files::Watched;
use super::identity::{Identity, Principal};
use super::refusal::Refusal;
use super::token::account;

/// Bytes of a URI that names a workload (the SPIFFE standard's bound).
const MAX_URI: usize = 2048;
/// Certificates of a chain.
const MAX_CHAIN: usize = 8;

/// Certificate authorities of clients.
#[derive(Debug)]
pub struct Authorities {
    verifier: RwLock<Arc<dyn ClientCertVerifier>>,
    file: Mutex<Watched>,
}

impl Authorities {
    /// Those in this file, PEM.
    ///
    /// # Errors
    /// A file that cannot be read, or holds no certificate.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let file = Watched::open(&[path]).context("cannot read the authorities of client certificates")?;
        let verifier = verifier(&file.contents()[0]).map_err(|why| anyhow::anyhow!("{}: {why}", path.display()))?;
        Ok(Self { verifier: RwLock::new(verifier), file: Mutex::new(file) })
    }

    /// Whose a chain is, whose own certificate comes first, and until when.
    ///
    /// # Errors
    /// A chain that leads to none of the authorities now, or names no service account.
    pub fn verify(&self, chain: &[CertificateDer<'_>], now: SystemTime) -> Result<Identity, Refusal> {
        let (first, rest) = match chain {
            [first, rest @ ..] if chain.len() <= MAX_CHAIN => (first, rest),
            [] => return Err(Refusal::NoCredential),
            _ => return Err(Refusal::Certificate(format!("a chain of {} certificates", chain.len()))),
        };
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let verifier = Arc::clone(&self.verifier.read().unwrap_or_else(PoisonError::into_inner));
        verifier
            .verify_client_cert(first, rest, UnixTime::since_unix_epoch(since))
            .map_err(|error| Refusal::Certificate(error.to_string()))?;
        let (account, mut expires) = read(first)?;
        for certificate in rest {
            expires = expires.min(end(&parse(certificate)?)?);
        }
        Ok(Identity { principal: Principal::ServiceAccount(account), expires: Some(expires) })
    }

    /// Reads the file anew; whether they are others now.
    pub(super) fn reread(&self) -> bool {
        let mut changed = false;
        self.file.lock().unwrap_or_else(PoisonError::into_inner).look(|contents| {
            *self.verifier.write().unwrap_or_else(PoisonError::into_inner) = verifier(&contents[0])?;
            changed = true;
            Ok(())
        });
        changed
    }
}

fn verifier(pem: &[u8]) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| format!("not PEM: {error}"))?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let built = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let verifier: Arc<dyn ClientCertVerifier> = built.map_err(|error| error.to_string())?;
    Ok(verifier)
}

/// The service account that a certificate names, and when the certificate ends. Nothing of it is proven.
///
/// # Errors
/// A certificate that names no service account by one URI.
pub fn read(certificate: &[u8]) -> Result<(ServiceAccount, SystemTime), Refusal> {
    let certificate = parse(certificate)?;
    let names = certificate.subject_alternative_name().map_err(|error| Refusal::Certificate(error.to_string()))?;
    let names = names.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    let mut uris = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    // Two would be two identities, of which a verifier could pick either.
    let (Some(uri), None) = (uris.next(), uris.next()) else {
        return Err(Refusal::Certificate("it has not exactly one URI among its names".into()));
    };
    let account = account_of_uri(uri).ok_or_else(|| {
        let uri: String = uri.chars().take(128).collect();
        Refusal::Certificate(format!("{uri:?} is not spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT"))
    })?;
    Ok((account, end(&certificate)?))
}

/// The service account of `spiffe://<trust domain>/ns/<namespace>/sa/<name>`.
fn account_of_uri(uri: &str) -> Option<ServiceAccount> {
    if uri.len() > MAX_URI {
        return None;
    }
    let (domain, path) = uri.strip_prefix("spiffe://")?.split_once('/')?;
    let is_domain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.' | b'_');
    if domain.is_empty() || !domain.bytes().all(is_domain) {
        return None;
    }
    match path.split('/').collect::<Vec<_>>()[..] {
        ["ns", namespace, "sa", name] => account(namespace, name),
        _ => None,
    }
}

fn parse<'a>(der: &'a [u8]) -> Result<X509Certificate<'a>, Refusal> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(Refusal::Certificate("it is no X.509 certificate".into())),
    }
}

fn end(certificate: &X509Certificate<'_>) -> Result<SystemTime, Refusal> {
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).ok();
    let end = seconds.and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
    end.ok_or_else(|| Refusal::Certificate("it ended before 1970, or never does".into()))
}

/// Asks a client for a certificate, and believes nothing of it but that the client has its key.
#[derive(Debug)]
pub struct Possession(Arc<CryptoProvider>);

impl Possession {
    /// By the algorithms of this provider.
    pub fn new(provider: Arc<CryptoProvider>) -> Self {
        Self(provider)
    }
}

impl ClientCertVerifier for Possession {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
#[path = "certificate_tests.rs"]
mod tests;
