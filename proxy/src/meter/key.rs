//! Names of epochs and of the batches within them.

use std::fmt;

use serde::{Serialize, Serializer};
use weir_config::usage::v1::UsageBatch;

/// 128 random bits, drawn anew whenever a proxy starts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub [u8; 16]);

/// What names a batch, and nothing else does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Key {
    /// The proxy's start in which it was counted.
    pub epoch: Epoch,
    /// Its place within the epoch, from 1.
    pub sequence: u64,
}

impl Epoch {
    /// A new one, from the system's random numbers.
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// The epoch of these bytes; none where they are not 16.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl Key {
    /// The key of a batch; none where its epoch is not 16 bytes.
    pub fn of(batch: &UsageBatch) -> Option<Self> {
        Some(Self { epoch: Epoch::from_bytes(&batch.epoch)?, sequence: batch.sequence })
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.epoch, self.sequence)
    }
}

/// In hexadecimal digits.
impl Serialize for Epoch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
