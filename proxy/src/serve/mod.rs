//! The engine: accept, HTTP/1.1, exchange, tunnel, upstream.

pub mod h1;
