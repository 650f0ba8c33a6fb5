//! An endpoint that speaks HTTP/2, with clients of both kinds.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, HeaderValue, Request, Response};

use crate::h2_support::{Endpoint, Respond, ask, body, connect, get, proxy_to, run_local, send, until};
use crate::support::{Conn, Setup, status};

/// Answers with what came: body and trailers.
async fn echo(mut request: Request<h2::RecvStream>, mut respond: Respond) {
    let (bytes, trailers) = body(request.body_mut()).await.unwrap();
    let said = |name: &str| request.headers().get(name).cloned().unwrap_or(HeaderValue::from_static("-"));
    let response = Response::builder()
        .header("x-path", request.uri().path())
        .header("x-authority", request.uri().authority().unwrap().as_str())
        .header("x-te", said("te"))
        .header("x-cookie", said("cookie"))
        .header("x-connection", said("connection"));
    let mut stream = respond.send_response(response.body(()).unwrap(), false).unwrap();
    send(&mut stream, bytes.into(), false).await.unwrap();
    match trailers {
        Some(trailers) => stream.send_trailers(trailers).unwrap(),
        None => stream.send_data(Bytes::new(), true).unwrap(),
    }
}

fn trailers(name: &'static str, value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(http::HeaderName::from_static(name), HeaderValue::from_static(value))])
}

/// An HTTP/1.1 client of the proxy's, off the test's thread.
async fn http1<T: Send + 'static>(proxy: &crate::support::Proxy, work: impl FnOnce(Conn) -> T + Send + 'static) -> T {
    let conn = proxy.connect();
    tokio::task::spawn_blocking(move || work(conn)).await.unwrap()
}

#[test]
fn from_http_2_to_http_2_bodies_and_trailers_pass_both_ways() {
    run_local(async {
        let address = Endpoint::new().await.serve(echo);
        let proxy = proxy_to(Setup::default(), &[address]);
        let mut client = connect(&proxy).await;
        let mut request = Request::post("http://a.test/x").header("te", "trailers").body(()).unwrap();
        request.headers_mut().append("cookie", HeaderValue::from_static("a=1"));
        request.headers_mut().append("cookie", HeaderValue::from_static("b=2"));
        let (response, mut stream) = client.send_request(request, false).unwrap();
        let large = vec![b'x'; 1_000_000];
        let answer = async {
            let (parts, mut stream) = response.await.unwrap().into_parts();
            (parts, body(&mut stream).await.unwrap())
        };
        let ask = async {
            send(&mut stream, large.clone().into(), false).await.unwrap();
            stream.send_trailers(trailers("x-sum", "7")).unwrap();
        };
        let ((parts, (bytes, came)), ()) = tokio::join!(answer, ask);
        assert_eq!(bytes.len(), large.len());
        assert_eq!(came.unwrap()["x-sum"], "7");
        let said = |name| parts.headers[name].to_str().unwrap();
        assert_eq!((said("x-path"), said("x-authority"), said("x-te")), ("/x", "a.test", "trailers"));
        assert_eq!((said("x-cookie"), said("x-connection")), ("a=1; b=2", "-"));
    });
}

#[test]
fn from_http_1_1_to_http_2_bodies_and_trailers_pass_both_ways() {
    run_local(async {
        let address = Endpoint::new().await.serve(echo);
        let proxy = proxy_to(Setup::default(), &[address]);
        let answer = http1(&proxy, |mut client| {
            client.send("POST /y HTTP/1.1\r\nhost: b.test\r\nte: trailers\r\nconnection: te\r\ntransfer-encoding: chunked\r\n\r\n");
            client.send("3\r\nabc\r\n3\r\ndef\r\n0\r\nx-sum:8\r\n\r\n");
            let head = client.head();
            (head, client.until(b"0\r\nx-sum: 8\r\n\r\n"))
        });
        let (head, chunks) = answer.await;
        assert!(head.contains("x-authority: b.test\r\n") && head.contains("x-te: trailers\r\n"), "{head}");
        let chunks = String::from_utf8(chunks).unwrap();
        assert!(chunks.contains("abc") && chunks.contains("def"), "{chunks}");
        // With a length, and on the same connections.
        let answer = http1(&proxy, |mut client| {
            client.send("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello");
            client.head();
            let body = client.until(b"0\r\n\r\n");
            client.send("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n");
            (body, client.head())
        });
        let (body, head) = answer.await;
        assert_eq!(body, b"5\r\nhello\r\n0\r\n\r\n");
        assert_eq!(status(&head), 200);
        assert_eq!(proxy.stats.totals().upstream_connections, 1, "all shared one connection");
    });
}

