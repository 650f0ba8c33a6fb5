//! A batch of usage, checked.

use std::collections::BTreeMap;
use std::fmt;

use weir_config::usage::{MAX_BATCH_ENTRIES, MAX_TENANT_BYTES, Units, v1};

/// Bytes that are kept of a proxy's name.
pub(super) const MAX_PROXY_BYTES: usize = 253;

/// 128 random bits, drawn anew whenever a proxy starts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub [u8; 16]);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What the tenants of one proxy used within one span (`weir.usage.v1.UsageBatch`). Its key is
/// (`epoch`, `sequence`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The proxy's start.
    pub epoch: Epoch,
    /// The first of the sequences that it stands for.
    pub first_sequence: u64,
    /// The last of them; from 1, at most `i64::MAX`.
    pub sequence: u64,
    /// Name of the proxy, cut to what any database takes. Information, never a key.
    pub proxy: String,
    /// Begin of the span, in milliseconds since 1970, by the proxy's clock.
    pub started_ms: i64,
    /// Its end, which is not part of it.
    pub ended_ms: i64,
    /// Whether the epoch ends with it.
    pub last: bool,
    /// Whether what was counted in the epoch's open window is lost.
    pub lost_open_window: bool,
    /// Amounts by tenant, none of them zero.
    pub usage: BTreeMap<String, Units>,
}

/// Why a batch can never be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The epoch is not 16 bytes.
    #[error("epoch: {0} bytes, not 16")]
    Epoch(usize),
    /// Sequences count from 1, and the first is not after the last.
    #[error("sequence: {first} to {last} is no range from 1 on")]
    Sequence {
        /// `first_sequence`.
        first: u64,
        /// `sequence`.
        last: u64,
    },
    /// A sequence that no database counts to.
    #[error("sequence: {0} is above 9223372036854775807")]
    Large(u64),
    /// A tenant's name with a control character: no name has one, and no database takes all of them.
    #[error("usage[{0}].tenant: a control character")]
    Character(usize),
    /// A tenant's name is empty or too long.
    #[error("usage[{0}].tenant: a name has 1 to {MAX_TENANT_BYTES} bytes")]
    Tenant(usize),
    /// A tenant twice.
    #[error("usage[{0}].tenant: it is there twice")]
    Twice(usize),
    /// Too many entries.
    #[error("usage: {0} entries, more than {MAX_BATCH_ENTRIES}")]
    Entries(usize),
}

impl TryFrom<&v1::UsageBatch> for Batch {
    type Error = BatchError;

    fn try_from(message: &v1::UsageBatch) -> Result<Self, BatchError> {
        let epoch = message.epoch.as_slice().try_into().map_err(|_| BatchError::Epoch(message.epoch.len()))?;
        let (first, last) = (message.first_sequence, message.sequence);
        if first == 0 || first > last {
            return Err(BatchError::Sequence { first, last });
        }
        if i64::try_from(last).is_err() {
            return Err(BatchError::Large(last));
        }
        if message.usage.len() > MAX_BATCH_ENTRIES {
            return Err(BatchError::Entries(message.usage.len()));
        }
        let mut usage = BTreeMap::new();
        for (n, entry) in message.usage.iter().enumerate() {
            if !(1..=MAX_TENANT_BYTES).contains(&entry.tenant.len()) {
                return Err(BatchError::Tenant(n));
            }
            if entry.tenant.contains(char::is_control) {
                return Err(BatchError::Character(n));
            }
            let units = entry.units.as_ref().map(Units::from).unwrap_or_default();
            if !units.is_zero() && usage.insert(entry.tenant.clone(), units).is_some() {
                return Err(BatchError::Twice(n));
            }
        }
        Ok(Self {
            epoch: Epoch(epoch),
            first_sequence: first,
            sequence: last,
            proxy: proxy_name(&message.proxy),
            started_ms: message.started_ms,
            ended_ms: message.ended_ms.max(message.started_ms),
            last: message.last,
            lost_open_window: message.lost_open_window,
            usage,
        })
    }
}

/// A name that any database takes, and that a line of the log may hold.
pub(super) fn proxy_name(name: &str) -> String {
    name.char_indices()
        .take_while(|(at, c)| at + c.len_utf8() <= MAX_PROXY_BYTES)
        .map(|(_, c)| c)
        .filter(|c| !c.is_control())
        .collect()
}

impl From<&Batch> for v1::UsageBatch {
    fn from(batch: &Batch) -> Self {
        let usage = batch.usage.iter();
        Self {
            epoch: batch.epoch.0.to_vec(),
            sequence: batch.sequence,
            first_sequence: batch.first_sequence,
            proxy: batch.proxy.clone(),
            started_ms: batch.started_ms,
            ended_ms: batch.ended_ms,
            last: batch.last,
            lost_open_window: batch.lost_open_window,
            usage: usage
                .map(|(tenant, units)| v1::TenantUsage { tenant: tenant.clone(), units: Some(units.into()) })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> v1::UsageBatch {
        let entry = |tenant: &str, n| v1::TenantUsage { tenant: tenant.into(), units: Some((&Units([n; 8])).into()) };
        v1::UsageBatch {
            epoch: vec![7; 16],
            sequence: 3,
            first_sequence: 2,
            proxy: "edge-0".into(),
            started_ms: 1_000,
            ended_ms: 11_000,
            last: true,
            lost_open_window: false,
            usage: vec![entry("acme", 1), entry("globex", 2)],
        }
    }

    #[test]
    fn a_batch_goes_through_its_message_unchanged() {
        let batch = Batch::try_from(&message()).unwrap();
        assert_eq!(batch.usage["globex"], Units([2; 8]));
        assert_eq!(Batch::try_from(&v1::UsageBatch::from(&batch)).unwrap(), batch);
        assert_eq!(batch.epoch.to_string(), "07".repeat(16));
    }

    #[test]
    fn a_name_is_made_one_that_any_database_takes() {
        assert_eq!(proxy_name("edge\0-\n1"), "edge-1");
        assert_eq!(proxy_name(&"ü".repeat(200)), "ü".repeat(126));
    }

    #[test]
    fn what_can_never_be_applied_is_named() {
        let error = |change: fn(&mut v1::UsageBatch)| {
            let mut message = message();
            change(&mut message);
            Batch::try_from(&message).unwrap_err().to_string()
        };
        assert_eq!(error(|m| m.epoch.truncate(4)), "epoch: 4 bytes, not 16");
        assert_eq!(error(|m| m.first_sequence = 0), "sequence: 0 to 3 is no range from 1 on");
        assert_eq!(error(|m| m.first_sequence = 4), "sequence: 4 to 3 is no range from 1 on");
        assert_eq!(error(|m| m.sequence = 1 << 63), "sequence: 9223372036854775808 is above 9223372036854775807");
        assert_eq!(error(|m| m.usage[1].tenant = "a\0b".into()), "usage[1].tenant: a control character");
        assert_eq!(error(|m| m.usage[1].tenant.clear()), "usage[1].tenant: a name has 1 to 253 bytes");
        assert_eq!(error(|m| m.usage[1].tenant = "acme".into()), "usage[1].tenant: it is there twice");
        assert_eq!(error(|m| m.usage = vec![m.usage[0].clone(); 4097]), "usage: 4097 entries, more than 4096");
    }
}
