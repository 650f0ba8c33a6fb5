//! Objects by identity, and who owns what. Pure: no I/O, no async.
//!
//! - [`objects`]: every object, by kind, namespace and name;
//! - [`tenancy`]: which tenant a namespace belongs to;
//! - [`ownership`]: which tenant a hostname belongs to;
//! - [`references`]: who may refer to an object of another namespace;
//! - [`pattern`], [`selector`], [`age`], [`reverse`], [`few`]: what these are made of.

pub mod age;
pub mod few;
pub mod objects;
pub mod ownership;
pub mod pattern;
pub mod references;
pub mod reverse;
pub mod selector;
pub mod tenancy;

pub use age::Age;
pub use few::Few;
pub use objects::Objects;
pub use ownership::Names;
pub use pattern::Pattern;
pub use reverse::Reverse;
pub use tenancy::{Belongs, Tenancy};

/// Namespace and name of an object whose kind is known.
pub type NsName = (String, String);
