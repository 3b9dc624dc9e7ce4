//! `cargo xtask languages`: measures one policy in four languages and writes the table in
//! `docs/languages.md`.
//!
//! The figures come from `pinfold policy bench --json` over the examples, which answer the same vectors
//! alike. What surrounds the table is written by hand.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{bench, page, page::grouped, setup, shell};

/// Measures and writes. `--debug` takes the binary without optimisation, which is there already; its times
/// are several times longer.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    let debug = match words {
        [] => false,
        ["--debug"] => true,
        _ => bail!("`languages` takes `--debug` or nothing"),
    };
    setup::run()?;
    let pinfold = binary(debug)?;
    let mut reports = BTreeMap::new();
    for (language, _) in LANGUAGES {
        println!("measuring {language}");
        reports.insert(language, measure(&pinfold, language)?);
    }
    let measured = measured(&reports, &bench::machine()?)?;
    page::rewrite(PAGE, "languages", &measured)
}

/// Builds the binary and says where it is.
fn binary(debug: bool) -> Result<PathBuf> {
    let (words, folder): (&[&str], _) = match debug {
        true => (&["build", "-p", "pinfold-cli"], "debug"),
        false => (&["build", "-p", "pinfold-cli", "--release"], "release"),
    };
    shell::cargo(words, &[])?;
    Ok(bench::target()?.join(folder).join("pinfold"))
}

/// One report. A component that is not there is built first.
fn measure(pinfold: &Path, language: &str) -> Result<Value> {
    let pinfold = pinfold
        .to_str()
        .context("the path of the binary is not UTF-8")?;
    let project = format!("{EXAMPLES}/{language}");
    if !shell::root().join(&project).join(COMPONENT).exists() {
        shell::status(&mut shell::command(pinfold, &["policy", "build", &project]))?;
    }
    let words = [
        "policy",
        "bench",
        "--json",
        "--samples",
        SAMPLES,
        "--time",
        SECONDS,
        &project,
    ];
    let text = shell::output(&mut shell::command(pinfold, &words))?;
    serde_json::from_str(&text).context("the report is not JSON")
}

fn measured(reports: &BTreeMap<&str, Value>, machine: &str) -> Result<String> {
    let rust = reports.get(BASE).context("Rust was not measured")?;
    let optimised = rust["host"]["optimised"].as_bool().unwrap_or(false);
    let build = if optimised {
        "an optimised"
    } else {
        "an unoptimised"
    };
    let mut text = format!("{machine}\nMeasured with {build} build of the host.\n");
    for (title, columns) in TABLES {
        write!(text, "\n| language |")?;
        columns
            .iter()
            .try_for_each(|column| write!(text, " {} |", column.title))?;
        writeln!(text, "\n|---|{}", "---|".repeat(columns.len()))?;
        for (language, name) in LANGUAGES {
            let report = reports
                .get(language)
                .with_context(|| format!("{name} was not measured"))?;
            write!(text, "| {name} |")?;
            for column in *columns {
                write!(text, " {} |", column.cell(report, rust))?;
            }
            writeln!(text)?;
        }
        writeln!(text, "\n{title}")?;
    }
    Ok(text)
}

/// A column: where its figure is in the report, and how it is written.
struct Column {
    title: &'static str,
    pointer: &'static str,
    shown: fn(f64) -> String,
    /// Whether it is compared with Rust.
    ratio: bool,
}

impl Column {
    /// A figure that was not measured is a dash: a policy that loads from no cache, for example.
    fn cell(&self, report: &Value, base: &Value) -> String {
        let figure = |report: &Value| report.pointer(self.pointer).and_then(Value::as_f64);
        match (figure(report), figure(base)) {
            (None, _) => "-".into(),
            (Some(figure), Some(base)) if self.ratio && base > 0.0 => {
                format!("{} ({})", (self.shown)(figure), bench::times(figure / base))
            }
            (Some(figure), _) => (self.shown)(figure),
        }
    }
}

fn kib(bytes: f64) -> String {
    grouped((bytes / 1024.0).ceil()) + " KiB"
}

