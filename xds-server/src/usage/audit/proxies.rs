//! What proxies say that they logged, beside what is stored.

use serde_json::Value;

use super::sequences::{StoredEpoch, name, numbers};
use super::{Finding, Kind, Severity};
use crate::usage::span::show;

/// How long a batch may wait for its acknowledgement before that is called a gap.
const WAITING_MS: i64 = 2 * 60_000;

/// What one proxy says (`/usage` of its admin endpoint).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyView {
    /// Where it was asked.
    pub url: String,
    /// Epochs of its log.
    pub epochs: Vec<LoggedEpoch>,
    /// Begin of the oldest batch without an acknowledgement.
    pub oldest_unacknowledged_ms: Option<i64>,
    /// Begin of the window that it cannot log.
    pub unlogged_since_ms: Option<i64>,
    /// What it raises, in words.
    pub alarms: Vec<String>,
}

/// What a proxy's log holds of an epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoggedEpoch {
    /// In hexadecimal digits.
    pub epoch: String,
    /// Up to here the server has acknowledged every sequence.
    pub acknowledged: u64,
    /// The last sequence that is logged.
    pub last_logged: u64,
}

impl ProxyView {
    /// Reads the answer of `url`.
    ///
    /// # Errors
    /// What is not as a proxy of Weir answers.
    pub fn read(url: &str, text: &str) -> Result<Self, String> {
        let root: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        // The log's state may stand beside that of the stream.
        let log = root.get("log").unwrap_or(&root);
        let epochs = log.get("epochs").and_then(Value::as_array).ok_or("it has no list `epochs`")?;
        let epochs = epochs.iter().map(|epoch| {
            let number = |field: &str| epoch.get(field).and_then(Value::as_u64);
            Some(LoggedEpoch {
                epoch: epoch.get("epoch")?.as_str()?.to_owned(),
                acknowledged: number("acknowledged")?,
                last_logged: number("last_logged")?,
            })
        });
        let millis = |field: &str| log.get(field).and_then(Value::as_i64);
        let alarms = log.get("alarms").and_then(Value::as_array).into_iter().flatten();
        Ok(Self {
            url: url.to_owned(),
            epochs: epochs.collect::<Option<_>>().ok_or("an epoch lacks a field")?,
            oldest_unacknowledged_ms: millis("oldest_unacknowledged_ms"),
            unlogged_since_ms: millis("unlogged_since_ms"),
            alarms: alarms.filter_map(|alarm| alarm.as_str().map(str::to_owned)).collect(),
        })
    }
}

/// Says what proxies logged and was acknowledged, but is not stored; what waits; and what they raise.
pub fn check(stored: &[StoredEpoch], views: &[ProxyView], now_ms: i64) -> Vec<Finding> {
    views.iter().flat_map(|view| one(stored, view, now_ms)).collect()
}

/// A proxy that did not answer.
pub fn away(url: &str, why: &str) -> Finding {
    let message = format!("the proxy at {url} could not be asked what it has logged: {why}");
    let action = "give the address of its admin endpoint, or start it: its disk may hold usage";
    Finding::new(Severity::Notice, Kind::ProxyAway, message, action)
}

fn one(stored: &[StoredEpoch], view: &ProxyView, now_ms: i64) -> Vec<Finding> {
    let mut findings = Vec::new();
    let who = view.url.as_str();
    for logged in &view.epochs {
        let epoch = stored.iter().find(|stored| stored.epoch == logged.epoch);
        findings.extend(acknowledged(epoch, logged, who));
        findings.extend(waiting(logged, view, now_ms));
    }
    if let Some(since_ms) = view.unlogged_since_ms {
        let message = format!("{who} has not been able to log usage since {}; it is counted on", show(since_ms));
        let action = "make room on its disk, or make it writable; what was counted is logged then";
        findings.push(Finding::new(Severity::Gap, Kind::ProxyAlarm, message, action).of(who, ""));
    }
    for text in &view.alarms {
        // Whether one means that usage is missing, sequences and the store tell.
        let severity = Severity::Notice;
        let message = format!("{who} raises an alarm: {text}");
        findings.push(Finding::new(severity, Kind::ProxyAlarm, message, "see docs/usage.md, Alarms").of(who, ""));
    }
    findings
}

/// What the server acknowledged must be stored.
fn acknowledged(epoch: Option<&StoredEpoch>, logged: &LoggedEpoch, who: &str) -> Vec<Finding> {
    let missing = match epoch {
        // Where a part was asked for, what came before it is not known here.
        Some(epoch) if !epoch.from_start => {
            let first = epoch.ranges.first().map_or(1, |range| range.0);
            epoch.missing(first, logged.acknowledged)
        }
        Some(epoch) => epoch.missing(1, logged.acknowledged),
        None if logged.acknowledged > 0 => vec![(1, logged.acknowledged)],
        None => Vec::new(),
    };
    let finding = |(first, last)| {
        let message = format!(
            "acknowledged to {}, but not stored: {} of epoch {}",
            name(who),
            numbers(first, last),
            logged.epoch
        );
        let action = "the proxy has dropped them; see whether the database was restored from a backup or replaced";
        let finding = Finding::new(Severity::Gap, Kind::MissingSequences, message, action);
        finding.of(who, &logged.epoch).sequences(first, last)
    };
    missing.into_iter().map(finding).collect()
}

