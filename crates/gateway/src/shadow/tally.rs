//! What a candidate would have decided, counted.

use std::{
    collections::{BTreeMap, VecDeque},
    time::SystemTime,
};

use pinfold::{PolicyRef, record::Ruling};
use pinfold_addr::Stage;

use super::{
    compare::{Compared, Pair},
    feed::Watched,
    latency::{Latency, Quantiles},
};
use crate::{
    client::RequestId,
    event::{Decided, Exchange},
    policy::rfc3339,
};

/// Counts, and some examples.
pub(super) struct Tally {
    since: SystemTime,
    compared: u64,
    agreed: u64,
    loosened: u64,
    tightened: u64,
    faults: u64,
    not_asked: u64,
    unclear: u64,
    elsewhere: u64,
    /// The first and the last generation of the active policies that it was compared with.
    generations: Option<(u64, u64)>,
    verdicts: BTreeMap<(&'static str, &'static str), u64>,
    /// Differences by code; a verdict that has none stands for itself.
    codes: BTreeMap<(String, String), Alike>,
    /// Differences with codes for which there was no place any more.
    other_codes: u64,
    latency: Latency,
}

/// Differences with the same two codes.
#[derive(Default)]
struct Alike {
    count: u64,
    latest: VecDeque<Sample>,
}

/// One difference.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Sample {
    #[serde(serialize_with = "rfc3339")]
    pub(crate) at: SystemTime,
    pub(crate) request_id: RequestId,
    pub(crate) decision: u64,
    pub(crate) subject: Option<String>,
    pub(crate) kind: Exchange,
    pub(crate) authority: String,
}

/// What a candidate would have decided so far.
///
/// Verdicts are `allow`, `deny`, and `allow-target`: the target is allowed, and of its addresses nothing is known,
/// because nothing was looked up.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Report {
    pub(crate) watching: bool,
    pub(crate) candidate: PolicyRef,
    /// The layer that it would replace.
    pub(crate) layer: String,
    #[serde(serialize_with = "rfc3339")]
    pub(crate) since: SystemTime,
    pub(crate) active_generations: Option<(u64, u64)>,
    /// Decisions that both have judged.
    pub(crate) compared: u64,
    /// Of those, how many with the same verdict and the same code.
    pub(crate) agreed: u64,
    /// The same as a share, 0 to 1; 1 where nothing was compared.
    pub(crate) agreement: f64,
    /// The candidate lets through what the active policies refuse, at least the target.
    pub(crate) loosened: u64,
    /// It refuses what they let through.
    pub(crate) tightened: u64,
    /// Both refuse, for different reasons.
    pub(crate) other_reason: u64,
    /// It failed (`policy-*`), which is a refusal.
    pub(crate) faults: u64,
    /// Refused before any policy was asked.
    pub(crate) not_asked: u64,
    /// A policy was late, or had no place for an instance.
    pub(crate) unclear: u64,
    /// Judged by a chain without this layer, or without a record of what was asked.
    pub(crate) elsewhere: u64,
    /// Not looked at, because too many waited.
    pub(crate) dropped: u64,
    /// How often each pair of verdicts came.
    pub(crate) verdicts: Vec<Verdicts>,
    /// Differences by code, the most frequent first.
    pub(crate) differences: Vec<Difference>,
    /// Differences with further codes.
    pub(crate) other_codes: u64,
    /// What the candidate took for both stages.
    pub(crate) latency: Quantiles,
}

/// A pair of verdicts.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub(crate) struct Verdicts {
    pub(crate) active: &'static str,
    pub(crate) candidate: &'static str,
    pub(crate) count: u64,
}

