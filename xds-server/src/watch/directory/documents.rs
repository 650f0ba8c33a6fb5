//! What a directory's files say: a pure core. It is told what was seen and when, and answers with
//! what changed, what is wrong, and when to look again.
//!
//! An object is claimed by each document that names it. The first claim by (file, place in it)
//! decides, and a claim of a file that is being written yields to the others, so that a document
//! that moves to another file is never in dispute. Where the deciding document is bad, what was last
//! good of that object keeps serving. While a file has a document whose identity cannot be read,
//! nothing that the file said before is taken away.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use weir_config::FieldError;
use weir_config::kinds::manifest::{self, Content, Document};
use weir_config::kinds::{Object, ObjectKey};

use super::memory::{Memory, Record};
use super::name::{FileName, bytes};
use crate::index::Few;
use crate::watch::{Batch, Event, Finding};

/// How long a file that shrank or vanished may be on its way to something else.
pub(super) const SETTLE: Duration = Duration::from_millis(200);

/// What was found at a path. It shows itself nowhere: a text may be a Secret's.
#[derive(Clone)]
pub(super) enum Seen {
    /// A file's text.
    Text(String),
    /// Nothing.
    Gone,
    /// Something that cannot be read, and why.
    Unreadable(String),
}

/// How what was seen came to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// By a rename, or long enough ago: it is what was meant.
    Whole,
    /// A writer closed it, and may be about to write the rest.
    Closed,
}

/// An object as its document said it.
#[derive(Clone)]
struct Good {
    object: Arc<Object>,
    text: Arc<str>,
}

/// Without its text, which may be a Secret's.
impl fmt::Debug for Good {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.object.fmt(f)
    }
}

#[derive(Debug, Default)]
struct File {
    digest: [u8; 32],
    length: usize,
    documents: Box<[Document]>,
    /// Places in `documents` of those whose identity is known, by identity, then by place.
    known: Box<[usize]>,
    /// Objects that it said before and that an unreadable document may still mean.
    held: BTreeSet<ObjectKey>,
    /// Why it cannot be read.
    trouble: Option<String>,
}

impl File {
    fn new(digest: [u8; 32], length: usize, documents: Vec<Document>) -> Self {
        let documents = documents.into_boxed_slice();
        let with_key = |(place, document): (usize, &Document)| document.key.is_some().then_some(place);
        let mut known: Box<[usize]> = documents.iter().enumerate().filter_map(with_key).collect();
        known.sort_by_key(|place| (documents.get(*place).and_then(|document| document.key.as_ref()), *place));
        Self { digest, length, documents, known, ..Self::default() }
    }

    /// Objects that its documents name.
    fn named(&self) -> impl Iterator<Item = &ObjectKey> {
        self.known.iter().filter_map(|place| self.documents.get(*place)?.key.as_ref())
    }

    /// Places in `documents` of an object.
    fn places(&self, key: &ObjectKey) -> impl Iterator<Item = usize> {
        let key_at = |place: usize| self.documents.get(place).and_then(|document| document.key.as_ref());
        let first = self.known.partition_point(|place| key_at(*place) < Some(key));
        self.known.iter().skip(first).copied().take_while(move |place| key_at(*place) == Some(key))
    }

    fn keys(&self) -> BTreeSet<ObjectKey> {
        self.named().chain(&self.held).cloned().collect()
    }
}

/// A document that names an object, in the order in which claims decide.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Claim<'a> {
    held: bool,
    unsettled: bool,
    file: &'a Path,
    place: usize,
}

/// The files of a directory and what they say together.
#[derive(Debug, Default)]
pub(super) struct Documents {
    files: BTreeMap<FileName, File>,
    /// Paths to look at again, and when.
    unsettled: BTreeMap<PathBuf, Instant>,
    claims: BTreeMap<ObjectKey, Few<PathBuf>>,
    serving: BTreeMap<ObjectKey, Good>,
    memory: Memory,
    all_seen: bool,
    /// Objects to be decided anew.
    changed: BTreeSet<ObjectKey>,
    /// Files whose record in the store may be old.
    recorded: BTreeSet<PathBuf>,
    /// Files with something wrong.
    troubled: BTreeSet<PathBuf>,
    /// Objects with more than one claim.
    contested: BTreeSet<ObjectKey>,
}

impl Documents {
    /// Nothing seen yet; what a former process remembered stands in for what is bad at the start.
    pub(super) fn new(memory: Memory) -> Self {
        Self { memory, ..Self::default() }
    }

    /// Everything has been seen once: what is only remembered is gone after the next [`Self::take`].
    pub(super) fn all_seen(&mut self) {
        self.all_seen = true;
    }