/// What is logged and not acknowledged is on its way, or stuck.
fn waiting(logged: &LoggedEpoch, view: &ProxyView, now_ms: i64) -> Option<Finding> {
    let (first, last) = (logged.acknowledged + 1, logged.last_logged);
    if first > last {
        return None;
    }
    let who = view.url.as_str();
    let oldest = view.oldest_unacknowledged_ms;
    let stuck = oldest.is_some_and(|ms| ms < now_ms.saturating_sub(WAITING_MS));
    let severity = if stuck { Severity::Gap } else { Severity::Notice };
    let since = oldest.map(|ms| format!("; the oldest is of {}", show(ms))).unwrap_or_default();
    let message = format!(
        "logged by {who}, not acknowledged by the server yet: {} of epoch {}{since}",
        numbers(first, last),
        logged.epoch
    );
    let action = "nothing is lost: it is sent as soon as the server takes it; see the proxy's log and the server's";
    Some(Finding::new(severity, Kind::NotStored, message, action).of(who, &logged.epoch).sequences(first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000_000;

    fn stored(ranges: &[(u64, u64)], from_start: bool) -> StoredEpoch {
        StoredEpoch {
            epoch: "07".repeat(16),
            proxy: "edge-0".into(),
            ranges: ranges.to_vec(),
            from_start,
            ended_ms: NOW,
            last: false,
            lost_open_window: false,
        }
    }

    fn view(acknowledged: u64, last_logged: u64, oldest_ms: Option<i64>) -> ProxyView {
        let text = serde_json::json!({"log": {
            "epochs": [{"epoch": "07".repeat(16), "acknowledged": acknowledged, "last_logged": last_logged,
                        "first_unacknowledged": null, "sent": 0, "ended": false}],
            "oldest_unacknowledged_ms": oldest_ms, "alarms": [], "unlogged_since_ms": null,
        }});
        ProxyView::read("http://127.0.0.1:9901", &text.to_string()).unwrap()
    }

    /// What is asked of a finding here.
    type Found = (Severity, Kind, Option<(u64, u64)>);

    fn found(stored: &[StoredEpoch], view: ProxyView) -> Vec<Found> {
        check(stored, &[view], NOW).iter().map(|f| (f.severity, f.kind, f.sequences)).collect()
    }

    #[test]
    fn what_was_acknowledged_must_be_stored() {
        let gap = |first, last| (Severity::Gap, Kind::MissingSequences, Some((first, last)));
        assert_eq!(found(&[stored(&[(1, 5)], true)], view(5, 5, None)), []);
        assert_eq!(found(&[stored(&[(1, 4)], true)], view(5, 5, None)), [gap(5, 5)]);
        assert_eq!(found(&[stored(&[(2, 2), (4, 5)], true)], view(5, 5, None)), [gap(1, 1), gap(3, 3)]);
        assert_eq!(found(&[stored(&[(4, 5)], false)], view(6, 6, None)), [gap(6, 6)]);
        assert_eq!(found(&[], view(3, 3, None)), [gap(1, 3)]);
    }

    #[test]
    fn what_waits_is_a_gap_only_when_it_waits_for_long() {
        let waiting = |oldest| found(&[stored(&[(1, 5)], true)], view(5, 7, Some(oldest)));
        assert_eq!(waiting(NOW - 1000), [(Severity::Notice, Kind::NotStored, Some((6, 7)))]);
        assert_eq!(waiting(NOW - WAITING_MS - 1), [(Severity::Gap, Kind::NotStored, Some((6, 7)))]);
    }

    #[test]
    fn alarms_are_passed_on() {
        let text = r#"{"epochs": [], "alarms": ["usage cannot be logged: No space left on device"],
                       "unlogged_since_ms": 0}"#;
        let view = ProxyView::read("http://p", text).unwrap();
        let found = check(&[], &[view], NOW);
        let severities: Vec<_> = found.iter().map(|f| f.severity).collect();
        assert_eq!(severities, [Severity::Gap, Severity::Notice]);
        assert!(found[1].message.contains("No space left on device"), "{}", found[1].message);
    }

    #[test]
    fn what_no_proxy_says_is_an_error() {
        assert!(ProxyView::read("", "<html>").is_err());
        assert!(ProxyView::read("", "{}").is_err());
        assert!(ProxyView::read("", r#"{"epochs": [{"epoch": "07"}]}"#).is_err());
    }
}
