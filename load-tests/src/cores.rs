//! Which thread runs where: the proxy under test has a core to itself, the load has another.

use anyhow::Context;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::{Deserialize, Serialize};

/// Cores by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cores {
    /// Of the proxy under test, alone.
    pub(crate) proxy: usize,
    /// Of the upstream, and of Weir's control server.
    pub(crate) upstream: usize,
    /// Of the load generator: the upstream's, where there are only two.
    pub(crate) generator: usize,
}

impl Cores {
    /// Out of those that this process may use.
    pub(crate) fn choose() -> anyhow::Result<Self> {
        let allowed = sched_getaffinity(None).context("cannot read the CPU affinity")?;
        let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect();
        Self::of(&cores).context("there is no core to run on")
    }

    fn of(cores: &[usize]) -> Option<Self> {
        let proxy = *cores.first()?;
        let upstream = cores.get(1).copied().unwrap_or(proxy);
        let generator = cores.get(2).copied().unwrap_or(upstream);
        Some(Self { proxy, upstream, generator })
    }

    /// Whether the proxy has its core to itself; else figures mean little.
    pub(crate) fn apart(self) -> bool {
        self.proxy != self.upstream
    }
}

/// Binds the calling thread, and what it starts from now on, to a core.
pub(crate) fn pin(core: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).with_context(|| format!("cannot run on core {core}"))
}

#[cfg(test)]
mod tests {
    use super::Cores;

    #[test]
    fn the_proxy_is_alone_wherever_there_are_two_cores() {
        assert_eq!(Cores::of(&[4, 6]), Some(Cores { proxy: 4, upstream: 6, generator: 6 }));
        assert_eq!(Cores::of(&[0, 1, 2, 3]), Some(Cores { proxy: 0, upstream: 1, generator: 2 }));
        assert!(Cores::of(&[0, 1]).is_some_and(Cores::apart));
        assert!(!Cores::of(&[0]).is_some_and(Cores::apart));
        assert_eq!(Cores::of(&[]), None);
    }
}
