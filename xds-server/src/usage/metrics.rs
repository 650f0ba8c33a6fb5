//! What a server's statistics say of usage.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use weir_config::usage::busiest::{Busiest, OTHERS, Series};
use weir_config::usage::{Batch, Units};
