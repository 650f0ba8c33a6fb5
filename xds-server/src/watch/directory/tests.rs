//! A real directory, written to as editors, git and a kubelet do. Each test waits for what it expects.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use weir_config::kinds::Object;

use super::{DirectorySource, read_once};
use crate::watch::{Batch, Event};

/// A directory, the source that watches it, and the objects as its batches make them.
struct Rig {
    dir: TempDir,
    source: DirectorySource,
    plans: BTreeMap<String, u32>,
    findings: Vec<String>,
    /// Every deletion there ever was.
    deleted: Vec<String>,
}

impl Rig {
    async fn new(files: &[(&str, String)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            write(&dir.path().join("root").join(name), text);
        }
        fs::create_dir_all(dir.path().join("root")).unwrap();
        Self::open(dir).await
    }

    async fn open(dir: TempDir) -> Self {
        let source = DirectorySource::open(dir.path().join("root"), Some(dir.path().join("state"))).unwrap();
        let mut rig = Self { dir, source, plans: BTreeMap::new(), findings: Vec::new(), deleted: Vec::new() };
        let batch = rig.source.next().await;
        rig.apply(batch);
        rig
    }

    async fn restart(self, meanwhile: impl FnOnce(&Path)) -> Self {
        drop(self.source);
        meanwhile(&self.dir.path().join("root"));
        Self::open(self.dir).await
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("root").join(name)
    }

    fn apply(&mut self, batch: Batch) {
        for event in batch.events {
            match event {
                Event::Apply(object) => {
                    let Object::Plan(plan) = &*object else { panic!("{object:?}") };
                    self.plans.insert(object.key().name, plan.spec.weight.unwrap_or(0));
                }
                Event::Delete(key) => {
                    self.plans.remove(&key.name);
                    self.deleted.push(key.name);
                }
                Event::SecretsRead(read) => panic!("{read:?} of a directory"),
            }
        }
        self.findings = batch.findings.iter().map(ToString::to_string).collect();
    }

    /// Takes batches in until `reached` holds.
    async fn until(&mut self, what: &str, reached: impl Fn(&Self) -> bool) {
        let found = tokio::time::timeout(Duration::from_secs(20), async {
            while !reached(self) {
                let batch = self.source.next().await;
                self.apply(batch);
            }
        });
        if found.await.is_err() {
            panic!("never came: {what}; there is {:?} {:?}", self.plans, self.findings);
        }
    }

    async fn until_plans(&mut self, expected: &[(&str, u32)]) {
        let expected: BTreeMap<_, _> = expected.iter().map(|(name, weight)| ((*name).to_owned(), *weight)).collect();
        self.until(&format!("{expected:?}"), |rig| rig.plans == expected).await;
    }
}

