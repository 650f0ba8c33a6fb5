//! What a process costs: the scheduler's time of its threads, and its resident memory.

use std::fs;
use std::time::Duration;

use anyhow::Context;

/// Time on a core of all threads that the process has.
pub(crate) fn of_process(pid: u32) -> anyhow::Result<Duration> {
    let dir = format!("/proc/{pid}/task");
    let mut sum = Duration::ZERO;
    for thread in fs::read_dir(&dir).with_context(|| format!("{dir} is gone: the process has ended"))? {
        // A thread may end while one looks; what it did before is then in no sum, so proxies are
        // measured after they have settled.
        if let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) {
            sum += parse_schedstat(&text)?;
        }
    }
    Ok(sum)
}

/// Time on a core of one thread of this process.
pub(crate) fn of_thread(tid: i32) -> anyhow::Result<Duration> {
    let file = format!("/proc/self/task/{tid}/schedstat");
    parse_schedstat(&fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?)
}

/// Resident memory, in KiB.
pub(crate) fn resident_kib(pid: u32) -> anyhow::Result<u64> {
    let file = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
    parse_resident(&text).with_context(|| format!("{file} has no VmRSS"))
}

/// `schedstat`: nanoseconds on a core, nanoseconds of waiting, timeslices.
fn parse_schedstat(text: &str) -> anyhow::Result<Duration> {
    let nanoseconds = text.split_whitespace().next().context("schedstat is empty: the kernel does not keep it")?;
    Ok(Duration::from_nanos(nanoseconds.parse()?))
}

fn parse_resident(status: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    #[test]
    fn the_first_number_of_schedstat_is_time_on_a_core() {
        assert_eq!(super::parse_schedstat("203956 4377908 2\n").unwrap(), Duration::from_nanos(203_956));
        assert!(super::parse_schedstat("").is_err());
    }

    #[test]
    fn resident_memory_is_read_from_status() {
        assert_eq!(super::parse_resident("Name:\tx\nVmRSS:\t    5132 kB\nThreads:\t1\n"), Some(5132));
        assert_eq!(super::parse_resident("Name:\tx\n"), None);
    }

    #[test]
    fn this_process_has_run() {
        assert!(super::of_process(std::process::id()).unwrap() > Duration::ZERO);
        assert!(super::resident_kib(std::process::id()).unwrap() > 0);
    }
}
