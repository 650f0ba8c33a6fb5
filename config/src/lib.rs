//! The vocabulary that Weir's two halves share.
//!
//! Data flows one way through these modules: objects that people write ([`kinds`]) become plain
//! values ([`model`]), which become standard xDS messages ([`xds`]) and are read back from them.
//! Nothing here does I/O, and nothing is async.

pub mod bootstrap;
pub mod error;
pub mod kinds;
pub mod model;
#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub mod testing;
pub mod usage;
pub mod xds;

pub use error::FieldError;
