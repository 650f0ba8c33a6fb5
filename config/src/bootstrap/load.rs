//! Bounds on what proxies ask of a server together.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::Period;
use crate::FieldError;

/// Bounds on what proxies ask of a server together. What is above them is refused with RESOURCE_EXHAUSTED or
/// UNAVAILABLE, and comes again later or goes to another replica.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Load {
    /// Streams that are open at one time. Default: 10000.
    pub streams: u32,
    /// Streams of one identity at one time. Default: 5000.
    pub streams_per_identity: u32,
    /// Streams that are opened in a second, beyond a burst of as many. Default: 200.
    pub streams_per_second: u32,
    /// Streams of one connection at one time; a client waits for room. Default: 1000.
    pub streams_per_connection: u32,
    /// How long a stream lives, give or take a fifth. It then ends, and its client comes back on another
    /// connection, perhaps to another replica; a delta client is sent nothing that it has. `0s`: for ever.
    /// Default: 1h.
    pub max_stream_age: Period,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            streams: 10_000,
            streams_per_identity: 5_000,
            streams_per_second: 200,
            streams_per_connection: 1_000,
            max_stream_age: Period::seconds(3600),
        }
    }
}

impl Load {
    /// Adds what cannot be used.
    pub(super) fn check(&self, errors: &mut Vec<FieldError>) {
        let bounds = [
            ("load.streams", self.streams),
            ("load.streamsPerIdentity", self.streams_per_identity),
            ("load.streamsPerSecond", self.streams_per_second),
            ("load.streamsPerConnection", self.streams_per_connection),
        ];
        for (field, _) in bounds.into_iter().filter(|(_, bound)| *bound == 0) {
            errors.push(FieldError::new(field, "must not be 0: no proxy could connect"));
        }
    }
}
