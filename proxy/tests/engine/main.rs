//! The engine over real sockets: raw bytes in, raw bytes out.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

mod certificates;
mod h2_raw;
mod h2_support;
mod requests;
mod support;

mod aborts;
mod charged;
mod client_certificates;
mod cors;
mod exchange;
mod framing;
mod h2;
mod h2_ends;
mod h2_floods;
mod h2_frames;
mod h2_grpc;
mod h2_routes;
mod h2_settings;
mod h2_upstream;
mod h2_websocket;
mod h2_windows;
mod listeners;
mod many_certificates;
mod metering;
mod mirrors;
mod retries;
mod reuse;
mod rewrites;
mod sessions;
mod tcp;
mod timeouts;
mod tls;
mod tunnel;
mod udp;
mod upstream_tls;
