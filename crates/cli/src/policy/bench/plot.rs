//! `--plot`: the times of each stage as a picture, in SVG, without a library.
//!
//! One row a stage: a histogram over a logarithmic axis that all rows share, with marks at the median and
//! at the 99th percentile. Times of policies in different languages lie three orders of magnitude apart, so
//! that a linear axis would show one bar.

use std::fmt::{self, Write};

use super::{
    stats::{Spread, Times},
    text::duration,
};

/// The picture. Stages without times are left out.
pub(super) fn svg(title: &str, stages: &[(&str, &Times)]) -> String {
    let rows: Vec<Row<'_>> = stages
        .iter()
        .filter_map(|(name, times)| Row::new(name, times))
        .collect();
    let mut picture = String::new();
    // Writing to a string cannot fail.
    let _ = draw(&mut picture, title, &rows);
    picture
}

struct Row<'a> {
    name: &'a str,
    times: &'a Times,
    spread: Spread,
}

impl<'a> Row<'a> {
    fn new(name: &'a str, times: &'a Times) -> Option<Self> {
        let spread = times.spread()?;
        Some(Self {
            name,
            times,
            spread,
        })
    }
}

fn draw(to: &mut String, title: &str, rows: &[Row<'_>]) -> fmt::Result {
    let axis = Axis::over(rows);
    let height = HEAD + rows.len() as f64 * ROW + FOOT;
    writeln!(
        to,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12" fill="#222">"##
    )?;
    writeln!(to, r##"<rect width="100%" height="100%" fill="#fff"/>"##)?;
    writeln!(
        to,
        r#"<text x="{LEFT}" y="24" font-size="15">{}</text>"#,
        Escaped(title)
    )?;
    for (number, row) in rows.iter().enumerate() {
        draw_row(to, row, &axis, HEAD + number as f64 * ROW)?;
    }
    draw_axis(to, &axis, height)?;
    writeln!(to, "</svg>")
}

fn draw_row(to: &mut String, row: &Row<'_>, axis: &Axis, top: f64) -> fmt::Result {
    let Spread {
        median_ns, p99_ns, ..
    } = row.spread;
    let bottom = top + ROW - GAP;
    writeln!(
        to,
        r#"<text x="12" y="{:.1}">{}</text>"#,
        top + 20.0,
        Escaped(row.name)
    )?;
    let (median, p99) = (duration(median_ns), duration(p99_ns));
    writeln!(
        to,
        r##"<text x="12" y="{:.1}" fill="#666">{median}, p99 {p99}</text>"##,
        top + 36.0
    )?;
    for (bin, share) in axis.histogram(row.times).iter().enumerate() {
        let high = share * (ROW - GAP - 8.0);
        if high > 0.0 {
            let (x, y) = (axis.left_of(bin), bottom - high);
            writeln!(
                to,
                r##"<rect x="{x:.1}" y="{y:.1}" width="{:.1}" height="{high:.1}" fill="#4a7fb5"/>"##,
                BIN - 0.5
            )?;
        }
    }
    for (time, colour) in [(median_ns, "#222"), (p99_ns, "#c0392b")] {
        let x = axis.place(time);
        writeln!(
            to,
            r#"<line x1="{x:.1}" y1="{top:.1}" x2="{x:.1}" y2="{bottom:.1}" stroke="{colour}"/>"#
        )?;
    }
    Ok(())
}

fn draw_axis(to: &mut String, axis: &Axis, height: f64) -> fmt::Result {
    let y = height - FOOT;
    writeln!(
        to,
        r##"<line x1="{LEFT}" y1="{y:.1}" x2="{:.1}" y2="{y:.1}" stroke="#999"/>"##,
        LEFT + BINS as f64 * BIN
    )?;
    for exponent in axis.first..=axis.last {
        let time = 10u64.saturating_pow(exponent);
        let x = axis.place(time);
        writeln!(
            to,
            r##"<line x1="{x:.1}" y1="{y:.1}" x2="{x:.1}" y2="{:.1}" stroke="#999"/>"##,
            y + 5.0
        )?;
        writeln!(
            to,
            r#"<text x="{x:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
            y + 20.0,
            duration(time)
        )?;
    }
    let note = "black: median, red: 99th percentile; logarithmic";
    writeln!(
        to,
        r##"<text x="{LEFT}" y="{:.1}" fill="#666">{note}</text>"##,
        y + 38.0
    )
}

/// A logarithmic axis from one power of ten to another.
struct Axis {
    first: u32,
    last: u32,
}

impl Axis {
    fn over(rows: &[Row<'_>]) -> Self {
        let least = rows
            .iter()
            .map(|row| row.spread.least_ns)
            .min()
            .unwrap_or(1);
        let most = rows.iter().map(|row| row.spread.most_ns).max().unwrap_or(1);
        let first = least.max(1).ilog10();
        let last = most.max(1).ilog10().saturating_add(1);
        Self { first, last }
    }

    /// Where a time lies, as a share of the axis.
    fn share(&self, time: u64) -> f64 {
        let decades = f64::from(self.last - self.first);
        let decade = (time.max(1) as f64).log10() - f64::from(self.first);
        (decade / decades).clamp(0.0, 1.0)
    }

    fn place(&self, time: u64) -> f64 {
        LEFT + self.share(time) * BINS as f64 * BIN
    }

    fn left_of(&self, bin: usize) -> f64 {
        LEFT + bin as f64 * BIN
    }

    /// How high each bar is; the highest is 1.
    fn histogram(&self, times: &Times) -> Vec<f64> {
        let mut bins = vec![0_u32; BINS];
        for time in times.iter() {
            let bin = (self.share(time) * BINS as f64) as usize;
            if let Some(count) = bins.get_mut(bin.min(BINS - 1)) {
                *count += 1;
            }
        }
        let most = bins.iter().copied().max().unwrap_or(0).max(1);
        bins.iter()
            .map(|count| f64::from(*count) / f64::from(most))
            .collect()
    }
}

/// Text in SVG: a name is the policy's to choose.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            control if control.is_control() => f.write_char(' '),
            plain => f.write_char(plain),
        })
    }
}

