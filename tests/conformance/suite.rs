//! A test of the suite as it runs, and a run of many.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cases;
use crate::data::{Data, Test};
use crate::status::{Object, holds};
use crate::world::World;

/// What came of a check: nothing to say, or what was wrong.
pub type Check = Result<(), String>;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// The suite's mark of a Gateway that is not meant to be ready.
const NOT_READY: &str = "gateway-api/skip-this-for-readiness";

/// One test.
pub struct Case<'w> {
    pub world: &'w World,
    pub data: &'w Data,
    pub test: &'w Test,
    /// What its manifests hold.
    pub objects: Vec<Value>,
}

/// What came of a test.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub test: Test,
    pub result: Check,
}

impl Case<'_> {
    /// Looks until `look` is satisfied, as long as patience lasts.
    pub fn until<T>(&self, what: &str, mut look: impl FnMut() -> Result<T, String>) -> Result<T, String> {
        let end = Instant::now() + self.world.options.patience;
        loop {
            match look() {
                Ok(found) => return Ok(found),
                Err(told) if Instant::now() >= end => return Err(format!("{what}: {told}")),
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
    }

    /// The Gateways of the test's own manifests are ready, but for those that are not meant to be.
    pub fn ready(&self) -> Check {
        let gateways = self.objects.iter().filter(|object| object["kind"] == "Gateway");
        for found in gateways.filter(|object| object["metadata"]["annotations"][NOT_READY] != "true") {
            let text = |field: &str| found["metadata"][field].as_str().unwrap_or_default();
            let object = Object { kind: "Gateway", namespace: text("namespace"), name: text("name") };
            self.has(object, &[holds("Accepted", ""), holds("Programmed", "")])?;
        }
        Ok(())
    }
}

/// Runs one test: its manifests are applied before and deleted after.
pub fn run(world: &World, data: &Data, test: &Test) -> Outcome {
    let objects: Vec<Value> = test.manifests.iter().flat_map(|file| data.manifest(file)).collect();
    let case = Case { world, data, test, objects };
    let result = catch_unwind(AssertUnwindSafe(|| {
        world.apply(case.objects.clone());
        let result = cases::run(&case);
        world.delete(&case.objects);
        result
    }));
    world.assert_alive();
    let result = result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default())
    });
    Outcome { test: test.clone(), result }
}

/// Runs tests one after another and says what came of each.
pub fn run_all<'d>(world: &World, data: &'d Data, tests: impl Iterator<Item = &'d Test>) -> Vec<Outcome> {
    tests
        .map(|test| {
            let begun = Instant::now();
            let outcome = run(world, data, test);
            let said = outcome.result.as_ref().map_or_else(|told| format!("FAILED  {told}"), |()| "passed".to_owned());
            eprintln!("{:>6.1}s {} {said}", begun.elapsed().as_secs_f64(), test.short);
            outcome
        })
        .collect()
}
