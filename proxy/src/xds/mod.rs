//! The xDS client: a state machine without I/O, a thin stream, warming, and the last good
//! configuration on disk.
//!
//! One way: [`stream`] moves messages, [`client`] makes accepted resources of them, [`warm`] says
//! when each goes live, [`crate::live`] compiles them; [`persist`] keeps what was accepted.

pub mod change;
pub mod client;
pub mod held;
mod message;
pub mod persist;
pub mod pipeline;
pub mod refs;
pub mod stream;
pub mod warm;

#[cfg(test)]
mod tests;

use weir_config::FieldError;
use weir_config::model::Resource;

/// Says whether a decoded resource can be served (expressions compile, certificates and keys can be read), before it is acknowledged. What is refused is a NACK of that resource alone.
pub trait Admit: Send + Sync {
    /// # Errors
    /// Every field that cannot be served.
    fn admit(&self, resource: &Resource) -> Result<(), Vec<FieldError>>;
}
