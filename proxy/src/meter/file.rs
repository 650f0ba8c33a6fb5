//! A counters file on disk: made, found and read again after its proxy has ended.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

use weir_config::usage::NO_TENANT;

use super::cells::{Cells, Intent};
use super::header::{self, Header, Identity};
use super::layout::{CHUNK, Layout, ROW};
use super::names::{self, Names};
use super::{Counted, MAX_TENANTS, TenantId, Units};

const COUNTERS: &str = "counters-";
const NAMES: &str = "names-";
/// What a file that is being made ends in.
const UNFINISHED: &str = "new";

/// What a proxy that has ended counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Old {
    /// Its epoch.
    pub epoch: [u8; 16],
    /// Whether this is the very file that was counted in, since the machine started. If not (loss of
    /// power, a copy, a restored snapshot) it may be older than what was logged or sent.
    pub believable: bool,
    /// Sequence of the last window that was logged.
    pub logged_sequence: u64,
    /// Sequence of the last batch that may have been sent.
    pub sent_sequence: u64,
    /// Every place in use, by incarnation. A total is the greater of what was counted and what an
    /// announced write would have made of it.
    pub counted: Vec<Counted>,
}

/// The counters files of a directory, in no order.
///
/// # Errors
/// The directory cannot be read.
pub fn list(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if named(&path, COUNTERS) && path.extension().is_none() {
            found.push(path);
        }
    }
    Ok(found)
}

/// Removes a counters file and its names. May be repeated after a kill; one that is not there is well.
///
/// # Errors
/// A file is there and cannot be removed.
pub fn remove(path: &Path) -> io::Result<()> {
    remove_if_there(path)?;
    names_beside(path).map_or(Ok(()), |names| remove_if_there(&names))
}

/// Reads a counters file, and the names beside it.
///
/// # Errors
/// It cannot be read, or is damaged; the text says which file, and what is wrong.
pub fn read(path: &Path) -> io::Result<Old> {
    let mut file = File::open(path)?;
    let identity = Identity::of(&file)?;
    let mut bytes = Vec::new();
    Read::by_ref(&mut file).take((header::WORDS * size_of::<u64>()) as u64).read_to_end(&mut bytes)?;
    let header = Header::decode(&words(&bytes)).map_err(|what| damaged(path, what))?;
    let layout = Layout::new(header.workers);
    // Nothing beyond what a proxy can have made is read.
    let most = layout.chunk_at((MAX_TENANTS as usize).div_ceil(CHUNK));
    file.take(most).read_to_end(&mut bytes)?;
    let beside = names_beside(path).ok_or_else(|| damaged(path, "its name is no counters file's"))?;
    let names = names::decode(&fs::read(&beside)?, &header.epoch).map_err(|what| damaged(&beside, what))?;
    let words = words(&bytes);
    let places = layout.chunks(bytes.len() as u64) * CHUNK;
    if names.values().any(|name| name.place as usize >= places) {
        return Err(damaged(path, "it is shorter than the places that have names"));
    }
    let sequence = |at: usize| {
        let word = words.get(at).copied().unwrap_or_default();
        header::unseal(word).ok_or_else(|| damaged(path, "a sequence's checksum does not match"))
    };
    let dump = Dump { layout, words: &words };
    let mut counted: Vec<_> = (0..places as u32)
        .filter_map(|place| {
            let incarnation = dump.tag(place)?;
            let name = names.get(&incarnation).filter(|name| name.place == place);
            if name.is_none() {
                tracing::error!(path = %path.display(), place, "the name of a counted tenant is damaged: nobody is charged");
            }
            Some(Counted {
                incarnation,
                place: TenantId(place),
                tenant: name.map_or_else(|| NO_TENANT.into(), |name| name.tenant.clone()),
                total: dump.total(place),
                logged: dump.units(place, layout.logged(place as usize)),
                leaving: false,
            })
        })
        .collect();
    counted.sort_by_key(|counted| counted.incarnation);
    Ok(Old {
        epoch: header.epoch,
        believable: identity.boot != 0 && identity == header.identity,
        logged_sequence: sequence(header::LOGGED)?,
        sent_sequence: sequence(header::SENT)?,
        counted,
    })
}

