//! Bars as SVG: one group a figure, one bar a broker, its length a share of the group's longest, the
//! spread as a thin line on it.

use std::fmt::Write;

use crate::compare::{Row, short};
use crate::contender::Contender;

const COLOURS: [&str; 5] = ["#8a8f98", "#1b7f5c", "#b5651d", "#4666b0", "#93408f"];
const LABEL: f64 = 450.0;
const WIDTH: f64 = 420.0;
const BAR: f64 = 16.0;

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The plot; `None` when none of the figures was measured.
pub fn bars(title: &str, contenders: &[Contender], rows: &[Row], figures: &[&str]) -> Option<String> {
    let mut body = String::new();
    let mut y = 62.0;
    for row in rows {
        for shown in row.scenario.shown.iter().filter(|shown| figures.contains(&shown.figure)) {
            let spreads: Vec<_> = row.series(shown.figure).iter().map(|series| series.spread()).collect();
            let longest = spreads.iter().map(|spread| spread.2).fold(0.0, f64::max);
            if longest <= 0.0 {
                continue;
            }
            // Who was not put under this load has no bar.
            let measured: Vec<_> =
                spreads.into_iter().zip(COLOURS).filter(|(spread, _)| spread.2 > 0.0).collect();
            let middle = y + BAR * measured.len() as f64 / 2.0 + 1.0;
            let label = escape(&format!("{}, {}", row.scenario.about, shown.words));
            let x = LABEL - 8.0;
            let _ = writeln!(body, r#"<text x="{x}" y="{middle}" text-anchor="end">{label}</text>"#);
            for ((median, low, high), colour) in measured {
                let (length, low, high) =
                    (median / longest * WIDTH, low / longest * WIDTH, high / longest * WIDTH);
                let height = BAR - 3.0;
                let _ = writeln!(
                    body,
                    r#"<rect x="{LABEL}" y="{y}" width="{length:.1}" height="{height}" fill="{colour}"/>"#
                );
                let line = y + height / 2.0;
                let (from, to, text) = (LABEL + low, LABEL + high, LABEL + high.max(length) + 6.0);
                let _ = writeln!(
                    body,
                    r##"<path d="M{from:.1} {line}H{to:.1}" stroke="#000" stroke-opacity=".55"/><text x="{text:.1}" y="{:.1}">{}</text>"##,
                    line + 4.0,
                    short(median)
                );
                y += BAR;
            }
            y += 10.0;
        }
    }
    if body.is_empty() {
        return None;
    }
    let mut head = String::new();
    for (at, (contender, colour)) in contenders.iter().zip(COLOURS).enumerate() {
        let x = LABEL + at as f64 * 130.0;
        let name = escape(&format!("{} {}", contender.name, contender.version));
        let _ = writeln!(
            head,
            r#"<rect x="{x}" y="34" width="12" height="12" fill="{colour}"/><text x="{}" y="44">{name}</text>"#,
            x + 18.0
        );
    }
    let (width, title) = (LABEL + WIDTH + 90.0, escape(title));
    Some(format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" width="{width}" height="{y}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#fff"/>
<text x="{LABEL}" y="20" font-size="15" font-weight="bold">{title}</text>
{head}{body}</svg>
"##
    ))
}
