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
}

impl ProxyCertificates {
    pub(super) fn check(&self, errors: &mut Vec<FieldError>) {
        if self.parsed_keys == 0 {
            errors.push(FieldError::new("certificates.parsedKeys", "must be at least 1"));
        }
    }
}

impl Default for ProxyCertificates {
    fn default() -> Self {
        Self { parsed_keys: 4096 }
    }
}