#[test]
fn an_answer_that_is_only_a_head_stays_one() {
    run_local(async {
        let address = Endpoint::new().await.serve(|_, mut respond: Respond| async move {
            let response = Response::builder().header("grpc-status", "5").body(()).unwrap();
            respond.send_response(response, true).unwrap();
        });
        let proxy = proxy_to(Setup::default(), &[address]);
        let mut client = connect(&proxy).await;
        let (response, _) = client.send_request(get("/"), true).unwrap();
        let response = response.await.unwrap();
        assert!(response.body().is_end_stream());
        assert_eq!(response.headers()["grpc-status"], "5");
        let head = http1(&proxy, |mut client| {
            client.send(crate::support::get("/"));
            client.head()
        });
        assert!(head.await.contains("content-length: 0\r\n"));
    });
}

#[test]
fn interim_responses_pass() {
    run_local(async {
        let address = Endpoint::new().await.serve(|_, mut respond: Respond| async move {
            let early = Response::builder().status(103).header("link", "</a>").body(()).unwrap();
            respond.send_informational(early).unwrap();
            respond.send_response(Response::new(()), true).unwrap();
        });
        let proxy = proxy_to(Setup::default(), &[address]);
        let mut client = connect(&proxy).await;
        let (mut response, _) = client.send_request(get("/"), true).unwrap();
        let early = poll_fn(|cx| response.poll_informational(cx)).await.unwrap().unwrap();
        assert_eq!((early.status().as_u16(), &early.headers()["link"]), (103, &HeaderValue::from_static("</a>")));
        assert_eq!(response.await.unwrap().status(), 200);
        let heads = http1(&proxy, |mut client| {
            client.send(crate::support::get("/"));
            (client.head(), client.head())
        });
        let (early, last) = heads.await;
        assert_eq!((status(&early), status(&last)), (103, 200));
    });
}

#[test]
fn a_connection_that_is_full_gets_a_second_one_beside_it() {
    run_local(async {
        let endpoint = Endpoint::new().await;
        let proxy = proxy_to(Setup::default(), &[endpoint.address]);
        let mut builder = h2::server::Builder::new();
        builder.max_concurrent_streams(2);
        let held = Rc::<RefCell<Vec<Respond>>>::default();
        let connections = Rc::<Cell<usize>>::default();
        let (collect, count) = (held.clone(), connections.clone());
        tokio::task::spawn_local(async move {
            loop {
                let mut connection = endpoint.accept(&builder).await;
                count.set(count.get() + 1);
                let collect = collect.clone();
                tokio::task::spawn_local(async move {
                    while let Some(Ok((_, respond))) = connection.accept().await {
                        collect.borrow_mut().push(respond);
                    }
                });
            }
        });
        let mut client = connect(&proxy).await;
        let mut asked = Vec::new();
        // One after the other, so that the endpoint's settings have come by the second.
        for n in 1..=5 {
            asked.push(client.send_request(get("/"), true).unwrap().0);
            until("stream", || (held.borrow().len() == n).then_some(())).await;
        }
        assert_eq!(connections.get(), 3, "five streams on connections of two");
        for mut respond in held.borrow_mut().drain(..) {
            respond.send_response(Response::new(()), true).unwrap();
        }
        for response in asked {
            assert_eq!(response.await.unwrap().status(), 200);
        }
        assert_eq!(proxy.stats.totals().upstream_connections, 3);
    });
}

