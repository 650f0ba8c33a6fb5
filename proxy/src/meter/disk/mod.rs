//! Disks that the log is written to: a directory, memory, or memory above a directory that cannot be written.

mod files;
mod memory;
mod overlay;

pub use files::{Files, Lock};
pub use memory::Memory;
pub use overlay::Overlay;
