//! The report, for people.

use std::io::IsTerminal;

use anyhow::Result;

use super::{
    baseline::Compared,
    budget::Held,
    report::{FuelPart, LoadPart, Report, TimesPart},
    stats::Spread,
    text::{Table, bar, change, duration, grouped, kib},
};
use crate::{
    output::{BAD, GOOD, LABEL, Output},
    text::{Printable, count},
};

/// Everything that was measured, and how it compares.
pub(super) fn all(
    report: &Report,
    budget: Option<&[Held]>,
    baseline: Option<&Compared>,
    out: &mut Output,
) -> Result<()> {
    head(report, out)?;
    if let Some(times) = &report.times {
        section("time", times_table(times), out)?;
    }
    if let Some(load) = &report.load {
        section("load", load_table(load), out)?;
    }
    section("fuel", fuel_table(&report.fuel), out)?;
    dearest(&report.fuel, out)?;
    memory(report, out)?;
    if let Some(compared) = baseline {
        baseline_section(compared, out)?;
    }
    if let Some(held) = budget {
        budget_section(held, out)?;
    }
    Ok(())
}

fn head(report: &Report, out: &mut Output) -> Result<()> {
    let policy = &report.policy;
    let (name, version) = (Printable(&policy.name), Printable(&policy.version));
    row(
        "policy",
        format_args!("{name} {version}, {}", kib(policy.size_bytes)),
        out,
    )?;
    row("digest", format_args!("sha256:{}", policy.digest), out)?;
    let vectors = &report.vectors;
    let mut asked = count(vectors.questions, "question", "questions");
    if vectors.settings > 1 {
        asked += &format!(" under {} settings", vectors.settings);
    }
    if vectors.skipped > 0 {
        asked += &format!("; {} not asked: the URL is refused before", vectors.skipped);
    }
    row("vectors", asked, out)?;
    if !report.host.optimised && (report.times.is_some() || report.load.is_some()) {
        row(
            "host",
            "built without optimisation: times are several times longer",
            out,
        )?;
    }
    report
        .host
        .fallbacks
        .iter()
        .try_for_each(|fallback| row("host", fallback, out))
}

fn times_table(times: &TimesPart) -> Table {
    let mut table = Table::default();
    table.row(["", "median", "p99", "least", "most"]);
    for (name, spread) in [
        ("instance, on the spot", times.instance_fresh),
        ("instance, ahead of time", times.instance_spare),
        ("target", times.target),
        ("addresses", times.addresses),
        ("decision, on the spot", times.decision_fresh),
        ("decision, ahead of time", times.decision_spare),
    ] {
        if let Some(spread) = spread {
            table.row(spread_row(name, spread));
        }
    }
    table
}

fn load_table(load: &LoadPart) -> Table {
    let mut table = Table::default();
    if let Some(cold) = load.cold_ns {
        table.row(["configured and compiled".into(), duration(cold)]);
    }
    if let Some(cached) = load.cached {
        table.row(["from the code cache".into(), duration(cached.median_ns)]);
    }
    table
}

fn spread_row(name: &str, spread: Spread) -> [String; 5] {
    let Spread {
        median_ns,
        p99_ns,
        least_ns,
        most_ns,
        ..
    } = spread;
    let [median, p99, least, most] = [median_ns, p99_ns, least_ns, most_ns].map(duration);
    [name.to_owned(), median, p99, least, most]
}

fn fuel_table(fuel: &FuelPart) -> Table {
    let mut table = Table::default();
    table.row(["", "sum", "median", "dearest"]);
    for (name, [sum, median, most]) in [
        (
            "target",
            [fuel.target.sum, fuel.target.median, fuel.target.most],
        ),
        (
            "addresses",
            [
                fuel.addresses.sum,
                fuel.addresses.median,
                fuel.addresses.most,
            ],
        ),
        ("both stages", [fuel.sum, fuel.median, fuel.dearest.value]),
    ] {
        let [sum, median, most] = [sum, median, most].map(grouped);
        table.row([name.to_owned(), sum, median, most]);
    }
    table
}

