//! Sequences of what is seen, in virtual time: nothing here sleeps or touches a disk.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::super::memory::{Memory, Record};
use super::{Documents, How, SETTLE, Seen};
use crate::watch::Event;

/// A directory as the core sees it, with a clock that the test moves.
struct Directory {
    documents: Documents,
    now: Instant,
    records: Vec<Record>,
    findings: Vec<String>,
}

impl Directory {
    fn new() -> Self {
        Self::remembering(Vec::new())
    }

    fn remembering(records: Vec<Record>) -> Self {
        let mut memory = Memory::default();
        records.into_iter().for_each(|record| memory.add(record));
        Self { documents: Documents::new(memory), now: Instant::now(), records: Vec::new(), findings: Vec::new() }
    }

    fn see(&mut self, how: How, path: &str, seen: Seen) -> Vec<String> {
        self.documents.see(Path::new(path), how, seen, self.now);
        self.take()
    }
    /// A rename puts `text` in place.
    fn put(&mut self, path: &str, text: &str) -> Vec<String> {
        self.see(How::Whole, path, Seen::Text(text.into()))
    }
    /// A writer closes the file with `text` in it.
    fn close(&mut self, path: &str, text: &str) -> Vec<String> {
        self.see(How::Closed, path, Seen::Text(text.into()))
    }
    fn vanish(&mut self, path: &str) -> Vec<String> {
        self.documents.wait(Path::new(path), self.now);
        self.take()
    }
    /// Time passes, and what has settled is found to be `seen`.
    fn pass(&mut self, time: Duration, mut seen: impl FnMut(&Path) -> Seen) -> Vec<String> {
        self.now += time;
        for path in self.documents.settled(self.now) {
            let seen = seen(&path);
            self.documents.see(&path, How::Whole, seen, self.now);
        }
        self.take()
    }
    /// Changes, as `+Plan a weight` and `-Plan a`.
    fn take(&mut self) -> Vec<String> {
        let (batch, records) = self.documents.take();
        for record in records {
            self.records.retain(|old| old.file != record.file);
            self.records.push(record);
        }
        self.findings = batch.findings.iter().map(ToString::to_string).collect();
        batch.events.iter().map(show).collect()
    }
}

fn show(event: &Event) -> String {
    match event {
        Event::Apply(object) => match &**object {
            weir_config::kinds::Object::Plan(plan) => format!("+{} {}", object.key(), plan.spec.weight.unwrap_or(0)),
            _ => format!("+{}", object.key()),
        },
        Event::Delete(key) => format!("-{key}"),
        Event::SecretsRead(read) => panic!("{read:?} of a directory"),
    }
}

fn plan(name: &str, weight: u32) -> String {
    format!("---\napiVersion: weir.dev/v1alpha1\nkind: Plan\nmetadata:\n  name: {name}\nspec:\n  weight: {weight}\n")
}

fn gone(_: &Path) -> Seen {
    Seen::Gone
}

const NOTHING: [&str; 0] = [];

#[test]
fn one_bad_document_touches_only_itself() {
    let mut dir = Directory::new();
    assert_eq!(dir.put("a.yaml", &(plan("a", 1) + &plan("b", 1))), ["+Plan a 1", "+Plan b 1"]);
    let typo = plan("a", 1).replace("weight", "wieght");
    assert_eq!(dir.put("a.yaml", &(typo + &plan("b", 2))), ["+Plan b 2"]);
    assert_eq!(dir.findings, ["a.yaml:7: Plan a: spec.wieght: unknown field (did you mean `weight`?)"]);
    assert_eq!(dir.put("a.yaml", &(plan("a", 3) + &plan("b", 2))), ["+Plan a 3"]);
    assert_eq!(dir.findings, NOTHING);
}

#[test]
fn a_new_bad_document_serves_nothing_and_its_neighbours_do() {
    let mut dir = Directory::new();
    assert_eq!(dir.put("a.yaml", &(plan("a", 0) + &plan("b", 1))), ["+Plan b 1"]);
    assert_eq!(dir.findings, ["a.yaml:7: Plan a: spec.weight: must be at least 1"]);
}

#[test]
fn an_edit_without_effect_is_no_event() {
    let mut dir = Directory::new();
    dir.put("a.yaml", &plan("a", 1));
    assert_eq!(dir.put("a.yaml", &format!("# a comment\n{}", plan("a", 1))), NOTHING);
    assert_eq!(dir.close("a.yaml", &format!("# a comment\n{}", plan("a", 1))), NOTHING);
    assert_eq!(dir.documents.deadline(), None);
}

