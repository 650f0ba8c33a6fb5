//! Which certificates of clients are asked for.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use weir_config::FieldError;
use weir_config::model::ClientCertificates;

use super::roots::roots;

/// The verifier that a chain's settings ask for.
///
/// # Errors
/// The field of `validation_context` that cannot be used.
pub fn verifier(
    model: &ClientCertificates,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, FieldError> {
    let builder = WebPkiClientVerifier::builder_with_provider(roots(&model.roots)?, provider.clone());
    let builder = if model.required { builder } else { builder.allow_unauthenticated() };
    let strict = builder.build().map_err(|error| FieldError::new("trusted_ca", error.to_string()))?;
    Ok(if model.untrusted { Arc::new(Untrusted(strict)) } else { strict })
}

/// Takes a certificate that no root has signed too. That the client holds its key is still proven.
#[derive(Debug)]
struct Untrusted(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Untrusted {
    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    /// None: a client that looks for one of these authorities would else show nothing.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
