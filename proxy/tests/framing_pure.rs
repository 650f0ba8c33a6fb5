//! Framing without sockets: the table, and the same result however the bytes are split into reads.

#[path = "engine/requests.rs"]
mod requests;

use proptest::prelude::*;
use requests::{CASES, Expect};
use weir_config::model::HeaderMutation;
use weir_config::testing::soak;
use weir_proxy::serve::h1::body::Body;
use weir_proxy::serve::h1::request_head::{RequestHead, Storage};
use weir_proxy::serve::h1::rewrite::{self, RequestContext};
use weir_proxy::serve::h1::scan::Scanner;
use weir_proxy::serve::h1::{Framing, Refused, trailers};

/// What became of a request's bytes.
#[derive(Debug, PartialEq)]
enum Outcome {
    Refused(Refused),
    /// Head and body as they go on (chunked bodies in brackets, then trailers), and how many bytes the request took.
    Whole(Vec<u8>, usize),
    /// More bytes are wanted.
    Partial,
}

/// Reads one request from bytes that arrive in pieces that end at `ends`.
fn read(bytes: &[u8], ends: &[usize]) -> Outcome {
    match try_read(bytes, ends) {
        Ok(outcome) => outcome,
        Err(refused) => Outcome::Refused(refused),
    }
}

fn try_read(bytes: &[u8], ends: &[usize]) -> Result<Outcome, Refused> {
    let mut scanner = Scanner::default();
    let mut body = Body::default();
    let mut out = Vec::new();
    let mut framing = None;
    let mut at = 0;
    for end in ends.iter().copied().chain([bytes.len()]) {
        if framing.is_none() {
            let Some(range) = scanner.scan(&bytes[..end])? else { continue };
            at = range.end;
            let mut storage = Storage::default();
            let head = RequestHead::parse(&bytes[range], &mut storage)?;
            let mutation = HeaderMutation::default();
            let context = RequestContext {
                peer: "192.0.2.1",
                tls: false,
                use_remote_address: false,
                mutation: &mutation,
                host: None,
                path: None,
                request_id: "1",
            };
            rewrite::request(&head, &context, &mut out);
            framing = Some(head.facts.body);
            body.start(head.facts.body);
            if head.facts.body == Framing::Chunked {
                out.push(b'[');
            }
        }
        while at < end && !body.is_done() {
            let step = body.step(&bytes[at..end])?;
            out.extend_from_slice(&bytes[at + step.framing..at + step.framing + step.data]);
            at += step.framing + step.data;
        }
        if body.is_done() {
            if framing == Some(Framing::Chunked) {
                out.push(b']');
                trailers::pass(body.trailers(), &mut out);
            }
            return Ok(Outcome::Whole(out, at));
        }
    }
    Ok(Outcome::Partial)
}

/// Without the two fields that Weir always adds.
fn without_additions(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .split_inclusive("\r\n")
        .filter(|line| !line.starts_with("x-request-id: ") && !line.starts_with("x-forwarded-proto: "))
        .collect()
}

#[test]
fn the_table_holds() {
    assert!(CASES.len() >= 100);
    for (name, bytes, expect) in CASES {
        match (read(bytes, &[]), expect) {
            (Outcome::Refused(refused), Expect::Refused(status)) => assert_eq!(refused.status, *status, "{name}"),
            (Outcome::Whole(out, length), Expect::Reaches(text)) => {
                assert_eq!(without_additions(&out), *text, "{name}");
                assert_eq!(length, bytes.len(), "{name}");
            }
            (Outcome::Partial, Expect::Silence) => {}
            (outcome, expect) => panic!("{name}: {outcome:?} where {expect:?} was expected"),
        }
    }
}

#[test]
fn every_case_read_byte_by_byte_gives_the_same() {
    for (name, bytes, _) in CASES {
        let ends: Vec<usize> = (1..bytes.len()).collect();
        assert_eq!(read(bytes, &ends), read(bytes, &[]), "{name}");
    }
}

/// Bytes that look like requests: pieces of the table, glued, cut and changed in places.
fn request_like() -> impl Strategy<Value = Vec<u8>> {
    let case = (0..CASES.len()).prop_map(|i| CASES[i].1.to_vec());
    let change = (any::<prop::sample::Index>(), prop::sample::select(b"\r\n 0;:a\t\0".to_vec()));
    (case, prop::collection::vec(change, 0..3), any::<bool>()).prop_map(|(mut bytes, changes, insert)| {
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            if insert {
                bytes.insert(at, byte);
            } else {
                bytes[at] = byte;
            }
        }
        bytes
    })
}

#[test]
fn soak_any_split_gives_the_same() {
    let cuts = prop::collection::vec(any::<prop::sample::Index>(), 0..8);
    soak::property(&(request_like(), cuts), |(bytes, cuts)| {
        let mut ends: Vec<usize> = cuts.iter().map(|c| c.index(bytes.len())).collect();
        ends.sort_unstable();
        prop_assert_eq!(read(&bytes, &ends), read(&bytes, &[]));
        Ok(())
    });
}

/// What goes on is read by the same rules as the same request, and takes exactly its bytes: nothing is
/// left over that a backend could take for a second one.
#[test]
fn soak_what_goes_on_is_one_request() {
    soak::property(&request_like(), |bytes| {
        if let Outcome::Whole(out, _) = read(&bytes, &[]) {
            let text = String::from_utf8_lossy(&out);
            if !text.contains("transfer-encoding: chunked") {
                let Outcome::Whole(again, length) = read(&out, &[]) else { panic!("not taken again: {text}") };
                prop_assert_eq!(length, out.len());
                prop_assert_eq!(without_additions(&again), without_additions(&out));
            }
        }
        Ok(())
    });
}

#[test]
fn soak_no_bytes_panic() {
    soak::property(&prop::collection::vec(any::<u8>(), 0..300), |bytes| {
        read(&bytes, &[]);
        Ok(())
    });
}
