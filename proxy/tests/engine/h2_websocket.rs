//! WebSocket toward endpoints that speak HTTP/2 (RFC 8441), with clients of both kinds.

use std::cell::Cell;
use std::rc::Rc;

use bytes::Bytes;
use h2::Reason;
use h2::server::Builder;
use http::{HeaderMap, Method, Request, Response};
use weir_proxy::meter::Metric;

use crate::h2_grpc::web_socket;
use crate::h2_support::{Endpoint, Respond, body, connect, proxy_to, run_local, send};
use crate::support::{Conn, Proxy, Setup, eventually, field, get, status};

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/// What RFC 6455 section 1.3 says that this key is answered with.
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// An endpoint that takes tunnels and answers each with `answer`.
async fn endpoint<F>(answer: impl Fn(Request<h2::RecvStream>, Respond) -> F + Clone + 'static) -> Proxy
where
    F: Future<Output = ()> + 'static,
{
    let endpoint = Endpoint::new().await;
    let proxy = proxy_to(Setup::default(), &[endpoint.address]);
    tokio::task::spawn_local(async move {
        loop {
            let mut connection = endpoint.accept(Builder::new().enable_connect_protocol()).await;
            let answer = answer.clone();
            tokio::task::spawn_local(async move {
                while let Some(Ok((request, respond))) = connection.accept().await {
                    tokio::task::spawn_local(answer(request, respond));
                }
            });
        }
    });
    proxy
}

fn names(headers: &HeaderMap) -> Vec<&str> {
    headers.keys().map(http::HeaderName::as_str).collect()
}

/// Checks what a request for a WebSocket says, greets, and sends back what comes until that ends.
async fn echo(request: Request<h2::RecvStream>, mut respond: Respond) {
    let (head, mut incoming) = request.into_parts();
    assert_eq!((head.method, head.uri.to_string().as_str()), (Method::CONNECT, "http://a/chat"));
    assert_eq!(head.extensions.get::<h2::ext::Protocol>().map(h2::ext::Protocol::as_str), Some("websocket"));
    assert_eq!(head.headers["sec-websocket-version"], "13");
    for gone in ["sec-websocket-key", "upgrade", "connection"] {
        assert!(!head.headers.contains_key(gone), "{gone} in {:?}", names(&head.headers));
    }
    let response = Response::builder().header("x-by", "echo").body(()).unwrap();
    let mut stream = respond.send_response(response, false).unwrap();
    send(&mut stream, Bytes::from_static(b"hello"), false).await.unwrap();
    while let Some(chunk) = incoming.data().await {
        let chunk = chunk.unwrap();
        let _ = incoming.flow_control().release_capacity(chunk.len());
        send(&mut stream, chunk, false).await.unwrap();
    }
    send(&mut stream, Bytes::from_static(b"bye"), true).await.unwrap();
}

/// An HTTP/1.1 client, off the test's thread.
async fn http1<T: Send + 'static>(proxy: &Proxy, work: impl FnOnce(Conn) -> T + Send + 'static) -> T {
    let conn = proxy.connect();
    tokio::task::spawn_blocking(move || work(conn)).await.unwrap()
}

fn tunnelled(proxy: &Proxy) -> (u64, u64) {
    let bytes = |metric| eventually("bytes of the tunnel", || Some(proxy.total(metric)).filter(|n| *n > 0));
    (bytes(Metric::TunnelRequestBytes), bytes(Metric::TunnelResponseBytes))
}

#[test]
fn an_upgrade_of_http_1_1_is_an_extended_connect_to_the_endpoint() {
    run_local(async {
        let proxy = endpoint(echo).await;
        let head = http1(&proxy, |mut client| {
            client.send(UPGRADE);
            let head = client.head();
            assert_eq!(client.exactly(5), b"hello");
            client.send("ping");
            assert_eq!(client.exactly(4), b"ping");
            client.end();
            assert_eq!(client.rest(), (b"bye".to_vec(), true), "each side ends by itself");
            head
        });
        let head = head.await;
        assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
        assert_eq!((field(&head, "upgrade"), field(&head, "connection")), (vec!["websocket"], vec!["upgrade"]));
        assert_eq!((field(&head, "sec-websocket-accept"), field(&head, "x-by")), (vec![ACCEPT], vec!["echo"]));
        assert_eq!(tunnelled(&proxy), (4, 12));
        assert_eq!(proxy.total(Metric::RequestBytes), UPGRADE.len() as u64);
        assert_eq!(proxy.logged()["response_code"], 101);
    });
}

