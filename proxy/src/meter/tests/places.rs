//! Tenants come and go; their places go to others.

use super::super::{Counted, Meter, Metric, TenantId, Units};
use super::{Durable, in_old};

/// Logs all that changed, and frees what leaves, as the keeper of the log does. Gives what was logged.
fn log(meter: &Meter) -> Vec<Counted> {
    let changed = meter.changed();
    for counted in &changed {
        meter.logged(counted.place, counted.incarnation, &counted.total);
        if counted.leaving {
            meter.free(counted.place, counted.incarnation);
        }
    }
    changed
}

#[test]
fn a_place_goes_to_another_when_nobody_holds_it_and_all_is_logged() {
    let Durable { meter, dir: _dir } = &Durable::new(2);
    let acme = meter.tenant("acme");
    let place = acme.id();
    meter.add(1, place, Metric::Requests, 3);
    let held = acme.clone();
    drop(acme);
    let [counted] = meter.changed().try_into().unwrap();
    assert!(!counted.leaving && !meter.free(place, counted.incarnation), "somebody holds it");
    drop(held);
    let [counted] = meter.changed().try_into().unwrap();
    assert!(counted.leaving);
    assert!(!meter.free(place, counted.incarnation), "three requests are not logged");
    meter.logged(place, counted.incarnation, &counted.total);
    assert!(!meter.free(place, counted.incarnation + 1), "it is not that incarnation's");
    assert!(meter.free(place, counted.incarnation));
    assert!(!meter.free(place, counted.incarnation), "it is free already");
    assert_eq!(&*meter.name(place), "-");
    let globex = meter.tenant("globex");
    assert_eq!(globex.id(), place);
    assert_eq!(meter.total(place, Metric::Requests), 0);
    meter.logged(place, counted.incarnation, &counted.total);
    assert_eq!(meter.counted()[1].logged, Units::ZERO, "what comes late of the one before marks nothing");
    assert!(meter.counted()[1].incarnation > counted.incarnation);
}

#[test]
fn a_tenant_that_comes_back_before_its_place_is_free_takes_it_again() {
    let Durable { meter, dir: _dir } = &Durable::new(1);
    let first = meter.tenant("acme").id();
    meter.add(0, first, Metric::Requests, 1);
    let before = meter.changed();
    assert!(before[0].leaving);
    let back = meter.tenant("acme");
    assert_eq!(back.id(), first);
    meter.logged(first, before[0].incarnation, &before[0].total);
    assert!(!meter.free(first, before[0].incarnation));
    meter.add(0, first, Metric::Requests, 1);
    let [after] = meter.changed().try_into().unwrap();
    assert_eq!((after.incarnation, after.leaving, after.total[Metric::Requests]), (before[0].incarnation, false, 2));
}

#[test]
fn nobody_never_leaves() {
    let meter = Meter::new(1);
    meter.add(0, TenantId::NONE, Metric::Requests, 1);
    assert!(!log(&meter)[0].leaving);
    assert!(!meter.free(TenantId::NONE, 1));
    assert_eq!(meter.changed(), []);
}

/// Many more tenants than places: each is logged to the last unit, once, under its own name, and the
/// names' file does not grow with those that are gone.
#[test]
fn whoever_comes_and_goes_is_counted_under_its_own_name() {
    let durable = Durable::new(1);
    let meter = &durable.meter;
    let mut logged = Vec::new();
    for n in 0..20_000u64 {
        let tenant = meter.tenant(&format!("t{n}"));
        meter.add(0, tenant.id(), Metric::RequestBytes, n + 1);
        drop(tenant);
        if n % 50 == 49 {
            logged.extend(log(meter));
        }
    }
    assert_eq!(logged.len(), 20_000);
    for counted in &logged {
        let n: u64 = counted.tenant.strip_prefix("t").unwrap().parse().unwrap();
        assert_eq!(counted.total[Metric::RequestBytes], n + 1);
    }
    assert_eq!(meter.counted().len(), 1, "only nobody is left");
    let names = durable.path().to_str().unwrap().replace("counters-", "names-");
    let size = std::fs::metadata(names).unwrap().len();
    assert!(size < 5000 * 24, "{size} bytes");
    let last = meter.tenant("last");
    meter.add(0, last.id(), Metric::Requests, 5);
    assert_eq!(in_old(&durable.found(), "last", Metric::Requests), 5);
}

#[test]
fn a_name_that_no_tenant_can_have_is_not_metered() {
    let meter = Meter::new(1);
    for name in [String::new(), "x".repeat(254)] {
        assert_eq!(meter.tenant(&name).id(), TenantId::NONE);
    }
    assert_ne!(meter.tenant(&"x".repeat(253)).id(), TenantId::NONE);
}

/// Workers count, tenants come and go, the keeper logs: nothing is lost, nothing counted twice.
#[test]
fn all_at_once() {
    let Durable { meter, dir: _dir } = &Durable::new(2);
    let mut sum = Units::ZERO;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2)
            .map(|worker| {
                scope.spawn(move || {
                    for n in 0..20_000u64 {
                        let tenant = meter.tenant(&format!("t{}", n % 37));
                        meter.add(worker, tenant.id(), Metric::Requests, 1);
                        meter.begin_write(worker, tenant.id(), Metric::ResponseBytes, 10).done(n % 11);
                    }
                })
            })
            .collect();
        let mut ended = false;
        while !ended {
            ended = workers.iter().all(|worker| worker.is_finished());
            for counted in log(meter) {
                sum.add(&counted.total.since(&counted.logged));
            }
        }
    });
    let bytes: u64 = (0..20_000u64).map(|n| n % 11).sum();
    assert_eq!((sum[Metric::Requests], sum[Metric::ResponseBytes]), (40_000, 2 * bytes));
    assert_eq!(meter.changed(), []);
}
