//! Admin endpoint of the server: health, metrics, resources and status, for operators.

mod pages;

pub use pages::{open_router, router};
