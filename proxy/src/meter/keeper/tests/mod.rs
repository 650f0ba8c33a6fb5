//! On a real disk.

mod disk;
mod kill;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;
use weir_config::usage::Units;
use weir_config::usage::v1::UsageBatch;

use super::*;
use crate::meter::{Alarm, Key, Metric};

/// A window that does not close by itself while a test runs.
const LONG: Duration = Duration::from_secs(3600);

struct Site {
    meter: Arc<Meter>,
    outbox: Arc<Outbox>,
    keeper: Keeper,
}

fn start(dir: &Path) -> Site {
    let (meter, outbox, keeper) = Keeper::start(dir, "edge-1", LONG, 64 << 20, 2).unwrap();
    Site { meter, outbox, keeper }
}

impl Site {
    fn count(&self, tenant: &str, n: u64) {
        let lease = self.meter.tenant(tenant);
        self.meter.add(0, lease.id(), Metric::Requests, n);
        self.meter.add(1, lease.id(), Metric::ResponseBytes, 10 * n);
    }

    /// As a kill does: nothing is written any more.
    fn killed(self) {
        drop(self.keeper);
    }
}

/// What waits to be sent, in order.
fn batches(outbox: &Outbox) -> Vec<Arc<UsageBatch>> {
    std::iter::successors(outbox.next(None), |batch| outbox.next(Key::of(batch))).collect()
}

fn sum(batches: &[Arc<UsageBatch>]) -> BTreeMap<String, u64> {
    let mut sum = BTreeMap::new();
    for entry in batches.iter().flat_map(|batch| &batch.usage) {
        *sum.entry(entry.tenant.clone()).or_default() += Units::from(entry.units.as_ref().unwrap())[Metric::Requests];
    }
    sum
}

fn files(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[test]
fn a_window_is_logged_and_given_out_and_the_end_is_said() {
    let dir = TempDir::new().unwrap();
    let site = start(dir.path());
    site.count("acme", 3);
    site.keeper.close();
    site.count("acme", 4);
    site.count("globex", 1);
    let outbox = site.outbox.clone();
    site.keeper.finish();
    let batches = batches(&outbox);
    assert_eq!(
        batches.iter().map(|b| (b.first_sequence, b.sequence, b.last)).collect::<Vec<_>>(),
        [(1, 1, false), (2, 2, true)]
    );
    assert!(batches.iter().all(|b| b.proxy == "edge-1" && b.started_ms % 3_600_000 == 0 && b.ended_ms > b.started_ms));
    assert_eq!(sum(&batches), BTreeMap::from([("acme".into(), 7), ("globex".into(), 1)]));
    assert_eq!(files(dir.path()), ["log-00000001"], "the counters of an ended epoch are gone");
}

#[test]
fn what_a_killed_process_counted_is_its_epochs_last_batch() {
    let dir = TempDir::new().unwrap();
    let site = start(dir.path());
    site.count("acme", 3);
    site.keeper.close();
    site.count("acme", 4);
    site.killed();
    let site = start(dir.path());
    site.count("acme", 100);
    site.keeper.close();
    let all = batches(&site.outbox);
    let told: Vec<_> = all.iter().map(|b| (b.sequence, b.last, b.lost_open_window)).collect();
    assert_eq!(told, [(1, false, false), (2, true, false), (1, false, false)]);
    assert_eq!(sum(&all), BTreeMap::from([("acme".into(), 107)]));
    assert!(site.outbox.state().alarms.is_empty(), "{:?}", site.outbox.state().alarms);
}

#[test]
fn what_is_acknowledged_at_the_end_is_gone_from_the_disk() {
    let dir = TempDir::new().unwrap();
    let site = start(dir.path());
    site.count("acme", 3);
    site.keeper.finish();
    for batch in batches(&site.outbox) {
        let key = Key::of(&batch).unwrap();
        assert!(site.outbox.sending(key));
        site.outbox.acknowledged(key);
    }
    drop(site);
    assert_eq!(files(dir.path()), Vec::<String>::new());
}

#[test]
fn nothing_counted_leaves_no_batch_and_no_file() {
    let dir = TempDir::new().unwrap();
    let site = start(dir.path());
    site.keeper.close();
    site.killed();
    let site = start(dir.path());
    let outbox = site.outbox.clone();
    site.keeper.finish();
    assert_eq!(outbox.next(None), None);
    assert_eq!(files(dir.path()), Vec::<String>::new());
}

#[test]
fn a_directory_is_one_processs() {
    let dir = TempDir::new().unwrap();
    let site = start(dir.path());
    let error = Keeper::start(dir.path(), "edge-2", LONG, 64 << 20, 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceBusy);
    assert!(error.to_string().contains("in use by another proxy"), "{error}");
    drop(site);
}

#[test]
fn a_copied_directory_is_not_believed_and_says_what_is_lost() {
    let dir = TempDir::new().unwrap();
    let site = start(dir.path());
    site.count("acme", 3);
    site.keeper.close();
    site.count("acme", 4);
    let copy = TempDir::new().unwrap();
    for name in files(dir.path()) {
        fs::copy(dir.path().join(&name), copy.path().join(&name)).unwrap();
    }
    let twin = start(copy.path());
    let said = batches(&twin.outbox);
    assert_eq!(sum(&said), BTreeMap::from([("acme".into(), 3)]));
    let end = said.last().unwrap();
    assert!(end.last && end.lost_open_window && end.usage.is_empty());
    assert!(matches!(twin.outbox.state().alarms[..], [Alarm::LostOpenWindows(1)]));
    // The one that it was copied from goes on, and its sequences meet nothing that the copy said.
    site.keeper.close();
    let next = batches(&site.outbox).last().unwrap().sequence;
    assert!(next < end.first_sequence);
}

#[test]
fn damaged_counters_are_kept_and_not_believed() {
    let dir = TempDir::new().unwrap();
    let site = start(dir.path());
    site.count("acme", 3);
    site.keeper.close();
    site.killed();
    let counters = files(dir.path()).into_iter().find(|name| name.starts_with("counters-")).unwrap();
    fs::write(dir.path().join(&counters), b"nonsense").unwrap();
    let site = start(dir.path());
    assert!(batches(&site.outbox).last().unwrap().lost_open_window);
    assert_eq!(fs::read(dir.path().join(format!("damaged-{counters}"))).unwrap(), b"nonsense");
}

#[test]
fn a_file_where_the_directory_should_be_means_memory_and_an_alarm() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("usage");
    fs::write(&path, b"").unwrap();
    let site = start(&path);
    site.count("acme", 3);
    site.keeper.close();
    assert_eq!(sum(&batches(&site.outbox)), BTreeMap::from([("acme".into(), 3)]));
    assert!(matches!(site.outbox.state().alarms[..], [Alarm::NotDurable(_), ..]));
}

#[test]
fn files_are_the_owners_alone() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("usage");
    let site = start(&path);
    site.count("acme", 3);
    site.keeper.close();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    for name in files(&path) {
        assert_eq!(fs::metadata(path.join(&name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
}
