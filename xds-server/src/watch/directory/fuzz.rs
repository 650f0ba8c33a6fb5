//! Files are written, cut off, renamed, broken and mended in random order, in every way in which a
//! directory's events can tell of it. When all is quiet the objects are those of a directory read
//! once, and nothing was deleted on the way that some file said all the time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use weir_config::kinds::{Object, ObjectKey};
use weir_config::testing::soak;

use super::documents::{Documents, How, Seen};
use super::memory::Memory;
use crate::watch::Event;

const FILES: [&str; 4] = ["a.yaml", "b.yaml", "d/c.yaml", "z.json"];

fn document(rng: &mut StdRng) -> String {
    let (name, weight) = (rng.random_range(0..6), rng.random_range(1..4));
    let whole =
        format!("apiVersion: weir.dev/v1alpha1\nkind: Plan\nmetadata:\n  name: p{name}\nspec:\n  weight: {weight}\n");
    match rng.random_range(0..10) {
        0 => whole.replace("weight", "wieght"),
        1 => whole.replace("Plan", "Plann"),
        2 => whole[..rng.random_range(0..whole.len())].to_owned(),
        _ => whole,
    }
}

fn text(rng: &mut StdRng) -> String {
    (0..rng.random_range(0..4)).map(|_| format!("---\n{}", document(rng))).collect()
}

/// A directory and its reader, which hears of what happens now or a little later.
struct Simulation {
    disk: BTreeMap<PathBuf, String>,
    documents: Documents,
    objects: BTreeMap<ObjectKey, Arc<Object>>,
    unheard: Vec<(PathBuf, Option<How>)>,
    now: Instant,
}

impl Simulation {
    fn seen(&self, path: &Path) -> Seen {
        self.disk.get(path).map_or(Seen::Gone, |text| Seen::Text(text.clone()))
    }

    fn edit(&mut self, rng: &mut StdRng) {
        let path = PathBuf::from(FILES[rng.random_range(0..FILES.len())]);
        match rng.random_range(0..8) {
            // Written in place: cut to nothing, then half, then whole; a reader may see any of them.
            0..=2 => {
                let text = text(rng);
                self.disk.insert(path.clone(), text[..rng.random_range(0..=text.len())].to_owned());
                self.unheard.push((path.clone(), Some(How::Closed)));
                if rng.random_bool(0.5) {
                    self.hear(rng);
                }
                self.disk.insert(path.clone(), text);
                self.unheard.push((path, Some(How::Closed)));
            }
            3 | 4 => {
                self.disk.insert(path.clone(), text(rng));
                self.unheard.push((path, Some(How::Whole)));
            }
            5 => {
                let to = PathBuf::from(FILES[rng.random_range(0..FILES.len())]);
                if let Some(text) = self.disk.remove(&path) {
                    self.disk.insert(to.clone(), text);
                    self.unheard.push((path, None));
                    self.unheard.push((to, Some(How::Whole)));
                }
            }
            _ => {
                self.disk.remove(&path);
                self.unheard.push((path, None));
            }
        }
    }

    fn hear(&mut self, rng: &mut StdRng) {
        for (path, how) in std::mem::take(&mut self.unheard) {
            match how {
                Some(how) => self.documents.see(&path, how, self.seen(&path), self.now),
                None => self.documents.wait(&path, self.now),
            }
            if rng.random_bool(0.3) {
                self.take();
            }
        }
        self.take();
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        for path in self.documents.settled(self.now) {
            self.documents.see(&path, How::Whole, self.seen(&path), self.now);
        }
        self.take();
    }

    fn take(&mut self) {
        for event in self.documents.take().0.events {
            match event {
                Event::Apply(object) => drop(self.objects.insert(object.key(), object)),
                Event::Delete(key) => assert!(self.objects.remove(&key).is_some(), "{key} was deleted twice"),
                Event::SecretsRead(read) => panic!("{read:?} of a directory"),
            }
        }
    }
}

/// What a directory with these files says to one who reads it once.
fn read_once(disk: &BTreeMap<PathBuf, String>) -> (BTreeMap<ObjectKey, Arc<Object>>, bool) {
    let mut documents = Documents::new(Memory::default());
    for (path, text) in disk {
        documents.see(path, How::Whole, Seen::Text(text.clone()), Instant::now());
    }
    let (batch, _) = documents.take();
    let objects = batch.events.into_iter().filter_map(|event| match event {
        Event::Apply(object) => Some((object.key(), object)),
        Event::Delete(_) | Event::SecretsRead(_) => None,
    });
    (objects.collect(), batch.findings.is_empty())
}

#[test]
fn soak_nothing_is_lost_whatever_happens_to_files() {
    soak::seeds(|seed| {
        let rng = &mut StdRng::seed_from_u64(seed);
        let mut simulation = Simulation {
            disk: BTreeMap::new(),
            documents: Documents::new(Memory::default()),
            objects: BTreeMap::new(),
            unheard: Vec::new(),
            now: Instant::now(),
        };
        simulation.documents.all_seen();
        for _ in 0..rng.random_range(1..60) {
            match rng.random_range(0..4) {
                0 | 1 => simulation.edit(rng),
                2 => simulation.hear(rng),
                _ => simulation.pass(Duration::from_millis(rng.random_range(0..300))),
            }
        }
        simulation.hear(rng);
        while let Some(at) = simulation.documents.deadline() {
            simulation.pass(at.saturating_duration_since(simulation.now));
        }
        let (once, all_good) = read_once(&simulation.disk);
        let keys: BTreeSet<_> = simulation.objects.keys().collect();
        for (key, object) in &once {
            // What a broken document said before may stand in place of what a later one says.
            assert!(keys.contains(key), "{key} is lost");
            assert!(!all_good || simulation.objects[key] == *object, "{key} is not what the files say");
        }
        if all_good {
            assert_eq!(simulation.objects.len(), once.len(), "something is left that no file says");
        }

        // Mended, all is as the files say.
        for path in FILES {
            simulation.disk.insert(path.into(), text(&mut StdRng::seed_from_u64(seed)).replace("ieght", "eight"));
            simulation.unheard.push((path.into(), Some(How::Whole)));
        }
        simulation.hear(rng);
        let (once, all_good) = read_once(&simulation.disk);
        assert!(!all_good || simulation.objects == once);
    });
}
