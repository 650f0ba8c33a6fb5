//! The state directory's file of what was last good: one line a changed file, appended, the last
//! one of each file counts; rewritten when most of it is old. It may hold Secrets and is 0600.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::memory::{Memory, Record};
use super::name::{FileName, bytes};

const NAME: &str = "last-good.jsonl";
/// Below this it is not worth rewriting.
const SMALL: u64 = 1 << 20;

/// An open store.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    file: File,
    /// Bytes of the line that counts, by file.
    live: BTreeMap<FileName, u64>,
    /// Bytes of all lines that count.
    counts: u64,
    /// Bytes of all lines.
    size: u64,
}

impl Store {
    /// Opens the store of `state_dir`, and reads it. What is damaged in it is left out.
    pub(super) fn open(state_dir: &Path) -> io::Result<(Self, Memory)> {
        fs::create_dir_all(state_dir)?;
        let path = state_dir.join(NAME);
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let (store, records) = Self::rewrite(path, &text)?;
        let mut memory = Memory::default();
        records.into_values().for_each(|record| memory.add(record));
        Ok((store, memory))
    }

    /// Writes records down.
    pub(super) fn append(&mut self, records: &[Record]) -> io::Result<()> {
        let mut lines = String::new();
        for record in records {
            let Some(line) = record.to_line() else { continue };
            // Of a file that was never there, or is gone, nothing needs to be said twice.
            let before = self.live.get(bytes(&record.file));
            if record.documents.is_empty() && before.is_none() {
                continue;
            }
            lines += &line;
            self.counts -= before.copied().unwrap_or_default();
            if record.documents.is_empty() {
                self.live.remove(bytes(&record.file));
            } else {
                self.live.insert(FileName::new(&record.file), line.len() as u64);
                self.counts += line.len() as u64;
            }
        }
        self.file.write_all(lines.as_bytes())?;
        self.size += lines.len() as u64;
        if self.size > SMALL.max(4 * self.counts) {
            let text = fs::read_to_string(&self.path)?;
            *self = Self::rewrite(self.path.clone(), &text)?.0;
        }
        Ok(())
    }

    /// Puts a file in place that holds only what counts of `text`.
    fn rewrite(path: PathBuf, text: &str) -> io::Result<(Self, BTreeMap<PathBuf, Record>)> {
        let mut records = BTreeMap::new();
        for record in text.lines().filter_map(Record::from_line) {
            records.insert(record.file.clone(), record);
        }
        records.retain(|_, record| !record.documents.is_empty());
        let next = path.with_extension("next");
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&next)?;
        let (mut live, mut lines) = (BTreeMap::new(), String::new());
        for record in records.values() {
            let Some(line) = record.to_line() else { continue };
            live.insert(FileName::new(&record.file), line.len() as u64);
            lines += &line;
        }
        file.write_all(lines.as_bytes())?;
        file.sync_all()?;
        fs::rename(&next, &path)?;
        let size = lines.len() as u64;
        Ok((Self { path, file, live, counts: size, size }, records))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use weir_config::kinds::{Kind, ObjectKey};

    use super::super::memory::Record;
    use super::{NAME, Store};

    fn record(file: &str, texts: &[&str]) -> Record {
        let document = |text: &&str| (ObjectKey::new(Kind::Secret, "shop", *text), (**text).into());
        Record { file: PathBuf::from(file), documents: texts.iter().map(document).collect() }
    }

    #[test]
    fn the_last_record_of_each_file_counts_and_damage_costs_only_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, memory) = Store::open(dir.path()).unwrap();
        assert_eq!(memory, Default::default());
        store.append(&[record("a", &["one"]), record("b", &["two"]), record("never", &[])]).unwrap();
        store.append(&[record("a", &["three", "four"]), record("b", &[])]).unwrap();
        let path = dir.path().join(NAME);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let torn = std::fs::read_to_string(&path).unwrap() + "{\"file\":\"a\",\"docum";
        assert!(!torn.contains("never"));
        std::fs::write(&path, torn).unwrap();

        let (mut store, memory) = Store::open(dir.path()).unwrap();
        assert_eq!(memory.of_file("a".as_ref()).len(), 2);
        assert!(memory.of_file("b".as_ref()).is_empty());
        assert_eq!(memory.of_object(&ObjectKey::new(Kind::Secret, "shop", "four")), Some("four"));
        store.append(&[record("c", &["five"])]).unwrap();
        assert_eq!(Store::open(dir.path()).unwrap().1.into_files().count(), 2);
    }

    #[test]
    fn it_is_bounded_by_what_counts_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, _) = Store::open(dir.path()).unwrap();
        let long = "x".repeat(10_000);
        for _ in 0..500 {
            store.append(&[record("a", &[&long])]).unwrap();
        }
        assert!(std::fs::metadata(dir.path().join(NAME)).unwrap().len() < 2 << 20);
        assert_eq!(Store::open(dir.path()).unwrap().1.into_files().count(), 1);
    }
}
