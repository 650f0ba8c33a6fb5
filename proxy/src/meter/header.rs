//! The first page of a counters file: which file it is, as words.

use xxhash_rust::xxh3::xxh3_64;

use super::layout::MAX_WORKERS;

/// `WEIRCNTR`
const MAGIC: u64 = u64::from_be_bytes(*b"WEIRCNTR");
/// Changes with the layout.
const VERSION: u64 = 1;
/// Words that the checksum covers.
const COVERED: usize = 9;

/// Words of the header.
pub(super) const WORDS: usize = COVERED + 1;
/// Where the sequence of the last logged window stands, sealed: a cache line apart.
pub(super) const LOGGED: usize = 64;
/// Where the sequence of the last batch that was sent stands, sealed.
pub(super) const SENT: usize = 65;

/// What makes a file the one that a proxy of this boot counted in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    /// Of the boot; zero where it is not known: then it is never the same boot.
    pub(super) boot: u128,
    /// Device and number of the file: a copy has others.
    pub(super) device: u64,
    /// See `device`.
    pub(super) inode: u64,
}

/// What stands in the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) epoch: [u8; 16],
    pub(super) identity: Identity,
    pub(super) workers: usize,
}

impl Header {
    pub(super) fn encode(&self) -> [u64; WORDS] {
        let [a, b] = halves(u128::from_be_bytes(self.epoch));
        let [c, d] = halves(self.identity.boot);
        let Identity { device, inode, .. } = self.identity;
        let mut words = [MAGIC, VERSION, a, b, c, d, device, inode, self.workers as u64, 0];
        words[COVERED] = checksum(&words);
        words
    }

    /// Reads it; a text says what is wrong.
    pub(super) fn decode(words: &[u64]) -> Result<Self, &'static str> {
        let words: &[u64; WORDS] = words.first_chunk().ok_or("the file is shorter than its header")?;
        if words[0] != MAGIC {
            return Err("this is no counters file");
        }
        if words[COVERED] != checksum(words) {
            return Err("the header's checksum does not match");
        }
        if words[1] != VERSION {
            return Err("another version of Weir wrote this file");
        }
        let whole = |a, b| u128::from(a) << 64 | u128::from(b);
        let workers = usize::try_from(words[8]).unwrap_or(usize::MAX);
        if workers == 0 || workers > MAX_WORKERS {
            return Err("the header names an impossible number of workers");
        }
        Ok(Self {
            epoch: whole(words[2], words[3]).to_be_bytes(),
            identity: Identity { boot: whole(words[4], words[5]), device: words[6], inode: words[7] },
            workers,
        })
    }
}

/// A number with a check, in one word: it is stored at once, or not at all. Numbers beyond 2^48 lose
/// their upper bits: at a window a second that is nine million years.
pub(super) fn seal(number: u64) -> u64 {
    number << 16 | check(number & (u64::MAX >> 16))
}

/// The number, if the word was sealed.
pub(super) fn unseal(word: u64) -> Option<u64> {
    let number = word >> 16;
    (word & 0xffff == check(number)).then_some(number)
}

fn check(number: u64) -> u64 {
    xxh3_64(&number.to_le_bytes()) >> 48
}

fn halves(whole: u128) -> [u64; 2] {
    [(whole >> 64) as u64, whole as u64]
}

fn checksum(words: &[u64; WORDS]) -> u64 {
    let bytes: Vec<u8> = words.iter().take(COVERED).flat_map(|word| word.to_le_bytes()).collect();
    xxh3_64(&bytes)
}

#[cfg(test)]
mod tests {
    use super::{Header, Identity, WORDS, seal, unseal};

    const HEADER: Header =
        Header { epoch: [7; 16], identity: Identity { boot: 1 << 100 | 5, device: 3, inode: 4 }, workers: 2 };

    #[test]
    fn a_header_reads_as_it_was_written() {
        assert_eq!(Header::decode(&HEADER.encode()), Ok(HEADER));
        assert!(Header::decode(&HEADER.encode()[..WORDS - 1]).is_err());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for bit in 0..WORDS * 64 {
            let mut words = HEADER.encode();
            words[bit / 64] ^= 1 << (bit % 64);
            assert!(Header::decode(&words).is_err(), "bit {bit}");
        }
        for bit in 0..64 {
            assert_eq!(unseal(seal(12_345) ^ 1 << bit), None, "bit {bit}");
        }
    }

    #[test]
    fn numbers_keep_their_value() {
        for number in [0, 1, 99, (1 << 48) - 1] {
            assert_eq!(unseal(seal(number)), Some(number));
        }
        assert_eq!(unseal(0), None, "a word that nobody wrote");
    }
}
