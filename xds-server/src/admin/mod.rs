//! Admin endpoint of the server: health, metrics, resources and status, for operators.

mod clients;
mod explain;
mod pages;

pub use pages::{open_router, router};
