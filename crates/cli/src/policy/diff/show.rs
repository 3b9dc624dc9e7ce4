//! The differences, for people: what lets through more than before comes first.

use std::collections::BTreeSet;

use anyhow::Result;
use serde_json::Value;

use super::{
    change::{Change, Direction, TermChange, Verdict},
    records,
    report::{Refused, Report},
    schema::{SchemaChange, What},
    semver::{Advice, Step},
    surface::{Component, Names, Surface},
    tally::{Named, Tally},
};
use crate::{
    output::{BAD, GOOD, LABEL, Output},
    policy::bench::text::{Table, change, grouped, kib},
    text::{Printable, count},
};

/// Everything that is different.
pub(super) fn all(report: &Report, most: usize, out: &mut Output) -> Result<()> {
    components(report, out)?;
    names("imports", &report.surface.imports, "none", out)?;
    names("exports", &report.surface.exports, "the same", out)?;
    settings(&report.surface, &report.refused, out)?;
    if let Some(tally) = &report.decisions {
        decisions(tally, most, out)?;
        summary(tally, report.skipped, out)?;
        for line in report.records.iter().flat_map(records::Counts::lines) {
            out.line(line)?;
        }
    } else {
        out.line("\nno question was asked: nothing can be said of verdicts")?;
    }
    if let Some(advice) = &report.version {
        version(&report.surface, advice, out)?;
    }
    Ok(())
}

fn components(report: &Report, out: &mut Output) -> Result<()> {
    let Surface { old, new, .. } = &report.surface;
    let mut table = Table::default();
    table.row(["", "old", "new", ""]);
    table.row(["policy".into(), called(old), called(new), String::new()]);
    let [from, to] = [old, new].map(|component| short(&component.digest));
    let is_same = if report.surface.is_same() {
        "the same"
    } else {
        ""
    };
    table.row(["digest".into(), from, to, is_same.into()]);
    let sizes = [old.size_bytes, new.size_bytes];
    costs(&mut table, "size", sizes, Unit::Bytes);
    // Settings that are tried cost nothing that is measured.
    if let Some(tally) = &report.decisions
        && tally.fuel.old > 0
    {
        let (fuel, memory) = (&tally.fuel, tally.memory);
        let dearest = [fuel.old_dearest.fuel, fuel.new_dearest.fuel];
        let bytes = [memory.old_bytes, memory.new_bytes];
        costs(&mut table, "fuel, all", [fuel.old, fuel.new], Unit::Fuel);
        costs(&mut table, "fuel, dearest", dearest, Unit::Fuel);
        costs(&mut table, "memory", bytes, Unit::Bytes);
    }
    table.lines().try_for_each(|line| Ok(out.line(line)?))
}

fn costs(table: &mut Table, what: &str, [old, new]: [u64; 2], unit: Unit) {
    let (shown, of): (fn(u64) -> String, _) = match unit {
        Unit::Bytes => (kib, " bytes"),
        Unit::Fuel => (grouped, ""),
    };
    let by = match old == new {
        true => String::new(),
        false => change(old, new) + of,
    };
    table.row([what.to_owned(), shown(old), shown(new), by]);
}

#[derive(Clone, Copy)]
enum Unit {
    Bytes,
    Fuel,
}

fn called(component: &Component) -> String {
    match (&component.name, &component.version) {
        (Some(name), Some(version)) => Printable(&format!("{name} {version}")).to_string(),
        _ if component.fault.is_none() => "does not say".into(),
        _ => "refused".into(),
    }
}

/// As much of a digest as tells two builds apart.
fn short(digest: &str) -> String {
    digest.get(..DIGEST).unwrap_or(digest).to_owned()
}

fn names(label: &str, names: &Names, same: &str, out: &mut Output) -> Result<()> {
    let mut lines: Vec<String> = Vec::new();
    for name in &names.added {
        lines.push(format!("{BAD}+ {}{BAD:#}", Printable(name)));
    }
    for name in &names.removed {
        lines.push(format!("- {}", Printable(name)));
    }
    section(label, lines, same, out)
}

