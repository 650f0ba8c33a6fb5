//! A client that speaks HTTP/2, an endpoint that speaks HTTP/1.1.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, HeaderValue, Request};
use weir_config::model::{Forward, RouteAction, Split};
use weir_proxy::meter::Metric;

use crate::h2_support::{ask, body, connect, connect_with, get, run, send, text, until};
use crate::support::{Backend, Conn, Proxy, Setup, http as http_options, ok, route};

/// Answers the next request of the next connection, on a thread; gives the head that came.
fn answer(backend: &Backend, answer: impl Into<String>) -> std::thread::JoinHandle<String> {
    let socket = backend.try_clone();
    let answer = answer.into();
    std::thread::spawn(move || {
        let mut upstream = socket.accept();
        let head = upstream.head();
        upstream.send(answer);
        head
    })
}

#[test]
fn a_request_passes_by_prior_knowledge_and_the_answer_comes_back() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let seen = answer(&backend, ok("hello"));
    let (response, body) = run(async {
        let mut client = connect(&proxy).await;
        let request = Request::get("http://shop.test/a?b=c").header("x-mine", "1").body(()).unwrap();
        ask(&mut client, request).await
    });
    assert_eq!((response.status().as_u16(), body.as_slice()), (200, &b"hello"[..]));
    assert_eq!(response.headers()["content-length"], "5");
    let head = seen.join().unwrap();
    assert!(head.starts_with("GET /a?b=c HTTP/1.1\r\nhost: shop.test\r\n"), "{head}");
    assert!(head.contains("\r\nx-mine: 1\r\n") && head.contains("\r\nx-request-id: "), "{head}");
    let line = proxy.logged();
    assert_eq!(
        (&line["protocol"], &line["response_code"], &line["path"]),
        (&"HTTP/2".into(), &200.into(), &"/a?b=c".into())
    );
}

#[test]
fn messages_are_billed_as_the_text_that_stands_for_them() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    let socket = backend.try_clone();
    let upstream = std::thread::spawn(move || {
        let mut upstream = socket.accept();
        upstream.head();
        upstream.until(b"0\r\nx-sum: 7\r\n\r\n");
        upstream.send("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n");
        upstream.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-end: 1\r\n\r\n");
    });
    let (asked, came) = run(async {
        let mut client = connect(&proxy).await;
        let mut request = Request::post("http://a.test/p").body(()).unwrap();
        request.headers_mut().append("cookie", HeaderValue::from_static("a=1"));
        request.headers_mut().append("cookie", HeaderValue::from_static("b=2"));
        let asked = text("POST /p HTTP/2", request.headers()) + "host: a.test\r\n".len();
        let (mut response, mut stream) = client.send_request(request, false).unwrap();
        send(&mut stream, Bytes::from_static(b"0123456789"), false).await.unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("7"));
        let asked = asked + 10 + text("", &trailers) - 2;
        stream.send_trailers(trailers).unwrap();
        let early = poll_fn(|cx| response.poll_informational(cx)).await.unwrap().unwrap();
        assert_eq!((early.status().as_u16(), &early.headers()["link"]), (103, &HeaderValue::from_static("</a>")));
        let (parts, mut stream) = response.await.unwrap().into_parts();
        let (bytes, trailers) = body(&mut stream).await.unwrap();
        let trailers = trailers.unwrap();
        assert_eq!((bytes.as_slice(), &trailers["x-end"]), (&b"abc"[..], &HeaderValue::from_static("1")));
        let came = text("HTTP/2 103", early.headers()) + text("HTTP/2 200", &parts.headers) + bytes.len();
        (asked, came + text("", &trailers) - 2)
    });
    upstream.join().unwrap();
    let line = proxy.logged();
    assert_eq!((&line["bytes_received"], &line["bytes_sent"]), (&asked.into(), &came.into()));
    assert_eq!(proxy.total(Metric::RequestBytes), asked as u64);
    assert_eq!(proxy.total(Metric::ResponseBytes), came as u64);
    assert_eq!(proxy.total(Metric::Requests), 1);
}

