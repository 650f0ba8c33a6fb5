//! Instructions per request. Counting begins once everything was asked for on the connection, and ends before anything
//! is torn down: a start, whose cost is never twice the same where TLS gathers entropy, is not in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::load::{self, Target};
use crate::measure::Contestant;
use crate::rows::Load;
use crate::upstream::BODY;
use crate::verify;

/// Requests before counting begins, at the least; twice as many are counted.
const REQUESTS: u32 = 1000;

/// Instructions that `contestant` executes in user space for one request. The profiles are kept in
/// `profiles`, if it is given.
pub(crate) fn per_request(contestant: &Contestant, profiles: Option<&Path>) -> anyhow::Result<u64> {
    let hosts = contestant.case.config.hosts();
    // Whole turns of the hosts, so that each is asked as often; the first turn makes connections.
    let warm = hosts * REQUESTS.div_ceil(hosts);
    let dir = tempfile::tempdir()?;
    let (out, prefix) = (profiles.unwrap_or(dir.path()).join("requests.callgrind"), dir.path().join("vgdb"));
    let target: Target = contestant.target(Load::Kept { body: BODY, connections: 1 })?;
    let mut process = contestant.start(Some((Path::new("valgrind"), &under(&out, &prefix))))?;
    verify::ready(&contestant.case, target.tls.as_ref(), &mut process)?;
    contestant.settle(&mut process)?;
    let pid = process.id();
    load::one_by_one(&target, warm, 2 * warm, &mut |on| count(&prefix, pid, on))?;
    process.stop()?;
    Ok(total(&out)? / u64::from(2 * warm))
}

/// Arguments of a valgrind that counts only when it is told to, by files that begin with `prefix`.
pub(crate) fn under(out: &Path, prefix: &Path) -> [String; 4] {
    [
        "--tool=callgrind".to_owned(),
        "--instr-atstart=no".to_owned(),
        format!("--callgrind-out-file={}", out.display()),
        format!("--vgdb-prefix={}", prefix.display()),
    ]
}

/// Tells valgrind to begin or to end counting.
pub(crate) fn count(prefix: &Path, pid: u32, on: bool) -> anyhow::Result<()> {
    let mut command = Command::new("vgdb");
    command.arg(format!("--pid={pid}")).arg(format!("--vgdb-prefix={}", prefix.display()));
    command.args(["--wait=60", "instrumentation", if on { "on" } else { "off" }]);
    let done = command.stdin(Stdio::null()).output().context("cannot run vgdb, a part of valgrind")?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "valgrind does not begin or end to count: {}", said.trim());
    Ok(())
}

/// The profile's total.
pub(crate) fn total(profile: &Path) -> anyhow::Result<u64> {
    // A process that starts another leaves a profile of each; the one without a number is its own.
    let text = fs::read_to_string(profile).with_context(|| format!("callgrind left no {}", profile.display()))?;
    parse(&text)
}

fn parse(profile: &str) -> anyhow::Result<u64> {
    let line = profile.lines().rev().find_map(|l| l.strip_prefix("totals:").or_else(|| l.strip_prefix("summary:")));
    Ok(line.context("the profile has no total")?.split_whitespace().next().context("the total is empty")?.parse()?)
}

/// Where the profiles of one contestant are kept.
pub(crate) fn directory(profiles: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let dir = profiles.join(name);
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    Ok(dir)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_profile_has_its_total_at_the_end() {
        assert_eq!(super::parse("events: Ir\nfn=main\n1 2\ntotals: 1234\n").unwrap(), 1234);
        assert_eq!(super::parse("summary: 77 5\n").unwrap(), 77);
        assert!(super::parse("events: Ir\n").is_err());
    }
}
