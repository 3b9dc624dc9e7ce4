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
    pub(super) const fn new(name: &'static str, title: &'static str, log: bool) -> Self {
        Self { name, title, log }
    }
}

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
        let others = self.measured().filter(|row| row["scenario"] == "others");
        let all = others.filter_map(|row| row["busy"].as_f64());
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
        let rows = self.measured().filter(|row| {
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

    fn measured(&self) -> impl Iterator<Item = &Value> {
        self.0["measured"].as_array().into_iter().flatten()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// Three rounds; the first contender is ten times what the others are. `figures` are those that are the same in every
    /// round, `whole` is what holds for the run.
    pub(in crate::load) fn sample(
        contenders: &[Contender],
        scenarios: &[&str],
        figures: &Value,
        mut whole: Value,
    ) -> Figures {
        let mut measured = Vec::new();
        for round in [1.0, 3.0, 2.0] {
            for contender in contenders {
                let factor = if *contender == contenders[0] {
                    10.0
                } else {
                    1.0
                };
                for scenario in scenarios {
                    let mut row = figures.clone();
                    row["contender"] = json!(contender.name);
                    row["log"] = json!(contender.log);
                    row["scenario"] = json!(scenario);
                    row["busy"] = json!(0.04 * round);
                    row["per_second"] = json!(1_000.0 * round * factor);
                    row["bytes_per_second"] = json!(1e9 * round * factor);
                    measured.push(row);
                }
            }
        }
        whole["measured"] = json!(measured);
        whole["rounds"] = json!(3);
        whole["took_s"] = json!(400);
        whole["load_average"] = json!({ "before": "0.1, 0.2, 0.3", "after": "2.0, 1.0, 0.5" });
        Figures(whole)
    }

    const FAST: Contender = Contender::new("fast", "fast", false);
    const SLOW: Contender = Contender::new("slow", "slow", false);

    fn two() -> Figures {
        let same = json!({ "swaps": 5 });
        let whole = json!({ "versions": { "slow": "slow 0.1.0" } });
        sample(&[FAST, SLOW], &["requests", "others"], &same, whole)
    }

    #[test]
    fn the_median_is_that_of_the_rounds() {
        let figures = two();
        let median = figures.median(SLOW, "requests", "per_second");
        assert_eq!(median.unwrap(), 2_000.0);
        let range = figures.range(FAST, "requests", "bytes_per_second");
        assert_eq!(range.unwrap(), (1e10, 3e10));
        assert_eq!(figures.sum(SLOW, "requests", "swaps").unwrap(), 15.0);
        assert_eq!(figures.most_of_others(), Some(0.12));
        assert_eq!(figures.text("/versions/slow").unwrap(), "slow 0.1.0");
    }

    #[test]
    fn what_was_not_measured_is_an_error() {
        let error = two().median(SLOW, "idle", "p50_us_").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`p50_us_` of slow, idle, was not measured"
        );
        assert!(two().of_the_run("/nothing").is_err());
    }
}
