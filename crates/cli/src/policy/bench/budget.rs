//! `--budget`: what the project file says that a policy may cost, and what it does cost.
//!
//! Only what is the same on every machine can be held to a bound: fuel, memory, size. Time cannot.

use serde::Serialize;

use super::{report::Report, text::grouped};
use crate::{
    fault::Fault,
    policy::project::{Budget, Project},
};

/// One bound, and what was measured.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Held {
    /// Its key in the project file.
    pub(super) what: &'static str,
    /// What the project file states.
    pub(super) limit: u64,
    /// What was measured.
    pub(super) measured: u64,
    /// The vector that it was measured with; none for what depends on no vector.
    pub(super) vector: Option<String>,
    /// Whether it is kept.
    pub(super) kept: bool,
}

/// Compares every bound that is stated with what was measured.
///
/// # Errors
///
/// When none is stated: a check that checks nothing must not succeed.
pub(super) fn hold(budget: Budget, report: &Report) -> Result<Vec<Held>, Fault> {
    let held: Vec<Held> = costs(report)
        .into_iter()
        .filter_map(|cost| cost.held(budget))
        .collect();
    if held.is_empty() {
        return Err(none_stated(report));
    }
    Ok(held)
}

/// What to write when nothing is stated: what was measured, and a fifth more.
pub(super) fn suggestion(report: &Report) -> String {
    let lines: Vec<String> = costs(report)
        .iter()
        .map(|cost| format!("{} = {}", cost.what, cost.with_room()))
        .collect();
    format!("[budget]\n{}", lines.join("\n"))
}

fn none_stated(report: &Report) -> Fault {
    let message = format!("`{}` states no `[budget]`", Project::FILE);
    let lines: Vec<String> = suggestion(report)
        .lines()
        .map(|line| format!("`{line}`"))
        .collect();
    let lines = lines.join(", ");
    Fault::new(
        message,
        format!("write what was measured and a fifth more, a line each: {lines}"),
    )
}

struct Cost {
    what: &'static str,
    /// It grows by so many at once.
    step: u64,
    stated: fn(&Budget) -> Option<u64>,
    measured: u64,
    vector: Option<String>,
}

impl Cost {
    fn with_room(&self) -> u64 {
        with_room(self.measured).next_multiple_of(self.step)
    }

    fn held(self, budget: Budget) -> Option<Held> {
        let limit = (self.stated)(&budget)?;
        Some(Held {
            what: self.what,
            limit,
            measured: self.measured,
            vector: self.vector,
            kept: self.measured <= limit,
        })
    }
}

fn costs(report: &Report) -> [Cost; 3] {
    let (fuel, memory) = (&report.fuel.dearest, &report.memory.most);
    [
        Cost {
            what: "fuel",
            step: 1,
            stated: |budget| budget.fuel,
            measured: fuel.value,
            vector: Some(fuel.vector.clone()),
        },
        Cost {
            what: "memory_kib",
            step: PAGE_KIB,
            stated: |budget| budget.memory_kib,
            measured: memory.value.div_ceil(1024),
            vector: Some(memory.vector.clone()),
        },
        Cost {
            what: "size_kib",
            step: 1,
            stated: |budget| budget.size_kib,
            measured: report.policy.size_bytes.div_ceil(1024),
            vector: None,
        },
    ]
}

impl std::fmt::Display for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (measured, limit) = (grouped(self.measured), grouped(self.limit));
        write!(f, "`{}` is {measured}", self.what)?;
        if let Some(vector) = &self.vector {
            write!(f, " with `{vector}`")?;
        }
        write!(f, ", the limit is {limit}")
    }
}

/// A fifth more, rounded up to two digits that count, so that no figure looks exact that is not.
fn with_room(measured: u64) -> u64 {
    let room = measured.saturating_add(measured.div_ceil(5));
    let step = 10_u64.saturating_pow(room.max(1).ilog10().saturating_sub(1));
    room.div_ceil(step).saturating_mul(step)
}

/// Linear memory grows by pages of 64 KiB.
const PAGE_KIB: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::bench::report::testing::report;

    #[test]
    fn what_exceeds_its_bound_is_told_apart() {
        let report = report(30_000, 128 << 10, 200 << 10);
        for (row, budget, broken) in [
            ("all kept", [Some(30_000), Some(128), Some(200)], &[][..]),
            ("fuel", [Some(29_999), Some(128), Some(200)], &["fuel"]),
            ("memory", [None, Some(127), None], &["memory_kib"]),
            ("size", [None, None, Some(199)], &["size_kib"]),
            (
                "all",
                [Some(0), Some(0), Some(0)],
                &["fuel", "memory_kib", "size_kib"],
            ),
        ] {
            let [fuel, memory_kib, size_kib] = budget;
            let budget = Budget {
                fuel,
                memory_kib,
                size_kib,
            };
            let held = hold(budget, &report).unwrap();
            let found = held.iter().filter(|held| !held.kept).map(|held| held.what);
            assert_eq!(found.collect::<Vec<_>>(), broken, "{row}");
        }
    }

    #[test]
    fn a_bound_that_is_stated_nowhere_is_an_error_with_figures() {
        let fault = hold(Budget::default(), &report(25_000, 65_536, 100_000)).unwrap_err();
        assert_eq!(
            fault.hint(),
            "write what was measured and a fifth more, a line each: `[budget]`, `fuel = 30000`, `memory_kib = 128`, `size_kib = 120`"
        );
    }

    #[test]
    fn a_breach_names_the_vector_and_both_figures() {
        let budget = Budget {
            fuel: Some(1_000),
            size_kib: Some(1),
            ..Budget::default()
        };
        let held = hold(budget, &report(25_000, 65_536, 100_000)).unwrap();
        let said: Vec<String> = held.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "`fuel` is 25,000 with `dearest`, the limit is 1,000",
                "`size_kib` is 98, the limit is 1"
            ]
        );
    }

    #[test]
    fn room_is_a_fifth_and_round() {
        for (measured, room) in [
            (0, 0),
            (1, 2),
            (10, 12),
            (64, 77),
            (25_001, 31_000),
            (u64::MAX, u64::MAX),
        ] {
            assert_eq!(with_room(measured), room, "{measured}");
        }
    }
}
