//! HTTP/2 (RFC 9113), on the `h2` crate: frames, HPACK and flow control are its; what a message means is
//! read by the same code as HTTP/1.1's, since heads are turned into that form ([`head`]).
//!
//! A client's connection is one task, which moves frames, and each of its streams is another, an
//! exchange as any. All run on the connection's worker.
//!
//! Memory: a stream's window is given back only as the other side takes its bytes, so a stream holds at
//! most [`WINDOW`] on the way up and [`SEND_BUFFER`] on the way down. A connection's window is the sum of
//! its streams' windows: a stream that nobody reads holds up no other.

pub(crate) mod body;
mod connection;
mod cork;
mod grpc;
pub(crate) mod head;
mod preface;
pub(crate) mod pulse;
mod size;
mod stream;
pub(crate) mod tunnel;
pub(crate) mod websocket;

pub(crate) use connection::serve;
pub(crate) use preface::{Rest, is_preface};

use std::time::Duration;

use weir_config::model::Http2Options;

/// Streams that a client may have open at one time, where the listener says nothing (`max_concurrent_streams`).
const MAX_STREAMS: u32 = 100;
/// Bytes of a request's body that may be on the way to its reader, where the listener says nothing: RFC 9113's
/// initial window.
const WINDOW: u32 = 65_535;
/// Bytes of a response that wait for the client's connection, at most.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams that ended by a reset and are remembered, so that frames that crossed it are no errors.
const REMEMBERED_RESETS: usize = 64;
/// How long they are remembered.
const REMEMBER_RESETS: Duration = Duration::from_secs(5);
/// Streams that may be reset before they were accepted (CVE-2023-44487, rapid reset).
const RESETS_BEFORE_ACCEPT: usize = 20;
/// Streams that the other side's errors may make us reset on one connection (CVE-2025-8671).
const RESETS_BY_ERROR: usize = 1024;

/// The window of a connection: as given, or the sum of what so many streams may hold. One that nobody reads then holds
/// up no other.
pub(crate) fn connection_window(given: Option<&Http2Options>, stream: u32, streams: u32) -> u32 {
    let sum = stream.saturating_mul(streams).min(i32::MAX as u32);
    given.and_then(|given| given.connection_window).unwrap_or(sum)
}
