use std::sync::Arc;

use rustls::client::{ClientConfig, ClientConnection};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{HandshakeKind, RootCertStore, ServerConfig, ServerConnection};
use weir_config::model::{PrivateKey, TlsCertificate};

use super::*;

fn certificate(names: &[&str]) -> TlsCertificate {
    let signed = rcgen::generate_simple_self_signed(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    TlsCertificate { chain: signed.cert.pem(), key: PrivateKey(signed.signing_key.serialize_pem()) }
}

fn slot(certificate: &TlsCertificate) -> Arc<SecretSlot> {
    let slot = Arc::new(SecretSlot::default());
    slot.set(parse(certificate).unwrap());
    slot
}

/// A client that trusts just `certificate`.
fn client(certificate: &TlsCertificate, alpn: &[&str]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(parse(certificate).unwrap().certified_key().cert[0].clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// Runs a whole handshake in memory.
fn handshake(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
    name: &str,
) -> Result<ClientConnection, rustls::Error> {
    let mut c = ClientConnection::new(Arc::clone(client), ServerName::try_from(name.to_owned()).unwrap())?;
    let mut s = ServerConnection::new(Arc::clone(server))?;
    while c.wants_write() || s.wants_write() {
        let mut wire = Vec::new();
        c.write_tls(&mut wire).unwrap();
        s.read_tls(&mut wire.as_slice()).unwrap();
        s.process_new_packets()?;
        let mut wire = Vec::new();
        s.write_tls(&mut wire).unwrap();
        c.read_tls(&mut wire.as_slice()).unwrap();
        c.process_new_packets()?;
    }
    assert!(!c.is_handshaking());
    Ok(c)
}

#[test]
fn the_first_certificate_that_covers_the_sni_serves() {
    let (exact, wild) = (certificate(&["shop.acme.com"]), certificate(&["*.acme.com"]));
    let server = Terminator::new().unwrap().config(vec![slot(&exact), slot(&wild)], &[], None).unwrap();
    handshake(&client(&exact, &[]), &server, "shop.acme.com").unwrap();
    handshake(&client(&wild, &[]), &server, "www.acme.com").unwrap();
    handshake(&client(&wild, &[]), &server, "shop.acme.com").unwrap_err();
    handshake(&client(&wild, &[]), &server, "a.b.acme.com").unwrap_err();
}

#[test]
fn a_renewed_certificate_serves_without_new_settings() {
    let (old, new) = (certificate(&["a.test"]), certificate(&["a.test"]));
    let slot = slot(&old);
    let server = Terminator::new().unwrap().config(vec![Arc::clone(&slot)], &[], None).unwrap();
    handshake(&client(&old, &[]), &server, "a.test").unwrap();
    slot.set(parse(&new).unwrap());
    handshake(&client(&new, &[]), &server, "a.test").unwrap();
    handshake(&client(&old, &[]), &server, "a.test").unwrap_err();
}

#[test]
fn without_a_certificate_the_handshake_fails() {
    let certificate = certificate(&["a.test"]);
    let slot = slot(&certificate);
    slot.clear();
    let server = Terminator::new().unwrap().config(vec![slot], &[], None).unwrap();
    handshake(&client(&certificate, &[]), &server, "a.test").unwrap_err();
}

#[test]
fn alpn_is_agreed_on_in_the_order_of_the_listener() {
    let certificate = certificate(&["a.test"]);
    let offered = ["h2".to_owned(), "http/1.1".to_owned()];
    let server = Terminator::new().unwrap().config(vec![slot(&certificate)], &offered, None).unwrap();
    let connection = handshake(&client(&certificate, &["http/1.1", "h2"]), &server, "a.test").unwrap();
    assert_eq!(connection.alpn_protocol(), Some(&b"h2"[..]));
}

#[test]
fn a_session_is_resumed_after_the_listener_changed() {
    let certificate = certificate(&["a.test"]);
    let terminator = Terminator::new().unwrap();
    let client = client(&certificate, &[]);
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let server = terminator.config(vec![slot(&certificate)], &[], None).unwrap();
        assert_eq!(handshake(&client, &server, "a.test").unwrap().handshake_kind(), Some(kind));
    }
}

#[test]
fn what_cannot_serve_is_refused_by_its_field_and_never_quoted() {
    let (a, b) = (certificate(&["a.test"]), certificate(&["b.test"]));
    let error = |chain: &str, key: &str| {
        parse(&TlsCertificate { chain: chain.into(), key: PrivateKey(key.into()) }).unwrap_err()
    };
    assert_eq!(error(&a.chain, &b.key.0).problem, "does not belong to the first certificate of the chain");
    assert_eq!(error("", &a.key.0).problem, "holds no certificate");
    assert_eq!(error(&a.chain.repeat(33), &a.key.0).problem, "holds more than 32 certificates");
    assert_eq!(error(&a.key.0, &a.key.0).field, "tls_certificate.certificate_chain");
    let secret = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
    let refused = error(&a.chain, secret);
    assert_eq!(refused.field, "tls_certificate.private_key");
    assert!(!refused.to_string().contains("c2VjcmV0"));
    assert!(!format!("{:?}", parse(&a).unwrap()).contains("PRIVATE"));
}
