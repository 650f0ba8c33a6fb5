use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use super::super::persist::Store;
use super::*;

const DAY: Duration = Duration::from_secs(86400);

fn secret() -> Resource {
    let certificate = TlsCertificate { chain: "chain".into(), key: PrivateKey("very secret".into()) };
    Secret { name: "s".into(), certificate }.into()
}

fn entries() -> Vec<(Resource, String)> {
    [cluster("c"), endpoints("c", 1), listener("l", "r", &[]), routes("r", true), host("r", "a.test", "c"), secret()]
        .map(|r| (r, "7".to_owned()))
        .to_vec()
}

#[test]
fn what_was_saved_is_loaded_with_its_versions_and_private_to_its_owner() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::new(&dir.path().join("state"), Some(&dir.path().join("keys"))).unwrap();
    let now = SystemTime::now();
    store.save(entries().into_iter(), now).unwrap();
    let mut loaded = store.load(now, DAY);
    loaded.sort_by_key(|(r, _)| r.name().to_owned());
    let mut saved = entries();
    saved.sort_by_key(|(r, _)| r.name().to_owned());
    assert_eq!(loaded, saved);
    for file in ["state/last-good.xds", "keys/last-good-secrets.xds"] {
        assert_eq!(fs::metadata(dir.path().join(file)).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn keys_are_never_beside_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::new(dir.path(), None).unwrap();
    store.save(entries().into_iter(), SystemTime::now()).unwrap();
    let files: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|f| f.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    let bytes = fs::read(&files[0]).unwrap();
    assert!(!bytes.windows(11).any(|w| w == b"very secret"));
    assert_eq!(store.load(SystemTime::now(), DAY).len(), 5);
}

#[test]
fn every_broken_file_is_refused_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::new(dir.path(), None).unwrap();
    let now = SystemTime::now();
    assert!(store.load(now, DAY).is_empty(), "nothing was stored yet");
    store.save(entries().into_iter(), now).unwrap();
    let file = dir.path().join("last-good.xds");
    let whole = fs::read(&file).unwrap();
    for at in 0..whole.len() {
        let mut broken = whole.clone();
        broken[at] ^= 0x10;
        fs::write(&file, &broken).unwrap();
        assert!(store.load(now, DAY).is_empty(), "byte {at}");
        fs::write(&file, &whole[..at]).unwrap();
        assert!(store.load(now, DAY).is_empty(), "cut at {at}");
    }
    fs::write(&file, &whole).unwrap();
    assert_eq!(store.load(now, DAY).len(), 5);
}

#[test]
fn a_stale_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::new(dir.path(), None).unwrap();
    let now = SystemTime::now();
    store.save(entries().into_iter(), now).unwrap();
    assert_eq!(store.load(now + DAY - Duration::from_secs(2), DAY).len(), 5);
    assert!(store.load(now + DAY + Duration::from_secs(2), DAY).is_empty());
}

/// What a store holds, by name, with versions.
fn held(store: &Store) -> Vec<(String, String)> {
    store.load(SystemTime::now(), DAY).into_iter().map(|(r, version)| (r.name().to_owned(), version)).collect()
}

fn add(store: &mut Store, resource: Resource, version: &'static str) {
    let change = ((resource.kind(), resource.name().to_owned()), Some((resource, version)));
    store.append([change].into_iter(), SystemTime::now()).unwrap();
}

fn take(store: &mut Store, kind: ResourceType, name: &str) {
    store.append::<&str>([((kind, name.to_owned()), None)].into_iter(), SystemTime::now()).unwrap();
}

#[test]
fn what_changed_since_is_added_and_costs_what_changed() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    let mut store = Store::new(dir.path(), Some(&keys)).unwrap();
    assert!(store.wants_all(), "nothing is there to add to");
    let many = (0..500).map(|n| (cluster(&format!("c{n}")), "1"));
    store.save(many.chain([(secret(), "1")]), SystemTime::now()).unwrap();
    assert!(!store.wants_all());
    let file = fs::read(dir.path().join("last-good.xds")).unwrap();
    add(&mut store, cluster("c7"), "2");
    add(&mut store, cluster("new"), "2");
    take(&mut store, ResourceType::Cluster, "c8");
    take(&mut store, ResourceType::Secret, "s");
    let found = held(&store);
    assert_eq!(found.len(), 500);
    assert!(found.contains(&("c7".into(), "2".into())) && found.contains(&("new".into(), "2".into())));
    assert!(!found.iter().any(|(name, _)| name == "c8" || name == "s"));
    assert_eq!(fs::read(dir.path().join("last-good.xds")).unwrap(), file, "the file is not written anew");
    let journal = dir.path().join("last-good.journal");
    assert!(fs::metadata(&journal).unwrap().len() < 2048);
    for file in [journal, keys.join("last-good-secrets.journal")] {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    store.save([(cluster("only"), "3")].into_iter(), SystemTime::now()).unwrap();
    assert_eq!(held(&store), [("only".into(), "3".into())], "what was added before is no longer there");
}

