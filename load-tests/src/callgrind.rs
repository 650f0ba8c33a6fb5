//! Instructions per request: a long run less a short one, over the difference in requests.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::load::{self, Target};
use crate::measure::Contestant;
use crate::rows::Load;
use crate::upstream::BODY;
use crate::verify;

/// Requests of the short run at the least; the long one has three times as many.
const REQUESTS: u32 = 1000;

/// Instructions that `contestant` executes in user space for one request. The profiles are kept in
/// `profiles`, if it is given.
pub(crate) fn per_request(contestant: &Contestant, profiles: Option<&Path>) -> anyhow::Result<u64> {
    let hosts = contestant.case.config.hosts();
    // Whole turns of the hosts, so that both runs ask the same; the first turn makes connections.
    let short = hosts * REQUESTS.div_ceil(hosts);
    let dir = tempfile::tempdir()?;
    let profiles = profiles.unwrap_or(dir.path());
    let first = run(contestant, short, &profiles.join("short.callgrind"))?;
    let second = run(contestant, 3 * short, &profiles.join("long.callgrind"))?;
    Ok(second.saturating_sub(first) / u64::from(2 * short))
}

fn run(contestant: &Contestant, requests: u32, out: &Path) -> anyhow::Result<u64> {
    let target: Target = contestant.target(Load::Kept { body: BODY, connections: 1 })?;
    let under = ["--tool=callgrind".to_owned(), format!("--callgrind-out-file={}", out.display())];
    let mut process = contestant.start(Some((Path::new("valgrind"), &under)))?;
    verify::ready(&contestant.case, target.tls.as_ref(), &mut process)?;
    contestant.settle(&mut process)?;
    load::one_by_one(&target, requests)?;
    process.stop()?;
    total(out)
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
