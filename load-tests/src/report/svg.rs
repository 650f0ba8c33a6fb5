//! The chart: for each row, what a request costs each proxy, as a multiple of what it costs Weir.
//! Plain shapes and text; no script, no font, no colour that is needed to read it.

use std::fmt::Write as _;

use super::number::short;
use super::{Entry, Figure, OURS, Report, Row};

const WIDTH: u32 = 860;
/// Where bars begin.
const LEFT: u32 = 190;
/// Longest bar.
const LONGEST: f64 = 480.0;
const BAR: u32 = 16;
const GAP: u32 = 4;

/// Draws it.
pub(crate) fn chart(report: &Report) -> String {
    let mut body = String::new();
    let mut y = 56;
    for row in &report.rows {
        if row.ours().and_then(|ours| ours.median(Figure::Cpu)).is_some() {
            y = group(&mut body, row, y);
        }
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y}\" width=\"{WIDTH}\" height=\"{y}\" \
         font-family=\"sans-serif\" font-size=\"13\">
<title>CPU time a request</title>
<rect width=\"{WIDTH}\" height=\"{y}\" fill=\"#ffffff\"/>
<text x=\"16\" y=\"24\" font-size=\"16\" font-weight=\"bold\" fill=\"#111111\">CPU time of the proxy a request</text>
<text x=\"16\" y=\"43\" fill=\"#555555\">microseconds, and how many times Weir's; shorter is better</text>
{body}</svg>
"
    )
}

/// One row: its name, and a bar a contestant. Gives where the next begins.
fn group(body: &mut String, row: &Row, mut y: u32) -> u32 {
    let values: Vec<(&Entry, Option<f64>)> = row.entries.iter().map(|e| (e, e.median(Figure::Cpu))).collect();
    let most = values.iter().filter_map(|(_, value)| *value).fold(0.0, f64::max);
    let ours = row.ours().and_then(|ours| ours.median(Figure::Cpu)).unwrap_or(most);
    // Writing to a String cannot fail.
    let _ = writeln!(
        body,
        "<text x=\"16\" y=\"{}\" font-weight=\"bold\" fill=\"#111111\">{}</text>",
        y + 20,
        escape(&row.about)
    );
    y += 30;
    for (entry, value) in values {
        let middle = y + BAR - 4;
        let _ = writeln!(
            body,
            "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\" fill=\"#333333\">{}</text>",
            LEFT - 8,
            escape(&entry.label())
        );
        let (length, text) = match value {
            Some(value) => (value / most * LONGEST, format!("{} ({:.1}x)", short(value), value / ours)),
            None => (0.0, "failed".to_owned()),
        };
        let colour = match (entry.who == OURS, entry.log) {
            (true, false) => "#0b6e99",
            (true, true) => "#6fb3cc",
            (false, false) => "#8a8a8a",
            (false, true) => "#bdbdbd",
        };
        let _ = writeln!(
            body,
            "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{length:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>\n<text x=\"{:.1}\" y=\"{middle}\" fill=\"#111111\">{text}</text>",
            f64::from(LEFT) + length + 6.0
        );
        y += BAR + GAP;
    }
    y + 12
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
