//! What operators are shown of the policies.

use std::{sync::Arc, time::SystemTime};

use pinfold::PolicyRef;
use serde::Serializer;

use super::{
    Failure, Trigger,
    revision::{History, Origin, Revision},
};

/// The policies now, what was wrong with the last change, and what can be gone back to.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Status {
    /// What is active.
    #[serde(flatten)]
    pub(crate) active: Shown,
    /// Whether the files of the configuration are what is active. They are read when they change, or on reload.
    pub(crate) files_in_effect: bool,
    /// Whether what the files held when they were read last was refused.
    #[serde(skip)]
    pub(super) files_refused: bool,
    /// Whether the files are watched.
    pub(crate) watched: bool,
    /// Why the last change was refused; none after one that was not.
    pub(crate) error: Option<Told>,
    /// What asked for the change that is made now.
    pub(crate) under_way: Option<Trigger>,
    /// Changes since the start that were made, and that were refused.
    pub(crate) swapped: u64,
    pub(crate) kept: u64,
    /// What can be gone back to, the newest first.
    pub(crate) history: Vec<Shown>,
}

/// A revision.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Shown {
    /// Its generation, which is the number to go back to.
    pub(crate) generation: u64,
    #[serde(serialize_with = "rfc3339")]
    pub(crate) since: SystemTime,
    pub(crate) trigger: Trigger,
    pub(crate) source: Origin,
    /// The revision that it brought back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) restores: Option<u64>,
    /// In the order in which they are asked.
    pub(crate) policies: Arc<[PolicyRef]>,
}

/// A refusal that operators have to know of.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Told {
    #[serde(serialize_with = "rfc3339")]
    pub(crate) at: SystemTime,
    pub(crate) trigger: Trigger,
    #[serde(flatten)]
    pub(crate) failure: Failure,
}

/// What came of a change.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Changed {
    /// The generation that is active now.
    pub(crate) generation: u64,
    /// False when it was active already, and nothing had to be done.
    pub(crate) swapped: bool,
    /// What is active, in the order in which they are asked.
    pub(crate) policies: Arc<[PolicyRef]>,
}

impl Status {
    pub(super) fn new(history: &History, watched: bool) -> Self {
        let active = Shown::from(&**history.active());
        Self {
            files_in_effect: active.source == Origin::Files,
            files_refused: false,
            active,
            watched,
            error: None,
            under_way: None,
            swapped: 0,
            kept: 0,
            history: history
                .iter()
                .skip(1)
                .map(|past| Shown::from(&**past))
                .collect(),
        }
    }

    /// The same counts and errors, over another history.
    #[must_use]
    pub(super) fn over(self, history: &History) -> Self {
        let fresh = Self::new(history, self.watched);
        Self {
            active: fresh.active,
            files_in_effect: fresh.files_in_effect && !self.files_refused,
            history: fresh.history,
            ..self
        }
    }
}

impl From<&Revision> for Shown {
    fn from(revision: &Revision) -> Self {
        Self {
            generation: revision.number,
            since: revision.at,
            trigger: revision.trigger,
            source: revision.origin,
            restores: revision.restores,
            policies: Arc::clone(&revision.policies),
        }
    }
}

/// A time as RFC 3339 has it, in UTC.
pub(crate) fn rfc3339<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    match jiff::Timestamp::try_from(*at) {
        Ok(at) => serializer.collect_str(&at),
        Err(_) => serializer.serialize_none(),
    }
}
