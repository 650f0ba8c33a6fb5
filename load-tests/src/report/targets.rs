//! What Weir is to hold, beside what was found.

use super::{Entry, Figure, OURS, Report, Row, label};

/// A promise, and whether it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Target {
    pub(crate) what: String,
    /// It is held where `found` is at most this.
    pub(crate) bound: f64,
    pub(crate) found: f64,
}

impl Target {
    pub(crate) fn held(&self) -> bool {
        self.found <= self.bound
    }
}

/// Those that the rows of this report can judge.
pub(crate) fn judge(report: &Report) -> Vec<Target> {
    let mut targets = Vec::new();
    let mut add = |what: String, bound: f64, found: Option<f64>| {
        targets.extend(found.map(|found| Target { what, bound, found }));
    };
    for (who, bound) in [("Envoy", 0.2), ("nginx", 0.4), ("HAProxy", 0.55)] {
        let what = format!("CPU a request, 1,000 tenants, over {who} with a log");
        add(what, bound, ratio(report, "tenants-1000", who, true, Figure::Cpu));
    }
    let plain = entry(report, "plain", "nginx", false).and_then(|nginx| nginx.median(Figure::Cpu));
    let metered = entry(report, "tenants-1000", OURS, false).and_then(|ours| ours.median(Figure::Cpu));
    let over = metered.zip(plain).map(|(metered, plain)| metered / plain);
    add("CPU a request, 1,000 tenants, over nginx's plain proxying".into(), 1.0, over);
    let what = "CPU a request, HTTPS on kept connections, over HAProxy".into();
    add(what, 0.85, ratio(report, "tls", "HAProxy", false, Figure::Cpu));
    let what = "CPU a request, HTTP/2 over TLS, over nginx".into();
    add(what, 0.85, ratio(report, "h2-tls", "nginx", false, Figure::Cpu));
    for row in &report.rows {
        let what = format!("p99 in the open loop, {}, over the best peer", row.name);
        add(what, 1.1, over_the_best(row, Figure::P99));
    }
    let slope = report.slope().and_then(|slope| slope.kib.into_iter().find(|(who, _)| who == OURS)?.1);
    add("memory a tenant after traffic to each, KiB".into(), 3.0, slope);
    let start = entry(report, "tenants-10000", OURS, false).and_then(|ours| ours.median(Figure::Restart));
    add("10,000 tenants served after a restart, seconds".into(), 0.5, start.map(|ms| ms / 1e3));
    targets
}

fn row<'r>(report: &'r Report, name: &str) -> Option<&'r Row> {
    report.rows.iter().find(|row| row.name == name)
}

fn entry<'r>(report: &'r Report, name: &str, who: &str, log: bool) -> Option<&'r Entry> {
    row(report, name)?.entries.iter().find(|entry| entry.label() == label(who, log))
}

fn ratio(report: &Report, name: &str, who: &str, log: bool, figure: Figure) -> Option<f64> {
    row(report, name)?.ratio(entry(report, name, who, log)?, figure)
}

fn over_the_best(row: &Row, figure: Figure) -> Option<f64> {
    let ours = row.ours()?.median(figure)?;
    let theirs = row.entries.iter().filter(|entry| entry.who != OURS).filter_map(|entry| entry.median(figure));
    Some(ours / theirs.min_by(f64::total_cmp)?)
}
