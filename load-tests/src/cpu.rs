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

/// Time that a core was not idle since the machine started, to a hundredth of a second.
pub(crate) fn of_core(core: usize) -> anyhow::Result<Duration> {
    let text = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    parse_core(&text, core).with_context(|| format!("/proc/stat has no core {core}"))
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

/// `cpuN user nice system idle iowait irq softirq steal ...`, in hundredths of a second.
fn parse_core(stat: &str, core: usize) -> Option<Duration> {
    let name = format!("cpu{core} ");
    let times = stat.lines().find_map(|line| line.strip_prefix(&name))?;
    let times: Vec<u64> = times.split_whitespace().map_while(|time| time.parse().ok()).collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = times[..] else { return None };
    Some(Duration::from_millis(10 * (user + nice + system + irq + softirq + steal)))
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
    fn a_core_is_busy_but_when_it_is_idle_or_waits_for_a_disk() {
        let stat = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu1 1 2 3 1000 500 4 5 6 0 0\ncpu10 7 0 0 0 0 0 0 0 0 0\n";
        assert_eq!(super::parse_core(stat, 1), Some(Duration::from_millis(210)));
        assert_eq!(super::parse_core(stat, 10), Some(Duration::from_millis(70)));
        assert_eq!(super::parse_core(stat, 2), None);
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
