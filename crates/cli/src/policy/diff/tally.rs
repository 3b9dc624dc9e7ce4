//! What all questions together say: how many answers changed, which way, and what they cost.

use std::{cmp::Reverse, collections::BTreeMap, net::IpAddr};

use pinfold::policy::Problem;
use serde::Serialize;

use super::change::{self, Answer, Change, Direction, Kind};

/// Changes, counted and named.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Tally {
    /// Questions that both policies answered.
    pub(super) asked: usize,
    /// Answers that are the same.
    pub(super) same: usize,
    /// Answers that are looser: they let through what was refused.
    pub(super) looser: usize,
    /// Answers that are tighter.
    pub(super) tighter: usize,
    /// Answers that say the same differently.
    pub(super) other: usize,
    /// How many answers each kind of change is in; an answer may have several.
    pub(super) kinds: BTreeMap<Kind, usize>,
    /// Each change; at most [`MAX_CHANGES`] are named, the loosest that were found first among them.
    pub(super) changes: Vec<Named>,
    /// Whether settings are refused now that were taken.
    #[serde(skip)]
    pub(super) refuses_settings: bool,
    /// What the answers cost.
    pub(super) fuel: Fuel,
    /// Linear memory of an instance.
    pub(super) memory: Memory,
}

/// A change, and the question that it was found with.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Named {
    /// The name of the vector, or of the record.
    pub(super) name: String,
    /// The file that it is from.
    pub(super) from: String,
    /// What was asked.
    pub(super) target: String,
    /// What is different.
    #[serde(flatten)]
    pub(super) change: Change,
}

/// Fuel of all questions, and of the dearest.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Fuel {
    /// Of all questions.
    pub(super) old: u64,
    /// Of all questions.
    pub(super) new: u64,
    /// The dearest question of the old policy.
    pub(super) old_dearest: Dearest,
    /// The dearest question of the new policy.
    pub(super) new_dearest: Dearest,
}

/// Bytes of linear memory after the question that takes most.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Memory {
    /// Of the old policy.
    pub(super) old_bytes: u64,
    /// Of the new policy.
    pub(super) new_bytes: u64,
}

/// The dearest question.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Dearest {
    /// Its name.
    pub(super) name: String,
    /// Its fuel.
    pub(super) fuel: u64,
}

/// What one policy answered, and what that cost.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    /// What it answered.
    pub(super) answer: Answer,
    /// Fuel of both stages.
    pub(super) fuel: u64,
    /// Linear memory afterwards, in bytes.
    pub(super) memory: u64,
}

/// Who was asked what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) name: &'a str,
    pub(super) from: &'a str,
    pub(super) target: &'a str,
    pub(super) addresses: &'a [IpAddr],
}

impl Tally {
    /// Adds what both policies answered to one question.
    pub(super) fn add(&mut self, asked: Asked<'_>, old: &Measured, new: &Measured) {
        self.asked += 1;
        self.cost(asked.name, old, new);
        match change::compare(asked.addresses, &old.answer, &new.answer) {
            Some(change) => self.changed(asked, change),
            None => self.same += 1,
        }
    }

    /// Adds what became of settings that are to be refused: what is wrong with them, for each policy.
    pub(super) fn add_settings(&mut self, from: &str, old: &[Problem], new: &[Problem]) {
        self.asked += 1;
        let Some(change) = change::compare_settings(old, new) else {
            self.same += 1;
            return;
        };
        self.refuses_settings |= change.direction == Direction::Tighter;
        let asked = Asked {
            name: SETTINGS,
            from,
            target: "settings",
            addresses: &[],
        };
        self.changed(asked, change);
    }

    /// Changes of this direction that are named.
    pub(super) fn of(&self, direction: Direction) -> impl Iterator<Item = &Named> {
        let all = self.changes.iter();
        all.filter(move |named| named.change.direction == direction)
    }

    /// How many there are of this direction, named or not.
    pub(super) fn count(&self, direction: Direction) -> usize {
        match direction {
            Direction::Looser => self.looser,
            Direction::Tighter => self.tighter,
            Direction::Other => self.other,
        }
    }

    fn changed(&mut self, asked: Asked<'_>, change: Change) {
        match change.direction {
            Direction::Looser => self.looser += 1,
            Direction::Tighter => self.tighter += 1,
            Direction::Other => self.other += 1,
        }
        for kind in &change.kinds {
            *self.kinds.entry(*kind).or_default() += 1;
        }
        self.name(Named {
            name: asked.name.to_owned(),
            from: asked.from.to_owned(),
            target: asked.target.to_owned(),
            change,
        });
    }

