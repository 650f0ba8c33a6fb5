//! Admin endpoint of the server: health, metrics, resources and status, for operators.

mod metrics;
mod pages;

pub use metrics::Metrics;
pub use pages::router;
