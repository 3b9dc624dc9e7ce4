//! What `bench` measured: the same document for `--json`, `--save` and `--baseline`.

use std::{io::Read, path::Path};

use anyhow::Context;
use pinfold::policy::Fallback;
use serde::{Deserialize, Serialize};

use super::stats::{Spread, ranked};
use crate::{fault::Fault, files};

/// The whole report. Fuel, memory and size are the same on every machine; times and loading are not.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Report {
    /// Which policy.
    pub(super) policy: PolicyPart,
    /// What measured it.
    pub(super) host: HostPart,
    /// What it was asked.
    pub(super) vectors: VectorsPart,
    /// From bytes to a policy that is ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) load: Option<LoadPart>,
    /// Time of a decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) times: Option<TimesPart>,
    /// Fuel of a decision.
    pub(super) fuel: FuelPart,
    /// Linear memory of an instance.
    pub(super) memory: MemoryPart,
}

/// Which policy was measured.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct PolicyPart {
    /// Its name.
    pub(super) name: String,
    /// Its version; empty when it imports something, so that it was not asked.
    pub(super) version: String,
    /// SHA-256 of the component.
    pub(super) digest: String,
    /// Size of the component.
    pub(super) size_bytes: u64,
}

/// What measured.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct HostPart {
    /// Version of `pinfold`.
    pub(super) version: String,
    /// Whether it was built with optimisation: without, times are several times longer.
    pub(super) optimised: bool,
    /// What the machine lacks. Not read back: another version may know others.
    #[serde(skip_deserializing)]
    pub(super) fallbacks: Vec<Fallback>,
}

/// What was asked.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct VectorsPart {
    /// Hops that were measured: a vector with redirects has several.
    pub(super) questions: usize,
    /// Different settings that they were asked under.
    pub(super) settings: usize,
    /// Vectors that no policy is asked about, because the URL is refused before.
    pub(super) skipped: usize,
}

/// Time from the bytes of the component to a policy that is ready.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct LoadPart {
    /// Configured and compiled; none when the compiled code was in the `--cache` already.
    pub(super) cold_ns: Option<u64>,
    /// With the compiled code in a cache on disk.
    pub(super) cached: Option<Spread>,
}

/// Time of each step of a decision.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct TimesPart {
    /// An instance, made on the spot.
    pub(super) instance_fresh: Option<Spread>,
    /// An instance that was made ahead of time: what a request waits for.
    pub(super) instance_spare: Option<Spread>,
    /// Stage one.
    pub(super) target: Option<Spread>,
    /// Stage two.
    pub(super) addresses: Option<Spread>,
    /// Both stages, with an instance made on the spot.
    pub(super) decision_fresh: Option<Spread>,
    /// Both stages, with an instance made ahead of time.
    pub(super) decision_spare: Option<Spread>,
}

/// Fuel: instructions of the policy that a decision takes, the same on every machine.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct FuelPart {
    /// Of all vectors.
    pub(super) sum: u64,
    /// Half of the vectors take no more.
    pub(super) median: u64,
    /// The vector that takes most.
    pub(super) dearest: Most,
    /// Of stage one.
    pub(super) target: StageFuel,
    /// Of stage two.
    pub(super) addresses: StageFuel,
    /// Each vector, in the order in which they stand.
    pub(super) vectors: Vec<Cost>,
}

/// Fuel of one stage.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct StageFuel {
    /// Of all vectors.
    pub(super) sum: u64,
    /// Of half of the vectors that reach it, or less.
    pub(super) median: u64,
    /// Of the dearest.
    pub(super) most: u64,
}

/// Linear memory of an instance.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct MemoryPart {
    /// Before the first question, settings included.
    pub(super) start_bytes: u64,
    /// After the vector that takes most.
    pub(super) most: Most,
}

/// The largest of a figure, and the vector that it is from.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Most {
    /// The name of the vector.
    pub(super) vector: String,
    /// The figure.
    pub(super) value: u64,
}

/// What one vector costs.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Cost {
    /// Its name.
    pub(super) vector: String,
    /// The file that it is from, without folders.
    pub(super) file: String,
    /// Fuel of both stages.
    pub(super) fuel: u64,
    /// Of stage one.
    pub(super) target: u64,
    /// Of stage two; none when it was not reached.
    pub(super) addresses: Option<u64>,
    /// Linear memory afterwards.
    pub(super) memory_bytes: u64,
}

impl Cost {
    /// What a vector is found by in another report.
    pub(super) fn key(&self) -> (&str, &str) {
        (&self.file, &self.vector)
    }
}