fn settings(surface: &Surface, refused: &[Refused], out: &mut Output) -> Result<()> {
    let mut lines: Vec<String> = outermost(surface).map(setting).collect();
    for refused in refused {
        let (by, from) = (refused.by, Printable(&refused.from));
        lines.push(format!(
            "{BAD}refused{BAD:#} by the {by} policy: the settings of {from}"
        ));
        let problems = refused.problems.iter().map(ToString::to_string);
        lines.extend(problems.map(|problem| format!("  {}", Printable(&problem))));
    }
    let otherwise = match surface.schema {
        Some(_) => "the same",
        None => "not compared: what is refused is not asked for them",
    };
    section("settings", lines, otherwise, out)
}

/// The changes without those inside of a setting that is new or gone as a whole.
fn outermost(surface: &Surface) -> impl Iterator<Item = &SchemaChange> {
    let all = || surface.schema.iter().flatten();
    let is_whole = |what: &What| matches!(what, What::Added { .. } | What::Removed);
    let whole: BTreeSet<&str> = all()
        .filter(|change| is_whole(&change.what))
        .map(|change| change.path.as_str())
        .collect();
    let has_outer = move |change: &SchemaChange| {
        let outer = change.path.rsplit_once('/').map(|(outer, _)| outer);
        is_whole(&change.what) && outer.is_some_and(|outer| whole.contains(outer))
    };
    all().filter(move |change| !has_outer(change))
}

fn setting(change: &SchemaChange) -> String {
    let path = match change.path.as_str() {
        "" => "the whole document",
        path => path,
    };
    let path = Printable(path);
    match &change.what {
        What::Added { required: false } => format!("+ {path}"),
        What::Added { required: true } => format!("+ {path}, {BAD}required{BAD:#}"),
        What::Removed => format!("- {path}"),
        What::Required => format!("~ {path}: {BAD}required{BAD:#} now"),
        What::Optional => format!("~ {path}: not required any more"),
        What::Keyword { keyword, old, new } => {
            format!(
                "~ {path}: `{}` {} -> {}",
                Printable(keyword),
                value(old),
                value(new)
            )
        }
        What::Beyond => format!("~ {path}: too deep or too large to compare"),
    }
}

fn value(value: &Value) -> String {
    let text = match value {
        Value::Null => return "none".into(),
        other => other.to_string(),
    };
    let shown = match text.char_indices().nth(MAX_VALUE) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or(&text)),
        None => text,
    };
    Printable(&shown).to_string()
}

fn decisions(tally: &Tally, most: usize, out: &mut Output) -> Result<()> {
    for direction in [Direction::Looser, Direction::Tighter, Direction::Other] {
        let number = tally.count(direction);
        if number == 0 {
            continue;
        }
        let (title, style) = match direction {
            Direction::Looser => ("looser", BAD),
            Direction::Tighter => ("tighter", GOOD),
            Direction::Other => ("said otherwise", LABEL),
        };
        out.line(format_args!("\n{style}{title}{style:#}"))?;
        for named in tally.of(direction).take(most) {
            one(named, out)?;
        }
        if number > most {
            let more = number - most;
            out.line(format_args!(
                "  and {more} more: `--show` shows more, `--json` all that are named"
            ))?;
        }
    }
    Ok(())
}

fn one(named: &Named, out: &mut Output) -> Result<()> {
    let change = &named.change;
    let (name, from, target) = (
        Printable(&named.name),
        Printable(&named.from),
        Printable(&named.target),
    );
    out.line(format_args!("  {name}  ({from}, {target})"))?;
    let (old, new) = (change.old.word(), change.new.word());
    let (old, new) = (Printable(old), Printable(new));
    let is_only_message = old.0 == new.0;
    if !is_only_message {
        out.line(format_args!("    {old} -> {new}"))?;
    }
    let lines = parts(change)
        .chain(messages(&change.old, &change.new))
        .chain(problems(change));
    lines
        .into_iter()
        .try_for_each(|line| Ok(out.line(format_args!("    {line}"))?))
}

