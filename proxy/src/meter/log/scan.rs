//! Finds the frames of a segment again, whatever has happened to it.

use std::ops::Range;

use memchr::memmem;

use super::Frame;
use super::frame::{MAGIC, decode};

/// What a segment holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan {
    /// Whole frames, and where they lie. Those behind damage are among them: a frame stands for itself.
    pub frames: Vec<(Range<u64>, Frame)>,
    /// How the segment ends.
    pub end: End,
    /// Where a whole frame follows bytes that are none: the segment was damaged after it was written,
    /// since an append that was cut short has nothing behind it.
    pub damage: Vec<Range<u64>>,
}

/// How a segment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With a whole frame, or with nothing at all.
    Whole,
    /// With something that is no whole frame, from here on. In the segment that was written last it is
    /// an append that was cut short; in any other it is damage.
    Torn(u64),
}

impl Scan {
    /// Bytes up to the end of the last whole frame.
    pub fn good(&self) -> u64 {
        self.frames.last().map_or(0, |(range, _)| range.end)
    }
}

/// Finds all frames.
pub fn scan(bytes: &[u8]) -> Scan {
    let mut scan = Scan { frames: Vec::new(), end: End::Whole, damage: Vec::new() };
    let mut at = 0;
    while at < bytes.len() {
        if let Some((frame, len)) = decode(&bytes[at..]) {
            scan.frames.push((at as u64..(at + len) as u64, frame));
            at += len;
        } else if let Some(next) = next_frame(bytes, at + 1) {
            scan.damage.push(at as u64..next as u64);
            at = next;
        } else {
            scan.end = End::Torn(at as u64);
            break;
        }
    }
    scan
}

fn next_frame(bytes: &[u8], from: usize) -> Option<usize> {
    let behind = bytes.get(from..)?;
    memmem::find_iter(behind, &MAGIC).map(|n| from + n).find(|at| decode(&bytes[*at..]).is_some())
}
