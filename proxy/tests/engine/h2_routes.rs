//! What routes ask for, over HTTP/2 on either side.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::{Request, Response};
use weir_config::model::{
    Cors, Forward, Mirror, PathRewrite, Redirect, Retry, RetryOn, Route, RouteAction, SessionPersistence, Split,
    StringMatch,
};
use weir_proxy::meter::{Metric, TenantId};

use crate::h2_support::{Endpoint, Respond, ask, body, connect, proxy_to, run, run_local, send, until};
use crate::support::{Backend, Setup, ok, route};

fn to(forward: Forward) -> Route {
    Route { action: RouteAction::Forward(forward), ..route("/", "c") }
}

fn retried(on: RetryOn) -> Route {
    let retry = Retry { on, back_off: Some((Duration::from_millis(1), None)), ..Retry::default() };
    to(Forward { retry: Some(Box::new(retry)), ..Forward::to(Split::One("c".into())) })
}

/// Says what came, with this status.
async fn said(mut request: Request<h2::RecvStream>, mut respond: Respond, status: u16) {
    let (bytes, _) = body(request.body_mut()).await.unwrap();
    let response = Response::builder().status(status).header("x-target", request.uri().to_string());
    let mut stream = respond.send_response(response.body(()).unwrap(), false).unwrap();
    send(&mut stream, bytes.into(), true).await.unwrap();
}

/// Sends a request with a body, and gives status, target that the endpoint saw, and body.
async fn post(client: &mut h2::client::SendRequest<Bytes>, bytes: &[u8]) -> (u16, String, Vec<u8>) {
    let request = Request::post("http://a.test/old/x?y").body(()).unwrap();
    let (response, mut stream) = client.send_request(request, false).unwrap();
    send(&mut stream, bytes.to_vec().into(), true).await.unwrap();
    let (parts, mut stream) = response.await.unwrap().into_parts();
    let target = parts.headers.get("x-target").map(|value| value.to_str().unwrap().to_owned());
    (parts.status.as_u16(), target.unwrap_or_default(), body(&mut stream).await.unwrap().0)
}

#[test]
fn redirects_preflights_and_sessions_reach_a_client() {
    let backend = Backend::new();
    let redirect = Redirect { scheme: None, host: Some("other.test".into()), port: None, path: None, status: 308 };
    let cors = Cors { origins: vec![StringMatch::Exact("http://b".into())], ..Cors::default() };
    let session = SessionPersistence::Header { name: "x-sess".into() };
    let routes = vec![
        Route { action: RouteAction::Redirect(redirect), ..route("/away", "c") },
        Route {
            cors: Some(Box::new(cors)),
            session: Some(Box::new(session)),
            ..to(Forward::to(Split::One("c".into())))
        },
    ];
    let proxy = crate::support::Proxy::with(Setup { routes, ..Setup::default() }, &[backend.address]);
    let answering = std::thread::spawn(move || {
        let mut upstream = backend.accept();
        upstream.head();
        upstream.send(ok("well"));
    });
    run(async {
        let mut client = connect(&proxy).await;
        let (response, _) = ask(&mut client, Request::get("http://a.test/away?x").body(()).unwrap()).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["location"]),
            (308, &"http://other.test/away?x".parse().unwrap())
        );
        let preflight = Request::options("http://a.test/").header("origin", "http://b");
        let preflight = preflight.header("access-control-request-method", "PUT").body(()).unwrap();
        let (response, _) = ask(&mut client, preflight).await;
        assert_eq!(
            (response.status().as_u16(), response.headers()["access-control-allow-origin"].as_bytes()),
            (200, &b"http://b"[..])
        );
        let request = Request::get("http://a.test/").header("origin", "http://b").body(()).unwrap();
        let (response, bytes) = ask(&mut client, request).await;
        assert_eq!((bytes.as_slice(), response.headers().contains_key("x-sess")), (&b"well"[..], true));
        assert_eq!(response.headers()["access-control-allow-origin"], "http://b");
    });
    answering.join().unwrap();
}

#[test]
fn a_request_is_sent_again_rewritten_as_it_was_with_its_body() {
    run_local(async {
        let asked = Rc::new(Cell::new(0));
        let count = asked.clone();
        let address = Endpoint::new().await.serve(move |request, respond| {
            count.set(count.get() + 1);
            said(request, respond, if count.get() == 1 { 503 } else { 200 })
        });
        let mut again = retried(RetryOn { gateway_error: true, ..RetryOn::default() });
        let RouteAction::Forward(forward) = &mut again.action else { unreachable!() };
        forward.path_rewrite = Some(PathRewrite::Full("/new".into()));
        let proxy = proxy_to(Setup { routes: vec![again], ..Setup::default() }, &[address]);
        let mut client = connect(&proxy).await;
        let bytes = vec![b'x'; 50_000];
        let (status, target, came) = post(&mut client, &bytes).await;
        assert_eq!((status, target.as_str(), came == bytes), (200, "http://a.test/new?y", true));
        assert_eq!((asked.get(), proxy.stats.totals().retries, proxy.total(Metric::Requests)), (2, 1, 1));
    });
}

#[test]
fn streams_that_an_endpoint_refuses_are_tried_again_as_often_as_the_route_says() {
    run_local(async {
        let asked = Rc::new(Cell::new(0));
        let count = asked.clone();
        let address = Endpoint::new().await.serve(move |_, mut respond: Respond| {
            count.set(count.get() + 1);
            async move { respond.send_reset(Reason::REFUSED_STREAM) }
        });
        let routes = vec![retried(RetryOn { refused_stream: true, ..RetryOn::default() })];
        let proxy = proxy_to(Setup { routes, ..Setup::default() }, &[address]);
        let mut client = connect(&proxy).await;
        assert_eq!(post(&mut client, b"hello").await.0, 503);
        assert_eq!(proxy.stats.totals().retries, 1);
        assert!(asked.get() >= 2);
    });
}

#[test]
fn a_copy_goes_to_a_mirror_of_either_protocol() {
    run_local(async {
        let seen = Rc::new(Cell::new(0));
        let count = seen.clone();
        let mirror = Endpoint::new().await.serve(move |request, respond| {
            count.set(count.get() + 1);
            said(request, respond, 500)
        });
        let backend = Endpoint::new().await.serve(|request, respond| said(request, respond, 200));
        let copies = ["m", "c"].map(|cluster| Mirror { cluster: cluster.into(), fraction: None });
        let routes = vec![to(Forward { mirrors: copies.to_vec(), ..Forward::to(Split::One("c".into())) })];
        let proxy = proxy_to(Setup { routes, ..Setup::default() }, &[backend]);
        let mut cluster = crate::support::cluster("m", Duration::from_secs(5), &[mirror]);
        cluster.protocol = weir_config::model::UpstreamProtocol::Http2;
        proxy.apply(vec![cluster.into()]);
        let mut client = connect(&proxy).await;
        let bytes = vec![b'x'; 50_000];
        let (status, target, came) = post(&mut client, &bytes).await;
        assert_eq!((status, target.as_str(), came == bytes), (200, "http://a.test/old/x?y", true));
        until("copy", || (seen.get() == 1).then_some(())).await;
        until("answers of copies", || {
            (proxy.meter.total(TenantId::NONE, Metric::ResponseBytes) > 100_000).then_some(())
        })
        .await;
        assert_eq!((proxy.total(Metric::Requests), proxy.meter.total(TenantId::NONE, Metric::Requests)), (1, 2));
    });
}
