//! The certificate that all proxies show: ECDSA P-256, self-signed, for every tenant's host.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// A certificate and its key, as PEM text and as files.
#[derive(Clone)]
pub(crate) struct Certificate {
    pub(crate) chain: String,
    pub(crate) key: String,
    pub(crate) chain_file: PathBuf,
    pub(crate) key_file: PathBuf,
}

impl Certificate {
    /// Makes one and writes it into `dir`.
    pub(crate) fn make(dir: &Path) -> anyhow::Result<Self> {
        let made = rcgen::generate_simple_self_signed(["*.tenants.test".to_owned()])?;
        let (chain_file, key_file) = (dir.join("chain.pem"), dir.join("key.pem"));
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        fs::write(&chain_file, &chain).context("cannot write the certificate")?;
        fs::write(&key_file, &key).context("cannot write the key")?;
        Ok(Self { chain, key, chain_file, key_file })
    }
}
