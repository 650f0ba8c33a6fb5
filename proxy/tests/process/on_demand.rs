//! More certificates than the proxy holds.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName as Name};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use weir_config::bootstrap::{ProxyBootstrap, ProxyCertificates};
use weir_config::model::*;

use super::server::Server;
use super::{Running, backend, host, listener, until, world};

/// A secret of this name, for the host of this name.
fn secret(host: &str) -> Secret {
    let made = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
    let certificate = TlsCertificate { chain: made.cert.pem(), key: PrivateKey(made.signing_key.serialize_pem()) };
    Secret { name: host.into(), certificate }
}

/// A server whose one listener ends TLS for these hosts, each with a certificate of its own.
fn serve(secrets: &[Secret]) -> Snapshot {
    let mut world = world(backend("one"));
    let Resource::Listener(plain) = listener() else { panic!("a listener") };
    let chains = secrets.iter().map(|secret| FilterChain {
        name: secret.name.clone(),
        server_names: vec![ServerName::Exact(secret.name.clone())],
        tls: Some(DownstreamTls { secrets: vec![secret.name.clone()], alpn: vec![], clients: None }),
        ..plain.chains[0].clone()
    });
    world.insert(Listener { chains: chains.collect(), ..(*plain).clone() }.into());
    for secret in secrets {
        world.insert(secret.clone().into());
        world.insert(host(&secret.name, "a", PathMatch::Prefix("/".into())));
    }
    world
}

/// The answer for a secret's host, if its certificate was shown.
fn get(proxy: &Running, secret: &Secret) -> Result<String, std::io::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(secret.certificate.chain.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let session = ClientConnection::new(Arc::new(config), Name::try_from(secret.name.clone()).unwrap()).unwrap();
    let stream = TcpStream::connect(proxy.listener).unwrap();
    stream.set_read_timeout(Some(super::PATIENCE)).unwrap();
    let mut stream = StreamOwned::new(session, stream);
    stream.write_all(format!("GET / HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", secret.name).as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn serves(proxy: &Running, secret: &Secret) -> bool {
    get(proxy, secret).is_ok_and(|answer| answer.ends_with("\r\n\r\none"))
}

fn figure(proxy: &Running, series: &str) -> u64 {
    let page = proxy.admin("/stats/prometheus").1;
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in {page}")).parse().unwrap()
}

/// Held, fetched for handshakes, given up for others, refused.
fn figures(proxy: &Running) -> [u64; 4] {
    [
        "weir_xds_resources_active{type=\"Secret\"}",
        "weir_tls_certificates_fetched_total",
        "weir_tls_certificates_evicted_total",
        "weir_tls_handshakes_refused_total",
    ]
    .map(|series| figure(proxy, series))
}

fn holding(held: usize) -> ProxyBootstrap {
    let certificates = ProxyCertificates { held, ..ProxyCertificates::default() };
    ProxyBootstrap { certificates, ..ProxyBootstrap::default() }
}

#[test]
fn a_certificate_beyond_the_bound_is_fetched_by_the_first_handshake_that_needs_it() {
    let (state, secrets) = (tempfile::tempdir().unwrap(), ["a.test", "b.test"].map(secret));
    let [a, b] = &secrets;
    let server = Server::start(serve(&secrets));
    let address = server.address;
    let proxy = Running::start_as(holding(1), address, state.path());
    until("the first by name is there", || figures(&proxy) == [1, 0, 0, 0]);
    assert!(serves(&proxy, a));
    assert_eq!(figures(&proxy), [1, 0, 0, 0]);
    assert!(serves(&proxy, b), "it is fetched");
    assert_eq!(figures(&proxy), [1, 1, 1, 0]);
    assert!(serves(&proxy, a), "and this one again");
    assert_eq!(figures(&proxy), [1, 2, 2, 0]);

    let renewed = Secret { name: a.name.clone(), ..secret("a.test") };
    server.edit(|world| world.insert(renewed.clone().into()));
    until("a renewed certificate serves", || serves(&proxy, &renewed));

    drop(server);
    until("the proxy knows that its server is gone", || figure(&proxy, "weir_control_plane_connected_state") == 0);
    assert!(serves(&proxy, &renewed), "what is held serves without a server");
    let refused = get(&proxy, b).unwrap_err().to_string();
    assert!(refused.contains("AccessDenied"), "{refused}");
    assert_eq!(figures(&proxy), [1, 2, 2, 1]);
    let _server = Server::start_at(address, serve(&secrets));
    until("the server is back", || serves(&proxy, b));
}

#[test]
fn handshakes_that_need_one_place_wait_for_each_other() {
    let (state, secrets) = (tempfile::tempdir().unwrap(), ["a.test", "b.test", "c.test"].map(secret));
    let server = Server::start(serve(&secrets));
    let proxy = Running::start_as(holding(1), server.address, state.path());
    thread::scope(|scope| {
        for secret in secrets.iter().chain(&secrets) {
            scope.spawn(|| {
                for _ in 0..5 {
                    get(&proxy, secret).unwrap();
                }
            });
        }
    });
    assert_eq!(figures(&proxy)[3], 0, "none was refused");
}

#[test]
fn a_secret_that_does_not_exist_is_not_waited_for() {
    let (state, secrets) = (tempfile::tempdir().unwrap(), ["a.test", "b.test"].map(secret));
    let mut world = serve(&secrets);
    world.remove(ResourceType::Secret, "b.test");
    let server = Server::start(world);
    let proxy = Running::start_as(holding(2), server.address, state.path());
    until("ready", || proxy.admin("/ready").0 == 200);
    assert!(get(&proxy, &secrets[1]).unwrap_err().to_string().contains("AccessDenied"));
    assert!(serves(&proxy, &secrets[0]));
}
