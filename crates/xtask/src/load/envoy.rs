//! What it costs an Envoy to ask: `docs/envoy-cost.md`.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};

use super::{
    Comparison,
    figures::{Contender, Figures},
    plot::Group,
    tables::{cells, closed, conditions, micros, ratio},
};
use crate::{
    page::{grouped, table},
    shell,
};

/// The comparison.
pub(super) const ENVOY: Comparison = Comparison {
    name: "load envoy",
    role: "envoy",
    page: "docs/envoy-cost.md",
    picture: "docs/envoy-cost.svg",
    title: "An Envoy, and whom it asks",
    groups: GROUPS,
    measured,
    peers: || Ok(vec![installed()?]),
};

/// The Envoy that `cargo xtask setup` installs.
fn installed() -> Result<PathBuf> {
    let library = shell::root().join("tests/clients/envoy/.venv/lib");
    let pythons = fs::read_dir(&library).into_iter().flatten().flatten();
    let mut binaries = pythons.map(|python| python.path().join("site-packages/envoy/_bin/envoy"));
    let found = binaries.find(|binary| binary.is_file());
    found.with_context(|| format!("no Envoy in {}", shell::relative(&library)))
}

/// All that a run has to say.
fn measured(figures: &Figures, machine: &str) -> Result<String> {
    let seconds = figures.of_the_run("/seconds/closed")?;
    let seconds = format!("{seconds} s for each figure");
    let mut text = conditions(figures, machine, &versions(figures)?, &seconds)?;
    text += "\n![Each way to ask, with one client and with 32](envoy-cost.svg)\n";
    text += "\n## Beside an Envoy that asks nobody\n\n";
    text += &beside(figures, NOBODY, &ALL[1..])?;
    text += "\n## Beside a service that says yes to everything\n\n";
    text += &beside(figures, YES, &[PINFOLD, LOGGING])?;
    for (title, scenario) in [
        ("One client", "requests-1"),
        ("32 clients at the same time", "requests-32"),
    ] {
        text += &format!("\n## {title}\n\n");
        text += &closed(figures, &ALL, NOBODY, scenario, ["requests/s", "of nobody"])?;
    }
    text += &lost(figures)?;
    text += "\n## Processors and memory\n\n";
    text += &burden(figures)?;
    Ok(text)
}

fn versions(figures: &Figures) -> Result<String> {
    let envoy = figures.text("/versions/envoy")?;
    // PATH version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL
    let version = envoy.rsplit('/').nth(3).unwrap_or(envoy);
    Ok(format!(
        "{}; Envoy {version}",
        figures.text("/versions/pinfold")?
    ))
}

/// Ratios, and what is added to the time of a request.
fn beside(figures: &Figures, base: Contender, contenders: &[Contender]) -> Result<String> {
    let titles = contenders
        .iter()
        .map(|contender| contender.title.to_owned());
    let mut rows = vec![[String::new()].into_iter().chain(titles).collect()];
    for (clients, scenario) in SCENARIOS {
        for (title, figure) in RATIOS {
            let ratio = |contender: &Contender| ratio(figures, *contender, base, scenario, figure);
            rows.push(row(&format!("{clients}: {title}"), contenders, ratio)?);
        }
        let added = |contender: &Contender| added(figures, *contender, base, scenario);
        rows.push(row(&format!("{clients}: added to p50"), contenders, added)?);
    }
    Ok(table(&rows))
}

fn row(
    title: &str,
    contenders: &[Contender],
    cell: impl Fn(&Contender) -> Result<String>,
) -> Result<Vec<String>> {
    let cells = contenders.iter().map(cell);
    [Ok(title.to_owned())].into_iter().chain(cells).collect()
}

fn added(figures: &Figures, to: Contender, base: Contender, scenario: &str) -> Result<String> {
    let base = figures.median(base, scenario, "p50_us")?;
    let milliseconds = (figures.median(to, scenario, "p50_us")? - base) / 1e3;
    Ok(format!("{milliseconds:+.2} ms"))
}

/// Records that the log has not.
fn lost(figures: &Figures) -> Result<String> {
    let dropped = grouped(figures.sum(LOGGING, "log", "dropped")?);
    let done = SCENARIOS
        .iter()
        .map(|(_, scenario)| figures.sum(LOGGING, scenario, "done"));
    let done = grouped(done.sum::<Result<f64>>()?);
    Ok(format!(
        "\nOf the records of {done} requests (and of those that are not counted), {dropped} were dropped: one that finds \
         the queue full is counted, and no client waits.\n"
    ))
}

