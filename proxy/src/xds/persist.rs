//! The last good configuration on disk: what was accepted, with its versions, so that a proxy
//! serves although no server is there when it starts.
//!
//! A file is whole or refused: magic, time of the server's last word, length, entries, checksum.
//! It is written beside the old one, synced, and renamed into its place, mode 0600. TLS secrets
//! are written only to a directory of their own, which should be memory-backed, or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use weir_config::model::{Resource, ResourceType};
use weir_config::xds::{decode, encode};

/// First bytes of a file: its kind and version.
const MAGIC: &[u8; 8] = b"WEIRLKG1";
/// Largest file that is read: far above any real configuration, far below exhaustion.
const MAX_FILE: u64 = 2 << 30;
/// Name of the file in its directory.
const FILE: &str = "last-good.xds";
/// Name of the file of secrets.
const SECRETS: &str = "last-good-secrets.xds";

/// Where the last good configuration is kept.
#[derive(Clone, Debug)]
pub struct Store {
    state: PathBuf,
    secrets: Option<PathBuf>,
}

/// A resource with its version.
pub type Entry = (Resource, String);

impl Store {
    /// A store in `state`; TLS secrets in `secrets`, or nowhere.
    ///
    /// # Errors
    /// A directory can neither be found nor made (0700).
    pub fn new(state: &Path, secrets: Option<&Path>) -> io::Result<Self> {
        for directory in [Some(state), secrets].into_iter().flatten() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        Ok(Self { state: state.join(FILE), secrets: secrets.map(|directory| directory.join(SECRETS)) })
    }

    /// Replaces what is stored. `now` is when the server last confirmed it.
    ///
    /// # Errors
    /// A file cannot be written; the one before is whole.
    pub fn save<V: AsRef<str>>(&self, entries: impl Iterator<Item = (Resource, V)>, now: SystemTime) -> io::Result<()> {
        let (secrets, rest): (Vec<_>, Vec<_>) = entries.partition(|(r, _)| r.kind() == ResourceType::Secret);
        if let Some(path) = &self.secrets {
            replace(path, &secrets, now)?;
        }
        replace(&self.state, &rest, now)
    }

    /// What is stored; nothing where nothing was, or where a file is broken or older than
    /// `max_age`, which is logged.
    pub fn load(&self, now: SystemTime, max_age: Duration) -> Vec<Entry> {
        let mut entries = Vec::new();
        for path in [Some(&self.state), self.secrets.as_ref()].into_iter().flatten() {
            match load(path, now, max_age) {
                Ok(loaded) => entries.extend(loaded),
                Err(problem) => tracing::warn!(path = %path.display(), problem, "the stored configuration is not used"),
            }
        }
        entries
    }
}

/// A file that is being written, and the checksum of what it holds so far.
struct Summed {
    file: BufWriter<File>,
    sum: crc32fast::Hasher,
}

impl Summed {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.file.write_all(bytes)
    }

    fn number(&mut self, number: u64) -> io::Result<()> {
        self.put(&number.to_le_bytes())
    }

    /// Writes the checksum, and hands back the file with all of it.
    fn finish(mut self) -> io::Result<File> {
        self.file.write_all(&self.sum.finalize().to_le_bytes())?;
        self.file.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

/// Writes a file in place of another, whole or not at all. Entry by entry: all of them at once
/// would be memory that the process is seldom given back.
fn replace(path: &Path, entries: &[(Resource, impl AsRef<str>)], now: SystemTime) -> io::Result<()> {
    let beside = path.with_extension("tmp");
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    let mut out = Summed { file: BufWriter::new(file), sum: crc32fast::Hasher::new() };
    out.put(MAGIC)?;
    out.number(now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())?;
    out.number(entries.len() as u64)?;
    for (resource, version) in entries {
        for part in [resource.kind().url().as_bytes(), version.as_ref().as_bytes(), &encode(resource)] {
            out.number(part.len() as u64)?;
            out.put(part)?;
        }
    }
    out.finish()?.sync_all()?;
    fs::rename(&beside, path)?;
    // The rename itself must outlive a power loss.
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

fn load(path: &Path, now: SystemTime, max_age: Duration) -> Result<Vec<Entry>, String> {
    let bytes = match fs::metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e.to_string()),
        Ok(about) if about.len() > MAX_FILE => return Err(format!("it has {} bytes", about.len())),
        Ok(_) => fs::read(path).map_err(|e| e.to_string())?,
    };
    read(&bytes, now, max_age)
}

/// Reads the bytes of a file.
fn read(bytes: &[u8], now: SystemTime, max_age: Duration) -> Result<Vec<Entry>, String> {
    let broken = || "it is broken".to_owned();
    let (body, sum) = bytes.split_last_chunk::<4>().ok_or_else(broken)?;
    if crc32fast::hash(body) != u32::from_le_bytes(*sum) {
        return Err(broken());
    }
    let mut rest = body.strip_prefix(MAGIC).ok_or("it is of another version")?;
    let confirmed = UNIX_EPOCH + Duration::from_secs(number(&mut rest).ok_or_else(broken)?);
    let age = now.duration_since(confirmed).unwrap_or_default();
    if age > max_age {
        return Err(format!(
            "no server has confirmed it for {} s (maxStaleness is {} s)",
            age.as_secs(),
            max_age.as_secs()
        ));
    }
    let count = number(&mut rest).ok_or_else(broken)?;
    let mut entries = Vec::new();
    for _ in 0..count {
        let mut part = || text(&mut rest).ok_or_else(broken);
        let (url, version, value) = (part()?, part()?, part()?);
        let kind = std::str::from_utf8(url).ok().and_then(ResourceType::from_url).ok_or_else(broken)?;
        // What this version of the program can no longer read is asked for again.
        if let Ok(resource) = decode(kind, value) {
            entries.push((resource, String::from_utf8_lossy(version).into_owned()));
        }
    }
    Ok(entries)
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let (number, after) = rest.split_first_chunk::<8>()?;
    *rest = after;
    Some(u64::from_le_bytes(*number))
}

fn text<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let length = usize::try_from(number(rest)?).ok()?;
    let (text, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(text)
}