/// Makes the files of an epoch, and clears away what a kill left of others that were never used.
pub(super) fn create(dir: &Path, epoch: [u8; 16], workers: usize) -> io::Result<(Cells, Names)> {
    clear(dir)?;
    let layout = Layout::new(workers);
    let hex: String = epoch.iter().map(|byte| format!("{byte:02x}")).collect();
    let path = dir.join(format!("{COUNTERS}{hex}"));
    let unfinished = path.with_extension(UNFINISHED);
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&unfinished)?;
    let header = Header { epoch, identity: Identity::of(&file)?, workers: layout.workers() };
    let cells = Cells::shared(layout, file)?;
    let sequences = [(header::LOGGED, header::seal(0)), (header::SENT, header::seal(0))];
    for (at, word) in header.encode().into_iter().enumerate().chain(sequences) {
        if let Some(place) = cells.header(at) {
            place.store(word, Relaxed);
        }
    }
    let names = Names::create(dir.join(format!("{NAMES}{hex}")), epoch)?;
    // It bears its name when all is there.
    fs::rename(&unfinished, &path)?;
    Ok((cells, names))
}

impl Identity {
    /// Of an open file, on this boot of this machine.
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let boot = u128::from_str_radix(&boot.trim().replace('-', ""), 16).unwrap_or_default();
        Ok(Self { boot, device: metadata.dev(), inode: metadata.ino() })
    }
}

/// A file's words, as they were found.
struct Dump<'w> {
    layout: Layout,
    words: &'w [u64],
}

impl Dump<'_> {
    fn word(&self, place: u32, at: usize) -> u64 {
        let chunk = self.layout.head() + place as usize / CHUNK * self.layout.chunk();
        self.words.get(chunk + at).copied().unwrap_or_default()
    }

    /// Whose a place is, if anybody's.
    fn tag(&self, place: u32) -> Option<u64> {
        Some(self.word(place, self.layout.tag(place as usize))).filter(|tag| *tag != 0)
    }

    fn units(&self, place: u32, row: usize) -> Units {
        let mut units = Units::ZERO;
        for (unit, word) in units.0.iter_mut().zip(row..row + ROW) {
            *unit = self.word(place, word);
        }
        units
    }

    fn total(&self, place: u32) -> Units {
        let mut total = Units::ZERO;
        for worker in 0..self.layout.workers() {
            let mut row = self.units(place, self.layout.row(worker, place as usize));
            if let Some(intent) = self.intent(worker).filter(|intent| intent.place == place) {
                row[intent.metric] = row[intent.metric].max(intent.total);
            }
            total.add(&row);
        }
        total
    }

    fn intent(&self, worker: usize) -> Option<Intent> {
        let at = self.layout.intent(worker);
        Intent::read(*self.words.get(at)?, *self.words.get(at + 1)?)
    }
}

/// Removes what was being made when a kill came, and names whose counters are gone. Counters that were put
/// aside under a longer name keep theirs.
fn clear(dir: &Path) -> io::Result<()> {
    let paths = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    let is_orphan = |names: &Path| {
        let hex = names.file_name().and_then(|name| name.to_str()?.strip_prefix(NAMES));
        let counters = hex.map(|hex| format!("{COUNTERS}{hex}"));
        counters.is_some_and(|counters| !paths.iter().any(|path| path.to_string_lossy().ends_with(&counters)))
    };
    for path in paths.iter().filter(|path| named(path, COUNTERS) || named(path, NAMES)) {
        if path.extension().is_some_and(|extension| extension == UNFINISHED) || is_orphan(path) {
            remove_if_there(path)?;
        }
    }
    Ok(())
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    fs::remove_file(path).or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

fn named(path: &Path, prefix: &str) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(prefix))
}

fn names_beside(counters: &Path) -> Option<PathBuf> {
    let hex = counters.file_name()?.to_str()?.strip_prefix(COUNTERS)?;
    Some(counters.with_file_name(format!("{NAMES}{hex}")))
}

fn words(bytes: &[u8]) -> Vec<u64> {
    bytes.as_chunks::<8>().0.iter().map(|word| u64::from_ne_bytes(*word)).collect()
}

fn damaged(path: &Path, what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", path.display()))
}
