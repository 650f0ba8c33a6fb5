//! The generator beside the upstream, without a proxy between them.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::super::{Protocol, Target};
use super::{Call, Session, ask};
use crate::asked::call;
use crate::http::Expected;
use crate::poll::{Interest, Poll};
use crate::rows::Config;
use crate::upstream;

const PATIENCE: Duration = Duration::from_secs(20);

/// Asks `call` at three places at one time, twice each.
fn six(call: &Call, length: usize) -> anyhow::Result<()> {
    let target = Target {
        address: upstream::start(None)?.http2,
        requests: [].into(),
        expected: Expected { status: 200, length },
        tls: None,
        protocol: Protocol::Http2 { streams: 3 },
    };
    let mut session = Session::connect(&target, 3)?;
    let mut poll = Poll::new()?;
    poll.add(&session, 0, Interest::Read)?;
    (0..3).try_for_each(|place| session.send(place, call))?;
    session.flush()?;
    let (mut answered, mut done, mut ready, begun) = ([0; 3], Vec::new(), Vec::new(), Instant::now());
    while answered != [2; 3] {
        ensure!(begun.elapsed() < PATIENCE, "answered: {answered:?}");
        poll.wait(Duration::from_millis(100), &mut ready)?;
        session.receive(&mut done)?;
        for place in done.drain(..) {
            answered[place] += 1;
            if answered[place] < 2 {
                session.send(place, call)?;
            }
        }
        session.flush()?;
    }
    Ok(())
}

#[test]
fn each_place_gets_its_answers() {
    six(&call(Config::H2c, "t0.tenants.test", "/?size=9").unwrap(), 9).unwrap();
    six(&call(Config::Grpc, "t0.tenants.test", "/load.Items/Get").unwrap(), upstream::BODY).unwrap();
}

#[test]
fn a_wrong_answer_is_an_error() {
    let plain = call(Config::H2c, "t0.tenants.test", "/?size=9").unwrap();
    assert_eq!(six(&plain, 8).unwrap_err().to_string(), "expected 8 bytes, got 9");
    // What is no gRPC to the upstream is answered without a status in the trailers.
    let unsaid = Call { grpc: true, ..plain };
    assert_eq!(six(&unsaid, 4).unwrap_err().to_string(), "expected grpc-status 0, got None");
}

#[test]
fn an_answer_is_taken_in_full() {
    let upstream = upstream::start(None).unwrap();
    for config in [Config::H2c, Config::Grpc] {
        let asked = call(config, "t0.tenants.test", "/echo").unwrap();
        let answer = ask(upstream.http2, None, &asked, PATIENCE).unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(crate::http::field(&answer.fields, "x-backend"), Some(&b"web"[..]));
        assert_eq!(crate::http::field(&answer.body, "host"), Some(&b"t0.tenants.test"[..]));
    }
    let unsaid = Call { grpc: true, ..call(Config::H2c, "t0.tenants.test", "/").unwrap() };
    let error = ask(upstream.http2, None, &unsaid, PATIENCE).unwrap_err().to_string();
    assert_eq!(error, "expected grpc-status 0, got None");
}
