//! What an edit costs a whole server, from the rename to the acknowledgement of four proxies, counted by
//! the allocator: it does not grow with the fleet. One test, because the count is the process's.

#[cfg(test)]
mod fleet;

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;
