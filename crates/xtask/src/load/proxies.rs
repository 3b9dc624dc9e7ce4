//! The gateway beside tinyproxy, squid and a bare relay: `docs/load.md`.

use anyhow::Result;

use super::{
    Comparison,
    figures::{Contender, Figures},
    plot::Group,
    tables::{cells, closed, conditions, micros, ratio},
};
use crate::{
    page::{grouped, table},
    setup::{self, Program},
};

/// The comparison.
pub(super) const PROXIES: Comparison = Comparison {
    name: "load",
    role: "proxies",
    page: "docs/load.md",
    picture: "docs/load.svg",
    title: "Pinfold beside tinyproxy, squid and a bare relay",
    groups: GROUPS,
    measured,
    peers: || setup::programs(PEERS).map(|()| Vec::new()),
};

/// All that a run has to say.
fn measured(figures: &Figures, machine: &str) -> Result<String> {
    let mut text = conditions(figures, machine, &versions(figures)?, &seconds(figures)?)?;
    text += "\n![Each contender in each scenario](load.svg)\n";
    text += "\n## Pinfold against each\n\n";
    text += &against(figures)?;
    text += "\nPinfold's figure, divided by the other's. Logging is compared with logging.\n";
    text += "\n## Plain requests\n\n";
    text += &closed(
        figures,
        &ALL,
        RELAY,
        "requests",
        ["requests/s", "of the relay"],
    )?;
    text += "\n## Tunnels set up\n\n";
    text += &closed(
        figures,
        &ALL,
        RELAY,
        "setups",
        ["set-ups/s", "of the relay"],
    )?;
    text += &lost(figures)?;
    text += "\n## Throughput of tunnels\n\n";
    text += &streams(figures)?;
    text += "\n## Idle tunnels\n\n";
    text += &idle(figures)?;
    text += "\n## A new policy every second\n\n";
    text += &swaps(figures)?;
    Ok(text)
}

fn versions(figures: &Figures) -> Result<String> {
    let versions: Vec<&str> = ["pinfold", "tinyproxy", "squid"]
        .iter()
        .map(|name| figures.text(&format!("/versions/{name}")))
        .collect::<Result<_>>()?;
    let versions = versions.join("; ");
    Ok(versions.replace("Squid Cache: Version", "squid"))
}

fn seconds(figures: &Figures) -> Result<String> {
    let [closed, swapped, stream] =
        ["closed", "swapped", "stream"].map(|what| figures.of_the_run(&format!("/seconds/{what}")));
    let (closed, swapped, stream) = (closed?, swapped?, stream?);
    Ok(format!(
        "requests and set-ups {closed} s each, {swapped} s while policies are swapped, throughput {stream} s"
    ))
}

/// Each figure of Pinfold as a ratio to that of each other.
fn against(figures: &Figures) -> Result<String> {
    let mut rows = vec![cells(["", "bare relay", "tinyproxy", "squid"])];
    for (title, scenario, figure) in RATIOS {
        let mut row = vec![(*title).to_owned()];
        for other in [RELAY, TINYPROXY, SQUID] {
            row.push(ratio(figures, PINFOLD, other, scenario, figure)?);
        }
        rows.push(row);
    }
    for (title, scenario) in [
        ("requests/s, logging", "requests"),
        ("set-ups/s, logging", "setups"),
    ] {
        let mut row = vec![title.to_owned(), "-".to_owned()];
        for other in [TINYPROXY, SQUID].map(logging) {
            row.push(ratio(
                figures,
                logging(PINFOLD),
                other,
                scenario,
                "per_second",
            )?);
        }
        rows.push(row);
    }
    Ok(table(&rows))
}

const fn logging(contender: Contender) -> Contender {
    Contender {
        log: true,
        ..contender
    }
}

