//! `weir usage audit`

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use weir_xds_server::usage::audit::proxies::{self, ProxyView};
use weir_xds_server::usage::audit::{Finding, Report, Severity};

use super::{Place, now_ms};
use crate::check::Output;
use crate::term::{Colour, paint};

/// How long a proxy may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest answer of a proxy that is read.
const MAX_TEXT: u64 = 64 << 20;

/// Look for gaps: what proxies logged, what is stored, how it was summed, what was exported
///
/// Compares sequences of every proxy's epochs with what is stored, what proxies say that they logged with
/// both, batches with hours with days, and the store with what was exported. With --state-dir of a
/// running `weir up` its proxy is asked too. Exits with 1 if there is a gap.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Admin endpoint of a proxy to ask what it has logged; may be given several times
    #[arg(long, value_name = "URL")]
    proxy: Vec<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

pub(super) fn run(args: &Args, place: &Place) -> anyhow::Result<ExitCode> {
    let (span, now_ms) = (place.span(), now_ms());
    let source = place.source()?;
    let mut urls = args.proxy.clone();
    urls.extend(place.state_dir.as_deref().and_then(own_proxy));
    // Proxies are asked first: what they say was acknowledged must be in what is read then.
    let (mut views, mut findings) = (Vec::new(), Vec::new());
    for url in &urls {
        match ask(url) {
            Ok(view) => views.push(view),
            Err(error) => findings.push(proxies::away(url, &format!("{error:#}"))),
        }
    }
    let mut report = source.audit(span, now_ms)?;
    report.findings.append(&mut findings);
    report.findings.append(&mut proxies::check(&report.epochs, &views, now_ms));
    report.sort();
    let text = match args.output {
        Output::Json => format!("{}\n", serde_json::to_string_pretty(&report)?),
        Output::Text => show(&report, views.len()),
    };
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(if report.gaps() > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The proxy of a `weir up` that runs, by the addresses that it wrote.
fn own_proxy(state_dir: &Path) -> Option<String> {
    let text = fs::read_to_string(state_dir.join("addresses.json")).ok()?;
    let addresses: Value = serde_json::from_str(&text).ok()?;
    let address = addresses.get("proxyAdmin")?.as_str()?;
    (!address.starts_with("unix:")).then(|| format!("http://{address}"))
}

fn ask(url: &str) -> anyhow::Result<ProxyView> {
    let page = format!("{}/usage", url.trim_end_matches('/'));
    let agent =
        ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false).build().new_agent();
    let mut answer = agent.get(&page).call()?;
    if answer.status() != 200 {
        bail!("{page} answered {}", answer.status());
    }
    let text = answer.body_mut().with_config().limit(MAX_TEXT).read_to_string()?;
    ProxyView::read(url, &text).map_err(anyhow::Error::msg).with_context(|| format!("{page} is no proxy's usage"))
}

fn show(report: &Report, asked: usize) -> String {
    let mut out = String::new();
    for finding in &report.findings {
        // Writing to a string does not fail.
        let _ = write!(out, "{}", one(finding));
    }
    let span = match (&report.since, &report.until) {
        (None, None) => "all that is stored".to_owned(),
        (since, until) => format!("{} to {}", since.as_deref().unwrap_or("begin"), until.as_deref().unwrap_or("now")),
    };
    let (epochs, hours, days) = (report.epochs.len(), report.hours_checked, report.days_checked);
    let _ = writeln!(
        out,
        "audited {span}: {} of proxies, {}, {}; {} asked",
        count(epochs as u64, "epoch"),
        count(hours, "hour"),
        count(days, "day"),
        count(asked as u64, "proxy")
    );
    let _ = match report.gaps() {
        0 => writeln!(out, "{}", paint(Colour::Green, "no gap")),
        gaps => writeln!(out, "{}", paint(Colour::Red, &count(gaps as u64, "gap"))),
    };
    out
}

fn one(finding: &Finding) -> String {
    let head = match finding.severity {
        Severity::Gap => paint(Colour::Red, "gap"),
        Severity::Notice => paint(Colour::Yellow, "notice"),
    };
    let amounts = finding.amounts.iter().map(|(metric, units)| format!("{metric} {units}")).collect::<Vec<_>>();
    let amounts = if amounts.is_empty() { String::new() } else { format!("\n  amounts: {}", amounts.join(", ")) };
    format!("{head}: {}{amounts}\n  {}\n", finding.message, paint(Colour::Dim, &finding.action))
}

/// `1 hour`, `2 hours`, `0 proxies`.
fn count(n: u64, what: &str) -> String {
    match (n, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (n, Some(stem)) if what == "proxy" => format!("{n} {stem}ies"),
        (n, _) => format!("{n} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use weir_xds_server::usage::audit::Kind;

    use super::*;

    #[test]
    fn a_report_ends_with_its_verdict() {
        let mut report = Report { hours_checked: 1, ..Report::default() };
        assert_eq!(
            show(&report, 1),
            "audited all that is stored: 0 epochs of proxies, 1 hour, 0 days; 1 proxy asked\nno gap\n"
        );
        let mut finding = Finding::new(Severity::Gap, Kind::WrongSum, "tenant acme ...", "look");
        finding.amounts.insert("requests".into(), -2);
        report.findings.push(finding);
        let text = show(&report, 0);
        assert!(text.starts_with("gap: tenant acme ...\n  amounts: requests -2\n  look\n"), "{text}");
        assert!(text.ends_with("0 proxies asked\n1 gap\n"), "{text}");
    }
}