#[test]
fn many_streams_of_a_connection_go_on_at_once_and_end_in_any_order() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    run(async {
        let mut client = connect(&proxy).await;
        let asked: Vec<_> = (0..50).map(|n| client.send_request(get(&format!("/{n}")), true).unwrap().0).collect();
        let mut open: Vec<(String, Conn)> = Vec::new();
        while open.len() < 50 {
            let mut upstream = until("connection", || backend.pending()).await;
            let head = upstream.head();
            open.push((head.split(' ').nth(1).unwrap().to_owned(), upstream));
        }
        // The last comes first.
        open.sort_by_key(|(path, _)| std::cmp::Reverse(path.clone()));
        for (path, upstream) in &mut open {
            upstream.send(ok(path));
        }
        for (n, response) in asked.into_iter().enumerate() {
            let (_, mut stream) = response.await.unwrap().into_parts();
            assert_eq!(body(&mut stream).await.unwrap().0, format!("/{n}").into_bytes());
        }
    });
    assert_eq!(proxy.total(Metric::Requests), 50);
}

#[test]
fn an_answer_to_head_and_one_without_content_have_no_body() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    for (method, upstream, status, length) in [
        ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n", 200, Some("7")),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, None),
        ("GET", "HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n", 304, None),
    ] {
        let seen = answer(&backend, format!("{}connection: close\r\n\r\n", upstream.strip_suffix("\r\n").unwrap()));
        run(async {
            let mut client = connect(&proxy).await;
            let request = Request::builder().method(method).uri("http://a/").body(()).unwrap();
            let (response, _) = client.send_request(request, true).unwrap();
            let response = response.await.unwrap();
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(response.headers().get("content-length").map(|v| v.to_str().unwrap()), length);
            assert!(response.body().is_end_stream(), "{method} {status}");
        });
        seen.join().unwrap();
    }
}

#[test]
fn what_no_http_1_1_message_says_is_refused() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    run(async {
        let mut client = connect(&proxy).await;
        let contradicts = Request::get("http://a/").header("host", "b").body(()).unwrap();
        assert_eq!(ask(&mut client, contradicts).await.0.status(), 400);
        let connect = Request::connect("a:80").body(()).unwrap();
        assert_eq!(ask(&mut client, connect).await.0.status(), 501);
        let many = (0..101).fold(Request::get("http://a/"), |request, n| request.header(format!("x-{n}"), "1"));
        assert_eq!(ask(&mut client, many.body(()).unwrap()).await.0.status(), 431);
        let nul = Request::get("http://a/%00").body(()).unwrap();
        assert_eq!(ask(&mut client, nul).await.0.status(), 400);
    });
    assert!(backend.pending().is_none());
}

#[test]
fn a_client_that_resets_ends_the_upstream_connection_and_no_other_stream() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    run(async {
        let mut client = connect(&proxy).await;
        let (given_up, mut stream) = client.send_request(get("/1"), true).unwrap();
        let mut first = until("connection", || backend.pending()).await;
        assert!(first.head().starts_with("GET /1 "));
        let (kept, _) = client.send_request(get("/2"), true).unwrap();
        let mut second = until("connection", || backend.pending()).await;
        second.head();
        stream.send_reset(Reason::CANCEL);
        drop(given_up);
        let closed = tokio::task::spawn_blocking(move || first.rest().0).await.unwrap();
        assert_eq!(closed, b"");
        second.send(ok("fine"));
        let (_, mut stream) = kept.await.unwrap().into_parts();
        assert_eq!(body(&mut stream).await.unwrap().0, b"fine");
    });
    let flags: Vec<_> = (0..2).map(|_| proxy.logged()["response_flags"].as_str().unwrap().to_owned()).collect();
    assert_eq!(flags, ["DC", "-"]);
}