const PAGE: &str = "docs/languages.md";
const EXAMPLES: &str = "guest/examples";
const COMPONENT: &str = "partners.wasm";
/// What the others are compared with.
const BASE: &str = "rust";
const LANGUAGES: [(&str, &str); 4] = [
    (BASE, "Rust"),
    ("c", "C"),
    ("javascript", "JavaScript"),
    ("python", "Python"),
];
/// Decisions of each kind that are measured, and the time for them.
const SAMPLES: &str = "5000";
const SECONDS: &str = "20";

const TABLES: &[(&str, &[Column])] = &[
    (
        "Times of a decision are medians: both stages, with the instance. *On the spot*: made when the request \
         comes. *Ahead of\ntime*: one that was made before; it is as fresh.",
        &[
            Column {
                title: "instance, on the spot",
                pointer: "/times/instance_fresh/median_ns",
                shown: bench::duration,
                ratio: true,
            },
            Column {
                title: "decision, on the spot",
                pointer: "/times/decision_fresh/median_ns",
                shown: bench::duration,
                ratio: true,
            },
            Column {
                title: "decision, ahead of time",
                pointer: "/times/decision_spare/median_ns",
                shown: bench::duration,
                ratio: true,
            },
            Column {
                title: "its p99",
                pointer: "/times/decision_spare/p99_ns",
                shown: bench::duration,
                ratio: false,
            },
            Column {
                title: "fuel, all vectors",
                pointer: "/fuel/sum",
                shown: grouped,
                ratio: true,
            },
        ],
    ),
    (
        "*Memory* is the linear memory of one instance before the first question, and after the vector that takes \
         most. *Load* is\nfrom the bytes to a policy that is ready: configured and compiled, or with the compiled \
         code in a cache on disk.",
        &[
            Column {
                title: "component",
                pointer: "/policy/size_bytes",
                shown: kib,
                ratio: true,
            },
            Column {
                title: "memory",
                pointer: "/memory/start_bytes",
                shown: kib,
                ratio: false,
            },
            Column {
                title: "at most",
                pointer: "/memory/most/value",
                shown: kib,
                ratio: false,
            },
            Column {
                title: "load, compiled",
                pointer: "/load/cold_ns",
                shown: bench::duration,
                ratio: true,
            },
            Column {
                title: "load, cached",
                pointer: "/load/cached/median_ns",
                shown: bench::duration,
                ratio: true,
            },
        ],
    ),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(decision: u64) -> Value {
        json!({
            "host": { "optimised": true },
            "policy": { "size_bytes": 2_000_000 },
            "times": { "decision_spare": { "median_ns": decision, "p99_ns": decision * 3 } },
            "fuel": { "sum": 1_234_567 },
            "load": { "cold_ns": null },
        })
    }

    fn all() -> BTreeMap<&'static str, Value> {
        let factor = |language| if language == BASE { 1 } else { 20 };
        let languages = LANGUAGES.into_iter().map(|(language, _)| language);
        languages
            .map(|language| (language, report(10_000 * factor(language))))
            .collect()
    }

    #[test]
    fn each_language_is_compared_with_rust() {
        let text = measured(&all(), "Measured on: a machine.").unwrap();
        assert!(text.starts_with(
            "Measured on: a machine.\nMeasured with an optimised build of the host.\n"
        ));
        for row in [
            "| Rust | - | - | 10.0 µs (1.00x) | 30.0 µs | 1,234,567 (1.00x) |",
            "| Python | - | - | 200.0 µs (20x) | 600.0 µs | 1,234,567 (1.00x) |",
            "| C | 1,954 KiB (1.00x) | - | - | - | - |",
        ] {
            assert!(text.contains(row), "{row}\n{text}");
        }
    }

    #[test]
    fn a_language_that_was_not_measured_is_an_error() {
        let mut reports = all();
        reports.remove("python");
        let error = measured(&reports, "").unwrap_err();
        assert_eq!(error.to_string(), "Python was not measured");
    }
}
