//! What was last good, as a former process wrote it down: plain values, and their lines in the store.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use weir_config::kinds::{Kind, ObjectKey};

/// The last good text of each object that a file names.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// The file, relative to the root.
    pub(super) file: PathBuf,
    /// Objects and their texts; none where the file is gone.
    pub(super) documents: Vec<(ObjectKey, Arc<str>)>,
}

/// All records, by file and by object.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Memory {
    files: BTreeMap<PathBuf, BTreeSet<ObjectKey>>,
    texts: BTreeMap<ObjectKey, Arc<str>>,
}

/// Without texts, which may be Secrets'.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.documents.iter().map(|(key, _)| key).collect();
        f.debug_struct("Record").field("file", &self.file).field("documents", &keys).finish()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Memory {
    /// Adds a record; of each file only its last one may be added.
    pub(super) fn add(&mut self, record: Record) {
        self.files.insert(record.file, record.documents.iter().map(|(key, _)| key.clone()).collect());
        self.texts.extend(record.documents);
    }

    /// The objects that a file named.
    pub(super) fn of_file(&self, path: &Path) -> BTreeSet<ObjectKey> {
        self.files.get(path).cloned().unwrap_or_default()
    }

    /// The last good text of an object.
    pub(super) fn of_object(&self, key: &ObjectKey) -> Option<&str> {
        self.texts.get(key).map(|text| &**text)
    }

    /// The files that are remembered.
    pub(super) fn into_files(self) -> impl Iterator<Item = PathBuf> {
        self.files.into_keys()
    }
}

/// A record as a line of JSON.
#[derive(Serialize, Deserialize)]
struct Line {
    file: PathBuf,
    documents: Vec<LineDocument>,
}

#[derive(Serialize, Deserialize)]
struct LineDocument {
    kind: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    namespace: String,
    name: String,
    text: String,
}

impl Record {
    /// The record as a line, with its end; none of a file whose path is not Unicode.
    pub(super) fn to_line(&self) -> Option<String> {
        let document = |(key, text): &(ObjectKey, Arc<str>)| LineDocument {
            kind: key.kind.name().to_owned(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            text: text.to_string(),
        };
        let line = Line { file: self.file.clone(), documents: self.documents.iter().map(document).collect() };
        Some(serde_json::to_string(&line).ok()? + "\n")
    }

    /// Reads a line; none where it is damaged.
    pub(super) fn from_line(line: &str) -> Option<Self> {
        let line: Line = serde_json::from_str(line).ok()?;
        let document = |document: LineDocument| {
            let kind = Kind::ALL.iter().find(|kind| kind.name() == document.kind)?;
            Some((ObjectKey::new(*kind, document.namespace, document.name), document.text.into()))
        };
        Some(Self { file: line.file, documents: line.documents.into_iter().filter_map(document).collect() })
    }
}