/// Records that Pinfold's log has not: it drops what finds its queue full, where others let clients wait.
fn lost(figures: &Figures) -> Result<String> {
    let pinfold = logging(PINFOLD);
    let dropped = grouped(figures.sum(pinfold, "log", "dropped")?);
    let decided =
        figures.sum(pinfold, "requests", "done")? + figures.sum(pinfold, "setups", "done")?;
    let decided = grouped(decided);
    Ok(format!(
        "\nOf Pinfold's log, two records for each of {decided} requests and set-ups (and for those that are not counted), \
         {dropped} were dropped: a record that finds the queue full is counted, and no client waits.\n"
    ))
}

fn streams(figures: &Figures) -> Result<String> {
    let mut rows = vec![cells(["MiB/s", "up, 1", "up, 8", "down, 1", "down, 8"])];
    for contender in QUIET {
        let mut row = vec![contender.title.to_owned()];
        for scenario in ["up-1", "up-8", "down-1", "down-8"] {
            let bytes = figures.median(contender, scenario, "bytes_per_second")?;
            let ratio = ratio(figures, contender, RELAY, scenario, "bytes_per_second")?;
            row.push(format!("{} ({ratio})", grouped(bytes / MIB)));
        }
        rows.push(row);
    }
    Ok(table(&rows))
}

fn idle(figures: &Figures) -> Result<String> {
    let count = figures.of_the_run("/idle")?.as_f64().unwrap_or_default();
    let with = format!("with {}", grouped(count));
    let head = [
        "resident",
        "no tunnel",
        &with,
        "each tunnel",
        "of the relay",
    ];
    let mut rows = vec![cells(head)];
    for contender in QUIET {
        let mib = |figure| {
            let kib = figures.median(contender, "idle", figure)?;
            anyhow::Ok(format!("{:.1} MiB", kib / 1024.0))
        };
        let each = figures.median(contender, "idle", "each_bytes")?;
        rows.push(vec![
            contender.title.to_owned(),
            mib("none_kib")?,
            mib("all_kib")?,
            format!("{} bytes", grouped(each)),
            ratio(figures, contender, RELAY, "idle", "each_bytes")?,
        ]);
    }
    Ok(table(&rows))
}

fn swaps(figures: &Figures) -> Result<String> {
    let head = [
        "Pinfold", "a second", "p50", "p99", "slowest", "done", "failed", "swaps",
    ];
    let mut rows = vec![cells(head)];
    for (title, scenario) in SWAPS {
        let swaps = match scenario.ends_with("swapped") {
            true => grouped(figures.sum(PINFOLD, scenario, "swaps")?),
            false => "-".to_owned(),
        };
        rows.push(vec![
            (*title).to_owned(),
            grouped(figures.median(PINFOLD, scenario, "per_second")?),
            micros(figures.median(PINFOLD, scenario, "p50_us")?),
            micros(figures.median(PINFOLD, scenario, "p99_us")?),
            micros(figures.range(PINFOLD, scenario, "most_us")?.1),
            grouped(figures.sum(PINFOLD, scenario, "done")?),
            grouped(figures.sum(PINFOLD, scenario, "failed")?),
            swaps,
        ]);
    }
    Ok(table(&rows))
}

const RELAY: Contender = Contender::new("relay", "bare relay", false);
const PINFOLD: Contender = Contender::new("pinfold", "Pinfold", false);
const TINYPROXY: Contender = Contender::new("tinyproxy", "tinyproxy", false);
const SQUID: Contender = Contender::new("squid", "squid", false);

/// Without logs.
const QUIET: [Contender; 4] = [RELAY, PINFOLD, TINYPROXY, SQUID];

/// With the log, where one was measured.
const ALL: [Contender; 7] = [
    RELAY,
    PINFOLD,
    Contender::new("pinfold", "Pinfold, logging", true),
    TINYPROXY,
    Contender::new("tinyproxy", "tinyproxy, logging", true),
    SQUID,
    Contender::new("squid", "squid, logging", true),
];

const PEERS: &[Program] = &[
    Program::new("tinyproxy", "tinyproxy-bin").asked("-v"),
    Program::new("squid", "squid").asked("-v"),
];

const MIB: f64 = 1024.0 * 1024.0;

