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
    let store = Store::new(&dir.path().join("state"), Some(&dir.path().join("keys"))).unwrap();
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
    let store = Store::new(dir.path(), None).unwrap();
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
    let store = Store::new(dir.path(), None).unwrap();
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
    let store = Store::new(dir.path(), None).unwrap();
    let now = SystemTime::now();
    store.save(entries().into_iter(), now).unwrap();
    assert_eq!(store.load(now + DAY - Duration::from_secs(2), DAY).len(), 5);
    assert!(store.load(now + DAY + Duration::from_secs(2), DAY).is_empty());
}
