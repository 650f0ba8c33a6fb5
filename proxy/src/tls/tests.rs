use std::num::NonZeroUsize;
use std::sync::Arc;

use rustls::client::{ClientConfig, ClientConnection};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{HandshakeKind, RootCertStore, ServerConnection};
use weir_config::model::{PrivateKey, Secret, TlsCertificate};

use super::certificate::parse;
use super::*;

fn certificate(names: &[&str]) -> TlsCertificate {
    let signed = rcgen::generate_simple_self_signed(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    TlsCertificate { chain: signed.cert.pem(), key: PrivateKey(signed.signing_key.serialize_pem()) }
}

fn secret(certificate: &TlsCertificate) -> Arc<Secret> {
    Arc::new(Secret { name: "s".into(), certificate: certificate.clone() })
}

fn empty() -> Arc<SecretSlot> {
    Arc::new(SecretSlot::new("s", Arc::default()))
}

fn slot(certificate: &TlsCertificate) -> Arc<SecretSlot> {
    let slot = empty();
    slot.set(&secret(certificate), &Arc::default());
    slot
}

/// TLS of a chain that offers no protocol and asks for no certificate.
fn chain(terminator: &Terminator, slots: &[&Arc<SecretSlot>]) -> ChainTls {
    terminator.chain(slots.iter().map(|slot| Arc::clone(slot)).collect(), &[], None).unwrap()
}

/// A client that trusts just `certificate`.
fn client(certificate: &TlsCertificate, alpn: &[&str]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(parse(certificate).unwrap().cert[0].clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// Runs a whole handshake in memory.
fn handshake(client: &Arc<ClientConfig>, server: &ChainTls, name: &str) -> Result<ClientConnection, rustls::Error> {
    let mut c = ClientConnection::new(Arc::clone(client), ServerName::try_from(name.to_owned()).unwrap())?;
    let mut s = ServerConnection::new(server.config(&server.here(), Some(name)))?;
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
    let server = chain(&Terminator::new().unwrap(), &[&slot(&exact), &slot(&wild)]);
    handshake(&client(&exact, &[]), &server, "shop.acme.com").unwrap();
    handshake(&client(&wild, &[]), &server, "www.acme.com").unwrap();
    handshake(&client(&wild, &[]), &server, "shop.acme.com").unwrap_err();
    handshake(&client(&wild, &[]), &server, "a.b.acme.com").unwrap_err();
}

#[test]
fn a_renewed_certificate_serves_without_new_settings() {
    let (old, new) = (certificate(&["a.test"]), certificate(&["a.test"]));
    let slot = slot(&old);
    let server = chain(&Terminator::new().unwrap(), &[&slot]);
    handshake(&client(&old, &[]), &server, "a.test").unwrap();
    slot.set(&secret(&new), &Arc::default());
    handshake(&client(&new, &[]), &server, "a.test").unwrap();
    handshake(&client(&old, &[]), &server, "a.test").unwrap_err();
}

#[test]
fn without_a_certificate_the_handshake_fails() {
    let certificate = certificate(&["a.test"]);
    let slot = slot(&certificate);
    slot.clear();
    let server = chain(&Terminator::new().unwrap(), &[&slot]);
    handshake(&client(&certificate, &[]), &server, "a.test").unwrap_err();
}

#[test]
fn alpn_is_agreed_on_in_the_order_of_the_listener() {
    let certificate = certificate(&["a.test"]);
    let offered = ["h2".to_owned(), "http/1.1".to_owned()];
    let server = Terminator::new().unwrap().chain([slot(&certificate)].into(), &offered, None).unwrap();
    let connection = handshake(&client(&certificate, &["http/1.1", "h2"]), &server, "a.test").unwrap();
    assert_eq!(connection.alpn_protocol(), Some(&b"h2"[..]));
}

#[test]
fn a_session_is_resumed_after_the_listener_changed() {
    let certificate = certificate(&["a.test"]);
    let terminator = Terminator::new().unwrap();
    let client = client(&certificate, &[]);
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let server = chain(&terminator, &[&slot(&certificate)]);
        assert_eq!(handshake(&client, &server, "a.test").unwrap().handshake_kind(), Some(kind));
    }
}

#[test]
fn what_cannot_serve_is_refused_by_its_field_and_never_quoted() {
    let a = certificate(&["a.test"]);
    let error = |chain: &str, key: &str| {
        check(&TlsCertificate { chain: chain.into(), key: PrivateKey(key.into()) }).unwrap_err()
    };
    assert_eq!(error("", &a.key.0).problem, "holds no certificate");
    assert_eq!(error(&a.chain.repeat(33), &a.key.0).problem, "holds more than 32 certificates");
    assert_eq!(error(&a.key.0, &a.key.0).field, "tls_certificate.certificate_chain");
    let secret = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
    let refused = error(&a.chain, secret);
    assert_eq!(refused.field, "tls_certificate.private_key");
    assert!(!refused.to_string().contains("c2VjcmV0"));
    assert_eq!(error(&a.chain, &a.chain).field, "tls_certificate.private_key");
    let shown = format!("{:?}", slot(&a).get().unwrap());
    assert!(shown.contains("\"s\"") && !shown.contains("PRIVATE"), "{shown}");
}

/// A pair that does not belong together: each part by itself is whole.
fn mismatched() -> TlsCertificate {
    TlsCertificate { key: certificate(&["b.test"]).key, ..certificate(&["a.test"]) }
}

#[test]
fn a_key_of_another_certificate_is_found_when_a_handshake_needs_it() {
    let (pair, keys) = (mismatched(), Arc::<Keys>::default());
    assert_eq!(check(&pair), Ok(()));
    assert_eq!(parse(&pair).unwrap_err().problem, "does not belong to the first certificate of the chain");
    let slot = empty();
    slot.set(&secret(&pair), &keys);
    assert_eq!(keys.counts(), KeyCounts::default(), "nothing is parsed before it is needed");
    let chain = chain(&Terminator::new().unwrap(), &[&slot]);
    let honest = client(&certificate(&["a.test"]), &[]);
    for _ in 0..2 {
        handshake(&honest, &chain, "a.test").unwrap_err();
    }
    assert_eq!(keys.counts(), KeyCounts { held: 1, parsed: 1, evicted: 0, unusable: 1 }, "it is not parsed twice");
}

#[test]
fn a_bad_pair_does_not_take_the_place_of_a_certificate_in_use() {
    let (good, keys, slot) = (certificate(&["a.test"]), Arc::<Keys>::default(), empty());
    let chain = chain(&Terminator::new().unwrap(), &[&slot]);
    slot.set(&secret(&good), &keys);
    handshake(&client(&good, &[]), &chain, "a.test").unwrap();
    slot.set(&secret(&mismatched()), &keys);
    handshake(&client(&good, &[]), &chain, "a.test").unwrap();
    let renewed = certificate(&["a.test"]);
    slot.set(&secret(&renewed), &keys);
    assert_eq!(keys.counts().held, 1, "the renewed one is ready, the others are forgotten");
    handshake(&client(&renewed, &[]), &chain, "a.test").unwrap();
    assert_eq!(keys.counts(), KeyCounts { held: 1, parsed: 3, evicted: 0, unusable: 1 });
}

#[test]
fn a_key_that_was_given_up_is_parsed_again() {
    let keys = Arc::new(Keys::new(NonZeroUsize::MIN));
    let terminator = Terminator::new().unwrap();
    let sites = ["a.test", "b.test"].map(|name| {
        let (certificate, slot) = (certificate(&[name]), empty());
        slot.set(&secret(&certificate), &keys);
        (name, client(&certificate, &[]), chain(&terminator, &[&slot]))
    });
    for _ in 0..2 {
        for (name, client, chain) in &sites {
            handshake(client, chain, name).unwrap();
        }
    }
    assert_eq!(keys.counts(), KeyCounts { held: 1, parsed: 4, evicted: 3, unusable: 0 });
}
