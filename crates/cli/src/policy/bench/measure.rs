//! Loads the policy, asks it every question, and adds up what that took.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Context;
use pinfold::{
    Denial, Guard, Limits,
    policy::{Evaluator, Fallback, Inspection, LoadOptions, Measurement, Meter, inspect_with},
    resolve::Fixed,
};
use serde_json::Value;

use super::{
    clock::{Clocked, Effort, Stock},
    plot,
    progress::Progress,
    report::{
        Cost, FuelPart, HostPart, LoadPart, MemoryPart, Most, PolicyPart, Report, TimesPart,
        VectorsPart,
    },
    stats::{Times, nanoseconds},
};
use crate::{
    options,
    policy::{
        questions::{Question, Questions, Set},
        subject::Subject,
    },
};

/// What was measured: the report, and the times that it is the summary of.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) report: Report,
    fresh: Clocked,
    spare: Clocked,
}

impl Measured {
    /// The times as a picture.
    pub(super) fn picture(&self) -> String {
        let policy = &self.report.policy;
        let title = format!("{} {}: time of a decision", policy.name, policy.version);
        let stages = [
            ("instance, on the spot", &self.fresh.instance),
            ("instance, ahead of time", &self.spare.instance),
            ("target", &self.fresh.target),
            ("addresses", &self.fresh.addresses),
            ("decision, on the spot", &self.fresh.decision),
            ("decision, ahead of time", &self.spare.decision),
        ];
        plot::svg(&title, &stages)
    }
}

/// What is measured, and how.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    /// The policy.
    pub(super) subject: &'a Subject,
    /// What it is asked.
    pub(super) questions: &'a Questions,
    /// The settings of questions that state none.
    pub(super) settings: Value,
    /// Where compiled code is kept; none is a folder that is gone afterwards.
    pub(super) cache: Option<&'a Path>,
    /// Whether the operator lets it import WASI.
    pub(super) inert_wasi: bool,
    /// How much is timed.
    pub(super) effort: Effort,
}

impl Plan<'_> {
    /// Measures everything.
    ///
    /// # Errors
    ///
    /// A policy that cannot be loaded with one of the settings, or that does not start.
    pub(super) fn measure(&self) -> anyhow::Result<Measured> {
        let own = tempfile::tempdir().context("cannot make a folder for compiled code")?;
        let loading = Loading::new(self, self.cache.unwrap_or(own.path()));
        let inspection = loading.inspect()?;
        let timed = match self.effort.samples {
            0 => Timed::default(),
            _ => self.time(&loading)?,
        };
        let metered = self.meter(&loading)?;
        Ok(Measured {
            report: self.report(&inspection, &timed, metered),
            fresh: timed.fresh,
            spare: timed.spare,
        })
    }

    fn settings_of(&self, set: &Set) -> Value {
        set.settings
            .clone()
            .unwrap_or_else(|| self.settings.clone())
    }

    fn time(&self, loading: &Loading<'_>) -> anyhow::Result<Timed> {
        let mut timed = Timed::default();
        let bar = Progress::new("decisions", 2 * self.effort.samples);
        let sets = self.questions.sets.iter();
        let part = self.effort.divided(2 * sets.len());
        for (number, set) in sets.enumerate() {
            let settings = self.settings_of(set);
            let policy = match number {
                0 => timed.load(loading, &settings)?,
                _ => loading.evaluator(&settings)?,
            };
            let done = timed.fresh.decision.len() + timed.spare.decision.len();
            let questions = &set.questions;
            let fresh = |more| bar.set(done + more);
            timed.fresh.fresh(&policy, questions, part, fresh);
            let done = timed.fresh.decision.len() + timed.spare.decision.len();
            let making = timed.fresh.making();
            let spare = |more| bar.set(done + more);
            timed.spare.spare(
                &policy,
                questions,
                part,
                Stock {
                    spares: SPARES,
                    making,
                },
                spare,
            );
        }
        Ok(timed)
    }

    /// What each question costs, and the memory of an instance that was asked nothing.
    fn meter(&self, loading: &Loading<'_>) -> anyhow::Result<Metered> {
        let bar = Progress::new("fuel", self.questions.len());
        let mut metered = Metered::default();
        for set in &self.questions.sets {
            let settings = self.settings_of(set);
            let meter = loading.meter(&settings)?;
            let start = loading.memory_at_start(&settings)?;
            metered.start_bytes = start.max(metered.start_bytes);
            metered.name.clone_from(&meter.policy().name);
            for question in &set.questions {
                let cost = cost(&meter, question);
                let cost = cost.map_err(|denial| self.does_not_start(&denial))?;
                metered.costs.push(cost?);
                bar.set(metered.costs.len());
            }
        }
        Ok(metered)
    }

    fn does_not_start(&self, denial: &Denial) -> anyhow::Error {
        let policy = self.subject.in_a_sentence();
        anyhow::anyhow!(
            "{policy} does not start: {}: {}",
            denial.code(),
            denial.detail()
        )
    }

    fn report(&self, inspection: &Inspection, timed: &Timed, metered: Metered) -> Report {
        let Metered {
            name,
            costs,
            start_bytes,
        } = metered;
        let says = inspection.description.as_ref();
        Report {
            policy: PolicyPart {
                name,
                version: says.map(|says| says.version.clone()).unwrap_or_default(),
                digest: inspection.digest.clone(),
                size_bytes: inspection.size as u64,
            },
            host: HostPart {
                version: env!("CARGO_PKG_VERSION").into(),
                optimised: !cfg!(debug_assertions),
                fallbacks: timed.fallbacks.clone(),
            },
            vectors: VectorsPart {
                questions: self.questions.len(),
                settings: self.questions.sets.len(),
                skipped: self.questions.skipped,
            },
            load: timed.load.clone(),
            times: timed.times(),
            memory: MemoryPart {
                start_bytes,
                most: Most::of(&costs, |cost| cost.memory_bytes),
            },
            fuel: FuelPart::new(costs),
        }
    }
}

