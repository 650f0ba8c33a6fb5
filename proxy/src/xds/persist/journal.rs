//! What changed since the file was written: batches, each synced before the next is begun.
//!
//! So only the last one can be torn by a power loss, and then nobody was told that it is there: it is left
//! out. It is known by its missing end: the file is too short, or ends in zeros. Any other damage is no tear,
//! and all is refused: what it hides may have taken something away.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::base::{Identity, sync_directory};
use super::bytes::{entry, kind, number, put_entry, put_number, put_text, short, text};
use super::{Changed, Entry, broken};
use crate::xds::refs::Key;

/// First bytes of a journal: its kind and version.
const MAGIC: &[u8; 8] = b"WEIRLKJ1";
/// Bytes before the first batch: magic, length and checksum of the file, checksum of these.
const HEAD: usize = 8 + 8 + 4 + 4;
/// Bytes of a batch before its body: the body's length, and a checksum of that and the batch's place.
const BATCH_HEAD: usize = 8 + 4;
/// Bytes after its body: its checksum, and the last one.
const BATCH_TAIL: usize = 4 + 1;
/// Last byte of a batch that is written to its end.
const END: u8 = 0x57;
/// First byte of a record: the resource is this, or gone.
const HELD: u8 = 1;
const GONE: u8 = 0;

/// A journal that is written.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    base: Identity,
    /// None until there is something to write.
    file: Option<File>,
    length: u64,
}

/// What a batch says.
pub(super) struct Batch {
    /// When a server last confirmed all that was held then, in seconds since 1970.
    pub(super) confirmed: u64,
    pub(super) changes: Vec<(Key, Option<Entry>)>,
}

impl Journal {
    /// An empty journal of the file `base`, which was just put in its place; one that was there before is removed.
    pub(super) fn of(path: PathBuf, base: Identity) -> io::Result<Self> {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(Self { path, base, file: None, length: 0 })
    }

    pub(super) fn base(&self) -> Identity {
        self.base
    }

    /// Bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Adds a batch; it is on disk afterwards.
    pub(super) fn append<V: AsRef<str>>(&mut self, changes: &[Changed<V>], confirmed: u64) -> io::Result<()> {
        let body = body(changes, confirmed);
        let mut out = Vec::with_capacity(HEAD + BATCH_HEAD + body.len() + BATCH_TAIL);
        let new = self.file.is_none();
        let file = match &mut self.file {
            Some(file) => file,
            place => {
                out.extend_from_slice(&head(self.base));
                let options =
                    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&self.path)?;
                place.insert(options)
            }
        };
        let at = self.length + out.len() as u64;
        out.extend_from_slice(&batch_head(at, body.len() as u64));
        out.extend_from_slice(&body);
        out.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        out.push(END);
        file.write_all(&out)?;
        file.sync_data()?;
        self.length += out.len() as u64;
        if new { sync_directory(&self.path) } else { Ok(()) }
    }
}

fn body<V: AsRef<str>>(changes: &[Changed<V>], confirmed: u64) -> Vec<u8> {
    let mut body = Vec::new();
    put_number(&mut body, confirmed);
    put_number(&mut body, changes.len() as u64);
    for ((kind, name), entry) in changes {
        body.push(if entry.is_some() { HELD } else { GONE });
        put_text(&mut body, kind.url().as_bytes());
        put_text(&mut body, name.as_bytes());
        if let Some((resource, version)) = entry {
            put_entry(&mut body, resource, version.as_ref());
        }
    }
    body
}

fn head(base: Identity) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(MAGIC);
    head[8..16].copy_from_slice(&base.length.to_le_bytes());
    head[16..20].copy_from_slice(&base.checksum.to_le_bytes());
    let sum = crc32fast::hash(&head[..20]);
    head[20..].copy_from_slice(&sum.to_le_bytes());
    head
}

/// The head of a batch of this length that begins at this byte of the file.
fn batch_head(at: u64, length: u64) -> [u8; BATCH_HEAD] {
    let mut head = [0; BATCH_HEAD];
    head[..8].copy_from_slice(&length.to_le_bytes());
    let mut sum = crc32fast::Hasher::new();
    sum.update(&at.to_le_bytes());
    sum.update(&head[..8]);
    head[8..].copy_from_slice(&sum.finalize().to_le_bytes());
    head
}

/// Reads the bytes of a journal; nothing of one that belongs to another file, which came before.
pub(super) fn read(bytes: &[u8], base: Identity) -> Result<Vec<Batch>, String> {
    let Some((first, mut rest)) = bytes.split_at_checked(HEAD) else { return Ok(Vec::new()) };
    if is_torn(first) {
        return Ok(Vec::new());
    }
    let mut fields = first.strip_prefix(MAGIC).ok_or("its journal is of another version")?;
    let own = number(&mut fields).zip(short(&mut fields)).map(|(length, checksum)| Identity { length, checksum });
    if own.is_none_or(|own| head(own) != *first) {
        return Err(broken());
    }
    if own != Some(base) {
        return Ok(Vec::new());
    }
    let mut batches = Vec::new();
    loop {
        let at = (bytes.len() - rest.len()) as u64;
        match next(&mut rest, at)? {
            Some(body) => batches.push(batch(body).ok_or_else(broken)?),
            None => return Ok(batches),
        }
    }
}

/// Takes the body of the next batch off the front; none at the end, or where the last batch is torn.
fn next<'b>(rest: &mut &'b [u8], at: u64) -> Result<Option<&'b [u8]>, String> {
    let Some((head, after)) = rest.split_at_checked(BATCH_HEAD) else { return Ok(None) };
    if is_torn(head) {
        return Ok(None);
    }
    let mut fields = head;
    let length = number(&mut fields).ok_or_else(broken)?;
    if batch_head(at, length) != *head {
        return Err(broken());
    }
    let length = usize::try_from(length).map_err(|_| broken())?;
    let Some((body, after)) = after.split_at_checked(length) else { return Ok(None) };
    let Some((tail, after)) = after.split_at_checked(BATCH_TAIL) else { return Ok(None) };
    if after.is_empty() && tail[BATCH_TAIL - 1] == 0 {
        return Ok(None);
    }
    if tail[..4] != crc32fast::hash(body).to_le_bytes() || tail[BATCH_TAIL - 1] != END {
        return Err(broken());
    }
    *rest = after;
    Ok(Some(body))
}

/// A file system may have made room for what was to be written, and not have written it.
fn is_torn(head: &[u8]) -> bool {
    head.iter().all(|byte| *byte == 0)
}

fn batch(mut body: &[u8]) -> Option<Batch> {
    let rest = &mut body;
    let (confirmed, count) = (number(rest)?, number(rest)?);
    let mut changes = Vec::new();
    for _ in 0..count {
        let (what, after) = rest.split_first()?;
        *rest = after;
        let kind = kind(rest)?;
        let name = std::str::from_utf8(text(rest)?).ok()?.to_owned();
        // What can no longer be read is not held, whatever was before.
        let entry = if *what == HELD { entry(kind, rest)? } else { None };
        changes.push(((kind, name), entry));
    }
    Some(Batch { confirmed, changes })
}
