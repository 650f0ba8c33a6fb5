//! What an audit says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_config::usage::Units;

use super::sequences::StoredEpoch;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// Usage is missing, wrong or stuck.
    Gap,
    /// Nothing is missing, but somebody should know.
    Notice,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// Sequences of an epoch that are not stored.
    MissingSequences,
    /// What was counted in an epoch's open window is lost.
    LostOpenWindow,
    /// An epoch that is silent and has not ended.
    Silent,
    /// A proxy has logged what is not stored yet.
    NotStored,
    /// A proxy says so itself.
    ProxyAlarm,
    /// A proxy that could not be asked.
    ProxyAway,
    /// Sums of hours or days that are not those of what they are made of.
    WrongSum,
    /// Rows or batches that were kept aside.
    KeptAside,
    /// Stored usage that the billing system has not got.
    NotExported,
    /// Events that the billing system refused.
    RefusedEvents,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is.
    pub kind: Kind,
    /// Which proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// Which epoch, in hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<String>,
    /// The first and the last sequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequences: Option<(u64, u64)>,
    /// Which tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// How much, by metric, where that is known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub amounts: BTreeMap<String, i64>,
    /// What it is, for people.
    pub message: String,
    /// What to do about it.
    pub action: String,
}

/// The answer of an audit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Begin of the span in RFC 3339; none: all that is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// What was found, the worst first.
    pub findings: Vec<Finding>,
    /// Hours whose batches were summed.
    pub hours_checked: u64,
    /// Days whose hours were summed.
    pub days_checked: u64,
    /// What is stored of each epoch, for comparison with what proxies say.
    pub epochs: Vec<StoredEpoch>,
}

impl Finding {
    /// A finding about nothing in particular yet.
    pub fn new(severity: Severity, kind: Kind, message: impl Into<String>, action: impl Into<String>) -> Self {
        Self {
            severity,
            kind,
            proxy: None,
            epoch: None,
            sequences: None,
            tenant: None,
            amounts: BTreeMap::new(),
            message: message.into(),
            action: action.into(),
        }
    }

    /// About a proxy's epoch.
    #[must_use]
    pub fn of(mut self, proxy: &str, epoch: &str) -> Self {
        self.proxy = (!proxy.is_empty()).then(|| proxy.to_owned());
        self.epoch = (!epoch.is_empty()).then(|| epoch.to_owned());
        self
    }

    /// About sequences.
    #[must_use]
    pub fn sequences(mut self, first: u64, last: u64) -> Self {
        self.sequences = Some((first, last));
        self
    }

    /// About a tenant, and how much of each metric.
    #[must_use]
    pub fn amounts(mut self, tenant: &str, units: &Units) -> Self {
        self.tenant = Some(tenant.to_owned());
        for (metric, units) in units.iter().filter(|(_, units)| *units > 0) {
            self.amounts.insert(metric.name().to_owned(), i64::try_from(units).unwrap_or(i64::MAX));
        }
        self
    }
}

impl Report {
    /// Puts the worst first.
    pub fn sort(&mut self) {
        self.findings.sort_by_key(|finding| (finding.severity, finding.kind));
    }

    /// How many gaps were found.
    pub fn gaps(&self) -> usize {
        self.findings.iter().filter(|finding| finding.severity == Severity::Gap).count()
    }
}
