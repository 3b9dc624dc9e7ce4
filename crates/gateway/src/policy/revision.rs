//! What was active, and can be gone back to.

use std::{collections::VecDeque, sync::Arc, time::SystemTime};

use pinfold::PolicyRef;

use super::{Candidate, ChangeError, Trigger};

/// Policies that are, or were, active.
#[derive(Clone, Debug)]
pub(super) struct Revision {
    /// The generation that they had: their name.
    pub(super) number: u64,
    pub(super) at: SystemTime,
    pub(super) trigger: Trigger,
    pub(super) origin: Origin,
    /// The revision that this one brought back.
    pub(super) restores: Option<u64>,
    /// The revision that is before it: where a rollback leads. None at the beginning.
    pub(super) before: Option<u64>,
    pub(super) policies: Arc<[PolicyRef]>,
    pub(super) candidate: Arc<Candidate>,
}

/// Where policies come from.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    /// The files of the configuration.
    Files,
    /// Somebody sent them to the admin interface.
    Admin,
    /// They were active before.
    Rollback,
}

/// The active revision and those before it, bounded.
#[derive(Clone, Debug)]
pub(super) struct History {
    /// The oldest first; the last one is active. Never none.
    revisions: VecDeque<Arc<Revision>>,
    active: Arc<Revision>,
    depth: usize,
}

impl History {
    /// `depth` is how many can be gone back to.
    pub(super) fn new(first: Revision, depth: usize) -> Self {
        let active = Arc::new(first);
        Self {
            revisions: VecDeque::from([Arc::clone(&active)]),
            active,
            depth,
        }
    }

    pub(super) fn active(&self) -> &Arc<Revision> {
        &self.active
    }

    /// The newest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Revision>> {
        self.revisions.iter().rev()
    }

    /// Makes a revision the active one.
    pub(super) fn push(&mut self, revision: Revision) {
        self.active = Arc::new(revision);
        self.revisions.push_back(Arc::clone(&self.active));
        self.bound();
    }

    /// Says that the active policies are what this origin holds, too. When they came, and by what, stays.
    pub(super) fn reattribute(&mut self, origin: Origin) {
        let revision = Revision {
            origin,
            ..Revision::clone(&self.active)
        };
        self.active = Arc::new(revision);
        self.revisions.pop_back();
        self.revisions.push_back(Arc::clone(&self.active));
    }

    pub(super) fn keep(&mut self, depth: usize) {
        self.depth = depth;
        self.bound();
    }

    fn bound(&mut self) {
        while self.revisions.len() > self.depth.saturating_add(1) {
            self.revisions.pop_front();
        }
    }

    /// The revision to go back to: the one before, or the one with this number.
    ///
    /// Going back twice leads two revisions back: what a rollback brought has before it what was before the
    /// revision that it restored.
    pub(super) fn target(&self, number: Option<u64>) -> Result<Arc<Revision>, ChangeError> {
        let Some(wanted) = number.or(self.active.before) else {
            return Err(nothing("there is nothing to go back to"));
        };
        if wanted == self.active.number {
            return Err(nothing("this revision is the active one"));
        }
        // A revision that is no longer kept may be by way of one that restored it.
        let found = |is_it: fn(&Revision) -> u64| self.iter().find(|known| is_it(known) == wanted);
        let found = found(|known| known.number).or_else(|| found(Revision::root));
        found.cloned().ok_or_else(|| {
            let known: Vec<_> = self
                .iter()
                .skip(1)
                .map(|known| known.number.to_string())
                .collect();
            nothing(&match known.is_empty() {
                true => format!("revision {wanted} is not kept, and no other"),
                false => format!(
                    "revision {wanted} is not kept; there is {}",
                    known.join(", ")
                ),
            })
        })
    }
}

impl Revision {
    /// What the next revision has before it.
    pub(super) fn root(&self) -> u64 {
        self.restores.unwrap_or(self.number)
    }
}

fn nothing(message: &str) -> ChangeError {
    let hint = "`pinfold gateway policies` lists the revisions; `history` says how many are kept";
    ChangeError::request("revision-unknown", message, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(number: u64, restores: Option<u64>, before: Option<u64>) -> Revision {
        Revision {
            number,
            at: SystemTime::UNIX_EPOCH,
            trigger: Trigger::Admin,
            origin: Origin::Admin,
            restores,
            before,
            policies: Arc::new([]),
            candidate: Arc::new(Candidate::new(Vec::new(), None, false)),
        }
    }

    fn swap(history: &mut History, number: u64) {
        let before = Some(history.active().root());
        history.push(revision(number, None, before));
    }

    fn back(history: &mut History, number: u64) -> u64 {
        let target = history.target(None).unwrap();
        history.push(revision(number, Some(target.root()), target.before));
        target.root()
    }

    #[test]
    fn going_back_goes_on_back() {
        let mut history = History::new(revision(1, None, None), 8);
        (2..=3).for_each(|number| swap(&mut history, number));
        assert_eq!([back(&mut history, 4), back(&mut history, 5)], [2, 1]);
        assert!(history.target(None).is_err(), "1 was the first");
        swap(&mut history, 6);
        assert_eq!(back(&mut history, 7), 1, "before 6 was 1, by way of 5");
    }

    #[test]
    fn so_many_are_kept_and_no_more() {
        let mut history = History::new(revision(1, None, None), 2);
        (2..=9).for_each(|number| swap(&mut history, number));
        let kept: Vec<_> = history.iter().map(|kept| kept.number).collect();
        assert_eq!(kept, [9, 8, 7]);
        for (row, number, said) in [
            ("gone", 6, "revision 6 is not kept; there is 8, 7"),
            ("active", 9, "this revision is the active one"),
        ] {
            let error = history.target(Some(number)).unwrap_err().to_string();
            assert_eq!(error, said, "{row}");
        }
        assert_eq!(history.target(Some(7)).unwrap().number, 7);
        back(&mut history, 10);
        (11..=12).for_each(|number| swap(&mut history, number));
        let restored = history.target(Some(8)).unwrap();
        assert_eq!(
            restored.number, 10,
            "8 itself is gone, what restored it is not"
        );
        history.keep(0);
        assert!(history.target(None).is_err());
        assert_eq!(history.active().number, 12);
    }
}
