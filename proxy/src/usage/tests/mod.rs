mod fake;
mod simulation;
mod state;
mod stream;
mod weather;

use weir_config::usage::v1::{UsageAck, UsageBatch};

use crate::meter::Key;

fn batch(epoch: u8, sequence: u64) -> UsageBatch {
    UsageBatch { epoch: vec![epoch; 16], sequence, first_sequence: sequence, ..UsageBatch::default() }
}

fn key(epoch: u8, sequence: u64) -> Key {
    Key::of(&batch(epoch, sequence)).unwrap()
}

fn ack(key: Key) -> UsageAck {
    UsageAck { epoch: key.epoch.0.to_vec(), sequence: key.sequence }
}
