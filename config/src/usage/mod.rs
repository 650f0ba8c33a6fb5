//! What is metered, and how usage travels from proxies to the server: messages of
//! `config/proto/weir/usage/v1/usage.proto`, and the plain values that both halves count in.

mod busiest;
mod units;

pub use busiest::{Busiest, OTHERS, Series};
pub use units::{Metric, Units};

/// Messages of `weir.usage.v1`, generated.
pub mod v1 {
    #![allow(missing_docs, reason = "generated; the .proto file documents them")]
    include!(concat!(env!("OUT_DIR"), "/weir.usage.v1.rs"));
}

/// Entries that one batch may hold: what keeps a message small whatever the number of tenants.
pub const MAX_BATCH_ENTRIES: usize = 4096;

/// Bytes of a tenant's name (Kubernetes: a DNS subdomain).
pub const MAX_TENANT_BYTES: usize = 253;

/// Who is charged for traffic of no tenant. Never exported as a customer.
pub const NO_TENANT: &str = "-";
