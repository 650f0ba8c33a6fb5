//! Names of places, beside the counters: small records, appended before a place is used.
//!
//! A file begins with a magic word and the epoch. A record is a CRC-32 of what follows it, the length of
//! the name (2 bytes), the place (4), its incarnation (8), the name; numbers are little-endian. The last
//! record of a place tells whose it is. What is not whole at the end was never used, and is cut.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_config::usage::MAX_TENANT_BYTES;

const MAGIC: [u8; 8] = *b"WEIRNAME";
const START: usize = 24;
/// Bytes of a record without its name.
const FIXED: usize = 4 + 2 + 4 + 8;
/// Records of places that are gone, above which the file is written anew.
const WASTE: u64 = 4096;

/// Whose a place is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) place: u32,
    pub(super) incarnation: u64,
    pub(super) tenant: Arc<str>,
}

/// The file of a running proxy.
#[derive(Debug)]
pub(super) struct Names {
    path: PathBuf,
    epoch: [u8; 16],
    file: File,
    /// Where the next record goes. One that failed half way is written over.
    end: u64,
    records: u64,
}

impl Names {
    /// A new file.
    pub(super) fn create(path: PathBuf, epoch: [u8; 16]) -> io::Result<Self> {
        let (file, end) = write(&path, &epoch, &[])?;
        Ok(Self { path, epoch, file, end, records: 0 })
    }

    /// Names on a disk that is full.
    #[cfg(test)]
    pub(super) fn full(epoch: [u8; 16]) -> Self {
        let path = PathBuf::from("/dev/full");
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        Self { path, epoch, file, end: 0, records: 0 }
    }

    /// Appends a record. It stands in the file, for whoever reads it next, when this returns.
    pub(super) fn append(&mut self, name: &Name) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(FIXED + name.tenant.len());
        encode(name, &mut bytes);
        self.file.write_all_at(&bytes, self.end)?;
        self.end += bytes.len() as u64;
        self.records += 1;
        Ok(())
    }

    /// Whether most records are of places that are gone, where `live` are there.
    pub(super) fn is_wasteful(&self, live: usize) -> bool {
        self.records > live as u64 * 2 + WASTE
    }

    /// Writes the file anew with just these; a kill leaves the one or the other.
    pub(super) fn rewrite(&mut self, live: &[Name]) -> io::Result<()> {
        let aside = self.path.with_extension("new");
        let (file, end) = write(&aside, &self.epoch, live)?;
        std::fs::rename(&aside, &self.path)?;
        (self.file, self.end, self.records) = (file, end, live.len() as u64);
        Ok(())
    }
}

fn write(path: &Path, epoch: &[u8; 16], names: &[Name]) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let mut bytes = [MAGIC.as_slice(), epoch].concat();
    names.iter().for_each(|name| encode(name, &mut bytes));
    file.write_all_at(&bytes, 0)?;
    Ok((file, bytes.len() as u64))
}

fn encode(name: &Name, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(name.tenant.len() as u16).to_le_bytes());
    out.extend_from_slice(&name.place.to_le_bytes());
    out.extend_from_slice(&name.incarnation.to_le_bytes());
    out.extend_from_slice(name.tenant.as_bytes());
    let checksum = crc32fast::hash(out.get(start + 4..).unwrap_or_default()).to_le_bytes();
    if let Some(field) = out.get_mut(start..start + 4) {
        field.copy_from_slice(&checksum);
    }
}

/// Names by incarnation; only the last of each place. Ends at the first record that is not whole.
///
/// # Errors
/// These are not names of that epoch; the text says why.
pub(super) fn decode(bytes: &[u8], epoch: &[u8; 16]) -> Result<BTreeMap<u64, Name>, &'static str> {
    let (start, mut rest) = bytes.split_at_checked(START).ok_or("the names' file is shorter than its header")?;
    if !start.starts_with(&MAGIC) {
        return Err("this is no file of names");
    }
    if !start.ends_with(epoch) {
        return Err("the names are of another epoch");
    }
    let mut by_place: BTreeMap<u32, Name> = BTreeMap::new();
    while let Some((name, after)) = record(rest) {
        by_place.insert(name.place, name);
        rest = after;
    }
    Ok(by_place.into_values().map(|name| (name.incarnation, name)).collect())
}

