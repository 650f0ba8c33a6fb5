//! Certificates of listeners.
