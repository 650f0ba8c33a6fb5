//! TLS toward the endpoints of a cluster.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, version};
use weir_config::FieldError;
use weir_config::model::{SubjectName, UpstreamProtocol, UpstreamTls};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::roots::roots;
use super::slot::SecretSlot;

/// Sessions that a cluster may resume.
const SESSIONS: usize = 32;
/// Settings get numbers that are not used again.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// TLS toward a cluster's endpoints. Sessions are resumed within one `Origin`: never with other settings, never by
/// another cluster, and not where a certificate is shown, which may be renewed.
pub struct Origin {
    /// Unique in the process: what tells connections of other settings apart.
    pub(crate) id: u64,
    /// For exchanges: offers the cluster's protocol by ALPN.
    pub(crate) exchanges: Arc<ClientConfig>,
    /// For bytes that are not looked at: offers nothing.
    pub(crate) bytes: Arc<ClientConfig>,
    /// SNI.
    pub(crate) name: ServerName<'static>,
}

impl Origin {
    /// Settings as a cluster has them; `certificate` is the slot of the one that Weir shows.
    ///
    /// # Errors
    /// The field of `UpstreamTlsContext` that cannot be used.
    pub fn new(
        model: &UpstreamTls,
        protocol: UpstreamProtocol,
        certificate: Option<Arc<SecretSlot>>,
    ) -> Result<Self, FieldError> {
        let name = ServerName::try_from(model.sni.clone())
            .map_err(|_| FieldError::new("sni", format!("{:?} is not a host's name", model.sni)))?;
        let verifier = Arc::new(Verifier::new(model)?);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])
            .map_err(|error| FieldError::new("common_tls_context", error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let shown = certificate.is_some();
        let mut bytes = match certificate {
            Some(slot) => builder.with_client_cert_resolver(Arc::new(Shown(slot))),
            None => builder.with_no_client_auth(),
        };
        // A session stands for the certificate that was shown in it: one that was renewed must be shown anew.
        let sessions = || if shown { Resumption::disabled() } else { Resumption::in_memory_sessions(SESSIONS) };
        bytes.resumption = sessions();
        let mut exchanges = bytes.clone();
        // A session is resumed with the protocol that it was made for.
        exchanges.resumption = sessions();
        exchanges.alpn_protocols = vec![alpn(protocol).to_vec()];
        Ok(Self { id: NEXT.fetch_add(1, Relaxed), exchanges: exchanges.into(), bytes: bytes.into(), name })
    }
}

/// The protocol's name in ALPN.
fn alpn(protocol: UpstreamProtocol) -> &'static [u8] {
    match protocol {
        UpstreamProtocol::Http1 => b"http/1.1",
        UpstreamProtocol::Http2 => b"h2",
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

/// What the slot holds at each handshake: a renewed certificate is shown from then on.
#[derive(Debug)]
struct Shown(Arc<SecretSlot>);

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.get()?.certified_key()
    }

    fn has_certs(&self) -> bool {
        self.0.is_filled()
    }
}

/// A chain to one of the roots, and one of the names. rustls' own verifier would take the SNI for the name.
#[derive(Debug)]
struct Verifier {
    roots: Arc<RootCertStore>,
    names: Vec<Name>,
    provider: CryptoProvider,
}

#[derive(Debug)]
enum Name {
    Dns(ServerName<'static>),
    Uri(String),
}

impl Verifier {
    fn new(model: &UpstreamTls) -> Result<Self, FieldError> {
        let context = "common_tls_context.validation_context";
        let roots = roots(&model.roots).map_err(|error| error.within(context))?;
        let mut names = Vec::with_capacity(model.names.len());
        for (at, name) in model.names.iter().enumerate() {
            names.push(match name {
                SubjectName::Uri(uri) => Name::Uri(uri.clone()),
                SubjectName::Dns(name) => Name::Dns(ServerName::try_from(name.clone()).map_err(|_| {
                    let field = format!("{context}.match_typed_subject_alt_names[{at}].matcher");
                    FieldError::new(field, format!("{name:?} is not a DNS name"))
                })?),
            });
        }
        Ok(Self { roots, names, provider: aws_lc_rs::default_provider() })
    }

    fn has_name(&self, der: &CertificateDer<'_>, parsed: &ParsedCertificate<'_>) -> bool {
        self.names.iter().any(|name| match name {
            Name::Dns(name) => verify_server_name(parsed, name).is_ok(),
            Name::Uri(uri) => has_uri(der, uri),
        })
    }
}

fn has_uri(der: &CertificateDer<'_>, uri: &str) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return false };
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return false };
    names.value.general_names.iter().any(|name| matches!(name, GeneralName::URI(one) if *one == uri))
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, algorithms)?;
        if self.has_name(end_entity, &certificate) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::NotValidForName.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
