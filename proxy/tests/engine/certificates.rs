//! Certificates of a test's own authorities, and TLS peers that use them.

use std::net::TcpStream;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use weir_config::model::{PrivateKey, Secret, TlsCertificate};

use crate::support::Conn;

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub(crate) struct Pair {
    chain: String,
    key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.0.der().to_vec())).unwrap();
        roots
    }

    /// A certificate as `change` makes it.
    pub(crate) fn issue_with(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Pair { chain: certificate.pem(), key: key.serialize_pem() }
    }

    pub(crate) fn issue(&self, name: &str) -> Pair {
        self.issue_with(name, |_| {})
    }

    pub(crate) fn issue_uri(&self, uri: &str) -> Pair {
        self.issue_with("named.by.uri", |params| {
            params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        })
    }

    pub(crate) fn expired(&self, name: &str) -> Pair {
        self.issue_with(name, |params| {
            (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
        })
    }
}

impl Pair {
    pub(crate) fn secret(&self, name: &str) -> Secret {
        let certificate = TlsCertificate { chain: self.chain.clone(), key: PrivateKey(self.key.clone()) };
        Secret { name: name.into(), certificate }
    }

    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.chain.as_bytes()).unwrap()
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }

    /// Settings of a server, which demands certificates of `clients`.
    pub(crate) fn server(&self, clients: Option<&Authority>, alpn: &[&str]) -> Arc<ServerConfig> {
        let verifier = match clients {
            Some(authority) => WebPkiClientVerifier::builder(authority.roots().into()).build().unwrap(),
            None => WebPkiClientVerifier::no_client_auth(),
        };
        let mut config = ServerConfig::builder()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![self.certificate()], self.key())
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config.into()
    }
}

/// Settings of a client that trusts `authority` and shows `own`.
pub(crate) fn client(authority: &Authority, own: Option<&Pair>) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder().with_root_certificates(authority.roots());
    Arc::new(match own {
        Some(pair) => builder.with_client_auth_cert(vec![pair.certificate()], pair.key()).unwrap(),
        None => builder.with_no_client_auth(),
    })
}

pub(crate) type Client = StreamOwned<ClientConnection, TcpStream>;
pub(crate) type Server = StreamOwned<ServerConnection, TcpStream>;

/// TLS over a connection, as its client.
pub(crate) fn dial(conn: Conn, config: &Arc<ClientConfig>, name: &str) -> Client {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    StreamOwned::new(ClientConnection::new(config.clone(), name).unwrap(), conn.stream)
}

/// TLS over a connection, as its server.
pub(crate) fn answer(conn: Conn, config: &Arc<ServerConfig>) -> Server {
    StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), conn.stream)
}
