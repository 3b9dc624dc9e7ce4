//! The comparison as a picture, in SVG, without a library: a group of bars for each scenario, as long as the
//! figure is beside the largest of its group.
//!
//! The picture of `pinfold policy bench --plot` is of how times are spread; this one is of few numbers.

use std::fmt::Write as _;

use anyhow::Result;

use super::figures::{ALL, Contender, Figures, QUIET};
use crate::page::grouped;

/// The picture.
pub(super) fn svg(figures: &Figures) -> Result<String> {
    let groups = GROUPS
        .iter()
        .map(|group| Drawn::new(group, figures))
        .collect::<Result<Vec<_>>>()?;
    let height = HEAD + groups.iter().map(Drawn::height).sum::<f64>();
    let mut picture = String::new();
    writeln!(
        picture,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12" fill="#222">"##
    )?;
    writeln!(
        picture,
        r##"<rect width="100%" height="100%" fill="#fff"/>"##
    )?;
    writeln!(
        picture,
        r#"<text x="12" y="26" font-size="15">Pinfold beside tinyproxy, squid and a bare relay</text>"#
    )?;
    let mut top = HEAD;
    for group in &groups {
        group.draw(&mut picture, top)?;
        top += group.height();
    }
    writeln!(picture, "</svg>")?;
    Ok(picture)
}

/// One scenario.
struct Group {
    title: &'static str,
    scenario: &'static str,
    figure: &'static str,
    /// What the figure is divided by to be written.
    unit: f64,
    contenders: &'static [Contender],
}

/// The same with its figures.
struct Drawn {
    title: &'static str,
    bars: Vec<(Contender, f64)>,
}

impl Drawn {
    fn new(group: &Group, figures: &Figures) -> Result<Self> {
        let bar = |contender: &Contender| {
            let figure = figures.median(*contender, group.scenario, group.figure)?;
            Ok((*contender, figure / group.unit))
        };
        Ok(Self {
            title: group.title,
            bars: group.contenders.iter().map(bar).collect::<Result<_>>()?,
        })
    }

    fn height(&self) -> f64 {
        TITLE + self.bars.len() as f64 * BAR + GAP
    }

    fn draw(&self, to: &mut String, top: f64) -> Result<()> {
        let most = self.bars.iter().map(|(_, figure)| *figure);
        let most = most.fold(f64::MIN_POSITIVE, f64::max);
        let title = self.title;
        writeln!(
            to,
            r#"<text x="12" y="{:.1}" font-weight="bold">{title}</text>"#,
            top + 14.0
        )?;
        for (number, (contender, figure)) in self.bars.iter().enumerate() {
            let (y, long) = (top + TITLE + number as f64 * BAR, figure / most * LONGEST);
            let (name, colour) = (contender.title, colour(*contender));
            let (base, after) = (y + BAR - 6.0, LEFT + long + 6.0);
            writeln!(to, r#"<text x="24" y="{base:.1}">{name}</text>"#)?;
            writeln!(
                to,
                r#"<rect x="{LEFT}" y="{y:.1}" width="{long:.1}" height="{:.1}" fill="{colour}"/>"#,
                BAR - 3.0
            )?;
            let figure = grouped(*figure);
            writeln!(to, r#"<text x="{after:.1}" y="{base:.1}">{figure}</text>"#)?;
        }
        Ok(())
    }
}

/// Lighter where each request is logged.
fn colour(contender: Contender) -> &'static str {
    match (contender.name, contender.log) {
        ("pinfold", false) => "#2f6ea5",
        ("pinfold", true) => "#8fb5d6",
        ("relay", _) => "#999999",
        (_, false) => "#c98a3c",
        (_, true) => "#e6c79c",
    }
}

const WIDTH: f64 = 760.0;
const LEFT: f64 = 150.0;
const LONGEST: f64 = 520.0;
const HEAD: f64 = 44.0;
const TITLE: f64 = 22.0;
const BAR: f64 = 19.0;
const GAP: f64 = 14.0;
const MIB: f64 = 1024.0 * 1024.0;

const GROUPS: &[Group] = &[
    Group {
        title: "Plain requests a second",
        scenario: "requests",
        figure: "per_second",
        unit: 1.0,
        contenders: &ALL,
    },
    Group {
        title: "Tunnels set up a second",
        scenario: "setups",
        figure: "per_second",
        unit: 1.0,
        contenders: &ALL,
    },
    Group {
        title: "Throughput down, 8 tunnels, MiB/s",
        scenario: "down-8",
        figure: "bytes_per_second",
        unit: MIB,
        contenders: &QUIET,
    },
    Group {
        title: "Throughput up, 8 tunnels, MiB/s",
        scenario: "up-8",
        figure: "bytes_per_second",
        unit: MIB,
        contenders: &QUIET,
    },
    Group {
        title: "Memory of an idle tunnel, bytes (less is better)",
        scenario: "idle",
        figure: "each_bytes",
        unit: 1.0,
        contenders: &QUIET,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::figures::tests::sample;

    #[test]
    fn each_bar_is_as_long_as_its_share_of_the_longest() {
        let picture = svg(&sample()).unwrap();
        assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
        let bars = |wide: &str| picture.matches(&format!(r#"width="{wide}""#)).count();
        assert_eq!(
            bars("520.0"),
            4 + 4,
            "the relay, and memory, which is the same"
        );
        assert_eq!(bars("52.0"), 6 + 6 + 3 + 3);
        assert!(picture.contains(">20,000<") && picture.contains(">squid, logging<"));
        assert!(!picture.contains("NaN"));
    }
}