#[test]
fn truncating_and_writing_deletes_nothing() {
    let mut dir = Directory::new();
    let whole = plan("a", 1) + &plan("b", 1);
    dir.put("a.yaml", &whole);
    assert_eq!(dir.close("a.yaml", ""), NOTHING);
    dir.now += SETTLE / 2;
    assert_eq!(dir.close("a.yaml", &plan("a", 1)[..30]), NOTHING);
    dir.now += SETTLE / 2;
    assert_eq!(dir.pass(Duration::ZERO, |_| panic!("not settled yet")), NOTHING);
    assert_eq!(dir.close("a.yaml", &(plan("a", 2) + &plan("b", 1))), ["+Plan a 2"]);
    assert_eq!(dir.documents.deadline(), None, "a file that did not shrink is judged at once");
}

#[test]
fn what_stays_shorter_applies_when_it_has_settled() {
    let mut dir = Directory::new();
    dir.put("a.yaml", &(plan("a", 1) + &plan("b", 1)));
    assert_eq!(dir.close("a.yaml", &plan("a", 1)), NOTHING);
    assert_eq!(dir.documents.deadline(), Some(dir.now + SETTLE));
    assert_eq!(dir.pass(SETTLE, |_| Seen::Text(plan("a", 1))), ["-Plan b"]);
    assert_eq!(dir.vanish("a.yaml"), NOTHING);
    assert_eq!(dir.pass(SETTLE - Duration::from_millis(1), gone), NOTHING);
    assert_eq!(dir.pass(Duration::from_millis(1), gone), ["-Plan a"]);
}

#[test]
fn what_a_rename_puts_in_place_applies_at_once_deletions_too() {
    let mut dir = Directory::new();
    dir.put("a.yaml", &(plan("a", 1) + &plan("b", 1)));
    assert_eq!(dir.put("a.yaml", &plan("b", 2)), ["-Plan a", "+Plan b 2"]);
}

#[test]
fn an_editor_that_moves_the_old_file_away_first_deletes_nothing() {
    let mut dir = Directory::new();
    dir.put("a.yaml", &plan("a", 1));
    assert_eq!(dir.vanish("a.yaml"), NOTHING);
    assert_eq!(dir.close("a.yaml", &plan("a", 2)), ["+Plan a 2"]);
    assert_eq!(dir.pass(SETTLE * 2, |_| panic!("it is settled")), NOTHING);
}

#[test]
fn an_object_may_move_to_another_file() {
    for (from, to) in [("a.yaml", "b.yaml"), ("b.yaml", "a.yaml")] {
        let mut dir = Directory::new();
        dir.put(from, &plan("a", 1));
        assert_eq!(dir.vanish(from), NOTHING);
        assert_eq!(dir.put(to, &plan("a", 2)), ["+Plan a 2"], "the new place counts at once");
        assert_eq!(dir.findings, NOTHING);
        assert_eq!(dir.pass(SETTLE, gone), NOTHING);
        assert_eq!(dir.findings, NOTHING);
    }
}

#[test]
fn an_object_in_two_files_is_that_of_the_first_and_a_finding_names_both() {
    let mut dir = Directory::new();
    dir.put("b.yaml", &plan("a", 2));
    assert_eq!(dir.put("a.yaml", &(plan("x", 1) + &plan("a", 1))), ["+Plan a 1", "+Plan x 1"]);
    assert_eq!(dir.findings, ["b.yaml:2: Plan a: stands in a.yaml:9 too, and that one counts"]);
    assert_eq!(dir.put("a.yaml", &plan("x", 1)), ["+Plan a 2"]);
    assert_eq!(dir.findings, NOTHING);
}

#[test]
fn the_deciding_document_holds_when_it_breaks() {
    let mut dir = Directory::new();
    dir.put("a.yaml", &plan("a", 1));
    dir.put("b.yaml", &plan("a", 2));
    assert_eq!(dir.put("a.yaml", &plan("a", 0)), NOTHING);
    assert_eq!(dir.findings.len(), 2, "{:?}", dir.findings);
}

