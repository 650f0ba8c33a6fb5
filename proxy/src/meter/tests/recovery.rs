//! What the next start finds, wherever the process ended.

use std::fs;
use std::os::unix::fs::FileExt;

use super::super::{Meter, Metric, Units, file};
use super::{Durable, EPOCH, in_old, only};

#[test]
fn what_was_counted_is_found() {
    let durable = Durable::new(2);
    let meter = &durable.meter;
    let (acme, globex) = (meter.tenant("acme"), meter.tenant("globex"));
    meter.add(0, acme.id(), Metric::Requests, 1);
    meter.add(1, acme.id(), Metric::Requests, 2);
    meter.add(1, globex.id(), Metric::ExecutionMs, 7);
    let logged = Units([2, 0, 0, 0, 0, 0, 0, 0]);
    meter.logged(acme.id(), meter.counted()[1].incarnation, &logged);
    meter.set_logged_sequence(12);
    meter.set_sent_sequence(11);
    let old = durable.found();
    assert_eq!((old.epoch, old.believable, old.logged_sequence, old.sent_sequence), (EPOCH, true, 12, 11));
    assert_eq!((meter.logged_sequence(), meter.sent_sequence()), (12, 11));
    assert_eq!(old.counted, meter.counted());
    assert_eq!(old.counted[1].logged, logged);
    assert_eq!(meter.volatile(), 0);
}

/// Each of the stores that an announced write makes may be the last.
#[test]
fn an_announced_write_counts_until_it_is_known_what_became_of_it() {
    let durable = Durable::new(2);
    let (meter, metric) = (&durable.meter, Metric::ResponseBytes);
    let acme = meter.tenant("acme").clone();
    let found = || in_old(&durable.found(), "acme", metric);
    meter.begin_write(1, acme.id(), metric, 100).done(60);
    assert_eq!(found(), 60);
    let writing = meter.begin_write(1, acme.id(), metric, 40);
    assert_eq!(found(), 100, "the client may have it all");
    let other = meter.begin_write(0, acme.id(), metric, 5);
    assert_eq!(found(), 105, "so may another worker's");
    other.done(5);
    writing.done(1);
    assert_eq!(found(), 66);
    drop(meter.begin_write(1, acme.id(), metric, 7));
    assert_eq!(found(), 66);
    // Of a place that is another's, an announcement says nothing.
    let globex = meter.tenant("globex");
    let writing = meter.begin_write(1, globex.id(), Metric::TunnelResponseBytes, 9);
    let old = durable.found();
    assert_eq!((in_old(&old, "acme", metric), in_old(&old, "globex", metric)), (66, 0));
    assert_eq!(in_old(&old, "globex", Metric::TunnelResponseBytes), 9);
    drop(writing);
}

/// Between any two steps of a reuse, what is found is the old tenant's, logged whole, or nobody's.
#[test]
fn a_reuse_may_be_cut_anywhere() {
    let durable = Durable::new(1);
    let meter = &durable.meter;
    let acme = meter.tenant("acme");
    let place = acme.id();
    meter.add(0, place, Metric::Requests, 3);
    let counted = meter.counted().remove(1);
    meter.logged(place, counted.incarnation, &counted.total);
    drop(acme);
    let steps: [&dyn Fn(); 4] = [
        &|| meter.cells.set_tag(place.0, 0),
        // The zeroing, cut in the middle: a total below what is logged.
        &|| meter.cells.add(0, place.0, Metric::Requests, u64::MAX - 2),
        &|| meter.cells.add(0, place.0, Metric::Requests, u64::MAX),
        &|| meter.cells.clear(place.0),
    ];
    assert_eq!(durable.found().counted[1], counted_as_logged(&counted));
    for step in steps {
        step();
        assert_eq!(durable.found().counted.len(), 1, "only nobody is left");
    }
    // And the whole of it.
    assert!(meter.counted()[1].leaving);
    assert!(meter.free(place, counted.incarnation));
    let globex = meter.tenant("globex");
    assert_eq!(globex.id(), place);
    meter.add(0, place, Metric::Requests, 1);
    let old = durable.found();
    assert_eq!((in_old(&old, "acme", Metric::Requests), in_old(&old, "globex", Metric::Requests)), (0, 1));
}

fn counted_as_logged(counted: &super::super::Counted) -> super::super::Counted {
    super::super::Counted { logged: counted.total, ..counted.clone() }
}

