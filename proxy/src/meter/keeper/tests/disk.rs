//! Disks that are full or cannot be written: small file systems of their own, where mounting is
//! permitted (root, Linux).

use std::process::Command;

use super::*;

/// A file system of its own, unmounted at the end.
struct Mount(TempDir);

impl Mount {
    /// None where this process may not mount.
    fn new(options: &str) -> Option<Self> {
        let dir = TempDir::new().unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", options, "none"]).arg(dir.path()).status();
        if mount.is_ok_and(|status| status.success()) {
            return Some(Self(dir));
        }
        eprintln!("not permitted to mount: nothing is tried");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn remount(&self, options: &str) {
        let status = Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(self.path()).status();
        assert!(status.unwrap().success());
    }

    fn fill(&self) {
        use std::io::Write;
        let mut ballast = fs::File::create(self.path().join("ballast")).unwrap();
        while ballast.write_all(&[1; 1024]).is_ok() {}
        while ballast.write_all(&[1; 1]).is_ok() {}
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn acme(batches: &[Arc<UsageBatch>]) -> u64 {
    sum(batches).get("acme").copied().unwrap_or_default()
}

#[test]
fn a_disk_that_is_full_for_a_while_costs_a_longer_window_and_no_usage() {
    let Some(disk) = Mount::new("size=2m") else { return };
    let dir = disk.path().join("usage");
    let site = start(&dir);
    site.count("acme", 1);
    site.keeper.close();
    disk.fill();
    for n in 0..3 {
        // Enough that the frame does not fit into what is left of a page.
        (0..200).for_each(|tenant| site.count(&format!("t{n}-{tenant}"), 1));
        site.count("acme", 10);
        site.keeper.close();
    }
    let state = site.outbox.state();
    assert_eq!(state.append_failures, 3);
    assert!(state.unlogged_since_ms.is_some());
    assert!(state.alarms.iter().any(|alarm| matches!(alarm, Alarm::AppendFails(_))), "{:?}", state.alarms);
    assert_eq!(acme(&batches(&site.outbox)), 1);
    fs::remove_file(disk.path().join("ballast")).unwrap();
    site.keeper.close();
    let state = site.outbox.state();
    assert_eq!((state.unlogged_since_ms, state.append_failures), (None, 3));
    assert!(!state.alarms.iter().any(|alarm| matches!(alarm, Alarm::AppendFails(_))));
    assert_eq!(acme(&batches(&site.outbox)), 31);
    // And what the failed appends left is nothing that a later start would stumble over.
    site.killed();
    let site = start(&dir);
    assert_eq!(acme(&batches(&site.outbox)), 31);
    assert_eq!(site.outbox.state().torn_tails, 0);
}

#[test]
fn a_kill_while_the_disk_is_full_loses_nothing() {
    let Some(disk) = Mount::new("size=2m") else { return };
    let dir = disk.path().join("usage");
    let site = start(&dir);
    // Tenants that come while the disk is full have no durable place, which is told; this one is there before.
    let held = site.meter.tenant("acme");
    site.count("acme", 1);
    site.keeper.close();
    disk.fill();
    (0..200).for_each(|tenant| site.count(&format!("t-{tenant}"), 1));
    site.count("acme", 10);
    site.keeper.close();
    assert_eq!(site.outbox.state().append_failures, 1);
    drop(held);
    site.killed();
    // It starts all the same, counts and sends from memory, and leaves what was for a better day.
    let site = start(&dir);
    let alarms = site.outbox.state().alarms;
    assert!(matches!(alarms[..], [Alarm::NotDurable(_), Alarm::Unrecovered(_), ..]), "{alarms:?}");
    site.count("acme", 100);
    site.keeper.close();
    assert_eq!(site.outbox.next(None).and_then(|batch| Key::of(&batch)).map(|key| key.sequence), Some(1));
    assert_eq!(acme(&batches(&site.outbox)), 100, "what may not be marked as sent is not sent");
    site.killed();
    fs::remove_file(disk.path().join("ballast")).unwrap();
    let site = start(&dir);
    assert_eq!(acme(&batches(&site.outbox)), 11);
    assert!(site.outbox.state().alarms.is_empty());
}

#[test]
fn a_directory_that_is_read_only_at_the_start_is_memory_and_an_alarm() {
    let Some(disk) = Mount::new("size=2m") else { return };
    let dir = disk.path().join("usage");
    let site = start(&dir);
    site.count("acme", 1);
    site.keeper.close();
    site.killed();
    disk.remount("ro");
    let site = start(&dir);
    assert!(matches!(site.outbox.state().alarms[..], [Alarm::NotDurable(_), Alarm::Unrecovered(_), ..]));
    site.count("acme", 100);
    site.keeper.close();
    assert_eq!(acme(&batches(&site.outbox)), 100);
    site.killed();
    disk.remount("rw");
    assert_eq!(acme(&batches(&start(&dir).outbox)), 1, "what was there is there");
}

#[test]
fn a_disk_that_turns_read_only_under_a_running_proxy_costs_no_usage() {
    let Some(disk) = Mount::new("size=2m") else { return };
    // The counters are mapped for writing, so the file system itself cannot turn read-only: a segment that cannot be
    // opened is the same to the log.
    let dir = disk.path().join("usage");
    let site = start(&dir);
    fs::create_dir(dir.join("log-00000001")).unwrap();
    site.count("acme", 5);
    site.keeper.close();
    assert_eq!(site.outbox.state().append_failures, 1);
    fs::remove_dir(dir.join("log-00000001")).unwrap();
    site.keeper.close();
    assert_eq!(acme(&batches(&site.outbox)), 5);
}