fn plan(name: &str, weight: u32) -> String {
    format!("---\napiVersion: weir.dev/v1alpha1\nkind: Plan\nmetadata:\n  name: {name}\nspec:\n  weight: {weight}\n")
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[tokio::test]
async fn files_of_subdirectories_are_read_and_hidden_ones_are_not() {
    let files =
        ["a.yaml", "sub/b.yml", "sub/deep/c.json", ".git/d.yaml", "sub/.e.yaml.swp", ".f.yaml", "g.txt", "h.yaml~"];
    let text = |(index, name): (usize, &&'static str)| (*name, plan(&format!("p{index}"), 1));
    let files: Vec<_> = files.iter().enumerate().map(text).collect();
    let mut rig = Rig::new(&files).await;
    assert_eq!(rig.plans.keys().collect::<Vec<_>>(), ["p0", "p1", "p2"]);
    assert_eq!(read_once(&rig.path("")).unwrap().events.len(), 3);
    // Directories that come later are watched too.
    write(&rig.path("new/deeper/x.yaml"), &plan("x", 1));
    rig.until("a file of a new directory", |rig| rig.plans.contains_key("x")).await;
    write(&rig.path("new/deeper/x.yaml"), &plan("x", 2));
    rig.until("an edit in it", |rig| rig.plans["x"] == 2).await;
    fs::remove_dir_all(rig.path("new")).unwrap();
    rig.until("its end", |rig| !rig.plans.contains_key("x")).await;
}

#[tokio::test]
async fn every_way_of_editors_to_write_is_one_edit() {
    let mut rig = Rig::new(&[("a.yaml", plan("a", 1) + &plan("b", 1))]).await;
    let path = rig.path("a.yaml");

    // Truncate, then write; shorter and longer than before.
    write(&path, &(plan("b", 1) + "# a long comment, so that the next one is shorter\n" + &plan("a", 2)));
    rig.until_plans(&[("a", 2), ("b", 1)]).await;
    write(&path, &(plan("a", 3) + &plan("b", 1)));
    rig.until_plans(&[("a", 3), ("b", 1)]).await;

    // A temporary file, renamed.
    write(&rig.path(".a.yaml.tmp"), &(plan("a", 4) + &plan("b", 1)));
    fs::rename(rig.path(".a.yaml.tmp"), &path).unwrap();
    rig.until_plans(&[("a", 4), ("b", 1)]).await;

    // vim with a backup: the old file moves away, a new one is written, the old one is removed.
    fs::rename(&path, rig.path("a.yaml~")).unwrap();
    write(&path, &(plan("a", 5) + &plan("b", 1)));
    fs::remove_file(rig.path("a.yaml~")).unwrap();
    rig.until_plans(&[("a", 5), ("b", 1)]).await;

    // git checkout: unlink, then create.
    fs::remove_file(&path).unwrap();
    write(&path, &(plan("a", 6) + &plan("b", 1)));
    rig.until_plans(&[("a", 6), ("b", 1)]).await;

    assert_eq!(rig.deleted, [""; 0], "nothing was deleted in passing");
    fs::remove_file(&path).unwrap();
    rig.until_plans(&[]).await;
}

#[tokio::test]
async fn an_object_moves_between_files_without_a_gap() {
    let mut rig = Rig::new(&[("a.yaml", plan("a", 1)), ("z.yaml", plan("z", 1))]).await;
    fs::rename(rig.path("a.yaml"), rig.path("b.yaml")).unwrap();
    write(&rig.path("z.yaml"), &plan("z", 2));
    rig.until_plans(&[("a", 1), ("z", 2)]).await;
    write(&rig.path("b.yaml"), &plan("a", 2));
    rig.until_plans(&[("a", 2), ("z", 2)]).await;
    assert_eq!(rig.deleted, [""; 0]);
    assert_eq!(rig.findings, [""; 0]);
}

#[tokio::test]
async fn findings_come_and_go_and_name_file_and_line() {
    let mut rig = Rig::new(&[("sub/a.yaml", plan("a", 1) + &plan("b", 1))]).await;
    write(&rig.path("sub/a.yaml"), &(plan("a", 2) + &plan("b", 1).replace("weight", "wieght")));
    rig.until_plans(&[("a", 2), ("b", 1)]).await;
    assert_eq!(rig.findings, ["sub/a.yaml:14: Plan b: spec.wieght: unknown field (did you mean `weight`?)"]);
    write(&rig.path("sub/a.yaml"), &(plan("a", 2) + &plan("b", 1)));
    rig.until("no finding", |rig| rig.findings.is_empty()).await;
    fs::write(rig.path("sub/a.yaml"), [b'a', 0xff, b':'].repeat(100)).unwrap();
    rig.until("a finding", |rig| rig.findings == ["sub/a.yaml:1: is not UTF-8 text"]).await;
    assert_eq!(rig.deleted, [""; 0]);
}

#[tokio::test]
async fn a_restart_serves_what_was_last_good() {
    let rig = Rig::new(&[("a.yaml", plan("a", 1)), ("b.yaml", plan("b", 1)), ("c.yaml", plan("c", 1))]).await;
    let rig = rig
        .restart(|root| {
            write(&root.join("a.yaml"), &plan("a", 0));
            write(&root.join("b.yaml"), "kind: [");
            fs::remove_file(root.join("c.yaml")).unwrap();
        })
        .await;
    assert_eq!(rig.plans, BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 1)]));
    assert_eq!(rig.findings.len(), 2, "{:?}", rig.findings);
    assert_eq!(read_once(&rig.path("")).unwrap().events, [], "`weir check` sees only what stands there");
    let rig = rig.restart(|_| ()).await;
    assert_eq!(rig.plans.len(), 2, "and again");
    let rig = rig.restart(|root| write(&root.join("b.yaml"), &plan("b", 2))).await;
    assert_eq!(rig.plans["b"], 2);
}

#[tokio::test]
async fn a_config_map_mount_changes_all_its_files_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    let release = |number: u32, names: &[&str]| {
        for name in names {
            write(&root.join(format!("..{number}/{name}.yaml")), &plan(name, number));
        }
        symlink(format!("..{number}"), root.join("..data_tmp")).unwrap();
        fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    };
    release(1, &["a", "b"]);
    for name in ["a", "b"] {
        symlink(format!("..data/{name}.yaml"), root.join(format!("{name}.yaml"))).unwrap();
    }
    let mut rig = Rig::open(dir).await;
    assert_eq!(rig.plans, BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 1)]));
    release(2, &["a"]);
    rig.until_plans(&[("a", 2)]).await;
}

#[tokio::test]
async fn a_root_that_is_away_for_a_moment_takes_nothing_along() {
    let mut rig = Rig::new(&[("a.yaml", plan("a", 1))]).await;
    let root = rig.path("");
    fs::rename(&root, rig.dir.path().join("old")).unwrap();
    rig.until("a finding", |rig| rig.findings == ["the directory is gone"]).await;
    write(&rig.dir.path().join("next/a.yaml"), &plan("a", 2));
    fs::rename(rig.dir.path().join("next"), &root).unwrap();
    rig.until_plans(&[("a", 2)]).await;
    rig.until("no finding", |rig| rig.findings.is_empty()).await;
    write(&rig.path("b.yaml"), &plan("b", 1));
    rig.until_plans(&[("a", 2), ("b", 1)]).await;
    assert_eq!(rig.deleted, [""; 0]);
}

#[tokio::test]
async fn a_dropped_wait_loses_nothing() {
    let mut rig = Rig::new(&[("a.yaml", plan("a", 1))]).await;
    for weight in 2..30 {
        write(&rig.path("a.yaml"), &plan("a", weight));
        let wait = tokio::time::timeout(Duration::from_micros(u64::from(weight) * 10), rig.source.next());
        if let Ok(batch) = wait.await {
            rig.apply(batch);
        }
    }
    rig.until_plans(&[("a", 29)]).await;
}

#[tokio::test]
async fn links_that_lead_in_circles_end() {
    let rig = Rig::new(&[("sub/a.yaml", plan("a", 1))]).await;
    symlink("..", rig.path("sub/up")).unwrap();
    let batch = read_once(&rig.path("")).unwrap();
    assert_eq!((batch.events.len(), batch.findings.len()), (1, 0), "{:?}", batch.findings);
}
