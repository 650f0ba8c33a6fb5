//! Who gets in, tried at a real port: each way to prove oneself, and each attempt that must fail.

use std::io::Write;
use std::sync::Mutex;
use std::time::SystemTime;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType,
};
use serde_json::{Value, json};
use tonic::metadata::MetadataValue;
use tonic::transport::{Certificate as Pem, ClientTlsConfig, Identity};
use tonic::{Code, Status};
use weir_config::bootstrap::{Issuer, ServerTls};

use super::*;

const OPAQUE: &str = "not authenticated: the server's log has the reason";
const PATIENCE: Duration = Duration::from_secs(60);

/// What the server logs, for a test that is a process of its own.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// What has been logged since the last call.
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

/// A certificate authority and what it signs.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Certificate and key, PEM.
    fn issue(&self, name: SanType, lives: Duration) -> (String, String) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![name];
        params.not_after = (SystemTime::now() + lives).into();
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    fn client(&self, account: &str, lives: Duration) -> Identity {
        let uri = format!("spiffe://platform.test/{account}");
        let (certificate, key) = self.issue(SanType::URI(uri.as_str().try_into().unwrap()), lives);
        Identity::from_pem(certificate, key)
    }
}

/// An issuer of tokens, with its key set in a file.
struct Tokens {
    pair: KeyPair,
}

impl Tokens {
    fn new() -> Self {
        Self { pair: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap() }
    }

    fn key(&self) -> EncodingKey {
        EncodingKey::from_ec_pem(self.pair.serialize_pem().as_bytes()).unwrap()
    }

    fn set(&self, id: &str) -> Value {
        let key = jsonwebtoken::jwk::Jwk::from_encoding_key(&self.key(), Algorithm::ES256).unwrap();
        let mut key = serde_json::to_value(key).unwrap();
        key["kid"] = id.into();
        json!({"keys": [key]})
    }

