//! What certificates that nobody asks for cost, and what they cost when everybody does.

use std::num::NonZeroUsize;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, SignatureAlgorithm};
use weir_config::model::{
    Delta, DownstreamTls, FilterChain, Listener, Network, PrivateKey, Resource, Secret, ServerName, TlsCertificate,
};
use weir_proxy::live::Live;
use weir_proxy::meter::Meter;
use weir_proxy::tls::Keys;

use crate::support::http;

const CERTIFICATES: usize = 10_000;

/// Memory of this process, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    4096 * statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap()
}

fn chain(name: &str) -> FilterChain {
    let tls = DownstreamTls { secrets: vec![name.into()], alpn: vec!["h2".into(), "http/1.1".into()], clients: None };
    FilterChain {
        name: name.into(),
        server_names: vec![ServerName::Exact(name.into())],
        tls: Some(tls),
        passthrough: false,
        network: Network::Http(http()),
    }
}

/// Bytes that each of many certificates takes, beside its text: as it came, and after a handshake with each.
fn measure(algorithm: &'static SignatureAlgorithm) -> (usize, usize) {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let made = CertificateParams::new(vec!["a.test".to_owned()]).unwrap().self_signed(&key).unwrap();
    let certificate = TlsCertificate { chain: made.pem(), key: PrivateKey(key.serialize_pem()) };
    let name = |number: usize| format!("host-{number}.test");
    let secrets = (0..CERTIFICATES).map(|n| Secret { name: name(n), certificate: certificate.clone() }.into());
    let secrets: Vec<Resource> = secrets.collect();
    let chains = (0..CERTIFICATES).map(|number| chain(&name(number))).collect();
    let listener = Listener { name: "l".into(), address: ([127, 0, 0, 1], 0).into(), chains, udp: None }.into();

    let keys = Arc::new(Keys::new(NonZeroUsize::MAX));
    let mut live = Live::bounded(Arc::new(Meter::new(1)), keys.clone(), Arc::default()).unwrap();
    live.apply(&Delta { upserts: vec![listener], removals: Vec::new() });
    let before = resident();
    live.apply(&Delta { upserts: secrets, removals: Vec::new() });
    let idle = resident();
    assert_eq!(keys.counts().held, 0, "no key is parsed before it is needed");
    for chain in &live.listeners().borrow()["l"].chains {
        let tls = chain.tls.as_ref().unwrap();
        tls.config(&tls.here(), None);
    }
    assert_eq!(keys.counts().held as usize, CERTIFICATES);
    let each = |from: usize, to: usize| to.saturating_sub(from) / CERTIFICATES;
    (each(before, idle), each(before, resident()))
}

#[test]
#[ignore = "a measurement: cargo nextest run -p weir-proxy --run-ignored only -E 'test(/many_certificates/)' --no-capture"]
fn ten_thousand_certificates_take_little_before_they_are_used() {
    for (name, algorithm) in [("ECDSA P-256", &PKCS_ECDSA_P256_SHA256), ("RSA 2048", &PKCS_RSA_SHA256)] {
        let (idle, used) = measure(algorithm);
        println!("{name}: {idle} bytes each beside the text, {used} once its key is parsed");
        assert!(idle < 512, "{idle} bytes");
    }
}