#[test]
fn keys_are_not_in_the_journal_either() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::new(dir.path(), None).unwrap();
    store.save(entries().into_iter(), SystemTime::now()).unwrap();
    add(&mut store, secret(), "8");
    let journal = fs::read(dir.path().join("last-good.journal")).unwrap();
    assert!(!journal.windows(11).any(|w| w == b"very secret"));
}

/// A store of one cluster, to which one was added and then one was taken away; its journal.
fn with_journal(dir: &std::path::Path) -> (Store, std::path::PathBuf) {
    let mut store = Store::new(dir, None).unwrap();
    store.save([(cluster("a"), "1")].into_iter(), SystemTime::now()).unwrap();
    add(&mut store, cluster("b"), "1");
    take(&mut store, ResourceType::Cluster, "a");
    (store, dir.join("last-good.journal"))
}

fn names(store: &Store) -> Vec<String> {
    held(store).into_iter().map(|(name, _)| name).collect()
}

#[test]
fn a_journal_that_was_torn_ends_before_what_was_never_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let (store, journal) = with_journal(dir.path());
    let whole = fs::read(&journal).unwrap();
    let mut seen = Vec::new();
    for end in 0..=whole.len() {
        fs::write(&journal, &whole[..end]).unwrap();
        let short = names(&store);
        // Room was made, and not all of it written.
        let mut zeros = whole.clone();
        zeros[end..].fill(0);
        fs::write(&journal, &zeros).unwrap();
        let zeroed = names(&store);
        assert!(zeroed == short || zeroed.is_empty(), "{end}: {zeroed:?}");
        if seen.last() != Some(&short) {
            seen.push(short);
        }
    }
    assert_eq!(seen, [vec!["a"], vec!["a", "b"], vec!["b"]], "each time all of a batch or nothing");
}

#[test]
fn a_journal_that_was_damaged_is_refused_with_all() {
    let dir = tempfile::tempdir().unwrap();
    let (store, journal) = with_journal(dir.path());
    let whole = fs::read(&journal).unwrap();
    for at in 0..whole.len() {
        let mut broken = whole.clone();
        broken[at] ^= 0x10;
        fs::write(&journal, &broken).unwrap();
        assert!(held(&store).is_empty(), "byte {at}: what was taken away could be back");
    }
}

#[test]
fn a_journal_of_another_file_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, journal) = with_journal(dir.path());
    let old = fs::read(&journal).unwrap();
    store.save([(cluster("c"), "1")].into_iter(), SystemTime::now()).unwrap();
    assert!(!journal.exists());
    // As if the process had ended before it was removed.
    fs::write(&journal, old).unwrap();
    assert_eq!(names(&store), ["c"]);
}

#[test]
fn a_long_journal_gives_way_to_a_new_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::new(dir.path(), None).unwrap();
    store.save([(cluster("a"), "1")].into_iter(), SystemTime::now()).unwrap();
    let version = "v".repeat(100_000);
    let mut added = 0;
    while !store.wants_all() {
        let change = ((ResourceType::Cluster, "a".to_owned()), Some((cluster("a"), version.as_str())));
        store.append([change].into_iter(), SystemTime::now()).unwrap();
        added += 1;
        assert!(added < 20, "it grows for ever");
    }
    assert!(added > 5, "and not after every few");
}

#[test]
fn a_journal_says_when_it_was_confirmed() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::new(dir.path(), None).unwrap();
    let now = SystemTime::now();
    store.save(entries().into_iter(), now).unwrap();
    store.append::<&str>(std::iter::empty(), now + DAY).unwrap();
    assert_eq!(store.load(now + DAY + DAY / 2, DAY).len(), 5);
}
