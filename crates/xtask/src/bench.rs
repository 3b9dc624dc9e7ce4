//! `cargo xtask bench`: runs the benches and writes what they measured to `docs/bench.md`.
//!
//! Times depend on the machine, ratios much less: the page compares ratios, all from one run.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    thread,
    time::SystemTime,
};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{setup, shell};

/// Runs all benches and writes the page. With arguments, which go to `cargo bench`, writes nothing.
pub(crate) fn run(more: &[&str]) -> Result<()> {
    setup::run()?;
    let started = SystemTime::now();
    shell::cargo(BENCH, more)?;
    if !more.is_empty() {
        return Ok(());
    }
    let figures = Figures::read(&criterion()?, started)?;
    let memory = shell::output(&mut shell::command("cargo", MEMORY))?;
    let memory: Value = serde_json::from_str(memory.trim()).context("the memory is not JSON")?;
    fs::write(
        shell::root().join(PAGE),
        page(&figures, &memory, &machine()?)?,
    )?;
    println!("wrote {PAGE}");
    Ok(())
}

/// Medians in nanoseconds, by the full name of the bench.
struct Figures(BTreeMap<String, f64>);

impl Figures {
    /// Reads what criterion left since the run began.
    fn read(folder: &Path, since: SystemTime) -> Result<Self> {
        let mut medians = BTreeMap::new();
        for file in named(folder, "benchmark.json")? {
            let estimates = file.with_file_name("estimates.json");
            if !is_new(&file, since) || !estimates.exists() {
                continue;
            }
            let (id, estimates) = (json(&file)?, json(&estimates)?);
            if let (Some(id), Some(median)) = (
                id["full_id"].as_str(),
                estimates["median"]["point_estimate"].as_f64(),
            ) {
                medians.insert(id.to_owned(), median);
            }
        }
        Ok(Self(medians))
    }

    fn get(&self, id: &str) -> Result<f64> {
        self.0
            .get(id)
            .copied()
            .with_context(|| format!("`{id}` was not measured"))
    }

    fn ratio(&self, id: &str, to: &str) -> Result<f64> {
        Ok(self.get(id)? / self.get(to)?)
    }
}

fn page(figures: &Figures, memory: &Value, machine: &str) -> Result<String> {
    let mut page = format!("{HEAD}\n{machine}\n");
    page += &targets(figures, memory)?;
    page += &table(
        "One decision, both stages, 50 + 50 names",
        "decision/native/50",
        figures,
        &[
            ("compiled natively, no sandbox", "decision/native/50"),
            (
                "an instance that is used again (never done, for comparison)",
                "decision/reused/50",
            ),
            ("an instance made ahead of time", "decision/spare/50"),
            (
                "an instance made on the spot, and its making",
                "decision/fresh/50",
            ),
        ],
    )?;
    page += &patterns(figures)?;
    page += &table(
        "A fetch on loopback, 1 KiB",
        "fetch/plain/new",
        figures,
        &[
            ("plain hyper, a new connection", "fetch/plain/new"),
            ("guarded, a new connection", "fetch/guarded/new"),
            ("plain hyper, a kept connection", "fetch/plain/kept"),
            ("guarded, a kept connection", "fetch/guarded/kept"),
        ],
    )?;
    Ok(page)
}

/// The figures that the design aims at.
fn targets(figures: &Figures, memory: &Value) -> Result<String> {
    let mut text = String::from(
        "\n## Against the targets\n\n| what | measured | reach | aim |\n|---|---|---|---|\n",
    );
    for (what, id, to, reach, aim) in RATIOS {
        let ratio = times(figures.ratio(id, to)?);
        writeln!(text, "| {what} | {ratio} | {reach} | {aim} |")?;
    }
    // One round of the bench is one decision on each thread.
    let threads = times(2.0 * figures.ratio("threads/fresh/1", "threads/fresh/2")?);
    writeln!(
        text,
        "| decisions on two threads against one | {threads} | 1.9x | 2.0x |"
    )?;
    let resident = memory["resident_kib"]
        .as_f64()
        .context("no resident memory")?
        / 1024.0;
    writeln!(
        text,
        "| resident memory of a loaded policy | {resident:.2} MiB | 0.5 MiB | 0.2 MiB |"
    )?;
    let swap = figures.get("swap/to-first-decision/50")? / 1e6;
    writeln!(
        text,
        "| swap, from bytes to the first decision | {swap:.0} ms | 250 ms | 20 ms |"
    )?;
    Ok(text)
}

fn table(title: &str, base: &str, figures: &Figures, rows: &[(&str, &str)]) -> Result<String> {
    let mut text =
        format!("\n## {title}\n\n| case | median | against the first |\n|---|---|---|\n");
    for (what, id) in rows {
        let ratio = times(figures.ratio(id, base)?);
        writeln!(
            text,
            "| {what} | {} | {ratio} |",
            duration(figures.get(id)?)
        )?;
    }
    Ok(text)
}

fn patterns(figures: &Figures) -> Result<String> {
    let mut text = String::from(
        "\n## More patterns\n\n| patterns in each list | native | fresh instance | against 10 |\n|---|---|---|---|\n",
    );
    for size in SIZES {
        let (native, fresh) = (
            format!("patterns/native/{size}"),
            format!("patterns/fresh/{size}"),
        );
        let ratio = times(figures.ratio(&fresh, "patterns/fresh/10")?);
        let (native, fresh) = (
            duration(figures.get(&native)?),
            duration(figures.get(&fresh)?),
        );
        writeln!(text, "| {size} | {native} | {fresh} | {ratio} |")?;
    }
    Ok(text)
}

