//! Admin endpoint of the server.
