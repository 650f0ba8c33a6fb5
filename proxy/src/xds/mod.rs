//! The xDS client: a state machine without I/O, a thin stream, warming, and the last good configuration on disk.

use weir_config::FieldError;
use weir_config::model::Resource;

/// Says whether a decoded resource can be served (expressions compile, keys parse and match their
/// certificates), before it is acknowledged. What is refused is a NACK of that resource alone.
pub trait Admit: Send + Sync {
    /// # Errors
    /// Every field that cannot be served.
    fn admit(&self, resource: &Resource) -> Result<(), Vec<FieldError>>;
}
