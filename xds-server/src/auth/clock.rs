//! The clocks by which identities live.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::life::Now;

/// Both clocks, read.
pub type Clock = Arc<dyn Fn() -> Now + Send + Sync>;

/// The clocks of this machine.
pub fn clock() -> Clock {
    Arc::new(|| Now { wall: SystemTime::now(), mono: Instant::now() })
}
