use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use ResourceType as T;

use super::super::persist::Store;
use super::super::pipeline::Pipeline;
use super::*;

const DAY: Duration = Duration::from_secs(86400);

/// A pipeline over a store, and what requests would see.
fn pipeline(dir: &std::path::Path) -> (Pipeline, Arc<Mutex<Snapshot>>) {
    let live = Arc::new(Mutex::new(Snapshot::default()));
    let seen = Arc::clone(&live);
    let apply = Box::new(move |delta: &Delta| seen.lock().unwrap().apply(delta));
    (Pipeline::new(new_client(), apply, Some(Store::new(dir, None).unwrap()), DAY), live)
}

fn serve(pipeline: &mut Pipeline, now: Instant) {
    pipeline.open();
    pipeline.opened(now, SystemTime::now());
    let l = listener("l", "r", &[]);
    let vh = host("r", "a.test", "c");
    let all = [
        response(T::Cluster, &[&cluster("c")], &[]),
        response(T::LoadAssignment, &[&endpoints("c", 1)], &[]),
        response(T::Listener, &[&l], &[]),
        response(T::RouteConfiguration, &[&routes("r", true)], &[]),
        response(T::VirtualHost, &[&vh], &[]),
    ];
    for piece in all {
        pipeline.receive(piece, now, SystemTime::now());
    }
}

#[test]
fn a_restarted_proxy_serves_without_a_server_and_asks_only_for_what_is_new() {
    let dir = tempfile::tempdir().unwrap();
    let now = Instant::now();
    let (mut first, before) = pipeline(dir.path());
    assert!(!first.restore(SystemTime::now()));
    serve(&mut first, now);
    assert!(before.lock().unwrap().listeners.contains_key("l"));
    first.tick(first.deadline().unwrap(), SystemTime::now());

    let (mut second, after) = pipeline(dir.path());
    assert!(second.restore(SystemTime::now()));
    assert_eq!(*after.lock().unwrap(), *before.lock().unwrap());
    let requests = second.open();
    assert!(requests.iter().all(|r| r.initial_resource_versions.values().all(|v| v == "1")));
    assert_eq!(requests.iter().map(|r| r.initial_resource_versions.len()).sum::<usize>(), 5);
}

#[test]
fn a_removal_is_on_disk_when_it_is_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let now = Instant::now();
    let (mut first, _) = pipeline(dir.path());
    serve(&mut first, now);
    first.receive(response(T::VirtualHost, &[], &["r/a.test"]), now, SystemTime::now());
    let (mut second, live) = pipeline(dir.path());
    second.restore(SystemTime::now());
    assert!(live.lock().unwrap().listeners.contains_key("l"));
    assert!(live.lock().unwrap().virtual_hosts.is_empty());
}

#[test]
fn an_edit_is_added_to_what_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let now = Instant::now();
    let (mut first, before) = pipeline(dir.path());
    serve(&mut first, now);
    first.tick(first.deadline().unwrap(), SystemTime::now());
    let file = std::fs::read(dir.path().join("last-good.xds")).unwrap();
    first.receive(response(T::VirtualHost, &[&host("r", "b.test", "c")], &["r/a.test"]), now, SystemTime::now());
    first.receive(response(T::VirtualHost, &[&host("r", "c.test", "c")], &[]), now, SystemTime::now());
    first.tick(first.deadline().unwrap(), SystemTime::now());
    assert_eq!(std::fs::read(dir.path().join("last-good.xds")).unwrap(), file, "all is not written anew");
    let (mut second, after) = pipeline(dir.path());
    assert!(second.restore(SystemTime::now()));
    assert_eq!(*after.lock().unwrap(), *before.lock().unwrap());
    assert_eq!(after.lock().unwrap().virtual_hosts.keys().collect::<Vec<_>>(), ["r/b.test", "r/c.test"]);
}

#[test]
fn a_burst_of_additions_is_written_once_and_then_only_to_stay_fresh() {
    let dir = tempfile::tempdir().unwrap();
    let now = Instant::now();
    let (mut p, _) = pipeline(dir.path());
    serve(&mut p, now);
    assert_eq!(p.deadline(), Some(now + Duration::from_secs(1)));
    p.tick(now + Duration::from_secs(1), SystemTime::now());
    assert_eq!(p.deadline(), Some(now + Duration::from_secs(1) + DAY / 24));
}

#[test]
fn the_state_shows_what_is_live_what_waits_and_what_was_refused() {
    let dir = tempfile::tempdir().unwrap();
    let now = Instant::now();
    let (mut p, _) = pipeline(dir.path());
    serve(&mut p, now);
    p.receive(response(T::Cluster, &[&cluster("bad")], &[]), now, SystemTime::now());
    p.receive(response(T::VirtualHost, &[&host("r", "b.test", "missing")], &[]), now, SystemTime::now());
    let state = p.state();
    assert_eq!(state.active.len(), 5);
    assert_eq!(state.warming, [(T::VirtualHost, "r/b.test".into())]);
    assert_eq!(state.rejected[0].1, "bad");
    assert_eq!((state.counts.responses, state.counts.refused), (7, 1));
}

#[test]
fn what_came_in_the_last_moment_is_written_at_the_end_though_the_server_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let now = Instant::now();
    let (mut first, _) = pipeline(dir.path());
    serve(&mut first, now);
    first.close();
    first.finish(now);
    let (mut second, live) = pipeline(dir.path());
    assert!(second.restore(SystemTime::now()));
    assert!(live.lock().unwrap().listeners.contains_key("l"));
}

#[test]
fn without_a_server_what_is_stored_does_not_look_fresher() {
    let dir = tempfile::tempdir().unwrap();
    let now = Instant::now();
    let (mut first, _) = pipeline(dir.path());
    serve(&mut first, now);
    first.close();
    let later = SystemTime::now() + DAY + Duration::from_secs(60);
    first.tick(now + DAY, later);
    let (mut second, _) = pipeline(dir.path());
    assert!(!second.restore(later), "the server's last word is more than a day old");
}