/// Differences that are alike, and the latest of them.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Difference {
    pub(crate) active: String,
    pub(crate) candidate: String,
    pub(crate) count: u64,
    pub(crate) latest: Vec<Sample>,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            since: SystemTime::now(),
            compared: 0,
            agreed: 0,
            loosened: 0,
            tightened: 0,
            faults: 0,
            not_asked: 0,
            unclear: 0,
            elsewhere: 0,
            generations: None,
            verdicts: BTreeMap::new(),
            codes: BTreeMap::new(),
            other_codes: 0,
            latency: Latency::default(),
        }
    }

    /// Counts one decision. Of a difference it says whether the log is to hold it: the first ones of those that are
    /// alike, then one in a hundred.
    pub(super) fn add(&mut self, decided: &Decided, compared: &Compared) -> Option<bool> {
        match compared {
            Compared::NotAsked => self.not_asked += 1,
            Compared::Unclear => self.unclear += 1,
            Compared::Elsewhere => self.elsewhere += 1,
            Compared::Pair(pair) => return self.add_pair(decided, pair),
        }
        None
    }

    fn add_pair(&mut self, decided: &Decided, pair: &Pair) -> Option<bool> {
        let Pair {
            active, candidate, ..
        } = pair;
        self.compared += 1;
        self.saw(decided.decision.policy.generation);
        if let Some(took) = pair.took {
            self.latency.add(took);
        }
        let failed = candidate
            .denial()
            .is_some_and(|denial| denial.stage() == Stage::Policy);
        self.faults += u64::from(failed);
        *self
            .verdicts
            .entry((verdict(active), verdict(candidate)))
            .or_default() += 1;
        self.loosened += u64::from(active.is_loosened_by(candidate));
        self.tightened += u64::from(candidate.is_loosened_by(active));
        if code(active) == code(candidate) {
            self.agreed += 1;
            return None;
        }
        let count = self.differ(decided, pair);
        Some(count <= LATEST as u64 || count.is_multiple_of(LOGGED))
    }

    /// Keeps a difference as an example, and says how many there are that are alike.
    fn differ(&mut self, decided: &Decided, pair: &Pair) -> u64 {
        let key = (
            code(&pair.active).to_owned(),
            code(&pair.candidate).to_owned(),
        );
        if self.codes.len() >= CODES && !self.codes.contains_key(&key) {
            self.other_codes += 1;
            return self.other_codes;
        }
        let alike = self.codes.entry(key).or_default();
        alike.count += 1;
        if alike.latest.len() == LATEST {
            alike.latest.pop_front();
        }
        alike.latest.push_back(Sample::of(decided));
        alike.count
    }

    fn saw(&mut self, generation: u64) {
        let (first, last) = self.generations.unwrap_or((generation, generation));
        self.generations = Some((first.min(generation), last.max(generation)));
    }

    pub(super) fn report(&self, watched: &Watched, watching: bool, dropped: u64) -> Report {
        let differences = self.compared - self.agreed;
        Report {
            watching,
            candidate: watched.policy.clone(),
            layer: watched.layer.name.clone(),
            since: self.since,
            active_generations: self.generations,
            compared: self.compared,
            agreed: self.agreed,
            agreement: share(self.agreed, self.compared),
            loosened: self.loosened,
            tightened: self.tightened,
            other_reason: differences.saturating_sub(self.loosened + self.tightened),
            faults: self.faults,
            not_asked: self.not_asked,
            unclear: self.unclear,
            elsewhere: self.elsewhere,
            dropped,
            verdicts: self.verdicts(),
            differences: self.differences(),
            other_codes: self.other_codes,
            latency: self.latency.quantiles(),
        }
    }

    fn verdicts(&self) -> Vec<Verdicts> {
        let shown =
            |((active, candidate), count): (&(&'static str, &'static str), &u64)| Verdicts {
                active,
                candidate,
                count: *count,
            };
        self.verdicts.iter().map(shown).collect()
    }

    fn differences(&self) -> Vec<Difference> {
        let shown = |((active, candidate), alike): (&(String, String), &Alike)| Difference {
            active: active.clone(),
            candidate: candidate.clone(),
            count: alike.count,
            latest: alike.latest.iter().rev().cloned().collect(),
        };
        let mut all: Vec<_> = self.codes.iter().map(shown).collect();
        all.sort_by_key(|difference| std::cmp::Reverse(difference.count));
        all
    }
}

impl Sample {
    fn of(decided: &Decided) -> Self {
        let asked = &decided.asked;
        Self {
            at: decided.at,
            request_id: asked.id,
            decision: decided.decision.id,
            subject: asked.subject.as_ref().map(ToString::to_string),
            kind: asked.kind,
            authority: asked.authority.clone(),
        }
    }
}

fn verdict(ruling: &Ruling) -> &'static str {
    match ruling {
        Ruling::Allow => "allow",
        Ruling::Deny(_) => "deny",
        _ => "allow-target",
    }
}

/// The code of a refusal, otherwise the verdict.
fn code(ruling: &Ruling) -> &str {
    ruling
        .denial()
        .map_or(verdict(ruling), pinfold::Denial::code)
}

#[expect(clippy::cast_precision_loss, reason = "a share, for people")]
fn share(part: u64, all: u64) -> f64 {
    match all {
        0 => 1.0,
        all => part as f64 / all as f64,
    }
}

/// Pairs of codes that are told apart. A policy makes codes up as it likes.
const CODES: usize = 200;

/// Examples of each pair of codes.
const LATEST: usize = 5;

/// Of further ones that are alike one in so many is logged.
const LOGGED: u64 = 100;