#[test]
fn a_response_that_is_cut_is_reset() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    run(async {
        let mut client = connect(&proxy).await;
        let (response, _) = client.send_request(get("/"), true).unwrap();
        let mut upstream = until("connection", || backend.pending()).await;
        upstream.head();
        upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhal");
        let (_, mut stream) = response.await.unwrap().into_parts();
        drop(upstream);
        let error = body(&mut stream).await.unwrap_err();
        assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
    });
    assert_eq!(proxy.logged()["response_flags"], "UC");
}

#[test]
fn an_endpoint_that_does_not_answer_is_answered_for() {
    let backend = Backend::new();
    let mut slow = route("/slow", "c");
    slow.action = RouteAction::Forward(Forward {
        timeout: Some(Duration::from_millis(50)),
        ..Forward::to(Split::One("c".into()))
    });
    let proxy = Proxy::with(Setup { routes: vec![slow, route("/c", "c")], ..Setup::default() }, &[backend.address]);
    run(async {
        let mut client = connect(&proxy).await;
        assert_eq!(ask(&mut client, get("/none")).await.0.status(), 404);
        assert_eq!(ask(&mut client, get("/slow")).await.0.status(), 504);
    });
    drop(backend.accept());
    let upstream = answer(&backend, "not HTTP at all\r\n\r\n");
    run(async {
        let mut client = connect(&proxy).await;
        assert_eq!(ask(&mut client, get("/c")).await.0.status(), 502);
    });
    drop(upstream);
}

#[test]
fn a_client_that_does_not_read_holds_the_endpoint_and_nobody_else() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    run(async {
        // Of its own accord the client holds back a stream, not the connection.
        let mut builder = h2::client::Builder::new();
        let (mut client, _) = connect_with(proxy.address("l"), builder.initial_connection_window_size(1 << 20)).await;
        let (response, _) = client.send_request(get("/large"), true).unwrap();
        let mut large = until("connection", || backend.pending()).await;
        large.head();
        // Non-blocking: what the proxy does not read fills the sockets, and then nothing more is taken.
        large.send("HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n");
        large.stream.set_nonblocking(true).unwrap();
        let (_, mut stream) = response.await.unwrap().into_parts();
        let mut taken = 0;
        let (piece, mut quiet) = (vec![b'x'; 65_536], 0);
        while quiet < 50 {
            match std::io::Write::write(&mut large.stream, &piece) {
                Ok(n) => (taken, quiet) = (taken + n, 0),
                Err(_) => {
                    quiet += 1;
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
            assert!(taken < 50_000_000, "a slow reader does not hold its endpoint");
        }
        let billed = proxy.total(Metric::ResponseBytes);
        assert!(billed < 65_535 + 64 * 1024 + 1024, "{billed} bytes were taken for a client that reads nothing");
        // Another stream of the same connection is served meanwhile.
        let (other, _) = client.send_request(get("/other"), true).unwrap();
        let mut upstream = until("connection", || backend.pending()).await;
        upstream.head();
        upstream.send(ok("quick"));
        let (_, mut quick) = other.await.unwrap().into_parts();
        let chunk = quick.data().await.unwrap().unwrap();
        assert_eq!(chunk, "quick");
        // And the slow one goes on where it was.
        let first = stream.data().await.unwrap().unwrap();
        assert!(first.iter().all(|byte| *byte == b'x'));
    });
}

#[test]
fn an_endpoint_that_does_not_read_holds_the_client() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    run(async {
        let mut client = connect(&proxy).await;
        let request = Request::post("http://a/").body(()).unwrap();
        let (_response, mut stream) = client.send_request(request, false).unwrap();
        let mut sent = 0;
        loop {
            stream.reserve_capacity(1 << 20);
            let more = tokio::time::timeout(Duration::from_millis(500), poll_fn(|cx| stream.poll_capacity(cx))).await;
            let Ok(Some(Ok(n))) = more else { break };
            stream.send_data(vec![0; n].into(), false).unwrap();
            sent += n;
            assert!(sent < 100_000_000, "an endpoint that does not read does not hold the client");
        }
        assert!(sent >= 65_535);
        // What it reads in the end is all that was sent.
        let mut upstream = backend.accept();
        let reader = tokio::task::spawn_blocking(move || {
            upstream.head();
            upstream.until(b"\r\n0\r\n\r\n").len()
        });
        stream.reserve_capacity(0);
        stream.send_data(Bytes::new(), true).unwrap();
        assert!(reader.await.unwrap() > sent);
    });
}