/// What depends on no machine.
#[derive(Debug, Default)]
struct Metered {
    /// The name of the policy.
    name: String,
    costs: Vec<Cost>,
    start_bytes: u64,
}

/// A question that the policy did not answer: it trapped, or did not end.
#[derive(Debug)]
pub(super) struct Faulted {
    vector: String,
    denial: Denial,
}

impl fmt::Display for Faulted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (vector, denial) = (&self.vector, &self.denial);
        let (code, detail) = (denial.code(), denial.detail());
        write!(f, "the policy does not answer `{vector}`: {code}: {detail}")
    }
}

impl std::error::Error for Faulted {}

/// The denial that stands for an answer that was none.
fn fault(measured: &Measurement) -> Option<&Denial> {
    let target = measured.target.as_ref().err();
    let addresses = measured
        .addresses
        .as_ref()
        .and_then(|all| all.as_ref().err());
    let mut denials = target.into_iter().chain(addresses);
    denials.find(|denial| denial.code().starts_with(FAULT))
}

/// What the codes of denials begin with that say of the policy that it failed.
const FAULT: &str = "policy-";

/// What one question costs. The outer error is that of a policy that does not start.
fn cost(meter: &Meter, question: &Question) -> Result<Result<Cost, Faulted>, Denial> {
    let measured = question.measure(meter)?;
    if let Some(denial) = fault(&measured) {
        return Ok(Err(Faulted {
            vector: question.name.clone(),
            denial: denial.clone(),
        }));
    }
    Ok(Ok(Cost {
        vector: question.name.clone(),
        file: question.file.clone(),
        fuel: measured.fuel(),
        target: measured.fuel_target,
        addresses: measured
            .addresses
            .is_some()
            .then_some(measured.fuel_addresses),
        memory_bytes: measured.memory_bytes as u64,
    }))
}

/// What depends on the machine.
#[derive(Debug, Default)]
struct Timed {
    load: Option<LoadPart>,
    fallbacks: Vec<Fallback>,
    fresh: Clocked,
    spare: Clocked,
}

