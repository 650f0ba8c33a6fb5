//! The engine over real sockets: raw bytes in, raw bytes out.

mod requests;
mod support;

mod framing;
