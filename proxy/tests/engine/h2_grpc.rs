//! gRPC through the proxy, and WebSocket over HTTP/2.

use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use weir_config::model::{Forward, Route, RouteAction, Split};
use weir_proxy::meter::Metric;

use crate::h2_support::{Endpoint, Respond, body, connect, proxy_to, run, run_local, send, until};
use crate::support::{Backend, Proxy, Setup, eventually, route};

/// A call of gRPC's.
fn call(path: &str) -> http::request::Builder {
    Request::post(format!("http://a{path}")).header("content-type", "application/grpc").header("te", "trailers")
}

/// A message of gRPC's: not compressed, with its length.
fn message(text: &str) -> Bytes {
    let mut bytes = vec![0];
    bytes.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
    bytes.into()
}

fn unlimited(prefix: &str) -> Route {
    let forward = Forward { timeout: Some(Duration::ZERO), ..Forward::to(Split::One("c".into())) };
    Route { action: RouteAction::Forward(forward), ..route(prefix, "c") }
}

#[test]
fn refusals_are_trailers_only_with_the_status_that_stands_for_theirs() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = Proxy::with(Setup { routes: vec![route("/known", "c")], ..Setup::default() }, &[closed]);
    run(async {
        let mut client = connect(&proxy).await;
        for (path, status) in [("/unknown", "12"), ("/known", "14")] {
            let (response, _) = client.send_request(call(path).body(()).unwrap(), false).unwrap();
            let response = response.await.unwrap();
            assert_eq!(response.status(), 200);
            assert!(response.body().is_end_stream(), "trailers only");
            assert_eq!(response.headers()["grpc-status"], status);
            assert_eq!(response.headers()["content-type"], "application/grpc");
            assert!(!response.headers().contains_key("content-length"));
        }
    });
    let codes: Vec<_> = (0..2).map(|_| proxy.logged()["response_code"].clone()).collect();
    assert_eq!(codes, [404, 503], "the log says what happened in HTTP's terms");
}

#[test]
fn a_deadline_of_the_client_is_kept_and_answered_as_one() {
    run_local(async {
        let endpoint = Endpoint::new().await;
        let setup = Setup { routes: vec![unlimited("/")], ..Setup::default() };
        let proxy = proxy_to(setup, &[endpoint.address]);
        tokio::task::spawn_local(async move {
            let mut connection = endpoint.accept(&h2::server::Builder::new()).await;
            let mut held = Vec::new();
            while let Some(Ok(asked)) = connection.accept().await {
                held.push(asked);
            }
        });
        let mut client = connect(&proxy).await;
        let request = call("/slow").header("grpc-timeout", "50m").body(()).unwrap();
        let (response, _stream) = client.send_request(request, false).unwrap();
        let response = response.await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["grpc-status"]),
            (200, &HeaderValue::from_static("4"))
        );
        let line = proxy.logged();
        assert_eq!((&line["response_flags"], &line["response_code"]), (&"UT".into(), &504.into()));
    });
}

#[test]
fn messages_stream_both_ways_while_the_call_is_open() {
    run_local(async {
        let address =
            Endpoint::new().await.serve(|mut request: Request<h2::RecvStream>, mut respond: Respond| async move {
                let response = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
                let mut stream = respond.send_response(response, false).unwrap();
                while let Some(chunk) = request.body_mut().data().await {
                    let chunk = chunk.unwrap();
                    request.body_mut().flow_control().release_capacity(chunk.len()).unwrap();
                    send(&mut stream, chunk, false).await.unwrap();
                }
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                trailers.insert("grpc-message", HeaderValue::from_static("well done"));
                stream.send_trailers(trailers).unwrap();
            });
        let proxy = proxy_to(Setup { routes: vec![unlimited("/")], ..Setup::default() }, &[address]);
        let mut client = connect(&proxy).await;
        let (response, mut stream) = client.send_request(call("/chat").body(()).unwrap(), false).unwrap();
        let (_, mut answers) = response.await.unwrap().into_parts();
        for n in 0..1000 {
            let message = message(&format!("message {n}"));
            send(&mut stream, message.clone(), false).await.unwrap();
            let mut came = Vec::new();
            while came.len() < message.len() {
                let chunk = answers.data().await.unwrap().unwrap();
                answers.flow_control().release_capacity(chunk.len()).unwrap();
                came.extend_from_slice(&chunk);
            }
            assert_eq!(came, message);
        }
        stream.send_data(Bytes::new(), true).unwrap();
        let (rest, trailers) = body(&mut answers).await.unwrap();
        let trailers = trailers.unwrap();
        assert_eq!((rest.len(), &trailers["grpc-status"]), (0, &HeaderValue::from_static("0")));
        assert_eq!(trailers["grpc-message"], "well done");
    });
}