#[test]
fn a_connection_that_drains_is_told_and_its_streams_finish() {
    let backend = Backend::new();
    let mut proxy = Proxy::start(&backend);
    run(async {
        let (mut client, driver) = connect_with(proxy.address("l"), &h2::client::Builder::new()).await;
        let (response, _) = client.send_request(get("/"), true).unwrap();
        let mut upstream = until("connection", || backend.pending()).await;
        upstream.head();
        proxy.shut_down();
        upstream.send(ok("last words"));
        let (_, mut stream) = response.await.unwrap().into_parts();
        assert_eq!(body(&mut stream).await.unwrap().0, b"last words");
        drop((client, stream));
        driver.await.unwrap().expect("an orderly end");
    });
    proxy.ended();
}

#[test]
fn a_connection_without_a_stream_ends_after_its_idle_time() {
    let backend = Backend::new();
    let mut http = http_options();
    http.idle_timeout = Some(Duration::from_millis(50));
    let proxy = Proxy::with(Setup { http, ..Setup::default() }, &[backend.address]);
    run(async {
        let (client, driver) = connect_with(proxy.address("l"), &h2::client::Builder::new()).await;
        driver.await.unwrap().expect("an orderly end");
        drop(client);
    });
}

#[test]
fn over_tls_the_client_chooses_http_2_by_alpn() {
    let backend = Backend::new();
    let (proxy, roots) = crate::tls::start_with(&backend, Setup::default());
    let seen = answer(&backend, ok("secret"));
    run(async {
        let mut store = rustls::RootCertStore::empty();
        store.add(roots[0].clone()).unwrap();
        let mut config = rustls::ClientConfig::builder().with_root_certificates(store).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
        let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
        let io = tokio::net::TcpStream::connect(proxy.address("tls")).await.unwrap();
        let io = connector.connect("shop.acme.test".try_into().unwrap(), io).await.unwrap();
        assert_eq!(io.get_ref().1.alpn_protocol(), Some(&b"h2"[..]), "the listener prefers it");
        let (mut client, connection) = h2::client::handshake(io).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get("https://shop.acme.test/").body(()).unwrap();
        let (response, body) = ask(&mut client, request).await;
        assert_eq!((response.status().as_u16(), body.as_slice()), (200, &b"secret"[..]));
    });
    assert!(seen.join().unwrap().contains("x-forwarded-proto: https\r\n"));
    assert_eq!(proxy.logged()["requested_server_name"], "shop.acme.test");
}

#[test]
fn an_answer_before_the_request_is_whole_ends_the_stream_in_order() {
    let backend = Backend::new();
    let proxy = Proxy::start(&backend);
    run(async {
        let mut client = connect(&proxy).await;
        let request = Request::post("http://a/").body(()).unwrap();
        let (response, mut stream) = client.send_request(request, false).unwrap();
        send(&mut stream, Bytes::from_static(b"only a part"), false).await.unwrap();
        let mut upstream = until("connection", || backend.pending()).await;
        upstream.head();
        upstream.send(ok("enough"));
        let (_, mut answer) = response.await.unwrap().into_parts();
        assert_eq!(body(&mut answer).await.unwrap().0, b"enough");
        // RFC 9113 section 8.1: what is left of the request is not wanted, and nothing went wrong.
        assert_eq!(poll_fn(|cx| stream.poll_reset(cx)).await.unwrap(), Reason::NO_ERROR);
    });
    assert_eq!(proxy.logged()["response_flags"], "-");
}