/// A line for each address and each of the terms that changed.
pub(crate) fn parts(change: &Change) -> impl Iterator<Item = String> {
    let addresses = change.addresses.iter().map(|judged| {
        let (old, new) = (judged.old.word(), judged.new.word());
        let (old, new) = (Printable(old), Printable(new));
        format!("{}: {old} -> {new}", judged.address)
    });
    addresses.chain(change.terms.iter().map(changed_term))
}

/// What is wrong with settings, for each policy that refuses them.
fn problems(change: &Change) -> Vec<String> {
    let sides = [("old", &change.old), ("new", &change.new)];
    let mut lines = Vec::new();
    for (which, verdict) in sides {
        if let Verdict::Refused { problems } = verdict {
            let told = problems.iter().map(ToString::to_string);
            lines.extend(told.map(|problem| format!("{which}: {}", Printable(&problem))));
        }
    }
    lines
}

fn changed_term(term: &TermChange) -> String {
    let way = match term.direction {
        Direction::Looser => "looser",
        _ => "tighter",
    };
    format!(
        "{} {} -> {} ({way})",
        term.term,
        value(&term.old),
        value(&term.new)
    )
}

/// What the policies say about their denials: both, where both deny and say it differently.
fn messages(old: &Verdict, new: &Verdict) -> Vec<String> {
    match (old.message(), new.message()) {
        (Some(old), Some(new)) if old == new => Vec::new(),
        (old, new) => [("old", old), ("new", new)]
            .into_iter()
            .filter_map(|(which, message)| Some((which, message.filter(|text| !text.is_empty())?)))
            .map(|(which, message)| format!("{which}: {}", Printable(message)))
            .collect(),
    }
}

fn summary(tally: &Tally, skipped: usize, out: &mut Output) -> Result<()> {
    let asked = count(tally.asked, "question", "questions");
    let style = if tally.looser > 0 { BAD } else { GOOD };
    out.line(format_args!(
        "\n{asked}: {style}{} looser{style:#}, {} tighter, {} said otherwise, {} the same",
        tally.looser, tally.tighter, tally.other, tally.same
    ))?;
    if skipped > 0 {
        let skipped = count(skipped, "case", "cases");
        out.line(format_args!(
            "{skipped} not asked: no policy is asked about them"
        ))?;
    }
    Ok(())
}

fn version(surface: &Surface, advice: &Advice, out: &mut Output) -> Result<()> {
    let version = |component: &Component| component.version.clone().unwrap_or_default();
    let (old, new) = (version(&surface.old), version(&surface.new));
    let (old, new) = (Printable(&old), Printable(&new));
    let stated = match advice.stated {
        Some(Step::None) => "no change".to_owned(),
        Some(step) => format!("a {step} change"),
        None => "nothing that can be compared".to_owned(),
    };
    let mut line = format!(
        "version {old} -> {new} says {stated}, it is a {} one",
        advice.changes
    );
    if let (false, Some(least)) = (advice.enough, &advice.least) {
        line += &format!(": {least} would say so");
    }
    Ok(out.line(line)?)
}

fn section(label: &str, lines: Vec<String>, otherwise: &str, out: &mut Output) -> Result<()> {
    if lines.is_empty() {
        return Ok(out.line(format_args!("{LABEL}{label:8}{LABEL:#}  {otherwise}"))?);
    }
    out.line(format_args!("{LABEL}{label}{LABEL:#}"))?;
    lines
        .into_iter()
        .try_for_each(|line| Ok(out.line(format_args!("  {line}"))?))
}

/// Digits of a digest that are shown.
const DIGEST: usize = 12;
/// Characters of a value that are shown.
const MAX_VALUE: usize = 60;
