//! Appends frames to segments.

use std::io;
use std::sync::Arc;

use super::disk::Disk;
use super::{Frame, Place, encode, name};

/// Appends frames to segments. A process begins a segment of its own, so what others wrote is never written into.
#[derive(Debug)]
pub struct Writer {
    disk: Arc<dyn Disk>,
    segment_bytes: u64,
    next: u64,
    active: Option<Active>,
}

/// The segment that is appended to.
#[derive(Debug)]
struct Active {
    number: u64,
    len: u64,
    /// A failed append may have left something behind `len`.
    torn: bool,
    /// Its name outlives a loss of power.
    named: bool,
}

impl Writer {
    /// Appends to segments from number `next` on, each of at least `segment_bytes` when it is full.
    pub fn new(disk: Arc<dyn Disk>, segment_bytes: u64, next: u64) -> Self {
        Self { disk, segment_bytes, next, active: None }
    }

    /// Whether the next frame begins a segment.
    pub fn begins(&self) -> bool {
        self.active.as_ref().is_none_or(|active| active.len == 0 || active.len >= self.segment_bytes)
    }

    /// The segment that is appended to: it must not be deleted.
    pub fn active(&self) -> Option<u64> {
        self.active.as_ref().map(|active| active.number)
    }

    /// Nothing more is appended to the present segment.
    pub fn seal(&mut self) {
        // A torn one is cut first, or what it was torn by would be damage to who reads it later.
        if self.active.as_ref().is_some_and(|active| !active.torn && active.len > 0) {
            self.active = None;
        }
    }

    /// Appends a frame; it is durable when this returns.
    ///
    /// # Errors
    /// The disk's. Nothing of the frame will be found: what is left of it is cut before the next append.
    /// Only a process that ends before that may leave it whole, and it is then found.
    pub fn append(&mut self, frame: &Frame) -> io::Result<Place> {
        if self.begins() {
            self.seal();
        }
        let active = self.active.get_or_insert_with(|| {
            let number = self.next;
            self.next += 1;
            Active { number, len: 0, torn: false, named: false }
        });
        let file = name(active.number);
        if active.torn {
            self.disk.cut(&file, active.len)?;
            active.torn = false;
        }
        let bytes = encode(frame);
        active.torn = true;
        self.disk.append(&file, &bytes)?;
        if !active.named {
            self.disk.sync_names()?;
            active.named = true;
        }
        active.torn = false;
        let place = Place { segment: active.number, offset: active.len, len: bytes.len() };
        active.len += bytes.len() as u64;
        Ok(place)
    }
}
