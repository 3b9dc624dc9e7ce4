//! Tables that every comparison has.

use anyhow::Result;

use super::figures::{Contender, Figures};
use crate::{
    bench::{duration, times},
    page::{grouped, table},
};

/// What a reader must know to trust the figures: programs, and how long each was measured.
pub(super) fn conditions(
    figures: &Figures,
    machine: &str,
    versions: &str,
    measured: &str,
) -> Result<String> {
    let (before, after) = (
        figures.text("/load_average/before")?,
        figures.text("/load_average/after")?,
    );
    let rounds = figures.of_the_run("/rounds")?;
    let took = figures.of_the_run("/took_s")?;
    let others = match figures.most_of_others() {
        Some(share) => format!(
            "Before a turn, other programs used at most {:.0}% of the processors.\n",
            share * 100.0
        ),
        None => String::new(),
    };
    Ok(format!(
        "{machine}\n{versions}. One run of {took} s, {rounds} rounds; {measured}.\n\
         Load average of the machine before the run: {before}; after it: {after}.\n{others}"
    ))
}

/// Requests, or set-ups: how many a second, beside those of `base`, and how long they took.
pub(super) fn closed(
    figures: &Figures,
    contenders: &[Contender],
    base: Contender,
    scenario: &str,
    [title, beside]: [&str; 2],
) -> Result<String> {
    let head = ["", title, "least to most", beside, "p50", "p99", "failed"];
    let mut rows = vec![cells(head)];
    for contender in contenders {
        let contender = *contender;
        let (least, most) = figures.range(contender, scenario, "per_second")?;
        rows.push(vec![
            contender.title.to_owned(),
            grouped(figures.median(contender, scenario, "per_second")?),
            format!("{} to {}", grouped(least), grouped(most)),
            ratio(figures, contender, base, scenario, "per_second")?,
            micros(figures.median(contender, scenario, "p50_us")?),
            micros(figures.median(contender, scenario, "p99_us")?),
            grouped(figures.sum(contender, scenario, "failed")?),
        ]);
    }
    Ok(table(&rows))
}

/// One figure of two contenders.
pub(super) fn ratio(
    figures: &Figures,
    of: Contender,
    to: Contender,
    scenario: &str,
    figure: &str,
) -> Result<String> {
    let of = figures.median(of, scenario, figure)?;
    Ok(times(of / figures.median(to, scenario, figure)?))
}

/// A time.
pub(super) fn micros(microseconds: f64) -> String {
    duration(microseconds * 1e3)
}

/// A row.
pub(super) fn cells<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}