impl Timed {
    /// Loads the policy for the first time in this process, and then some times from the cache.
    fn load(&mut self, loading: &Loading<'_>, settings: &Value) -> anyhow::Result<Evaluator> {
        let before = entries(&loading.cache);
        let begun = Instant::now();
        let policy = loading.evaluator(settings)?;
        let took = begun.elapsed();
        let is_cold = !entries(&loading.cache).is_subset(&before);
        let cached: Times = (0..CACHED_LOADS)
            .map(|_| {
                let begun = Instant::now();
                loading.evaluator(settings).map(|_| begun.elapsed())
            })
            .collect::<anyhow::Result<_>>()?;
        self.load = Some(LoadPart {
            cold_ns: is_cold.then(|| nanoseconds(took)),
            cached: cached.spread(),
        });
        self.fallbacks = loading.fallbacks(settings)?;
        Ok(policy)
    }

    fn times(&self) -> Option<TimesPart> {
        let (fresh, spare) = (&self.fresh, &self.spare);
        Some(TimesPart {
            instance_fresh: Some(fresh.instance.spread()?),
            instance_spare: spare.instance.spread(),
            target: fresh.target.spread(),
            addresses: fresh.addresses.spread(),
            decision_fresh: fresh.decision.spread(),
            decision_spare: spare.decision.spread(),
        })
    }
}

/// Loads the policy with some settings, its compiled code in a cache.
struct Loading<'a> {
    subject: &'a Subject,
    cache: PathBuf,
    inspects_from_cache: bool,
    options: LoadOptions,
    inert_wasi: bool,
    limits: Limits,
}

impl<'a> Loading<'a> {
    fn new(plan: &Plan<'a>, cache: &Path) -> Self {
        let mut limits = options::limits();
        limits.policy_instances = INSTANCES;
        limits.policy_spares = SPARES;
        Self {
            subject: plan.subject,
            cache: cache.to_owned(),
            inspects_from_cache: plan.effort.samples == 0,
            options: LoadOptions::new()
                .code_cache(cache)
                .inert_wasi(plan.inert_wasi),
            inert_wasi: plan.inert_wasi,
            limits,
        }
    }

    /// What the component says of itself. Where the first load is timed, nothing of it is compiled here.
    fn inspect(&self) -> anyhow::Result<Inspection> {
        let options = match self.inspects_from_cache {
            true => &self.options,
            false => &LoadOptions::new().inert_wasi(self.inert_wasi),
        };
        let inspection = inspect_with(&self.subject.source, options);
        inspection.map_err(|error| self.subject.name(error))
    }

    fn evaluator(&self, settings: &Value) -> anyhow::Result<Evaluator> {
        let (source, settings) = (self.subject.source.clone(), settings.clone());
        let loaded = Evaluator::load_with(source, settings, &self.limits, &self.options);
        loaded.map_err(|error| self.subject.name(error))
    }

    fn meter(&self, settings: &Value) -> anyhow::Result<Meter> {
        let (source, settings) = (self.subject.source.clone(), settings.clone());
        let loaded = Meter::load_with(source, settings, &self.limits, &self.options);
        loaded.map_err(|error| self.subject.name(error))
    }

    fn memory_at_start(&self, settings: &Value) -> anyhow::Result<u64> {
        let started = self.evaluator(settings)?.fresh();
        Ok(started.map_or(0, |evaluation| evaluation.memory_bytes() as u64))
    }

    /// What the machine lacks: only a guard says so.
    fn fallbacks(&self, settings: &Value) -> anyhow::Result<Vec<Fallback>> {
        let guard = Guard::builder()
            .policy(self.subject.source.clone())
            .settings(settings.clone())
            .resolver(Fixed::default())
            .limits(self.limits.clone())
            .code_cache(&self.cache)
            .inert_wasi(self.inert_wasi)
            .build();
        let guard = guard.map_err(|error| self.subject.name(error))?;
        Ok(guard.fallbacks().to_vec())
    }
}

/// The names of the files in a cache: one more means that something was compiled.
fn entries(cache: &Path) -> BTreeSet<OsString> {
    let files = std::fs::read_dir(cache).into_iter().flatten().flatten();
    files
        .map(|file| file.file_name())
        .filter(|name| Path::new(name).extension().is_some_and(|end| end == "code"))
        .collect()
}

/// Instances that may live at once: those that are measured, and the spares.
const INSTANCES: u32 = 80;
/// Instances that are made ahead of time; a quarter of all at most.
const SPARES: usize = 16;
/// Loads from the cache.
const CACHED_LOADS: usize = 5;