#[test]
fn a_copy_is_not_believed_nor_is_another_boots() {
    let durable = Durable::new(1);
    let path = durable.path();
    let copies = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(durable.dir.path()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copies.path().join(entry.file_name())).unwrap();
    }
    assert!(!file::read(&only(copies.path())).unwrap().believable);
    assert!(file::read(&path).unwrap().believable);
    // Moved within its file system it is the same file.
    let moved = tempfile::tempdir_in(durable.dir.path().parent().unwrap()).unwrap();
    let aside = moved.path().join(path.file_name().unwrap());
    fs::rename(&path, &aside).unwrap();
    let names = path.to_str().unwrap().replace("counters-", "names-");
    fs::copy(&names, aside.to_str().unwrap().replace("counters-", "names-")).unwrap();
    assert!(file::read(&aside).unwrap().believable);
}

/// Any byte of the header, and of the names, may be another; either file may be shorter: that is an
/// error, or nobody is charged under a name that is not its own.
#[test]
fn damage_is_told_or_does_no_harm() {
    let durable = Durable::new(1);
    let meter = &durable.meter;
    let tenants: Vec<_> = ["acme", "globex"].map(|name| meter.tenant(name)).into();
    tenants.iter().for_each(|tenant| meter.add(0, tenant.id(), Metric::Requests, 4));
    meter.set_logged_sequence(300);
    let path = durable.path();
    let names = path.to_str().unwrap().replace("counters-", "names-");
    let whole = durable.found();
    let all = 0..fs::metadata(&names).unwrap().len();
    // Header, sequences, intent.
    let header = [0..80, 512..528, 4096..4112].map(|range| (path.to_str().unwrap(), range));
    for (path, bytes) in header.into_iter().chain([(names.as_str(), all)]) {
        let file = fs::File::options().read(true).write(true).open(path).unwrap();
        for at in bytes {
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[byte[0] ^ 0x41], at).unwrap();
            if let Ok(old) = file::read(&durable.path()) {
                assert_eq!((old.logged_sequence, old.epoch), (300, EPOCH));
                for counted in old.counted.iter().filter(|counted| &*counted.tenant != "-") {
                    let truth = whole.counted.iter().find(|c| c.incarnation == counted.incarnation).unwrap();
                    assert_eq!(counted.tenant, truth.tenant);
                }
            }
            file.write_all_at(&byte, at).unwrap();
        }
    }
    assert_eq!(durable.found(), whole);
    let copies = tempfile::tempdir().unwrap();
    let (copy, names_copy) = (copies.path().join(path.file_name().unwrap()), names.rsplit('/').next().unwrap());
    fs::copy(&names, copies.path().join(names_copy)).unwrap();
    let bytes = fs::read(&path).unwrap();
    for length in (0..bytes.len()).step_by(997) {
        fs::write(&copy, &bytes[..length]).unwrap();
        let error = file::read(&copy).unwrap_err().to_string();
        assert!(error.contains("counters-"), "{error}");
    }
    fs::remove_file(copies.path().join(names_copy)).unwrap();
    fs::write(&copy, &bytes).unwrap();
    assert!(file::read(&copy).is_err());
}

#[test]
fn what_a_kill_left_half_made_is_cleared_away_and_what_was_counted_is_not() {
    let durable = Durable::new(1);
    let dir = durable.dir.path();
    for left in ["counters-01.new", "names-01.new", "names-02", "names-03", "damaged-counters-03"] {
        fs::write(dir.join(left), b"?").unwrap();
    }
    fs::write(dir.join("segment-1"), b"the log's").unwrap();
    let next = Meter::create(dir, [1; 16], 1).unwrap();
    let mut there: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    there.sort();
    let hex = |byte: &str| byte.repeat(16);
    let all = ["counters-", "names-"].map(|kind| [hex("01"), hex("e0")].map(|epoch| format!("{kind}{epoch}"))).concat();
    let kept = ["damaged-counters-03", "names-03", "segment-1"].map(String::from);
    let mut expected = [all, kept.to_vec()].concat();
    expected.sort();
    assert_eq!(there, expected);
    file::remove(&durable.path_of("e0")).unwrap();
    file::remove(&durable.path_of("e0")).unwrap();
    assert_eq!(fs::read_dir(dir).unwrap().count(), there.len() - 2);
    drop(next);
}

impl Durable {
    fn path_of(&self, byte: &str) -> std::path::PathBuf {
        self.dir.path().join(format!("counters-{}", byte.repeat(16)))
    }
}
