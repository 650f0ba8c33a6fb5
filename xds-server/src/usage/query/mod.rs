//! How a question about usage is answered: which parts of its span come from days, hours and batches.
//!
//! A batch belongs to the point in time that it is booked to. A span that cuts an hour is answered from
//! batches, so that two spans that meet anywhere sum to the span of both. Where batches (or hours) of that
//! time are no longer kept, the span is widened to whole hours (or days), and a note says so.

mod fold;
#[cfg(test)]
mod tests;

pub use fold::{Fold, Row};

use super::span::{DAY_MS, HOUR_MS, Span, ceil, floor, show};

/// How rows are grouped in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum By {
    /// One row a tenant.
    #[default]
    Total,
    /// One row a tenant and hour.
    Hour,
    /// One row a tenant and day (UTC).
    Day,
    /// One row a tenant and window of the proxies, as reported.
    Window,
}

impl By {
    /// Every grouping.
    pub const ALL: [By; 4] = [By::Total, By::Hour, By::Day, By::Window];

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            By::Total => "total",
            By::Hour => "hour",
            By::Day => "day",
            By::Window => "window",
        }
    }
}

impl std::str::FromStr for By {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|by| by.name() == text);
        found.ok_or_else(|| format!("`{text}` is no grouping; write total, hour, day or window"))
    }
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Of what time.
    pub span: Span,
    /// Of which tenant only.
    pub tenant: Option<String>,
    /// In which groups.
    pub by: By,
}

/// From which points in time on a store has everything that it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Batches.
    pub batches_from_ms: i64,
    /// Hours.
    pub hours_from_ms: i64,
    /// Days.
    pub days_from_ms: i64,
}

impl Kept {
    /// Nothing was ever dropped.
    pub const ALL: Kept = Kept { batches_from_ms: i64::MIN, hours_from_ms: i64::MIN, days_from_ms: i64::MIN };
}

/// Where a part of an answer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Batches, each at the time that it is booked to.
    Batches,
    /// Sums of hours.
    Hours,
    /// Sums of days.
    Days,
}

/// A part of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where it comes from.
    pub source: Source,
    /// Its span: whole hours of `Hours`, whole days of `Days`.
    pub span: Span,
}

/// How a question is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The span that is answered: the question's, or a wider one.
    pub span: Span,
    /// Parts, in the order of time; they meet and do not overlap.
    pub pieces: Vec<Piece>,
    /// What is not as it was asked for, for people.
    pub notes: Vec<String>,
}

/// Plans the answer.
pub fn plan(question: &Question, kept: &Kept) -> Plan {
    let asked = question.span;
    let mut notes = Vec::new();
    if asked.since_ms > i64::MIN && asked.since_ms < kept.days_from_ms {
        notes.push(format!("nothing of before {} is kept any more", show(kept.days_from_ms)));
    }
    if asked.is_empty() {
        return Plan { span: asked, pieces: Vec::new(), notes };
    }
    let mut plan = Plan { span: asked, pieces: Vec::new(), notes };
    if question.by == By::Window {
        windows(kept, &mut plan);
    } else {
        widen(kept, &mut plan);
        let span = plan.span;
        divide(question.by, kept, span, &mut plan);
    }
    plan.pieces.retain(|piece| !piece.span.is_empty());
    plan
}

/// Batches where they are kept; what is older as hours.
fn windows(kept: &Kept, plan: &mut Plan) {
    let asked = plan.span;
    let from = ceil(kept.batches_from_ms, HOUR_MS);
    let mut newer = asked;
    if asked.since_ms < from {
        plan.notes.push(format!("windows are kept from {} on; rows of before that are hours", show(from)));
        plan.span.until_ms = asked.until_ms.min(from);
        widen(kept, plan);
        let older = plan.span;
        divide(By::Hour, kept, older, plan);
        newer.since_ms = older.until_ms;
        plan.span.until_ms = older.until_ms.max(asked.until_ms);
    }
    plan.pieces.push(Piece { source: Source::Batches, span: newer });
}

/// Moves either end outward to what can be answered exactly.
fn widen(kept: &Kept, plan: &mut Plan) {
    let Span { mut since_ms, mut until_ms } = plan.span;
    let mut note = |end: &str, from: i64, to: i64, what: &str, kept_from: i64| {
        plan.notes.push(format!(
            "{end} is {} instead of {}: {what} of before {} are no longer kept",
            show(to),
            show(from),
            show(kept_from)
        ));
    };
    if floor(since_ms, HOUR_MS) != since_ms && floor(since_ms, HOUR_MS) < kept.batches_from_ms {
        let hour = floor(since_ms, HOUR_MS);
        note("since", since_ms, hour, "windows", kept.batches_from_ms);
        since_ms = hour;
    }
    if ceil(until_ms, HOUR_MS) != until_ms && floor(until_ms, HOUR_MS) < kept.batches_from_ms {
        let hour = ceil(until_ms, HOUR_MS);
        note("until", until_ms, hour, "windows", kept.batches_from_ms);
        until_ms = hour;
    }
    if floor(since_ms, DAY_MS) != since_ms && floor(since_ms, HOUR_MS) < kept.hours_from_ms {
        let day = floor(since_ms, DAY_MS);
        note("since", since_ms, day, "hours", kept.hours_from_ms);
        since_ms = day;
    }
    if ceil(until_ms, DAY_MS) != until_ms && floor(until_ms, DAY_MS).max(since_ms) < kept.hours_from_ms {
        let day = ceil(until_ms, DAY_MS);
        note("until", until_ms, day, "hours", kept.hours_from_ms);
        until_ms = day;
    }
    plan.span = Span { since_ms, until_ms };
}

/// Divides a span whose ends are exact: batches in the hours that it cuts, hours, days.
fn divide(by: By, kept: &Kept, span: Span, plan: &mut Plan) {
    let Span { since_ms, until_ms } = span;
    let mut push = |source, since_ms, until_ms| plan.pieces.push(Piece { source, span: Span { since_ms, until_ms } });
    let (first, last) = (ceil(since_ms, HOUR_MS), floor(until_ms, HOUR_MS));
    if first > last {
        return push(Source::Batches, since_ms, until_ms);
    }
    push(Source::Batches, since_ms, first);
    let (from_day, to_day) = match by {
        // Days have fewer rows than their hours.
        By::Total | By::Day => (ceil(first, DAY_MS), floor(last, DAY_MS)),
        // Days only where there are no hours any more.
        By::Hour | By::Window if first < kept.hours_from_ms => (first, ceil(kept.hours_from_ms, DAY_MS).min(last)),
        By::Hour | By::Window => (first, first),
    };
    if from_day < to_day {
        push(Source::Hours, first, from_day);
        push(Source::Days, from_day, to_day);
        push(Source::Hours, to_day, last);
        if matches!(by, By::Hour | By::Window) {
            plan.notes
                .push(format!("hours are kept from {} on; rows of before that are days", show(kept.hours_from_ms)));
        }
    } else {
        push(Source::Hours, first, last);
    }
    plan.pieces.push(Piece { source: Source::Batches, span: Span { since_ms: last, until_ms } });
}