/// What each process needs: processor time for a request, and memory.
fn burden(figures: &Figures) -> Result<String> {
    let head = [
        "",
        "Envoy, 1 client",
        "behind it",
        "Envoy, 32 clients",
        "behind it",
        "Envoy holds",
        "behind it",
    ];
    let mut rows = vec![cells(head)];
    for contender in ALL {
        let mut row = vec![contender.title.to_owned()];
        for (_, scenario) in SCENARIOS {
            for figure in ["envoy_us", "behind_us"] {
                row.push(some(figures.median(contender, scenario, figure)?, micros));
            }
        }
        for figure in ["envoy_kib", "behind_kib"] {
            let mib = |kib: f64| format!("{:.1} MiB", kib / 1024.0);
            row.push(some(figures.median(contender, "resident", figure)?, mib));
        }
        rows.push(row);
    }
    Ok(table(&rows))
}

/// Nothing is a line.
fn some(figure: f64, written: impl Fn(f64) -> String) -> String {
    match figure > 0.0 {
        true => written(figure),
        false => "-".to_owned(),
    }
}

const NOBODY: Contender = Contender::new("nobody", "nobody", false);
const YES: Contender = Contender::new("yes", "always yes", false);
const PINFOLD: Contender = Contender::new("pinfold", "Pinfold", false);
const LOGGING: Contender = Contender::new("pinfold", "Pinfold, logging", true);

const ALL: [Contender; 6] = [
    NOBODY,
    Contender::new("constant", "constant address", false),
    YES,
    PINFOLD,
    LOGGING,
    Contender::new("connector", "through Pinfold", false),
];

const SCENARIOS: [(&str, &str); 2] = [("1", "requests-1"), ("32", "requests-32")];

const RATIOS: [(&str, &str); 3] = [
    ("requests/s", "per_second"),
    ("p50 (less is better)", "p50_us"),
    ("p99 (less is better)", "p99_us"),
];

const GROUPS: &[Group] = &[
    Group {
        title: "Requests a second, 32 clients",
        scenario: "requests-32",
        figure: "per_second",
        unit: 1.0,
        contenders: &ALL,
    },
    Group {
        title: "p50 with one client, µs (less is better)",
        scenario: "requests-1",
        figure: "p50_us",
        unit: 1.0,
        contenders: &ALL,
    },
    Group {
        title: "p99 with one client, µs (less is better)",
        scenario: "requests-1",
        figure: "p99_us",
        unit: 1.0,
        contenders: &ALL,
    },
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::load::{figures::tests, plot::svg};

    /// The one that asks nobody does ten times what the others do.
    fn sample() -> Figures {
        let same = json!({
            "dropped": 7, "p50_us": 100.0, "p99_us": 900.0, "done": 4_000, "failed": 0,
            "envoy_us": 50.0, "behind_us": 0.0, "envoy_kib": 1024, "behind_kib": 6024,
        });
        let whole = json!({
            "seconds": { "closed": 2.0 },
            "versions": { "pinfold": "pinfold 0.1.0", "envoy": "/a/b/envoy  version: 9e55/1.40.0/Clean/RELEASE/BoringSSL" },
        });
        let scenarios = ["requests-1", "requests-32", "resident", "log", "others"];
        tests::sample(&ALL, &scenarios, &same, whole)
    }

    #[test]
    fn every_contender_has_its_figures_and_ratios() {
        let text = measured(&sample(), "Measured on: a machine.").unwrap();
        let lines: Vec<String> = text.lines().map(packed).collect();
        for line in [
            "pinfold 0.1.0; Envoy 1.40.0. One run of 400 s, 3 rounds; 2.0 s for each figure.",
            "Before a turn, other programs used at most 12% of the processors.",
            "| | constant address | always yes | Pinfold | Pinfold, logging | through Pinfold |",
            "| 1: requests/s | 0.10x | 0.10x | 0.10x | 0.10x | 0.10x |",
            "| 32: added to p50 | +0.00 ms | +0.00 ms |",
            "| nobody | 20,000 | 10,000 to 30,000 | 1.00x | 100.0 µs | 900.0 µs | 0 |",
            "Of the records of 24,000 requests (and of those that are not counted), 21 were dropped: one that finds the queue full is counted, and no client waits.",
            "| Pinfold | 50.0 µs | - | 50.0 µs | - | 1.0 MiB | 5.9 MiB |",
        ] {
            assert!(lines.iter().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn every_contender_is_in_the_picture() {
        let picture = svg(ENVOY.title, GROUPS, &sample()).unwrap();
        for contender in ALL {
            let title = format!(">{}<", contender.title);
            assert_eq!(picture.matches(&title).count(), GROUPS.len(), "{title}");
        }
    }

    /// Without the spaces that make a table line up.
    fn packed(line: &str) -> String {
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}
