//! Reads a store for an audit.

use std::collections::BTreeMap;

use prost::Message;
use weir_config::usage::v1::UsageBatch;

use super::outside::{Aside, Exported, RefusedEvent};
use super::sequences::StoredEpoch;
use super::sums::Sums;
use super::{Finding, Report, outside, sequences, sums};
use crate::usage::events;
use crate::usage::query::Kept;
use crate::usage::span::{Span, Unit, ceil, floor, show};
use crate::usage::store::{EpochKeys, Query, Store, StoreError};

/// Things of one kind that are reported at most.
const MAX_ROWS: u32 = 200;
/// Rows and batches that are read at once.
const PAGE: u32 = 1000;
const BATCHES: u32 = 32;
/// How often an hour or day is read anew because something was stored meanwhile.
const TRIES: u32 = 20;

/// Audits what is stored of a span. What proxies say is compared by whoever can ask them, with
/// [`super::proxies::check`].
///
/// # Errors
/// The store is away or fails.
pub async fn report(store: &Store, span: Span, now_ms: i64) -> Result<Report, StoreError> {
    let kept = store.kept().await?;
    let mut report = Report {
        since: (span.since_ms > i64::MIN).then(|| show(span.since_ms)),
        until: (span.until_ms < i64::MAX).then(|| show(span.until_ms)),
        ..Report::default()
    };
    let keys = store.keys(span.since_ms, span.until_ms).await?;
    report.epochs = keys.iter().map(|keys| epoch(keys, span)).collect();
    report.findings = sequences::check(&report.epochs, now_ms);
    compare(store, Unit::Hour, span, &kept, &mut report).await?;
    compare(store, Unit::Day, span, &kept, &mut report).await?;
    report.findings.append(&mut kept_aside(store, span).await?);
    report.findings.append(&mut exported(store, now_ms).await?);
    report.sort();
    Ok(report)
}

fn epoch(keys: &EpochKeys, span: Span) -> StoredEpoch {
    StoredEpoch {
        epoch: keys.epoch.to_string(),
        proxy: keys.proxy.clone(),
        ranges: keys.ranges.iter().map(|range| (range.first, range.last)).collect(),
        from_start: span.since_ms == i64::MIN,
        ended_ms: keys.ended_ms,
        last: keys.last,
        lost_open_window: keys.lost_open_window,
    }
}

/// Sums what every hour (or day) of the span is made of, one after the other.
async fn compare(store: &Store, unit: Unit, span: Span, kept: &Kept, report: &mut Report) -> Result<(), StoreError> {
    let parts_from = match unit {
        Unit::Hour => kept.batches_from_ms,
        Unit::Day => kept.hours_from_ms,
    };
    let mut next = floor(span.since_ms, unit.ms()).max(ceil(parts_from, unit.ms()));
    while let Some(start) = store.next_start(unit, next, span.until_ms).await? {
        report.findings.append(&mut one(store, unit, start, start + unit.ms()).await?);
        match unit {
            Unit::Hour => report.hours_checked += 1,
            Unit::Day => report.days_checked += 1,
        }
        next = start + unit.ms();
    }
    Ok(())
}

/// Compares one hour or day. Where a batch came in between, what was read may be of before and after it.
async fn one(store: &Store, unit: Unit, from: i64, to: i64) -> Result<Vec<Finding>, StoreError> {
    let mut findings = Vec::new();
    for _ in 0..TRIES {
        let before = store.newest().await?;
        let sum = sums_of(store, unit, from, to).await?;
        let parts = match unit {
            Unit::Hour => batches(store, from, to).await?,
            Unit::Day => sums_of(store, Unit::Hour, from, to).await?,
        };
        findings = sums::check(unit, from, &parts, &sum);
        if findings.is_empty() || store.newest().await? == before {
            break;
        }
    }
    Ok(findings)
}

async fn batches(store: &Store, from: i64, to: i64) -> Result<Sums, StoreError> {
    let mut sums = Sums::new();
    let mut after = None;
    loop {
        let page = store.batches_between(from, to, after, BATCHES).await?;
        let Some(last) = page.last() else { return Ok(sums) };
        after = Some((last.booked_ms, last.position));
        for (tenant, units) in page.iter().flat_map(|stored| &stored.batch.usage) {
            sums.entry(tenant.clone()).or_default().add(units);
        }
    }
}

async fn sums_of(store: &Store, unit: Unit, from: i64, to: i64) -> Result<Sums, StoreError> {
    let mut sums: Sums = BTreeMap::new();
    let mut query = Query { since_ms: from, until_ms: to, tenant: None, after: None, limit: PAGE };
    loop {
        let page = match unit {
            Unit::Hour => store.hours(&query).await?,
            Unit::Day => store.days(&query).await?,
        };
        let Some(last) = page.last() else { return Ok(sums) };
        query.after = Some(last.key());
        for row in page {
            sums.entry(row.tenant).or_default().add(&row.units);
        }
    }
}

async fn kept_aside(store: &Store, span: Span) -> Result<Vec<Finding>, StoreError> {
    let rows = store.aside(span.since_ms, span.until_ms, 0, MAX_ROWS).await?;
    let rows: Vec<_> = rows
        .into_iter()
        .map(|row| Aside {
            received_ms: row.received_ms,
            reason: row.reason,
            detail: row.detail,
            batch: UsageBatch::decode(row.payload.as_slice()).ok(),
        })
        .collect();
    Ok(outside::aside(&rows))
}

/// What is not exported, where anything was or should be.
async fn exported(store: &Store, now_ms: i64) -> Result<Vec<Finding>, StoreError> {
    let name = events::EXPORTER;
    let mut findings = Vec::new();
    if store.exports(name).await? {
        let export = store.export(name).await?;
        let waiting = store.batches(export.done, 1).await?;
        let exported = Exported {
            name: name.to_owned(),
            done: export.done,
            pending: export.pending,
            newest: store.newest().await?,
            waiting_since_ms: waiting.first().map(|stored| stored.received_ms),
        };
        findings.extend(outside::exported(&exported, now_ms));
    }
    let refused = store.refused_events(name, MAX_ROWS).await?.into_iter();
    let refused = refused.map(|row| RefusedEvent {
        id: row.id,
        tenant: row.tenant,
        refused_ms: row.refused_ms,
        answer: row.answer,
    });
    findings.append(&mut outside::refused(&refused.collect::<Vec<_>>()));
    Ok(findings)
}