const WIDTH: f64 = 900.0;
const LEFT: f64 = 200.0;
const HEAD: f64 = 40.0;
const FOOT: f64 = 50.0;
const ROW: f64 = 70.0;
const GAP: f64 = 10.0;
const BINS: usize = 110;
const BIN: f64 = 6.0;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_picture_has_a_row_for_each_stage_that_was_measured() {
        let fast: Times = (1..=50).map(Duration::from_micros).collect();
        let picture = svg(
            "a <policy> & its \u{1b}times",
            &[("target", &fast), ("addresses", &Times::default())],
        );
        assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
        assert!(picture.contains("a &lt;policy&gt; &amp; its  times"));
        assert!(picture.contains(">target<") && !picture.contains(">addresses<"));
        assert!(picture.contains("25.0 µs, p99 50.0 µs"), "{picture}");
        for number in picture
            .split("=\"")
            .filter_map(|part| part.split('"').next())
        {
            assert!(
                !number.contains("NaN") && !number.contains("inf"),
                "{number}"
            );
        }
    }

    #[test]
    fn the_highest_bar_is_that_of_most_times() {
        let times: Times = [1, 1, 1, 900]
            .map(Duration::from_micros)
            .into_iter()
            .collect();
        let row = Row::new("a", &times).unwrap();
        let axis = Axis::over(std::slice::from_ref(&row));
        assert_eq!((axis.first, axis.last), (3, 6));
        let bars = axis.histogram(&times);
        assert_eq!(bars.first(), Some(&1.0));
        assert_eq!(bars.iter().filter(|bar| **bar > 0.0).count(), 2);
    }

    #[test]
    fn a_time_of_nothing_is_drawn_too() {
        let times: Times = [Duration::ZERO, Duration::MAX].into_iter().collect();
        assert!(svg("a", &[("b", &times)]).contains("<rect x="));
    }
}