    /// Keeps a change. When there is no room any more, a loosening takes the place of what is none.
    fn name(&mut self, named: Named) {
        if self.changes.len() < MAX_CHANGES {
            self.changes.push(named);
            return;
        }
        let of_least = self.changes.iter().enumerate();
        let least = of_least.min_by_key(|(index, other)| (other.change.direction, Reverse(*index)));
        if let Some((index, other)) = least
            && other.change.direction < named.change.direction
        {
            self.changes.remove(index);
            self.changes.push(named);
        }
    }

    fn cost(&mut self, name: &str, old: &Measured, new: &Measured) {
        self.fuel.old = self.fuel.old.saturating_add(old.fuel);
        self.fuel.new = self.fuel.new.saturating_add(new.fuel);
        self.fuel.old_dearest.raise(name, old.fuel);
        self.fuel.new_dearest.raise(name, new.fuel);
        let memory = &mut self.memory;
        memory.old_bytes = memory.old_bytes.max(old.memory);
        memory.new_bytes = memory.new_bytes.max(new.memory);
    }
}

impl Dearest {
    fn raise(&mut self, name: &str, fuel: u64) {
        if self.name.is_empty() || fuel > self.fuel {
            *self = Self {
                name: name.to_owned(),
                fuel,
            };
        }
    }
}

/// What settings that are to be refused are called, as in `policy test`.
const SETTINGS: &str = "the settings are refused";

/// Changes that are named; all are counted.
pub(super) const MAX_CHANGES: usize = 10_000;

#[cfg(test)]
mod tests {
    use pinfold::{Denial, Terms};
    use pinfold_addr::Reason;

    use super::*;

    fn measured(denied: Option<Reason>, fuel: u64) -> Measured {
        let target = denied.map_or(Ok(Terms::default()), |reason| Err(Denial::new(reason, "")));
        Measured {
            answer: Answer {
                target,
                addresses: None,
            },
            fuel,
            memory: fuel * 2,
        }
    }

    fn asked(name: &str) -> Asked<'_> {
        Asked {
            name,
            from: "cases.toml",
            target: "https://a.example/",
            addresses: &[],
        }
    }

    const DENIED: Option<Reason> = Some(Reason::PortDenied);

    #[test]
    fn answers_are_counted_by_direction_and_kind() {
        let mut tally = Tally::default();
        for (name, old, new) in [
            ("looser", DENIED, None),
            ("tighter", None, DENIED),
            ("other", DENIED, Some(Reason::HostDenied)),
            ("same", None, None),
        ] {
            tally.add(asked(name), &measured(old, 10), &measured(new, 20));
        }
        let counts = [
            tally.asked,
            tally.same,
            tally.looser,
            tally.tighter,
            tally.other,
        ];
        assert_eq!(counts, [4, 1, 1, 1, 1]);
        let kinds = [(Kind::Verdict, 2), (Kind::Code, 1)];
        assert_eq!(tally.kinds, kinds.into());
        let looser: Vec<&str> = tally
            .of(Direction::Looser)
            .map(|named| named.name.as_str())
            .collect();
        assert_eq!(looser, ["looser"]);
    }

    #[test]
    fn what_it_costs_is_added_up() {
        let mut tally = Tally::default();
        tally.add(asked("a"), &measured(None, 10), &measured(None, 40));
        tally.add(asked("b"), &measured(None, 30), &measured(None, 20));
        let fuel = &tally.fuel;
        assert_eq!((fuel.old, fuel.new), (40, 60));
        assert_eq!(
            (
                fuel.old_dearest.name.as_str(),
                fuel.new_dearest.name.as_str()
            ),
            ("b", "a")
        );
        assert_eq!((tally.memory.old_bytes, tally.memory.new_bytes), (60, 80));
    }

    #[test]
    fn a_loosening_is_named_whatever_else_changed() {
        let mut tally = Tally::default();
        for _ in 0..MAX_CHANGES {
            tally.add(asked("tighter"), &measured(None, 0), &measured(DENIED, 0));
        }
        tally.add(asked("looser"), &measured(DENIED, 0), &measured(None, 0));
        tally.add(asked("tighter"), &measured(None, 0), &measured(DENIED, 0));
        assert_eq!(
            (tally.changes.len(), tally.tighter),
            (MAX_CHANGES, MAX_CHANGES + 1)
        );
        assert_eq!(tally.of(Direction::Looser).count(), 1);
    }
}