    fn sign(&self, id: &str, claims: &Value) -> String {
        let header = Header { kid: Some(id.into()), ..Header::new(Algorithm::ES256) };
        encode(&header, claims, &self.key()).unwrap()
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// What a token of `account` says, that lives for so many seconds.
fn claims(account: &str, lives: i64) -> Value {
    let (namespace, name) = account.split_once('/').unwrap();
    json!({
        "iss": "https://cluster.test", "sub": format!("system:serviceaccount:{namespace}:{name}"), "aud": ["weir"],
        "nbf": now() - 600, "exp": now().checked_add_signed(lives).unwrap(),
        "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name}},
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims("weir-system/weir-edge", 600);
    claims[name] = value;
    claims
}

/// A server with everything: TLS, an issuer, client certificates, two classes, an operator.
struct Place {
    server: Running,
    tokens: Tokens,
    clients: Authority,
    ca: String,
    log: Log,
}

impl Place {
    async fn start() -> Self {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        // Another test of this process may have set one; then nothing is said here, and the test shows it.
        let _ = tracing::subscriber::set_global_default(subscriber);
        let (tokens, clients, authority) = (Tokens::new(), Authority::new(), Authority::new());
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let (certificate, key) =
            authority.issue(SanType::DnsName("weir-server".try_into().unwrap()), Duration::from_secs(3600));
        let mut bootstrap = ServerBootstrap::parse(
            "source: {directory: unused}\noperators: [weir-system/oncall]\nproxyClasses:\n\
             - {name: edge, serviceAccount: weir-system/weir-edge}\n\
             - {name: silo, serviceAccount: acme-edge/weir-edge, gateways: ['acme-edge/*']}\n",
        )
        .unwrap();
        let here = local(folder.path());
        (bootstrap.state_dir, bootstrap.xds, bootstrap.admin) = (here.state_dir, here.xds, here.admin);
        bootstrap.xds.tls =
            Some(ServerTls { certificate_file: file("server.crt", &certificate), key_file: file("server.key", &key) });
        bootstrap.authentication.issuers = vec![Issuer {
            issuer: "https://cluster.test".into(),
            keys_file: file("keys.json", &tokens.set("k1").to_string()),
        }];
        bootstrap.authentication.client_ca_file = Some(file("clients.crt", &clients.0.pem()));
        let server = start_with(bootstrap, folder).await;
        server.batches.send(super::batch()).await.unwrap();
        Self { server, tokens, clients, ca: authority.0.pem(), log }
    }

    fn token(&self, account: &str, lives: i64) -> String {
        self.tokens.sign("k1", &claims(account, lives))
    }

    /// Opens a stream with this `authorization` and this client certificate, and asks for something.
    async fn open(&self, authorization: Option<&str>, identity: Option<Identity>) -> Result<Stream, Status> {
        let mut tls = ClientTlsConfig::new().ca_certificate(Pem::from_pem(&self.ca)).domain_name("weir-server");
        if let Some(identity) = identity {
            tls = tls.identity(identity);
        }
        let url = format!("https://{}", self.server.addresses.xds);
        let channel = tonic::transport::Endpoint::try_from(url).unwrap().tls_config(tls).unwrap();
        let mut client = AggregatedDiscoveryServiceClient::new(channel.connect().await.unwrap());
        let (requests, outbound) = mpsc::channel(8);
        let first = DeltaDiscoveryRequest {
            node: Some(Node { id: "edge-1".into(), client_features: vec![FEATURE_VHDS.into()], ..Node::default() }),
            type_url: ResourceType::FilterConfig.url().to_owned(),
            resource_names_subscribe: vec!["*".to_owned()],
            ..DeltaDiscoveryRequest::default()
        };
        requests.send(first).await.unwrap();
        let mut request = tonic::Request::new(ReceiverStream::new(outbound));
        if let Some(value) = authorization {
            request.metadata_mut().insert("authorization", MetadataValue::try_from(value).unwrap());
        }
        let mut responses = client.delta_aggregated_resources(request).await?.into_inner();
        responses.message().await?;
        Ok(Stream { _requests: requests, responses })
    }

    async fn bearer(&self, token: &str) -> Result<Stream, Status> {
        self.open(Some(&format!("Bearer {token}")), None).await
    }

    /// Puts another file in the place of one that the server reads.
    fn replace(&self, name: &str, text: &str) {
        let next = self.server.folder.path().join("next");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(next, self.server.folder.path().join(name)).unwrap();
    }
}

#[derive(Debug)]
struct Stream {
    _requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: tonic::Streaming<DeltaDiscoveryResponse>,
}

impl Stream {
    /// Waits for its end: the status, and how long it took.
    async fn end(mut self) -> (Status, Duration) {
        let begun = std::time::Instant::now();
        let ended = async {
            loop {
                match self.responses.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("the stream ended without a status"),
                    Err(status) => return status,
                }
            }
        };
        (tokio::time::timeout(PATIENCE, ended).await.expect("the stream ends"), begun.elapsed())
    }

    /// It must still be open.
    async fn assert_open(&mut self) {
        let message = tokio::time::timeout(Duration::from_millis(10), self.responses.message()).await;
        assert!(message.is_err(), "the stream ended or said something: {message:?}");
    }
}

#[tokio::test]
async fn each_way_in_and_each_attempt_that_must_fail() {
    let place = Place::start().await;
    let edge = "weir-system/weir-edge";

    for account in [edge, "acme-edge/weir-edge", "acme-shop/default"] {
        place.bearer(&place.token(account, 600)).await.unwrap_or_else(|status| panic!("{account}: {status}"));
    }
    let certificate = || place.clients.client("ns/weir-system/sa/weir-edge", Duration::from_secs(600));
    place.open(None, Some(certificate())).await.expect("a client certificate");
    let token = place.token(edge, 600);
    place.open(Some(&format!("bEaReR {token}")), None).await.expect("the scheme's case means nothing");

    let right = place.token(edge, 600);
    let parts: Vec<&str> = right.split('.').collect();
    let other = Tokens::new();
    let public = place.tokens.pair.public_key_pem();
    let hmac = |secret: &[u8]| {
        let header = Header { kid: Some("k1".into()), ..Header::new(Algorithm::HS256) };
        encode(&header, &claims(edge, 600), &EncodingKey::from_secret(secret)).unwrap()
    };
    // {"alg":"none"} and {"alg":"none","kid":"k1"}
    let (none, named_none) = ("eyJhbGciOiJub25lIn0", "eyJhbGciOiJub25lIiwia2lkIjoiazEifQ");
    let signed = |claims: &Value| place.tokens.sign("k1", claims);
    let attempts: Vec<(&str, Option<String>, &str)> = vec![
        ("nothing", None, "no token"),
        ("another scheme", Some(format!("Basic {right}")), "not one `Bearer"),
        ("no scheme", Some(right.clone()), "not one `Bearer"),
        ("an empty token", Some("Bearer ".into()), "cannot be read"),
        ("noise", Some("Bearer noise".into()), "cannot be read"),
        ("for others", Some(signed(&with("aud", json!(["kubernetes"])))), "meant for \"kubernetes\""),
        ("for nobody", Some(signed(&with("aud", json!([])))), "meant for"),
        ("expired", Some(place.token(edge, -1)), "ended at"),
        ("not yet valid", Some(signed(&with("nbf", json!(now() + 300)))), "begins only at"),
        ("without an end", Some(signed(&with("exp", Value::Null))), "cannot be read"),
        (
            "altered",
            Some(format!(
                "{}.{}.{}",
                parts[0],
                signed(&with("exp", json!(now() + 9999))).split('.').nth(1).unwrap(),
                parts[2]
            )),
            "signature is wrong",
        ),
        ("unsigned", Some(format!("{}.{}.", parts[0], parts[1])), "not signed"),
        ("alg none", Some(format!("{none}.{}.", parts[1])), "cannot be read"),
        ("alg none with a signature", Some(format!("{named_none}.{}.{}", parts[1], parts[2])), "cannot be read"),
        ("the public key as a secret, PEM", Some(hmac(public.as_bytes())), "algorithm"),
        ("the public key as a secret, raw", Some(hmac(place.tokens.pair.der_bytes())), "algorithm"),
        ("another's key under this id", Some(other.sign("k1", &claims(edge, 600))), "signature is wrong"),
        ("an id that is not there", Some(other.sign("k2", &claims(edge, 600))), "no key"),
        (
            "another issuer",
            Some(signed(&with("iss", json!("https://elsewhere.test")))),
            "no keys of its token's issuer",
        ),
        ("too long", Some(signed(&with("padding", json!("x".repeat(16 << 10))))), "more than any real one"),
        ("no service account's", Some(signed(&with("sub", json!("system:admin")))), "no service account"),
    ];
    let mut refused = attempts.len();
    for (what, token, reason) in attempts {
        place.log.take();
        let authorization = match what {
            "another scheme" | "no scheme" | "an empty token" | "noise" => token.clone(),
            _ => token.as_ref().map(|token| format!("Bearer {token}")),
        };
        let status = place.open(authorization.as_deref(), None).await.expect_err(what);
        assert_eq!((status.code(), status.message()), (Code::Unauthenticated, OPAQUE), "{what}");
        let log = place.log.take();
        assert!(log.contains(reason) && log.contains("a caller is refused"), "{what}: no `{reason}` in {log}");
        for part in token.iter().flat_map(|token| token.split(['.', ' '])).filter(|part| part.len() > 20) {
            assert!(!log.contains(part), "{what}: the log has a part of the token: {log}");
        }
    }

    // Known, and without a part here.
    place.log.take();
    let status = place.bearer(&place.token("weir-system/other", 600)).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::PermissionDenied, OPAQUE));
    let log = place.log.take();
    assert!(log.contains("weir-system/other") && log.contains("proxyClasses"), "{log}");

    let stranger = Authority::new();
    // With the one above, the two here, and the last.
    refused += 4;
    let attempts = [
        ("another authority", stranger.client("ns/weir-system/sa/weir-edge", Duration::from_secs(600))),
        ("no account's", place.clients.client("something", Duration::from_secs(600))),
    ];
    for (what, identity) in attempts {
        let status = place.open(None, Some(identity)).await.expect_err(what);
        assert_eq!((status.code(), status.message()), (Code::Unauthenticated, OPAQUE), "{what}");
        let log = place.log.take();
        assert!(log.contains("its certificate proves nothing"), "{what}: {log}");
    }
    // A token says who it is, whatever certificate the connection has.
    let wrong = format!("Bearer {}", other.sign("k1", &claims(edge, 600)));
    let status = place.open(Some(&wrong), Some(certificate())).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    let page = place.server.page("/stats/prometheus").await;
    let counts = page.lines().filter(|line| line.starts_with("weir_xds_callers_refused_total"));
    let counted: usize = counts.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum();
    assert_eq!(counted, refused, "each is counted, by its reason");
    place.server.finish().await;
}

#[tokio::test]
async fn streams_end_when_what_they_proved_does() {
    let place = Place::start().await;
    let edge = "weir-system/weir-edge";
    let mut lasting = place.bearer(&place.token(edge, 600)).await.unwrap();
    let short = place.bearer(&place.token(edge, 3)).await.unwrap();
    let certificate = place.clients.client("ns/weir-system/sa/weir-edge", Duration::from_secs(4));
    let certified = place.open(None, Some(certificate)).await.unwrap();
    for stream in [short, certified] {
        let (status, took) = stream.end().await;
        assert_eq!((status.code(), status.message()), (Code::Unauthenticated, OPAQUE));
        assert!(took < Duration::from_secs(30), "{took:?}");
    }
    lasting.assert_open().await;

    // The issuer takes its key back.
    let certificate = place.clients.client("ns/weir-system/sa/weir-edge", Duration::from_secs(600));
    let mut certified = place.open(None, Some(certificate)).await.unwrap();
    let next = Tokens::new();
    place.replace("keys.json", &next.set("k2").to_string());
    assert_eq!(lasting.end().await.0.code(), Code::Unauthenticated);
    assert_eq!(place.bearer(&place.token(edge, 600)).await.unwrap_err().code(), Code::Unauthenticated);
    place.bearer(&next.sign("k2", &claims(edge, 600))).await.expect("the next key counts");

    // A key set that cannot be read changes nothing.
    let mut lasting = place.bearer(&next.sign("k2", &claims(edge, 600))).await.unwrap();
    place.replace("keys.json", "{");

    // The authority of client certificates is replaced.
    certified.assert_open().await;
    place.replace("clients.crt", &Authority::new().0.pem());
    assert_eq!(certified.end().await.0.code(), Code::Unauthenticated);
    lasting.assert_open().await;
    place.server.finish().await;
}

#[tokio::test]
async fn the_certificate_of_the_port_rotates() {
    let mut place = Place::start().await;
    let token = place.token("weir-system/weir-edge", 600);
    let mut open = place.bearer(&token).await.unwrap();
    let next = Authority::new();
    let (certificate, key) = next.issue(SanType::DnsName("weir-server".try_into().unwrap()), Duration::from_secs(3600));
    // For a moment they do not fit; what was there stays.
    place.replace("server.crt", &certificate);
    place.replace("server.key", &key);
    place.ca = format!("{}{}", place.ca, next.0.pem());
    let only_next = next.0.pem();
    let url = format!("https://{}", place.server.addresses.xds);
    let rotated = async {
        loop {
            let tls = ClientTlsConfig::new().ca_certificate(Pem::from_pem(&only_next)).domain_name("weir-server");
            let endpoint = tonic::transport::Endpoint::try_from(url.clone()).unwrap().tls_config(tls).unwrap();
            if endpoint.connect().await.is_ok() {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, rotated).await.expect("the new certificate is served");
    open.assert_open().await;
    place.bearer(&token).await.expect("new connections use it");
    place.server.finish().await;
}