#[test]
fn a_stream_that_the_endpoint_did_not_process_goes_to_another_connection() {
    run_local(async {
        let endpoint = Endpoint::new().await;
        let proxy = proxy_to(Setup::default(), &[endpoint.address]);
        let served = tokio::task::spawn_local(async move {
            let builder = h2::server::Builder::new();
            let mut first = endpoint.accept(&builder).await;
            let (_, mut respond) = first.accept().await.unwrap().unwrap();
            respond.send_response(Response::new(()), true).unwrap();
            drop(respond);
            let (_, mut refused) = first.accept().await.unwrap().unwrap();
            refused.send_reset(Reason::REFUSED_STREAM);
            tokio::task::spawn_local(async move { while first.accept().await.is_some() {} });
            let mut second = endpoint.accept(&builder).await;
            let (mut request, mut respond) = second.accept().await.unwrap().unwrap();
            tokio::task::spawn_local(async move {
                let (bytes, _) = body(request.body_mut()).await.unwrap();
                let response = Response::builder().header("x-got", bytes.len()).body(()).unwrap();
                respond.send_response(response, true).unwrap();
            });
            while second.accept().await.is_some() {}
        });
        let mut client = connect(&proxy).await;
        assert_eq!(ask(&mut client, get("/")).await.0.status(), 200);
        // A POST with a body: it has no effect twice, since it had none the first time.
        let (response, mut stream) = client.send_request(Request::post("http://a/").body(()).unwrap(), false).unwrap();
        send(&mut stream, Bytes::from_static(b"12345"), true).await.unwrap();
        let response = response.await.unwrap();
        assert_eq!((response.status().as_u16(), &response.headers()["x-got"]), (200, &HeaderValue::from_static("5")));
        drop(served);
    });
}

#[test]
fn an_endpoint_that_leaves_a_connection_gets_a_new_one_and_finishes_its_streams() {
    run_local(async {
        let endpoint = Endpoint::new().await;
        let proxy = proxy_to(Setup::default(), &[endpoint.address]);
        let mut client = connect(&proxy).await;
        let builder = h2::server::Builder::new();
        let (slow, _) = client.send_request(get("/slow"), true).unwrap();
        let mut first = endpoint.accept(&builder).await;
        let (_, mut respond) = first.accept().await.unwrap().unwrap();
        first.graceful_shutdown();
        tokio::task::spawn_local(async move { while first.accept().await.is_some() {} });
        let second = tokio::task::spawn_local(async move {
            let mut second = endpoint.accept(&builder).await;
            while let Some(Ok((_, mut respond))) = second.accept().await {
                respond.send_response(Response::builder().status(201).body(()).unwrap(), true).unwrap();
            }
        });
        // Sooner or later the proxy has heard of it; until then requests go on, none fails.
        loop {
            let asked = client.send_request(get("/next"), true).unwrap().0;
            if asked.await.unwrap().status() == 201 {
                break;
            }
        }
        respond.send_response(Response::new(()), true).unwrap();
        assert_eq!(slow.await.unwrap().status(), 200);
        drop(second);
    });
}