/// Asks for a WebSocket, once the proxy has said that it knows how.
pub(crate) async fn web_socket(client: &mut SendRequest<Bytes>) -> (h2::client::ResponseFuture, h2::SendStream<Bytes>) {
    until("SETTINGS_ENABLE_CONNECT_PROTOCOL", || client.is_extended_connect_protocol_enabled().then_some(())).await;
    let request = Request::builder()
        .method(Method::CONNECT)
        .uri("http://a/chat")
        .header("sec-websocket-version", "13")
        .extension(h2::ext::Protocol::from_static("websocket"));
    client.send_request(request.body(()).unwrap(), false).unwrap()
}

#[test]
fn a_web_socket_over_http_2_is_an_upgrade_to_the_endpoint() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    run(async {
        let mut client = connect(&proxy).await;
        let (response, mut stream) = web_socket(&mut client).await;
        let mut upstream = until("connection", || backend.pending()).await;
        let head = upstream.head();
        assert!(head.starts_with("GET /chat HTTP/1.1\r\nhost: a\r\n"), "{head}");
        for line in ["\r\nconnection: upgrade\r\n", "\r\nupgrade: websocket\r\n", "\r\nsec-websocket-version: 13\r\n"] {
            assert!(head.contains(line), "{line:?} in {head}");
        }
        let key = head.split("\r\nsec-websocket-key: ").nth(1).unwrap().split("\r\n").next().unwrap();
        assert!(key.len() == 24 && key.ends_with("=="), "{key}");
        upstream.send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: x\r\n\r\nhello");
        let response = response.await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(
            !response.headers().contains_key("sec-websocket-accept") && !response.headers().contains_key("upgrade")
        );
        let mut incoming = response.into_body();
        assert_eq!(incoming.data().await.unwrap().unwrap(), "hello");
        send(&mut stream, Bytes::from_static(b"from the client"), false).await.unwrap();
        let came = tokio::task::spawn_blocking(move || (upstream.exactly(15), upstream)).await.unwrap();
        assert_eq!(came.0, b"from the client");
        // Each side ends its own way.
        stream.send_data(Bytes::new(), true).unwrap();
        let upstream = tokio::task::spawn_blocking(move || {
            let mut upstream = came.1;
            assert_eq!(upstream.rest().0, b"");
            upstream
        });
        drop(upstream.await.unwrap());
        assert_eq!(body(&mut incoming).await.unwrap().0, b"");
    });
    let bytes = |metric| eventually("bytes of the tunnel", || Some(proxy.total(metric)).filter(|n| *n > 0));
    assert_eq!((bytes(Metric::TunnelRequestBytes), bytes(Metric::TunnelResponseBytes)), (15, 5));
    assert_eq!(proxy.logged()["response_code"], 101);
}

#[test]
fn an_answer_that_is_no_upgrade_opens_no_tunnel() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    for (answer, expected) in [("200 OK", 502), ("403 Forbidden", 403)] {
        run(async {
            let mut client = connect(&proxy).await;
            let (response, _stream) = web_socket(&mut client).await;
            let mut upstream = until("connection", || backend.pending()).await;
            upstream.head();
            upstream.send(format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"));
            assert_eq!(response.await.unwrap().status(), expected);
        });
    }
}