#[test]
fn an_extended_connect_goes_on_as_one() {
    run_local(async {
        let proxy = endpoint(echo).await;
        let mut client = connect(&proxy).await;
        let (response, mut stream) = web_socket(&mut client).await;
        let (head, mut incoming) = response.await.unwrap().into_parts();
        assert_eq!((head.status.as_u16(), &head.headers["x-by"]), (200, &http::HeaderValue::from_static("echo")));
        assert!(!head.headers.contains_key("sec-websocket-accept") && !head.headers.contains_key("upgrade"));
        send(&mut stream, Bytes::from_static(b"ping"), true).await.unwrap();
        assert_eq!(body(&mut incoming).await.unwrap().0, b"hellopingbye");
        assert_eq!(tunnelled(&proxy), (4, 12));
    });
}

#[test]
fn an_endpoint_that_announced_no_tunnels_is_sent_none() {
    run_local(async {
        let asked = Rc::<Cell<usize>>::default();
        let count = asked.clone();
        let address = Endpoint::new().await.serve(move |_, mut respond: Respond| {
            count.set(count.get() + 1);
            async move {
                respond.send_response(Response::new(()), true).unwrap();
            }
        });
        let proxy = proxy_to(Setup::default(), &[address]);
        // On a connection whose settings have not come, and on one where it is known.
        for _ in 0..2 {
            let refused = http1(&proxy, |mut client| {
                client.send(UPGRADE);
                client.head()
            });
            assert_eq!(status(&refused.await), 502);
            let log = proxy.logged();
            assert_eq!(
                (&log["response_flags"], &log["response_code_details"]),
                (&"UPE".into(), &"no_extended_connect".into())
            );
        }
        assert_eq!(asked.get(), 0);
        // What is no WebSocket may be answered without an upgrade (RFC 9110 section 7.8).
        let plain = http1(&proxy, |mut client| {
            client.send(UPGRADE.replace("websocket\r\n", "other\r\n"));
            let head = client.head();
            client.send(get("/"));
            (head, client.head())
        });
        let (plain, next) = plain.await;
        assert_eq!((status(&plain), status(&next), asked.get()), (200, 200, 2));
        assert_eq!(proxy.stats.totals().upstream_connections, 1, "the connection serves on");
    });
}

#[test]
fn an_endpoint_may_decline_and_the_client_goes_on() {
    run_local(async {
        let proxy = endpoint(|request, mut respond: Respond| async move {
            let status = if request.method() == Method::CONNECT { 403 } else { 200 };
            let mut stream =
                respond.send_response(Response::builder().status(status).body(()).unwrap(), false).unwrap();
            // The request has no further part: its stream ends on both ways.
            let (_, mut incoming) = request.into_parts();
            assert_eq!(body(&mut incoming).await.unwrap().0, b"");
            stream.send_data(Bytes::from_static(b"word"), true).unwrap();
        })
        .await;
        let (head, next) = http1(&proxy, |mut client| {
            client.send(UPGRADE);
            let head = client.head();
            client.until(b"0\r\n\r\n");
            client.send(get("/"));
            (head, client.head())
        })
        .await;
        assert_eq!((status(&head), status(&next)), (403, 200));
        assert!(field(&head, "sec-websocket-accept").is_empty());
    });
}

#[test]
fn a_tunnel_that_the_endpoint_breaks_ends_for_the_client_and_the_other_way_round() {
    run_local(async {
        let seen = Rc::<Cell<Option<Reason>>>::default();
        let see = seen.clone();
        let proxy = endpoint(move |request, mut respond: Respond| {
            let see = see.clone();
            async move {
                let mut stream = respond.send_response(Response::new(()), false).unwrap();
                let (_, mut incoming) = request.into_parts();
                match incoming.data().await {
                    Some(Ok(_)) => stream.send_reset(Reason::INTERNAL_ERROR),
                    Some(Err(error)) => see.set(error.reason()),
                    None => {}
                }
            }
        })
        .await;
        let open = |mut client: Conn| {
            client.send(UPGRADE);
            assert_eq!(status(&client.head()), 101);
            client
        };
        http1(&proxy, move |client| {
            let mut client = open(client);
            client.send("x");
            client.rest();
        })
        .await;
        // The client's stream of HTTP/2 is reset: so is the endpoint's.
        let mut client = connect(&proxy).await;
        let (response, mut stream) = web_socket(&mut client).await;
        assert_eq!(response.await.unwrap().status(), 200);
        stream.send_reset(Reason::CANCEL);
        crate::h2_support::until("reset", || seen.take()).await;
    });
}