impl FuelPart {
    /// Adds up what each vector costs.
    pub(super) fn new(vectors: Vec<Cost>) -> Self {
        let all = StageFuel::of(vectors.iter().map(|cost| cost.fuel));
        Self {
            sum: all.sum,
            median: all.median,
            dearest: Most::of(&vectors, |cost| cost.fuel),
            target: StageFuel::of(vectors.iter().map(|cost| cost.target)),
            addresses: StageFuel::of(vectors.iter().filter_map(|cost| cost.addresses)),
            vectors,
        }
    }
}

impl StageFuel {
    fn of(fuel: impl Iterator<Item = u64>) -> Self {
        let mut fuel: Vec<u64> = fuel.collect();
        fuel.sort_unstable();
        Self {
            sum: fuel.iter().fold(0, |sum, fuel| sum.saturating_add(*fuel)),
            median: ranked(&fuel, 50).unwrap_or(0),
            most: fuel.last().copied().unwrap_or(0),
        }
    }
}

impl Most {
    /// The first of the largest.
    pub(super) fn of(vectors: &[Cost], figure: fn(&Cost) -> u64) -> Self {
        let most = vectors.iter().rev().max_by_key(|cost| figure(cost));
        most.map_or_else(Self::default, |cost| Self {
            vector: cost.vector.clone(),
            value: figure(cost),
        })
    }
}

impl Report {
    /// Reads a report that `--save` or `--json` has written.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, is too large, or is no report.
    pub(super) fn read(file: &Path) -> anyhow::Result<Self> {
        let shown = file.display();
        let opened = files::regular(file)?;
        let mut text = String::new();
        let read = opened.take(MAX_REPORT + 1).read_to_string(&mut text);
        if read.with_context(|| format!("cannot read `{shown}`"))? as u64 > MAX_REPORT {
            let message = format!("`{shown}` is longer than {} MiB", MAX_REPORT >> 20);
            return Err(Fault::new(message, "a report of this size is a mistake").into());
        }
        let report = serde_json::from_str(&text);
        report.with_context(|| format!("`{shown}` is no report of `pinfold policy bench`"))
    }
}

/// The largest report that is read, in bytes.
const MAX_REPORT: u64 = 64 << 20;

#[cfg(test)]
pub(super) mod testing {
    //! A report to test with.

    use super::*;

    /// A report with one dear and one cheap vector.
    pub(in crate::policy::bench) fn report(fuel: u64, memory: u64, size: u64) -> Report {
        let cost = |vector: &str, fuel, memory_bytes| Cost {
            vector: vector.into(),
            file: "cases.toml".into(),
            fuel,
            target: fuel / 2,
            addresses: Some(fuel - fuel / 2),
            memory_bytes,
        };
        let vectors = vec![
            cost("cheap", fuel / 2, memory / 2),
            cost("dearest", fuel, memory),
        ];
        Report {
            policy: PolicyPart {
                name: "partners".into(),
                version: "0.1.0".into(),
                digest: "00".into(),
                size_bytes: size,
            },
            host: HostPart {
                version: "0.1.0".into(),
                optimised: false,
                fallbacks: Vec::new(),
            },
            vectors: VectorsPart {
                questions: 2,
                settings: 1,
                skipped: 0,
            },
            load: None,
            times: None,
            memory: MemoryPart {
                start_bytes: 65_536,
                most: Most::of(&vectors, |cost| cost.memory_bytes),
            },
            fuel: FuelPart::new(vectors),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{testing::report, *};

    #[test]
    fn fuel_is_added_up() {
        let fuel = report(100, 0, 0).fuel;
        assert_eq!((fuel.sum, fuel.median), (150, 50));
        assert_eq!(
            fuel.dearest,
            Most {
                vector: "dearest".into(),
                value: 100
            }
        );
        let of_stage = StageFuel {
            sum: 75,
            median: 25,
            most: 50,
        };
        assert_eq!((fuel.target, fuel.addresses), (of_stage, of_stage));
        let none = FuelPart::new(Vec::new());
        assert_eq!((none.sum, none.dearest), (0, Most::default()));
    }

    #[test]
    fn the_first_of_equals_is_the_dearest() {
        let mut vectors = report(100, 0, 0).fuel.vectors;
        vectors[0].fuel = 100;
        assert_eq!(FuelPart::new(vectors).dearest.vector, "cheap");
    }

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("report.json");
        let written = serde_json::to_string(&report(100, 65_536, 1)).unwrap();
        std::fs::write(&file, &written).unwrap();
        let read = Report::read(&file).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), written);
        std::fs::write(&file, "{}").unwrap();
        let error = Report::read(&file).unwrap_err().to_string();
        assert!(
            error.ends_with("report.json` is no report of `pinfold policy bench`"),
            "{error}"
        );
    }
}
