//! The generator beside the upstream, without a proxy between them.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::super::wire::{self, Wire};
use super::super::{Protocol, Request, Target};
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

/// Whoever writes reads too: an answer that came while the next request was sent is not left until more comes.
#[test]
fn an_answer_that_was_read_while_writing_is_taken() {
    let call = call(Config::Grpc, "t0.tenants.test", "/load.Items/Get").unwrap();
    let target = Target {
        address: upstream::start(None).unwrap().http2,
        requests: [].into(),
        expected: Expected { status: 200, length: upstream::BODY },
        tls: None,
        protocol: Protocol::Http2 { streams: 1 },
    };
    let mut wires = [Wire::connect(&target).unwrap()];
    let mut poll = Poll::new().unwrap();
    poll.add(&wires[0], 0, Interest::Read).unwrap();
    wires[0].send(0, &Request::Call(Box::new(call))).unwrap();
    let (mut done, mut ready, begun) = (Vec::new(), Vec::new(), Instant::now());
    while done.is_empty() {
        assert!(begun.elapsed() < PATIENCE, "what was read is never taken");
        // All that has come is read, and the socket is not ready for it once more.
        wires[0].flush().unwrap();
        wire::wait(&mut poll, &wires, Duration::from_millis(10), &mut ready).unwrap();
        if ready.is_empty() {
            continue;
        }
        wires[0].flush().unwrap();
        wire::wait(&mut poll, &wires, Duration::ZERO, &mut ready).unwrap();
        if !ready.is_empty() {
            wires[0].receive(&mut [], &mut done).unwrap();
        }
    }
    assert_eq!(done, [0]);
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
