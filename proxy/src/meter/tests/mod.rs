mod kill;
mod places;
mod recovery;

use std::path::PathBuf;
use std::sync::Arc;

use super::file::{self, Old};
use super::{MAX_TENANTS, Meter, Metric, TenantId};

const EPOCH: [u8; 16] = [0xe0; 16];

/// A directory, and counters in it.
struct Durable {
    dir: tempfile::TempDir,
    meter: Meter,
}

impl Durable {
    fn new(workers: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let meter = Meter::create(dir.path(), EPOCH, workers).unwrap();
        Self { dir, meter }
    }

    fn path(&self) -> PathBuf {
        only(self.dir.path())
    }

    /// What the next start would find, if the process ended here.
    fn found(&self) -> Old {
        file::read(&self.path()).unwrap()
    }
}

/// The one counters file of a directory.
fn only(dir: &std::path::Path) -> PathBuf {
    let [path] = file::list(dir).unwrap().try_into().unwrap();
    path
}

/// A metric of a tenant, as it was found.
fn in_old(old: &Old, tenant: &str, metric: Metric) -> u64 {
    old.counted.iter().filter(|counted| &*counted.tenant == tenant).map(|counted| counted.total[metric]).sum()
}

fn total(meter: &Meter, name: &str, metric: Metric) -> u64 {
    meter.totals().filter(|(n, m, _)| &**n == name && *m == metric).map(|(_, _, n)| n).sum()
}

#[test]
fn nobody_has_the_first_place_and_a_name_has_one_place() {
    let meter = Meter::new(1);
    assert_eq!(meter.tenant("-").id(), TenantId::NONE);
    let acme = meter.tenant("acme");
    assert_ne!(acme.id(), TenantId::NONE);
    assert_eq!(meter.tenant("acme").id(), acme.id());
    assert_ne!(meter.tenant("globex").id(), acme.id());
    assert_eq!(&*meter.name(acme.id()), "acme");
}

#[test]
fn workers_count_apart_and_are_summed() {
    let meter = Arc::new(Meter::new(4));
    let tenants: Vec<_> = (0..2000).map(|n| meter.tenant(&format!("t{n}"))).collect();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (meter, tenants) = (&meter, &tenants);
            scope.spawn(move || {
                for _ in 0..50 {
                    for tenant in tenants {
                        meter.add(worker, tenant.id(), Metric::Requests, 1);
                        meter.add(worker, tenant.id(), Metric::RequestBytes, 7);
                    }
                }
            });
        }
    });
    for n in [0, 1022, 1023, 1999] {
        assert_eq!(total(&meter, &format!("t{n}"), Metric::Requests), 200);
        assert_eq!(total(&meter, &format!("t{n}"), Metric::RequestBytes), 1400);
        assert_eq!(total(&meter, &format!("t{n}"), Metric::ResponseBytes), 0);
    }
    assert_eq!(meter.totals().map(|(_, _, n)| n).sum::<u64>(), 2000 * 4 * 50 * 8);
}

#[test]
fn a_write_counts_what_the_socket_took() {
    let meter = Meter::new(1);
    let acme = meter.tenant("acme").id();
    meter.begin_write(0, acme, Metric::ResponseBytes, 100).done(60);
    drop(meter.begin_write(0, acme, Metric::ResponseBytes, 40));
    assert_eq!(meter.total(acme, Metric::ResponseBytes), 60);
}

#[test]
fn beyond_the_bound_nobody_is_charged_and_nothing_breaks() {
    let meter = Meter::new(1);
    for n in 1..MAX_TENANTS {
        assert_eq!(meter.tenant(&n.to_string()).id(), TenantId(n));
    }
    assert_eq!(meter.tenant("one too many").id(), TenantId::NONE);
    meter.add(9, TenantId(u32::MAX), Metric::Requests, 1);
    assert_eq!(meter.totals().map(|(_, _, n)| n).sum::<u64>(), 0);
}