#[test]
fn resets_pass_both_ways() {
    run_local(async {
        let endpoint = Endpoint::new().await;
        let proxy = proxy_to(Setup::default(), &[endpoint.address]);
        let mut client = connect(&proxy).await;
        let builder = h2::server::Builder::new();
        let (asked, mut stream) = client.send_request(get("/1"), true).unwrap();
        let mut connection = endpoint.accept(&builder).await;
        let (_, mut given_up) = connection.accept().await.unwrap().unwrap();
        let (after_head, before_head) =
            (Rc::<RefCell<Option<Respond>>>::default(), Rc::<RefCell<Option<Respond>>>::default());
        let (one, two) = (after_head.clone(), before_head.clone());
        tokio::task::spawn_local(async move {
            while let Some(Ok((request, respond))) = connection.accept().await {
                *(if request.uri().path() == "/2" { &one } else { &two }).borrow_mut() = Some(respond);
            }
        });
        // The client's reset is the endpoint's.
        stream.send_reset(Reason::CANCEL);
        drop(asked);
        let seen = poll_fn(|cx| given_up.poll_reset(cx)).await.unwrap();
        assert_eq!(seen, Reason::CANCEL);
        // The endpoint's reset is the client's.
        let (response, _) = client.send_request(get("/2"), true).unwrap();
        let mut respond = until("stream", || after_head.borrow_mut().take()).await;
        let mut half = respond.send_response(Response::new(()), false).unwrap();
        let (_, mut stream) = response.await.unwrap().into_parts();
        half.send_reset(Reason::INTERNAL_ERROR);
        assert_eq!(body(&mut stream).await.unwrap_err().reason(), Some(Reason::INTERNAL_ERROR));
        // Before its head it is answered for.
        let (response, _) = client.send_request(get("/3"), true).unwrap();
        until("stream", || before_head.borrow_mut().take()).await.send_reset(Reason::INTERNAL_ERROR);
        assert_eq!(response.await.unwrap().status(), 502);
        let flags: Vec<_> = (0..3).map(|_| proxy.logged()["response_flags"].as_str().unwrap().to_owned()).collect();
        assert_eq!(flags, ["DC", "UR", "UR"]);
    });
}

#[test]
fn an_endpoint_that_cannot_be_reached_is_answered_for_once_for_all_who_wait() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    run_local(async {
        let proxy = proxy_to(Setup { connect_timeout: Duration::from_millis(200), ..Setup::default() }, &[closed]);
        let mut client = connect(&proxy).await;
        let asked: Vec<_> = (0..20).map(|_| client.send_request(get("/"), true).unwrap().0).collect();
        for response in asked {
            assert_eq!(response.await.unwrap().status(), 503);
        }
    });
}

#[test]
fn over_tls_http_2_is_asked_for_by_alpn_and_the_scheme_says_so() {
    use weir_config::model::{Cluster, Roots, SubjectName, UpstreamProtocol, UpstreamTls};
    let authority = crate::certificates::Authority::new();
    let config = authority.issue("shop.test").server(None, &["http/1.1", "h2"]);
    run_local(async {
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::task::spawn_local(async move {
            let acceptor = tokio_rustls::TlsAcceptor::from(config);
            let io = acceptor.accept(socket.accept().await.unwrap().0).await.unwrap();
            assert_eq!(io.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            let mut connection = h2::server::handshake(io).await.unwrap();
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let response = Response::builder().header("x-scheme", request.uri().scheme_str().unwrap());
                let mut stream = respond.send_response(response.body(()).unwrap(), false).unwrap();
                stream.send_data(Bytes::from_static(b"by TLS"), true).unwrap();
            }
        });
        let proxy = crate::support::Proxy::with(Setup::default(), &[address]);
        let roots = Roots::Pem(authority.pem());
        let names = vec![SubjectName::Dns("shop.test".into())];
        let tls = Some(Box::new(UpstreamTls { sni: "shop.test".into(), roots, names, certificate: None }));
        let plain = crate::support::cluster("c", Duration::from_secs(5), &[address]);
        proxy.apply(vec![Cluster { tls, protocol: UpstreamProtocol::Http2, ..plain }.into()]);
        let mut client = connect(&proxy).await;
        for _ in 0..2 {
            let (response, body) = ask(&mut client, get("/")).await;
            assert_eq!((response.status().as_u16(), body.as_slice()), (200, &b"by TLS"[..]));
            assert_eq!(response.headers()["x-scheme"], "https");
        }
        assert_eq!(proxy.stats.totals().upstream_connections, 1);
    });
}
