//! Instructions that the server executes in user space for one edit, by callgrind: the same on a busy machine.
//!
//! Counting begins when everything is served and ends before anything is torn down. Each edit waits for
//! the one before to show everywhere, so that none is taken together with another.

use std::path::Path;

use super::ask::{Asker, EVERY};
use super::fleet::{Fleet, Shape};
use super::order;
use crate::callgrind;

/// Longer than a run: what proxies report meanwhile belongs to no edit.
const WINDOW: &str = "1h";
/// Edits before counting begins: what is done once belongs to none.
const WARM: u32 = 5;

/// Instructions of each of `edits` edits, on average. The profile is kept in `profiles`, if it is given.
pub(crate) fn per_edit(shape: Shape<'_>, edits: u32, profiles: Option<&Path>) -> anyhow::Result<u64> {
    let dir = tempfile::tempdir()?;
    let profile = match profiles {
        Some(profiles) => profiles.join(format!("edits-{}.callgrind", shape.tenants)),
        None => dir.path().join("callgrind"),
    };
    let prefix = dir.path().join("vgdb");
    let under = callgrind::under(&profile, &prefix);
    let shape = Shape { under: Some((Path::new("valgrind"), &under)), window: WINDOW, ..shape };
    let fleet = Fleet::start(shape)?;
    let pid = fleet.server.id();
    edit(&fleet, shape.tenants, 1..=WARM)?;
    callgrind::count(&prefix, pid, true)?;
    edit(&fleet, shape.tenants, WARM + 1..=WARM + edits)?;
    callgrind::count(&prefix, pid, false)?;
    let Fleet { server, .. } = fleet;
    server.stop()?;
    Ok(callgrind::total(&profile)? / u64::from(edits))
}

/// Makes edits one after the other, each when all proxies show the one before.
fn edit(fleet: &Fleet, tenants: u32, edits: impl Iterator<Item = u32>) -> anyhow::Result<()> {
    let mut askers: Vec<Asker> = fleet.places().map(|place| Asker::new(place, 0)).collect::<Result<_, _>>()?;
    for edit in edits {
        let tenant = order(edit, tenants);
        fleet.edit(tenant, edit)?;
        for asker in &mut askers {
            while asker.ask(tenant)? != Some(edit) {
                std::thread::sleep(EVERY);
            }
        }
    }
    Ok(())
}
