//! The file that holds everything. It is whole or refused: magic, time of the server's last word, length,
//! entries, checksum. It is written beside the old one, synced, and renamed into its place, mode 0600.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use weir_config::model::Resource;

use super::bytes::{entry, kind, number, put_entry, put_number, put_text};
use super::{Entry, broken};

/// First bytes of a file: its kind and version.
const MAGIC: &[u8; 8] = b"WEIRLKG1";

/// Which file a journal belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// Bytes.
    pub(super) length: u64,
    pub(super) checksum: u32,
}

/// What a file says.
pub(super) struct Base {
    pub(super) identity: Identity,
    /// When a server last confirmed it, in seconds since 1970.
    pub(super) confirmed: u64,
    pub(super) entries: Vec<Entry>,
}

/// A file that is being written, and the checksum of what it holds so far.
struct Summed {
    file: BufWriter<File>,
    sum: crc32fast::Hasher,
    length: u64,
}

impl Summed {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.length += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    /// Writes the checksum, and hands back the file with all of it.
    fn finish(mut self) -> io::Result<(File, Identity)> {
        let checksum = self.sum.finalize();
        self.file.write_all(&checksum.to_le_bytes())?;
        let identity = Identity { length: self.length + 4, checksum };
        Ok((self.file.into_inner().map_err(io::IntoInnerError::into_error)?, identity))
    }
}

/// Writes a file in place of another, whole or not at all. Entry by entry: all of them at once
/// would be memory that the process is seldom given back.
pub(super) fn replace(path: &Path, entries: &[(Resource, impl AsRef<str>)], confirmed: u64) -> io::Result<Identity> {
    let beside = path.with_extension("tmp");
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    let mut out = Summed { file: BufWriter::new(file), sum: crc32fast::Hasher::new(), length: 0 };
    let mut piece = MAGIC.to_vec();
    put_number(&mut piece, confirmed);
    put_number(&mut piece, entries.len() as u64);
    for (resource, version) in entries {
        put_text(&mut piece, resource.kind().url().as_bytes());
        put_entry(&mut piece, resource, version.as_ref());
        out.put(&piece)?;
        piece.clear();
    }
    out.put(&piece)?;
    let (file, identity) = out.finish()?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    sync_directory(path)?;
    Ok(identity)
}

/// A name that came or changed must outlive a power loss.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

/// Reads the bytes of a file.
pub(super) fn read(bytes: &[u8]) -> Result<Base, String> {
    let (body, sum) = bytes.split_last_chunk::<4>().ok_or_else(broken)?;
    let checksum = u32::from_le_bytes(*sum);
    if crc32fast::hash(body) != checksum {
        return Err(broken());
    }
    let mut rest = body.strip_prefix(MAGIC).ok_or("it is of another version")?;
    let mut next = || number(&mut rest).ok_or_else(broken);
    let (confirmed, count) = (next()?, next()?);
    let mut entries = Vec::new();
    for _ in 0..count {
        let kind = kind(&mut rest).ok_or_else(broken)?;
        entries.extend(entry(kind, &mut rest).ok_or_else(broken)?);
    }
    Ok(Base { identity: Identity { length: bytes.len() as u64, checksum }, confirmed, entries })
}
