//! The engine over real sockets: raw bytes in, raw bytes out.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

mod h2_support;
mod requests;
mod support;

mod aborts;
mod charged;
mod cors;
mod exchange;
mod framing;
mod h2;
mod h2_frames;
mod h2_grpc;
mod h2_upstream;
mod listeners;
mod metering;
mod mirrors;
mod retries;
mod reuse;
mod rewrites;
mod sessions;
mod timeouts;
mod tls;
mod tunnel;