#[test]
fn an_identity_that_changes_in_place_deletes_the_old_one() {
    let mut dir = Directory::new();
    dir.put("a.yaml", &plan("a", 1));
    assert_eq!(dir.put("a.yaml", &plan("c", 1)), ["-Plan a", "+Plan c 1"]);
}

#[test]
fn while_an_identity_cannot_be_read_nothing_of_the_file_is_taken_away() {
    let mut dir = Directory::new();
    dir.put("a.yaml", &(plan("a", 1) + &plan("b", 1)));
    let nameless = plan("b", 1).replace("kind: Plan", "kind: Plann");
    assert_eq!(dir.put("a.yaml", &(plan("a", 2) + &nameless)), ["+Plan a 2"]);
    assert_eq!(dir.findings, ["a.yaml:10: kind: unknown kind `Plann` of weir.dev (did you mean `Plan`?)"]);
    // Its place in the file may change meanwhile.
    assert_eq!(dir.put("a.yaml", &(nameless + &plan("z", 1) + &plan("a", 2))), ["+Plan z 1"]);
    assert_eq!(dir.put("a.yaml", &(plan("z", 1) + &plan("a", 2))), ["-Plan b"]);
}

#[test]
fn a_document_cut_in_the_middle_keeps_what_it_said() {
    let whole = plan("a", 1) + &plan("b", 7);
    for cut in 0..whole.len() {
        let mut dir = Directory::new();
        dir.put("a.yaml", &whole);
        assert_eq!(dir.close("a.yaml", &whole[..cut]), NOTHING, "cut at {cut}");
        assert_eq!(dir.close("a.yaml", &whole), NOTHING, "cut at {cut}");
        assert_eq!(dir.findings, NOTHING);
    }
}

#[test]
fn a_file_that_cannot_be_read_keeps_what_it_said() {
    let mut dir = Directory::new();
    dir.put("a.yaml", &plan("a", 1));
    assert_eq!(dir.see(How::Closed, "a.yaml", Seen::Unreadable("is not UTF-8 text".into())), NOTHING);
    assert_eq!(dir.findings, ["a.yaml:1: is not UTF-8 text"]);
    assert_eq!(dir.put("a.yaml", &plan("a", 1)), NOTHING);
    assert_eq!(dir.findings, NOTHING);
}

#[test]
fn a_restart_sees_what_was_last_good() {
    let mut before = Directory::new();
    before.put("a.yaml", &(plan("a", 1) + &plan("b", 1) + &plan("c", 1)));
    before.put("old.yaml", &plan("d", 1));
    before.put("a.yaml", &(plan("a", 0) + &plan("b", 2) + &plan("c", 1)));

    let mut after = Directory::remembering(before.records);
    after.documents.see(
        Path::new("a.yaml"),
        How::Whole,
        Seen::Text(plan("a", 0) + &plan("b", 3) + &plan("c", 1).replace("kind: Plan", "kind: Plann")),
        after.now,
    );
    after.documents.all_seen();
    assert_eq!(after.take(), ["+Plan a 1", "+Plan b 3", "+Plan c 1"]);
    assert_eq!(after.findings.len(), 2);
    let files: Vec<_> = after.records.iter().map(|record| (record.file.clone(), record.documents.len())).collect();
    assert_eq!(files, [(PathBuf::from("a.yaml"), 3), (PathBuf::from("old.yaml"), 0)], "what is gone is forgotten");

    let mut broken_while_away = Directory::remembering(after.records);
    broken_while_away.documents.see(Path::new("b.yaml"), How::Whole, Seen::Text(plan("b", 0)), after.now);
    broken_while_away.documents.all_seen();
    assert_eq!(broken_while_away.take(), ["+Plan b 3"], "by object, whatever the file");
}

#[test]
fn the_order_in_which_files_are_seen_does_not_matter() {
    let files = [("a.yaml", plan("a", 1) + &plan("b", 1)), ("b.yaml", plan("a", 2)), ("c.yaml", plan("b", 0))];
    let mut outcomes = Vec::new();
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let mut dir = Directory::new();
        for index in order {
            dir.put(files[index].0, &files[index].1);
        }
        let serving: Vec<_> = dir.documents.serving.values().map(|good| good.text.to_string()).collect();
        outcomes.push((serving, dir.findings));
    }
    assert_eq!(outcomes[0], outcomes[1]);
    assert_eq!(outcomes[0], outcomes[2]);
}