fn record(bytes: &[u8]) -> Option<(Name, &[u8])> {
    let (fixed, rest) = bytes.split_first_chunk::<FIXED>()?;
    let [a, b, c, d, e, f, place @ .., _, _, _, _, _, _, _, _] = *fixed;
    let incarnation = *fixed.last_chunk::<8>()?;
    let length = usize::from(u16::from_le_bytes([e, f]));
    let (tenant, after) = rest.split_at_checked(length)?;
    let whole = bytes.get(4..FIXED + length)?;
    let valid = (1..=MAX_TENANT_BYTES).contains(&length) && crc32fast::hash(whole) == u32::from_le_bytes([a, b, c, d]);
    let tenant = std::str::from_utf8(tenant).ok().filter(|_| valid)?.into();
    let name = Name { place: u32::from_le_bytes(place), incarnation: u64::from_le_bytes(incarnation), tenant };
    Some((name, after))
}

#[cfg(test)]
mod tests {
    use super::{Name, Names, decode};

    const EPOCH: [u8; 16] = [9; 16];

    fn name(place: u32, incarnation: u64, tenant: &str) -> Name {
        Name { place, incarnation, tenant: tenant.into() }
    }

    fn file(names: &[Name]) -> (tempfile::TempDir, Names, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("names");
        let mut file = Names::create(path.clone(), EPOCH).unwrap();
        names.iter().for_each(|name| file.append(name).unwrap());
        (dir, file, path)
    }

    #[test]
    fn the_last_record_tells_whose_a_place_is() {
        let (_dir, _, path) = file(&[name(0, 1, "-"), name(1, 2, "acme"), name(1, 3, "globex")]);
        let names = decode(&std::fs::read(path).unwrap(), &EPOCH).unwrap();
        assert_eq!(names.into_values().collect::<Vec<_>>(), [name(0, 1, "-"), name(1, 3, "globex")]);
    }

    #[test]
    fn a_torn_tail_is_cut() {
        let (_dir, _, path) = file(&[name(1, 2, "acme"), name(2, 3, "globex")]);
        let whole = std::fs::read(path).unwrap();
        let first = super::START + super::FIXED + "acme".len();
        for length in 0..whole.len() {
            match decode(&whole[..length], &EPOCH) {
                Ok(names) => assert_eq!(names.len(), usize::from(length >= first), "{length} bytes"),
                Err(_) => assert!(length < super::START),
            }
        }
    }

    #[test]
    fn a_flipped_bit_makes_no_name_that_was_not_there() {
        let names = [name(1, 2, "acme"), name(2, 3, "globex")];
        let (_dir, _, path) = file(&names);
        let whole = std::fs::read(path).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(read) = decode(&bytes, &EPOCH) {
                assert!(bit / 8 >= super::START);
                assert!(read.len() < 2 && read.values().all(|name| names.contains(name)), "bit {bit}: {read:?}");
            }
        }
    }

    #[test]
    fn written_anew_it_holds_just_who_is_there() {
        let (_dir, mut file, path) = file(&[name(1, 2, "acme")]);
        for incarnation in 3..5000 {
            file.append(&name(2, incarnation, "fleeting")).unwrap();
        }
        assert!(file.is_wasteful(2));
        let live = [name(1, 2, "acme"), name(2, 4999, "fleeting")];
        file.rewrite(&live).unwrap();
        assert!(!file.is_wasteful(2));
        file.append(&name(3, 5000, "after")).unwrap();
        let names = decode(&std::fs::read(path).unwrap(), &EPOCH).unwrap();
        assert_eq!(names.into_values().collect::<Vec<_>>(), [live.to_vec(), vec![name(3, 5000, "after")]].concat());
    }
}
