//! The engine over real sockets: raw bytes in, raw bytes out.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

mod requests;
mod support;

mod aborts;
mod charged;
mod exchange;
mod framing;
mod listeners;
mod metering;
mod reuse;
mod timeouts;
mod tls;
mod tunnel;
