//! The client's side of TLS towards the control server.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use weir_config::bootstrap::{ClientTls, Target};

/// The name that a server's certificate must have where its address is no name.
pub(super) const DEFAULT_NAME: &str = "weir-server";

/// What a handshake needs.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) config: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
}

/// Reads the files.
///
/// # Errors
/// A file that cannot be read or used; the text names it.
pub(super) fn connector(tls: &ClientTls, target: &Target) -> anyhow::Result<Client> {
    let name = match (&tls.server_name, target) {
        (Some(name), _) => name.as_str(),
        (None, Target::Name(host, _)) => host.as_str(),
        (None, Target::Address(_)) => DEFAULT_NAME,
    };
    let name = ServerName::try_from(name.to_owned()).with_context(|| format!("`{name}` is no name of a server"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(&tls.ca_file)?);
    let mut config = match (&tls.certificate_file, &tls.key_file) {
        (Some(certificate), Some(key)) => {
            let named = || format!("cannot use {} with {}", certificate.display(), key.display());
            builder.with_client_auth_cert(chain(certificate)?, read_key(key)?).with_context(named)?
        }
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A resumed session would bring the certificate of the session before.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Client { config: Arc::new(config), name })
}

fn roots(path: &Path) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(path)? {
        roots.add(certificate).with_context(|| format!("cannot use {}", path.display()))?;
    }
    Ok(roots)
}

fn chain(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let pem = read(path)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| anyhow::anyhow!("{} is not PEM: {error}", path.display()))?;
    anyhow::ensure!(!chain.is_empty(), "{} holds no certificate", path.display());
    Ok(chain)
}

fn read_key(path: &Path) -> anyhow::Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(&read(path)?)
        .map_err(|error| anyhow::anyhow!("{} holds no key, PEM: {error}", path.display()))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
