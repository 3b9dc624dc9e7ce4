//! The comparison as a picture, in SVG, without a library: a group of bars for each scenario, as long as the
//! figure is beside the largest of its group.
//!
//! The picture of `pinfold policy bench --plot` is of how times are spread; this one is of few numbers.

use std::fmt::Write as _;

use anyhow::Result;

use super::figures::{Contender, Figures};
use crate::page::grouped;

/// The picture.
pub(super) fn svg(title: &str, groups: &[Group], figures: &Figures) -> Result<String> {
    let groups = groups
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
        r#"<text x="12" y="26" font-size="15">{title}</text>"#
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
pub(super) struct Group {
    pub(super) title: &'static str,
    pub(super) scenario: &'static str,
    pub(super) figure: &'static str,
    /// What the figure is divided by to be written.
    pub(super) unit: f64,
    pub(super) contenders: &'static [Contender],
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

/// Grey for the limit, lighter where each request is logged.
fn colour(contender: Contender) -> &'static str {
    match (contender.name, contender.log) {
        ("pinfold" | "connector", false) => "#2f6ea5",
        ("pinfold", true) => "#8fb5d6",
        ("relay" | "nobody", _) => "#999999",
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
