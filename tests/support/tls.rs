//! Certificates made for a test.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate authority that one test trusts.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    client: Arc<rustls::ClientConfig>,
}

/// A certificate and its key, PEM.
pub struct Pair {
    /// Certificate.
    pub certificate: String,
    /// Key.
    pub key: String,
    /// Certificate, DER.
    pub der: Vec<u8>,
}

impl Authority {
    /// A new one.
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Where it has the name of what it signs, OpenSSL takes that for self-signed.
        params.distinguished_name.push(DnType::CommonName, "the test's authority");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from(issuer.der().to_vec())).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        // A resumed session would show the certificate of the session before.
        client.resumption = rustls::client::Resumption::disabled();
        Self { issuer, client: Arc::new(client) }
    }

    /// A new certificate for these names.
    pub fn issue(&self, names: &[&str]) -> Pair {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|n| n.to_string()).collect();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        Pair { certificate: certificate.pem(), key: key.serialize_pem(), der: certificate.der().to_vec() }
    }

    /// A new certificate of a client that this URI names.
    pub fn issue_uri(&self, uri: &str) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Pair { certificate: certificate.pem(), key: key.serialize_pem(), der: certificate.der().to_vec() }
    }

    /// Its certificate, PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// The ConfigMap (`namespace/name`) that holds its certificate.
    pub fn config_map(&self, map: &str) -> String {
        let (namespace, name) = map.split_once('/').expect("namespace/name");
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
             data:\n  ca.crt: |\n{}",
            block(&self.pem())
        )
    }

    /// Settings of a client that trusts this authority alone.
    pub fn client(&self) -> Arc<rustls::ClientConfig> {
        self.client.clone()
    }
}

impl Pair {
    /// Settings of a server that has it.
    pub fn server(&self) -> Arc<rustls::ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![CertificateDer::from(self.der.clone())], key);
        Arc::new(config.unwrap())
    }

    /// The Kubernetes Secret that holds it.
    pub fn secret(&self, namespace: &str, name: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
             type: kubernetes.io/tls\nstringData:\n  tls.crt: |\n{}  tls.key: |\n{}",
            block(&self.certificate),
            block(&self.key)
        )
    }
}

/// PEM as a block of YAML.
fn block(pem: &str) -> String {
    pem.lines().map(|line| format!("    {line}\n")).collect()
}