    /// Something happens at `path`: it is looked at when it has settled.
    pub(super) fn wait(&mut self, path: &Path, now: Instant) {
        if let Some(file) = self.files.get(bytes(path))
            && !self.unsettled.contains_key(path)
        {
            self.changed.extend(file.keys());
        }
        self.unsettled.insert(path.to_owned(), now + SETTLE);
    }

    /// What is at `path` now. A file that only shrank or vanished waits.
    pub(super) fn see(&mut self, path: &Path, how: How, seen: Seen, now: Instant) {
        let shrank = match &seen {
            Seen::Text(text) => self.files.get(bytes(path)).is_some_and(|file| text.len() < file.length),
            Seen::Gone => self.files.contains_key(bytes(path)),
            Seen::Unreadable(_) => false,
        };
        if how == How::Closed && shrank {
            return self.wait(path, now);
        }
        let was_unsettled = self.unsettled.remove(path).is_some();
        match seen {
            Seen::Text(text) => {
                let digest = Sha256::digest(&text).into();
                match self.files.get(bytes(path)) {
                    Some(file) if file.digest == digest && file.trouble.is_none() => {
                        if was_unsettled {
                            self.changed.extend(file.keys());
                        }
                    }
                    _ => self.judge(path, digest, &text),
                }
            }
            Seen::Gone => self.replace(path, None),
            Seen::Unreadable(reason) => {
                let held = self.said_before(path);
                let length = self.files.get(bytes(path)).map_or(0, |file| file.length);
                self.replace(path, Some(File { trouble: Some(reason), held, length, ..File::default() }));
            }
        }
    }