/// A ratio: `1.25x`.
pub(crate) fn times(ratio: f64) -> String {
    if ratio < 10.0 {
        format!("{ratio:.2}x")
    } else {
        format!("{ratio:.0}x")
    }
}

/// A time in the unit that suits it.
pub(crate) fn duration(nanoseconds: f64) -> String {
    match nanoseconds {
        n if n < 1e3 => format!("{n:.0} ns"),
        n if n < 1e6 => format!("{:.1} µs", n / 1e3),
        n if n < 1e9 => format!("{:.1} ms", n / 1e6),
        n => format!("{:.1} s", n / 1e9),
    }
}

/// What a reader must know to compare: processor, threads, compiler, system.
pub(crate) fn machine() -> Result<String> {
    let rustc = shell::output(&mut shell::command("rustc", &["--version"]))?;
    let threads = thread::available_parallelism()?;
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cpu = cpu.map_or("unknown processor", |(_, model)| model);
    let rustc = rustc.split(" (").next().unwrap_or_default();
    Ok(format!(
        "Measured on: {cpu}, {threads} threads, {}, {rustc}.",
        std::env::consts::OS
    ))
}

fn criterion() -> Result<PathBuf> {
    Ok(target()?.join("criterion"))
}

/// The folder that cargo builds in.
pub(crate) fn target() -> Result<PathBuf> {
    let words = ["metadata", "--format-version=1", "--no-deps"];
    let metadata = shell::output(&mut shell::command("cargo", &words))?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let target = metadata["target_directory"]
        .as_str()
        .context("cargo names no target folder")?;
    Ok(target.into())
}

/// The files with this name in folders called `new`, where criterion keeps the latest run.
fn named(folder: &Path, name: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {folder:?}"))? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(named(&path, name)?);
        } else if path.ends_with(Path::new("new").join(name)) {
            found.push(path);
        }
    }
    Ok(found)
}

fn is_new(file: &Path, since: SystemTime) -> bool {
    fs::metadata(file)
        .and_then(|meta| meta.modified())
        .is_ok_and(|modified| modified >= since)
}

fn json(file: &Path) -> Result<Value> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {file:?}"))?;
    serde_json::from_str(&text).with_context(|| format!("{file:?} is not JSON"))
}

const BENCH: &[&str] = &["bench", "-p", "pinfold-bench"];
const MEMORY: &[&str] = &[
    "run",
    "--quiet",
    "--profile=bench",
    "-p",
    "pinfold-bench",
    "--example",
    "memory",
];
/// What is compared with what: name, bench, baseline, to be reached, aimed at.
const RATIOS: &[(&str, &str, &str, &str, &str)] = &[
    (
        "fresh instance, whole cost, against native",
        "decision/fresh/50",
        "decision/native/50",
        "60x",
        "40x",
    ),
    (
        "spare instance, what a request waits for, against native",
        "decision/spare/50",
        "decision/native/50",
        "15x",
        "10x",
    ),
    (
        "fresh instance, 10,000 + 10,000 names against 50 + 50",
        "patterns/fresh/10000",
        "decision/fresh/50",
        "1.6x",
        "1.2x",
    ),
    (
        "reused instance against native",
        "decision/reused/50",
        "decision/native/50",
        "12x",
        "8x",
    ),
    (
        "guarded fetch against plain hyper, new connection",
        "fetch/guarded/new",
        "fetch/plain/new",
        "1.25x",
        "1.1x",
    ),
    (
        "guarded fetch against plain hyper, kept connection",
        "fetch/guarded/kept",
        "fetch/plain/kept",
        "1.15x",
        "1.05x",
    ),
];
const PAGE: &str = "docs/bench.md";
/// Patterns in each list, as in the bench.
const SIZES: [u32; 4] = [10, 1_000, 10_000, 100_000];
const HEAD: &str = "\
# Measured

Made by `cargo xtask bench`: medians of one run. Times depend on the machine, ratios much less. A decision
is both stages with one address.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_their_unit() {
        for (nanoseconds, written) in [
            (180.0, "180 ns"),
            (9_000.0, "9.0 µs"),
            (151_300_000.0, "151.3 ms"),
            (17_300_000_000.0, "17.3 s"),
        ] {
            assert_eq!(duration(nanoseconds), written);
        }
    }

    #[test]
    fn two_threads_that_take_as_long_as_one_decide_twice_as_much() {
        let text = targets(&figures(), &serde_json::json!({ "resident_kib": 512 })).unwrap();
        assert!(
            text.contains("| decisions on two threads against one | 2.00x |"),
            "{text}"
        );
        assert!(text.contains("| 0.50 MiB |"), "{text}");
        assert!(
            text.contains("| fresh instance, whole cost, against native | 50x |"),
            "{text}"
        );
    }

    #[test]
    fn a_figure_that_was_not_measured_is_an_error() {
        let Figures(mut all) = figures();
        all.remove("decision/spare/50");
        let error = targets(&Figures(all), &serde_json::json!({ "resident_kib": 1 })).unwrap_err();
        assert_eq!(error.to_string(), "`decision/spare/50` was not measured");
    }

    fn figures() -> Figures {
        let all = [
            ("decision/native/50", 200.0),
            ("decision/fresh/50", 10_000.0),
            ("decision/spare/50", 2_000.0),
            ("decision/reused/50", 1_600.0),
            ("patterns/fresh/10000", 11_000.0),
            ("threads/fresh/1", 10_000.0),
            ("threads/fresh/2", 10_000.0),
            ("fetch/plain/new", 1.0),
            ("fetch/guarded/new", 1.1),
            ("fetch/plain/kept", 1.0),
            ("fetch/guarded/kept", 1.1),
            ("swap/to-first-decision/50", 2e8),
        ];
        Figures(all.map(|(id, median)| (id.to_owned(), median)).into())
    }
}
