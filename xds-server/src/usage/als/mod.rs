//! Usage of a stock Envoy, by what it reports to the access log service.
//!
//! [`entry`] reads what one entry says; [`running`] takes from an exchange that is reported several times
//! what was taken before; [`windows`] sums by tenant into windows and numbers them, so that the store
//! applies each once. All three are pure; [`service`] moves messages from the wire through them.
//!
//! Envoy sends an entry at most once and keeps nothing on disk: what it could not send, and what was
//! received but not applied when this process is killed, is lost. `docs/envoy-metering.md` says what that means.

pub mod entry;
pub mod running;
pub mod service;
pub mod windows;

pub use service::AccessLogs;

#[cfg(test)]
mod tests;

#[cfg(test)]
mod service_tests;
