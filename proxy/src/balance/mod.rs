//! Choice of an endpoint.
