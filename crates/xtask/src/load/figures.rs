//! What a run measured.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// A line of the comparison.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Contender {
    /// As the report calls it.
    pub(super) name: &'static str,
    /// As a reader knows it.
    pub(super) title: &'static str,
    /// Whether each request is logged to a file.
    pub(super) log: bool,
}

impl Contender {
    const fn new(name: &'static str, title: &'static str, log: bool) -> Self {
        Self { name, title, log }
    }
}

pub(super) const RELAY: Contender = Contender::new("relay", "bare relay", false);
pub(super) const PINFOLD: Contender = Contender::new("pinfold", "Pinfold", false);
pub(super) const TINYPROXY: Contender = Contender::new("tinyproxy", "tinyproxy", false);
pub(super) const SQUID: Contender = Contender::new("squid", "squid", false);

/// Without logs.
pub(super) const QUIET: [Contender; 4] = [RELAY, PINFOLD, TINYPROXY, SQUID];

/// With the log, where one was measured.
pub(super) const ALL: [Contender; 7] = [
    RELAY,
    PINFOLD,
    Contender::new("pinfold", "Pinfold, logging", true),
    TINYPROXY,
    Contender::new("tinyproxy", "tinyproxy, logging", true),
    SQUID,
    Contender::new("squid", "squid, logging", true),
];

/// The report of a run.
pub(super) struct Figures(Value);

impl Figures {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let report = serde_json::from_str(text).context("the report is not JSON")?;
        Ok(Self(report))
    }

    /// A figure of one contender: the median of the rounds.
    pub(super) fn median(&self, contender: Contender, scenario: &str, figure: &str) -> Result<f64> {
        let all = self.rounds(contender, scenario, figure)?;
        let middle = (all.len() - 1) / 2;
        // Of an even number of rounds the mean of the two in the middle.
        Ok((all[middle] + all[all.len() / 2]) / 2.0)
    }

    /// The least and the most of the rounds.
    pub(super) fn range(
        &self,
        contender: Contender,
        scenario: &str,
        figure: &str,
    ) -> Result<(f64, f64)> {
        let all = self.rounds(contender, scenario, figure)?;
        Ok((all[0], all[all.len() - 1]))
    }

    /// A count of all rounds.
    pub(super) fn sum(&self, contender: Contender, scenario: &str, figure: &str) -> Result<f64> {
        Ok(self.rounds(contender, scenario, figure)?.iter().sum())
    }

    /// The most that others had to do before a turn, as a share of the processors. Reports that do not say it are of
    /// runs that did not look.
    pub(super) fn most_of_others(&self) -> Option<f64> {
        let all = ALL.iter().filter_map(|contender| {
            let (_, most) = self.range(*contender, "others", "busy").ok()?;
            Some(most)
        });
        all.max_by(f64::total_cmp)
    }

    /// Something that holds for the whole run.
    pub(super) fn of_the_run(&self, pointer: &str) -> Result<&Value> {
        let found = self.0.pointer(pointer);
        found.with_context(|| format!("the report has no `{pointer}`"))
    }

    /// The same as text.
    pub(super) fn text(&self, pointer: &str) -> Result<&str> {
        let found = self.of_the_run(pointer)?.as_str();
        found.with_context(|| format!("`{pointer}` is no text"))
    }

    /// One figure of each round, sorted; there is at least one.
    fn rounds(&self, contender: Contender, scenario: &str, figure: &str) -> Result<Vec<f64>> {
        let measured = self.0["measured"].as_array().into_iter().flatten();
        let rows = measured.filter(|row| {
            row["contender"] == contender.name
                && row["log"] == contender.log
                && row["scenario"] == scenario
        });
        let mut all: Vec<f64> = rows.filter_map(|row| row[figure].as_f64()).collect();
        let name = contender.title;
        ensure!(
            !all.is_empty(),
            "`{figure}` of {name}, {scenario}, was not measured"
        );
        all.sort_by(f64::total_cmp);
        Ok(all)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// Three rounds; the relay is ten times what the others are.
    pub(in crate::load) fn sample() -> Figures {
        let mut measured = Vec::new();
        for round in [1.0, 3.0, 2.0] {
            for contender in ALL {
                let factor = if contender == RELAY { 10.0 } else { 1.0 };
                for scenario in SCENARIOS {
                    measured.push(json!({
                        "contender": contender.name, "log": contender.log, "scenario": scenario,
                        "dropped": 7, "busy": 0.04 * round, "per_second": 1_000.0 * round * factor, "p50_us": 100.0, "p99_us": 900.0, "most_us": 950.0,
                        "done": 4_000, "failed": 0, "swaps": 5, "refused_swaps": 0,
                        "bytes_per_second": 1e9 * round * factor,
                        "none_kib": 1024, "all_kib": 6024, "each_bytes": 1024.0,
                    }));
                }
            }
        }
        Figures(json!({
            "measured": measured, "rounds": 3, "clients": 64, "idle": 5_000, "took_s": 400,
            "seconds": { "closed": 4.0, "swapped": 6.0, "stream": 1.5 },
            "load_average": { "before": "0.1, 0.2, 0.3", "after": "2.0, 1.0, 0.5" },
            "versions": { "pinfold": "pinfold 0.1.0", "tinyproxy": "tinyproxy 1.11.1", "squid": "Squid Cache: Version 5.7" },
        }))
    }

    const SCENARIOS: [&str; 13] = [
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
    fn the_median_is_that_of_the_rounds() {
        let figures = sample();
        assert_eq!(
            figures.median(PINFOLD, "requests", "per_second").unwrap(),
            2_000.0
        );
        assert_eq!(
            figures.range(RELAY, "up-1", "bytes_per_second").unwrap(),
            (1e10, 3e10)
        );
        assert_eq!(
            figures.sum(PINFOLD, "setups-swapped", "swaps").unwrap(),
            15.0
        );
        assert_eq!(figures.most_of_others(), Some(0.12));
        assert_eq!(figures.text("/versions/pinfold").unwrap(), "pinfold 0.1.0");
    }

    #[test]
    fn what_was_not_measured_is_an_error() {
        let error = sample().median(SQUID, "idle", "p50_us_").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`p50_us_` of squid, idle, was not measured"
        );
        assert!(sample().of_the_run("/nothing").is_err());
    }
}