const SWAPS: &[(&str, &str)] = &[
    ("requests, undisturbed", "requests-undisturbed"),
    ("requests, swapped", "requests-swapped"),
    ("set-ups, undisturbed", "setups-undisturbed"),
    ("set-ups, swapped", "setups-swapped"),
];

const RATIOS: &[(&str, &str, &str)] = &[
    ("requests/s", "requests", "per_second"),
    ("requests, p99 (less is better)", "requests", "p99_us"),
    ("set-ups/s", "setups", "per_second"),
    ("set-ups, p99 (less is better)", "setups", "p99_us"),
    ("throughput up, 1 stream", "up-1", "bytes_per_second"),
    ("throughput up, 8 streams", "up-8", "bytes_per_second"),
    ("throughput down, 1 stream", "down-1", "bytes_per_second"),
    ("throughput down, 8 streams", "down-8", "bytes_per_second"),
    ("idle tunnel (less is better)", "idle", "each_bytes"),
];

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
    use serde_json::json;

    use super::*;
    use crate::load::{figures::tests, plot::svg};

    /// The relay is ten times what the others are.
    fn sample() -> Figures {
        let same = json!({
            "dropped": 7, "p50_us": 100.0, "p99_us": 900.0, "most_us": 950.0, "done": 4_000, "failed": 0, "swaps": 5,
            "none_kib": 1024, "all_kib": 6024, "each_bytes": 1024.0,
        });
        let whole = json!({
            "idle": 5_000, "seconds": { "closed": 4.0, "swapped": 6.0, "stream": 1.5 },
            "versions": { "pinfold": "pinfold 0.1.0", "tinyproxy": "tinyproxy 1.11.1", "squid": "Squid Cache: Version 5.7" },
        });
        tests::sample(&ALL, SCENARIOS, &same, whole)
    }

    const SCENARIOS: &[&str] = &[
        "requests",
        "setups",
        "up-1",
        "up-8",
        "down-1",
        "down-8",
        "idle",
        "log",
        "others",
        "requests-undisturbed",
        "requests-swapped",
        "setups-undisturbed",
        "setups-swapped",
    ];

    #[test]
    fn every_scenario_has_its_table_and_ratios() {
        let text = measured(&sample(), "Measured on: a machine.").unwrap();
        let lines: Vec<String> = text.lines().map(packed).collect();
        for line in [
            "pinfold 0.1.0; tinyproxy 1.11.1; squid 5.7. One run of 400 s, 3 rounds; requests and set-ups 4.0 s each, 6.0 s while policies are swapped, throughput 1.5 s.",
            "Load average of the machine before the run: 0.1, 0.2, 0.3; after it: 2.0, 1.0, 0.5.",
            "Before a turn, other programs used at most 12% of the processors.",
            "| requests/s | 0.10x | 1.00x | 1.00x |",
            "| requests/s, logging | - | 1.00x | 1.00x |",
            "Of Pinfold's log, two records for each of 24,000 requests and set-ups (and for those that are not counted), 21 were dropped: a record that finds the queue full is counted, and no client waits.",
            "| idle tunnel (less is better) | 1.00x | 1.00x | 1.00x |",
            "| Pinfold, logging | 2,000 | 1,000 to 3,000 | 0.10x | 100.0 µs | 900.0 µs | 0 |",
            "| squid | 1,907 (0.10x) | 1,907 (0.10x) | 1,907 (0.10x) | 1,907 (0.10x) |",
            "| Pinfold | 1.0 MiB | 5.9 MiB | 1,024 bytes | 1.00x |",
            "| set-ups, swapped | 2,000 | 100.0 µs | 900.0 µs | 950.0 µs | 12,000 | 0 | 15 |",
        ] {
            assert!(lines.iter().any(|found| found == line), "{line}\n{text}");
        }
    }

    /// Without the spaces that make a table line up.
    fn packed(line: &str) -> String {
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_bar_is_as_long_as_its_share_of_the_longest() {
        let picture = svg(PROXIES.title, GROUPS, &sample()).unwrap();
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
