//! Where a race runs.

use std::fs;

use crate::cores::Cores;
use crate::report::Machine;

/// Describes this machine. What cannot be read is said to be unknown.
pub(crate) fn describe(cores: Cores) -> Machine {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let processor = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let memory = read("/proc/meminfo");
    let memory = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"));
    Machine {
        processor: processor.map_or("unknown", |(_, name)| name).to_owned(),
        count: cpuinfo.lines().filter(|line| line.starts_with("processor")).count(),
        memory_mib: memory.and_then(|kib| kib.trim().parse::<u64>().ok()).unwrap_or_default() / 1024,
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        cores,
        load_before: read("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default(),
    }
}
