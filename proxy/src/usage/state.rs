//! What is on its way to the server: a state machine without I/O and without a clock of its own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_config::usage::v1::{UsageAck, UsageBatch};

use crate::meter::{Epoch, Key};

/// Batches that may be on their way at once.
pub const WINDOW: usize = 16;
/// How long the oldest batch on its way may wait for its acknowledgement. After that the stream is
/// of no use: its server hangs, or an acknowledgement was lost.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What reporting needs of the log. [`crate::meter::Outbox`] says what each means.
pub trait Batches {
    /// The oldest batch without an acknowledgement that comes after `after`.
    fn next(&self, after: Option<Key>) -> Option<Arc<UsageBatch>>;
    /// Notes that a batch may have been sent; false where it is not there any more.
    fn sending(&self, key: Key) -> bool;
    /// The server has it.
    fn acknowledged(&self, key: Key);
}

/// The stream, and what is on its way over it.
#[derive(Debug, Default)]
pub struct Flight {
    stream: Stream,
    /// In the order of sending.
    under_way: VecDeque<Key>,
    /// The batch that was looked at last: what is to be sent comes after it.
    after: Option<Key>,
    /// Since when the oldest one has been the oldest.
    waiting_since: Option<Instant>,
    acknowledged_on_stream: bool,
    counts: Counts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stream {
    #[default]
    None,
    /// The server has not said yet whether it knows the service.
    Opening,
    Open,
}

/// What has happened since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Streams that the server answered.
    pub streams: u64,
    /// Batches that were sent, each as often as it was.
    pub sent: u64,
    /// Batches that the server has stored.
    pub acknowledged: u64,
    /// Acknowledgements of what was not on its way, or without a key.
    pub strange_acks: u64,
    /// Streams that were given up because an acknowledgement did not come.
    pub given_up: u64,
}

/// What the admin endpoint shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Overview {
    /// Whether the server takes usage now.
    pub connected: bool,
    /// Batches on their way.
    pub under_way: usize,
    /// What has happened.
    #[serde(flatten)]
    pub counts: Counts,
}

impl Flight {
    /// A new stream begins: all that is not acknowledged is sent again, from the oldest on. Until the server
    /// has answered it is offered one batch only, since a foreign control plane takes none.
    pub fn begin(&mut self) {
        self.end();
        self.stream = Stream::Opening;
        self.acknowledged_on_stream = false;
    }

    /// The server has answered: it knows the service.
    pub fn opened(&mut self) {
        if self.stream != Stream::Open {
            self.counts.streams += 1;
        }
        self.stream = Stream::Open;
    }

    /// The stream is no more.
    pub fn end(&mut self) {
        self.stream = Stream::None;
        self.under_way.clear();
        self.after = None;
        self.waiting_since = None;
    }

    /// Whether this stream, or the last one, brought an acknowledgement.
    pub fn was_served(&self) -> bool {
        self.acknowledged_on_stream
    }

    /// The next batch to be sent, if there is one and room for it. It counts as sent.
    pub fn next(&mut self, log: &impl Batches, now: Instant) -> Option<Arc<UsageBatch>> {
        while self.under_way.len() < self.room() {
            let batch = log.next(self.after)?;
            // The log holds no batch without a key.
            let key = Key::of(&batch)?;
            if self.under_way.contains(&key) {
                self.after = Some(key);
            } else if log.sending(key) {
                self.after = Some(key);
                self.under_way.push_back(key);
                self.waiting_since.get_or_insert(now);
                self.counts.sent += 1;
                return Some(batch);
            }
            // Else it was merged or acknowledged in between, and the log has another.
        }
        None
    }

    /// The server says that it has a batch.
    pub fn receive(&mut self, ack: &UsageAck, log: &impl Batches, now: Instant) {
        let key = Epoch::from_bytes(&ack.epoch).map(|epoch| Key { epoch, sequence: ack.sequence });
        let Some(at) = self.under_way.iter().position(|under_way| Some(*under_way) == key) else {
            // Believing it could drop what the server never saw.
            self.counts.strange_acks += 1;
            return;
        };
        let Some(key) = self.under_way.remove(at) else { return };
        if at == 0 {
            self.waiting_since = (!self.under_way.is_empty()).then_some(now);
        }
        self.opened();
        self.acknowledged_on_stream = true;
        self.counts.acknowledged += 1;
        log.acknowledged(key);
    }

    /// When the stream is to be given up.
    pub fn deadline(&self) -> Option<Instant> {
        Some(self.waiting_since? + PATIENCE)
    }

    /// The deadline has passed.
    pub fn give_up(&mut self) {
        self.counts.given_up += 1;
        self.end();
    }

    /// What is to be shown.
    pub fn overview(&self) -> Overview {
        Overview { connected: self.stream == Stream::Open, under_way: self.under_way.len(), counts: self.counts }
    }

    fn room(&self) -> usize {
        match self.stream {
            Stream::None => 0,
            Stream::Opening => 1,
            Stream::Open => WINDOW,
        }
    }
}
