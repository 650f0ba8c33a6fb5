//! The certificates that the suite makes in code.

use std::collections::BTreeMap;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::{Value, json};

use super::{APP, INFRA, WEB};
use crate::verify::Pair;

type Name = (&'static str, &'static str);
type Issuer = CertifiedIssuer<'static, KeyPair>;

/// Certificates by the Secret, authorities by the ConfigMap that holds them.
pub struct Keys {
    pairs: BTreeMap<(String, String), Pair>,
    authorities: BTreeMap<(String, String), String>,
}

impl Keys {
    /// Makes them all.
    pub fn new() -> Self {
        let mut keys = Self { pairs: BTreeMap::new(), authorities: BTreeMap::new() };
        keys.own((WEB, "certificate"), &["*"]);
        keys.own((INFRA, "tls-validity-checks-certificate"), &["*", "*.org", "*.wildcard.org"]);
        keys.authority((WEB, "web-backend-cm"));
        let ca = keys.authority((INFRA, "tls-validity-checks-ca-certificate"));
        keys.issue(&ca, (INFRA, "tls-validity-checks-client-certificate"), &[]);
        let ca = keys.authority((INFRA, "tls-validity-checks-per-port-ca-certificate"));
        keys.issue(&ca, (INFRA, "tls-validity-checks-per-port-client-certificate"), &[]);
        let ca = keys.authority((INFRA, "tls-checks-ca-certificate"));
        let names = ["abc.example.com", "spiffe://abc.example.com/test-identity", "other.example.com"];
        keys.issue(&ca, (INFRA, "tls-checks-certificate"), &names);
        keys.issue(&ca, (INFRA, "tls-checks-client-certificate"), &[]);
        keys.issue(&ca, (INFRA, "tls-passthrough-checks-certificate"), &["abc.example.com"]);
        keys.issue(&ca, (APP, "tls-passthrough-checks-certificate"), &["abc.example.com"]);
        keys.issue(&ca, (INFRA, "tls-terminate-checks-certificate"), &["tls.example.com"]);
        keys.authority((INFRA, "mismatch-ca-certificate"));
        keys
    }

    /// The certificate in a Secret.
    pub fn pair(&self, namespace: &str, name: &str) -> &Pair {
        &self.pairs[&(namespace.to_owned(), name.to_owned())]
    }

    /// The authority in a ConfigMap, PEM.
    pub fn ca(&self, namespace: &str, name: &str) -> &str {
        &self.authorities[&(namespace.to_owned(), name.to_owned())]
    }

    /// The Secrets and ConfigMaps.
    pub fn objects(&self) -> Vec<Value> {
        let secrets = self.pairs.iter().map(|((namespace, name), pair)| {
            json!({
                "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
                "metadata": {"namespace": namespace, "name": name},
                "stringData": {"tls.crt": pair.certificate, "tls.key": pair.key},
            })
        });
        let maps = self.authorities.iter().map(|((namespace, name), pem)| {
            json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"namespace": namespace, "name": name}, "data": {"ca.crt": pem},
            })
        });
        secrets.chain(maps).collect()
    }

    /// TLS of a server with the certificate of a Secret; with an authority it asks for a client's certificate, and
    /// takes a client without one.
    pub fn server(&self, namespace: &str, secret: &str, authority: Option<&str>) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
        let builder = match authority {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_slice(self.ca(namespace, name).as_bytes()).unwrap()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.allow_unauthenticated().build().unwrap())
            }
        };
        let pair = self.pair(namespace, secret);
        let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
        Arc::new(builder.with_single_cert(vec![certificate], key).unwrap())
    }

    fn own(&mut self, name: Name, hosts: &[&str]) {
        let key = KeyPair::generate().unwrap();
        let certificate = leaf(hosts, name.1).self_signed(&key).unwrap();
        self.keep(name, certificate.pem(), &key);
    }

    fn issue(&mut self, ca: &Issuer, name: Name, hosts: &[&str]) {
        let key = KeyPair::generate().unwrap();
        let certificate = leaf(hosts, name.1).signed_by(&key, ca).unwrap();
        self.keep(name, certificate.pem(), &key);
    }

    fn keep(&mut self, (namespace, name): Name, certificate: String, key: &KeyPair) {
        let pair = Pair { certificate, key: key.serialize_pem() };
        self.pairs.insert((namespace.to_owned(), name.to_owned()), pair);
    }

    fn authority(&mut self, (namespace, name): Name) -> Issuer {
        let mut params = leaf(&[], name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        self.authorities.insert((namespace.to_owned(), name.to_owned()), issuer.pem());
        issuer
    }
}

fn leaf(hosts: &[&str], common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let san = |host: &&str| match host.contains("://") {
        true => SanType::URI((*host).try_into().unwrap()),
        false => SanType::DnsName((*host).try_into().unwrap()),
    };
    params.subject_alt_names = hosts.iter().map(san).collect();
    params
}

/// A certificate as PEM.
pub fn pem(der: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in der.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit)) & 63;
            text.push(if digit <= chunk.len() { ALPHABET[index as usize] as char } else { '=' });
        }
    }
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}
