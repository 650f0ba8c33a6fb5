//! Settings of metering, at either half.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::{Endpoint, Period};
use crate::FieldError;
use crate::kinds::quantity::Quantity;

/// How a proxy logs what tenants use, and where it reports it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ProxyUsage {
    /// Length of a window. What an hour or a day holds exactly is one that divides a minute. Default: `10s`.
    pub window: Period,
    /// Where usage is reported. Default: the control server (`xds.address`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<Endpoint>,
    /// Bytes on disk that windows without an acknowledgement may take; beyond it the oldest that were
    /// never sent are merged. At least `1Mi`. Default: `256Mi`.
    pub log_bytes: Quantity,
    /// Tenants with Prometheus series of their own; the rest are summed. At most 10000. Default: 100.
    pub prometheus_tenants: u32,
}

/// Where a server keeps usage, for how long, and where it exports it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ServerUsage {
    /// `sqlite://PATH` or `postgres://...`. Default: `usage.db` in the state directory. The environment's
    /// `WEIR_DATABASE_URL` goes before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// A file that holds the URL, for one with a password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database_file: Option<PathBuf>,
    /// How long what is kept.
    pub retention: Retention,
    /// Tenants with Prometheus series of their own; the rest are summed. At most 10000. Default: 100.
    pub prometheus_tenants: u32,
    /// A billing system that takes CloudEvents. Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<Events>,
}

/// How long usage is kept. Each must be at least as long as the one before it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Retention {
    /// Batches as they came, by which spans within an hour, exports and audits are answered. What was not
    /// exported yet is kept longer. Default: `168h`.
    pub batches: Period,
    /// Hours. Default: `2160h` (90 days).
    pub hours: Period,
    /// Days. Default: `43800h` (5 years).
    pub days: Period,
}

/// A receiver of CloudEvents over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Events {
    /// `http://` or `https://` URL that takes batches (`application/cloudevents-batch+json`). Required.
    pub url: String,
    /// File that holds a bearer token; read anew whenever it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// `source` of the events. Default: `weir`.
    #[serde(default = "source")]
    pub source: String,
    /// `type` of the events. Default: `weir.usage`.
    #[serde(default = "kind", rename = "type")]
    pub kind: String,
    /// Events of one request. Default: 100.
    #[serde(default = "batch_size")]
    pub batch_size: u32,
    /// How often what has come in is exported. Default: `60s`.
    #[serde(default = "interval")]
    pub interval: Period,
}

impl ProxyUsage {
    /// Adds what cannot be used.
    pub(super) fn check(&self, errors: &mut Vec<FieldError>) {
        if self.window.0.is_zero() {
            errors.push(FieldError::new("usage.window", "must be longer than zero"));
        }
        match self.log_bytes.value() {
            Ok(bytes) if bytes >= 1 << 20 => {}
            Ok(_) => errors.push(FieldError::new("usage.logBytes", "must be at least 1Mi")),
            Err(error) => errors.push(FieldError { field: "usage.logBytes".into(), ..error }),
        }
        check_tenants(self.prometheus_tenants, errors);
    }
}

impl ServerUsage {
    /// Adds what cannot be used.
    pub(super) fn check(&self, errors: &mut Vec<FieldError>) {
        if self.database.is_some() && self.database_file.is_some() {
            errors.push(FieldError::new("usage.databaseFile", "give either this or usage.database"));
        }
        if let Some(url) = &self.database
            && !["sqlite:", "postgres:", "postgresql:"].iter().any(|scheme| url.starts_with(scheme))
        {
            errors.push(FieldError::new("usage.database", "must be a URL: sqlite://PATH or postgres://USER@HOST/NAME"));
        }
        let Retention { batches, hours, days } = self.retention;
        if hours < batches || days < hours {
            errors.push(FieldError::new(
                "usage.retention",
                "batches, hours and days: each at least as long as the one before",
            ));
        }
        if batches.0.is_zero() {
            errors.push(FieldError::new("usage.retention.batches", "must be longer than zero"));
        }
        check_tenants(self.prometheus_tenants, errors);
        if let Some(events) = &self.events {
            if !["http://", "https://"].iter().any(|scheme| events.url.starts_with(scheme)) {
                errors.push(FieldError::new("usage.events.url", "must be an http:// or https:// URL"));
            }
            if !(1..=10_000).contains(&events.batch_size) {
                errors.push(FieldError::new("usage.events.batchSize", "must be from 1 to 10000"));
            }
            if events.interval.0.is_zero() {
                errors.push(FieldError::new("usage.events.interval", "must be longer than zero"));
            }
        }
    }
}

/// Scrapes stay small.
fn check_tenants(tenants: u32, errors: &mut Vec<FieldError>) {
    if tenants > 10_000 {
        errors.push(FieldError::new("usage.prometheusTenants", "must be at most 10000"));
    }
}

impl Default for ProxyUsage {
    fn default() -> Self {
        Self { window: Period::seconds(10), server: None, log_bytes: Quantity("256Mi".into()), prometheus_tenants: 100 }
    }
}

impl Default for ServerUsage {
    fn default() -> Self {
        Self {
            database: None,
            database_file: None,
            retention: Retention::default(),
            prometheus_tenants: 100,
            events: None,
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        let hours = |n: u64| Period::seconds(n * 3600);
        Self { batches: hours(168), hours: hours(2160), days: hours(43_800) }
    }
}

fn source() -> String {
    "weir".into()
}

fn kind() -> String {
    "weir.usage".into()
}

fn batch_size() -> u32 {
    100
}

fn interval() -> Period {
    Period::seconds(60)
}