    /// When to look again, if nothing happens before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.unsettled.values().min().copied()
    }

    /// Paths that have settled by `now`, to be seen as [`How::Whole`].
    pub(super) fn settled(&mut self, now: Instant) -> Vec<PathBuf> {
        let due: Vec<_> = self.unsettled.iter().filter(|(_, at)| **at <= now).map(|(path, _)| path.clone()).collect();
        for path in &due {
            self.unsettled.remove(path);
            if let Some(file) = self.files.get(bytes(path)) {
                self.changed.extend(file.keys());
            }
        }
        due
    }

    /// Known paths at or below `path`.
    pub(super) fn below(&self, path: &Path) -> Vec<PathBuf> {
        let mut inside = bytes(path).to_vec();
        if !inside.is_empty() {
            inside.push(b'/');
        }
        let from = (Bound::Included(&*inside), Bound::Unbounded);
        let below = self.files.range::<[u8], _>(from).map(|(name, _)| name.path());
        let below = below.take_while(|known| bytes(known).starts_with(&inside));
        let at = self.files.get_key_value(bytes(path)).map(|(name, _)| name.path());
        at.into_iter().chain(below).map(Path::to_owned).collect()
    }

    /// What has changed since the last call, everything that is wrong now, and the records of the
    /// files that this touches.
    pub(super) fn take(&mut self) -> (Batch, Vec<Record>) {
        let mut batch = Batch::default();
        for key in std::mem::take(&mut self.changed) {
            self.recorded.extend(self.claims.get(&key).into_iter().flatten().cloned());
            batch.events.extend(self.decide(key));
        }
        if self.all_seen {
            self.recorded.extend(std::mem::take(&mut self.memory).into_files());
        }
        batch.findings = self.findings();
        let records = std::mem::take(&mut self.recorded).into_iter().map(|path| self.record(path)).collect();
        (batch, records)
    }

    fn judge(&mut self, path: &Path, digest: [u8; 32], text: &str) {
        let documents = manifest::documents(text);
        let nameless =
            documents.iter().any(|document| document.key.is_none() && matches!(document.content, Content::Bad(_)));
        let mut file = File::new(digest, text.len(), documents);
        if nameless {
            let before = self.said_before(path);
            file.held = before.into_iter().filter(|key| file.places(key).next().is_none()).collect();
        }
        self.replace(path, Some(file));
    }

    /// Objects that the file at `path` said until now, or before a restart.
    fn said_before(&self, path: &Path) -> BTreeSet<ObjectKey> {
        self.files.get(bytes(path)).map_or_else(|| self.memory.of_file(path), File::keys)
    }

    fn replace(&mut self, path: &Path, file: Option<File>) {
        let old = self.files.get(bytes(path)).map(File::keys).unwrap_or_default();
        let new = file.as_ref().map(File::keys).unwrap_or_default();
        for key in old.difference(&new) {
            if let Some(files) = self.claims.get_mut(key) {
                files.remove(path);
                if files.is_empty() {
                    self.claims.remove(key);
                }
            }
        }
        for key in &new {
            self.claims.entry(key.clone()).or_default().insert(path.to_owned());
        }
        self.changed.extend(old);
        self.changed.extend(new);
        self.recorded.insert(path.to_owned());
        let wrong = |file: &File| {
            file.trouble.is_some() || file.documents.iter().any(|document| matches!(document.content, Content::Bad(_)))
        };
        if file.as_ref().is_some_and(wrong) {
            self.troubled.insert(path.to_owned());
        } else {
            self.troubled.remove(path);
        }
        match file {
            Some(file) => self.files.insert(FileName::new(path), file),
            None => self.files.remove(bytes(path)),
        };
    }

    fn claims_of(&self, key: &ObjectKey) -> Vec<Claim<'_>> {
        let mut claims = Vec::new();
        for path in self.claims.get(key).into_iter().flatten() {
            let Some(file) = self.files.get(bytes(path)) else { continue };
            let unsettled = self.unsettled.contains_key(path);
            for place in file.places(key) {
                claims.push(Claim { held: false, unsettled, file: path, place });
            }
            if file.held.contains(key) {
                claims.push(Claim { held: true, unsettled, file: path, place: 0 });
            }
        }
        claims.sort();
        claims
    }

    fn document(&self, claim: &Claim<'_>) -> Option<&Document> {
        if claim.held { None } else { self.files.get(bytes(claim.file))?.documents.get(claim.place) }
    }

    fn good(&self, claim: &Claim<'_>) -> Option<Good> {
        let document = self.document(claim)?;
        match &document.content {
            Content::Object(object) => Some(Good { object: object.clone(), text: document.text.clone() }),
            _ => None,
        }
    }

    /// Which document of an object serves now, and what that changes.
    fn decide(&mut self, key: ObjectKey) -> Option<Event> {
        let claims = self.claims_of(&key);
        let contested = claims.iter().filter(|claim| !claim.held && !claim.unsettled).count() > 1;
        let before = self.serving.get(&key);
        let now = claims.first().and_then(|first| {
            let last_good = || before.cloned().or_else(|| remembered(&self.memory, &key));
            self.good(first).or_else(last_good).or_else(|| claims.iter().find_map(|claim| self.good(claim)))
        });
        let event = match (before, &now) {
            (Some(before), Some(now)) if before.object == now.object => None,
            (_, Some(now)) => Some(Event::Apply(now.object.clone())),
            (Some(_), None) => Some(Event::Delete(key.clone())),
            (None, None) => None,
        };
        if contested {
            self.contested.insert(key.clone());
        } else {
            self.contested.remove(&key);
        }
        match now {
            Some(now) => self.serving.insert(key, now),
            None => self.serving.remove(&key),
        };
        event
    }

    fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (path, file) in self.troubled.iter().filter_map(|path| Some((path, self.files.get(bytes(path))?))) {
            if let Some(reason) = &file.trouble {
                let error = FieldError::new("", reason.as_str());
                findings.push(Finding { file: path.clone(), line: 1, object: None, error });
            }
            for document in &file.documents {
                let Content::Bad(problems) = &document.content else { continue };
                findings.extend(problems.iter().map(|problem| Finding {
                    file: path.clone(),
                    line: problem.line,
                    object: document.key.clone(),
                    error: problem.error.clone(),
                }));
            }
        }
        for key in &self.contested {
            let claims = self.claims_of(key);
            let settled: Vec<_> = claims.iter().filter(|claim| !claim.held && !claim.unsettled).collect();
            let Some(((first, first_at), rest)) =
                settled.split_first().and_then(|(first, rest)| Some(((first, self.document(first)?.line), rest)))
            else {
                continue;
            };
            for claim in rest {
                let Some(document) = self.document(claim) else { continue };
                let problem = format!("stands in {}:{first_at} too, and that one counts", first.file.display());
                findings.push(Finding {
                    file: claim.file.to_owned(),
                    line: document.line,
                    object: Some(key.clone()),
                    error: FieldError::new("", problem),
                });
            }
        }
        findings.sort();
        findings
    }

    /// What to remember of the file: the last good text of each object in it.
    fn record(&self, path: PathBuf) -> Record {
        let keys = self.files.get(bytes(&path)).map(File::keys).unwrap_or_default();
        let text = |key: ObjectKey| Some((self.serving.get(&key)?.text.clone(), key));
        let documents = keys.into_iter().filter_map(text).map(|(text, key)| (key, text)).collect();
        Record { file: path, documents }
    }
}

/// What a former process served of the object, where it still reads.
fn remembered(memory: &Memory, key: &ObjectKey) -> Option<Good> {
    let text = memory.of_object(key)?;
    let document = manifest::documents(text).into_iter().find(|document| document.key.as_ref() == Some(key))?;
    match document.content {
        Content::Object(object) => Some(Good { object, text: document.text }),
        _ => None,
    }
}

#[cfg(test)]
#[path = "documents_tests.rs"]
mod tests;
