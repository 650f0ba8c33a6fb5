//! How many certificates a proxy holds, and in which form.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::FieldError;

/// Bounds of certificates and their keys.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ProxyCertificates {
    /// Keys that are held parsed: those that handshakes used last. Any other is parsed when a handshake needs it, which
    /// takes about as long as the handshake itself. At least 1. Default: 4096.
    pub parsed_keys: usize,
    /// Certificates of listeners that are held. Where there are more, the rest are fetched when a handshake first needs
    /// them, and take the places of those that no handshake has used for longest. At least 1. Default: 10000.
    pub held: usize,
}

impl ProxyCertificates {
    pub(super) fn check(&self, errors: &mut Vec<FieldError>) {
        for (field, bound) in [("parsedKeys", self.parsed_keys), ("held", self.held)] {
            if bound == 0 {
                errors.push(FieldError::new(format!("certificates.{field}"), "must be at least 1"));
            }
        }
    }
}

impl Default for ProxyCertificates {
    fn default() -> Self {
        Self { parsed_keys: 4096, held: 10_000 }
    }
}