/// The vectors that take most fuel; with bars where there is a person to see them.
fn dearest(fuel: &FuelPart, out: &mut Output) -> Result<()> {
    let mut costs: Vec<_> = fuel.vectors.iter().collect();
    costs.sort_by_key(|cost| std::cmp::Reverse(cost.fuel));
    let bars = std::io::stdout().is_terminal();
    let mut table = Table::default();
    for cost in costs.iter().take(DEAREST) {
        let name = Printable(&cost.vector).to_string();
        table.row([shortened(&name), grouped(cost.fuel)]);
    }
    let lines: Vec<String> = table
        .lines()
        .zip(&costs)
        .map(|(line, cost)| match bars {
            true => format!("{line}  {}", bar(cost.fuel, fuel.dearest.value)),
            false => line,
        })
        .collect();
    section_of("dearest vectors", lines, out)
}

fn memory(report: &Report, out: &mut Output) -> Result<()> {
    let memory = &report.memory;
    let (start, most) = (kib(memory.start_bytes), kib(memory.most.value));
    out.line("")?;
    let after = Printable(&memory.most.vector);
    let line = if memory.most.value == memory.start_bytes {
        format!("{start}, with every vector")
    } else {
        format!("{start} at the start, {most} after `{after}`")
    };
    row("memory", line, out)
}

fn baseline_section(compared: &Compared, out: &mut Output) -> Result<()> {
    let mut table = Table::default();
    for changed in compared.changed.iter().take(CHANGED) {
        let [old, new] = [changed.old, changed.new].map(grouped);
        let name = Printable(&changed.vector).to_string();
        table.row([
            shortened(&name),
            old,
            "->".into(),
            new,
            change(changed.old, changed.new),
        ]);
    }
    let mut lines: Vec<String> = table.lines().collect();
    if let Some(more) = compared
        .changed
        .len()
        .checked_sub(CHANGED)
        .filter(|more| *more > 0)
    {
        lines.push(format!("and {more} more: `--json` has them all"));
    }
    lines.push(format!(
        "{} changed, {} the same, {} new, {} gone; together {}",
        compared.changed.len(),
        compared.same,
        compared.added,
        compared.missing,
        change(compared.old_sum, compared.new_sum)
    ));
    if compared.old_size != compared.new_size {
        let by = change(compared.old_size, compared.new_size);
        lines.push(format!("component: {by} bytes"));
    }
    section_of("fuel against the baseline", lines, out)
}

fn budget_section(held: &[Held], out: &mut Output) -> Result<()> {
    let lines = held.iter().map(|held| match held.kept {
        true => format!("{GOOD}kept{GOOD:#}      {}", said(held)),
        false => format!("{BAD}exceeded{BAD:#}  {}", said(held)),
    });
    section_of("budget", lines.collect(), out)
}

fn said(held: &Held) -> String {
    Printable(&held.to_string()).to_string()
}

fn section(title: &str, table: Table, out: &mut Output) -> Result<()> {
    section_of(title, table.lines().collect(), out)
}

fn section_of(title: &str, lines: Vec<String>, out: &mut Output) -> Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    out.line(format_args!("\n{LABEL}{title}{LABEL:#}"))?;
    lines
        .into_iter()
        .try_for_each(|line| Ok(out.line(format_args!("  {line}"))?))
}

fn row(label: &str, value: impl std::fmt::Display, out: &mut Output) -> Result<()> {
    Ok(out.line(format_args!("{LABEL}{label:8}{LABEL:#}  {value}"))?)
}

/// A name that leaves room for its figure on the line.
fn shortened(name: &str) -> String {
    match name.char_indices().nth(MAX_NAME) {
        Some((end, _)) => format!("{}...", name.get(..end).unwrap_or(name)),
        None => name.to_owned(),
    }
}

/// Vectors that are shown as the dearest.
const DEAREST: usize = 5;
/// Vectors that are shown as changed.
const CHANGED: usize = 20;
/// Characters of a name that are shown.
const MAX_NAME: usize = 48;
