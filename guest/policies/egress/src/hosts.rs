//! Allow and deny patterns in one hash table, looked up once a label.
//!
//! The cost of a decision does not depend on the number of patterns.

use crate::{
    pattern::{Pattern, Scope},
    settings::TextList,
    slots::{Hash, Slots},
};

/// What a pattern says.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Effect {
    Allow,
    Deny,
}

/// Patterns by name.
#[derive(Debug, Default)]
pub(crate) struct HostTable {
    allow: TextList,
    deny: TextList,
    index: Index,
}

/// Patterns by the hash of their name.
#[derive(Debug, Default)]
struct Index {
    entries: Vec<Entry>,
    slots: Slots,
}

/// A pattern in the table: 12 octets, because a snapshot carries all of them.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Where the name begins in the text of its list.
    start: u32,
    /// Position in its list.
    index: u32,
    /// 0 for any port.
    port: u16,
    scope: Scope,
    effect: Effect,
}

/// The pattern that decides about a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Match<'a> {
    pub(crate) effect: Effect,
    pub(crate) index: usize,
    pub(crate) pattern: &'a str,
}

impl HostTable {
    /// Builds the table. Patterns that do not parse are handed to `refuse` and left out.
    pub(crate) fn new(
        allow: TextList,
        deny: TextList,
        mut refuse: impl FnMut(Effect, usize, String),
    ) -> Self {
        let mut index = Index::with_room(allow.len() + deny.len());
        let mut table = Self {
            allow,
            deny,
            index: Index::default(),
        };
        table.allow.make_lowercase();
        table.deny.make_lowercase();
        for (effect, list) in [(Effect::Allow, &table.allow), (Effect::Deny, &table.deny)] {
            for (position, (start, text)) in list.iter().enumerate() {
                let read = entry(effect, position, start, text);
                if let Err(problem) = read.and_then(|(name, entry)| index.insert(list, name, entry))
                {
                    refuse(effect, position, problem);
                }
            }
        }
        table.index = index;
        table
    }

    /// Whether there is an allow pattern, which makes the list of allowed names exclusive.
    pub(crate) fn is_exclusive(&self) -> bool {
        !self.allow.is_empty()
    }

    /// The pattern that decides about `name`: the longest name wins, then a pattern with a port, then
    /// deny. `name` is canonical.
    pub(crate) fn find(&self, name: &str, port: u16) -> Option<Match<'_>> {
        if self.index.entries.is_empty() {
            return None;
        }
        let mut found = None;
        for (suffix, hash) in suffixes(name) {
            let is_whole = suffix.len() == name.len();
            found = self
                .index
                .probe(hash)
                .filter(|entry| self.is_name(entry, suffix))
                .filter(|entry| entry.port == 0 || entry.port == port)
                .filter(|entry| entry.scope.covers(is_whole))
                .max_by_key(|entry| (entry.port != 0, entry.effect))
                .or(found);
        }
        found.map(|entry| self.describe(entry))
    }

    /// Every allow pattern that can never decide, with the deny pattern that wins over it.
    pub(crate) fn overruled(&self) -> impl Iterator<Item = (Match<'_>, Match<'_>)> {
        self.index
            .entries
            .iter()
            .filter(|entry| entry.effect == Effect::Allow)
            .filter_map(|allow| {
                let name = self.name(allow);
                let deny = self.index.probe(hash(name)).find(|deny| {
                    deny.effect == Effect::Deny
                        && deny.port == allow.port
                        && self.is_name(deny, name)
                        && deny.scope.includes(allow.scope)
                })?;
                Some((self.describe(allow), self.describe(deny)))
            })
    }

    /// Every pattern with what it was read as.
    pub(crate) fn patterns(&self) -> impl Iterator<Item = (Match<'_>, &str, Scope, Option<u16>)> {
        self.index.entries.iter().map(|entry| {
            let name = self.name(entry);
            (
                self.describe(entry),
                name,
                entry.scope,
                (entry.port != 0).then_some(entry.port),
            )
        })
    }

    fn list(&self, effect: Effect) -> &TextList {
        match effect {
            Effect::Allow => &self.allow,
            Effect::Deny => &self.deny,
        }
    }

    fn is_name(&self, entry: &Entry, name: &str) -> bool {
        entry.is_name(self.list(entry.effect), name)
    }

    fn name(&self, entry: &Entry) -> &str {
        let text = self.list(entry.effect).from(entry.start as usize);
        text.split(NAME_END).next().unwrap_or_default()
    }

    fn describe(&self, entry: &Entry) -> Match<'_> {
        let start = (entry.start as usize).saturating_sub(entry.scope.front().len());
        let text = self.list(entry.effect).from(start);
        let pattern = text.split(TextList::END).next().unwrap_or_default();
        Match {
            effect: entry.effect,
            index: entry.index as usize,
            pattern,
        }
    }
}

/// What ends a name inside a pattern.
const NAME_END: [char; 2] = [':', TextList::END];
const TOO_LONG: &str = "the lists are too long";

/// Reads a pattern that begins at `start` in its list; answers with its name, too.
fn entry(effect: Effect, index: usize, start: usize, text: &str) -> Result<(&str, Entry), String> {
    let Pattern { scope, name, port } = Pattern::parse(text)?;
    let entry = Entry {
        start: (start + name.start).try_into().map_err(|_| TOO_LONG)?,
        index: index.try_into().map_err(|_| TOO_LONG)?,
        port: port.unwrap_or(0),
        scope,
        effect,
    };
    Ok((text.get(name).unwrap_or_default(), entry))
}

impl Index {
    fn with_room(count: usize) -> Self {
        Self {
            entries: Vec::with_capacity(count),
            slots: Slots::with_room(count),
        }
    }

    /// Adds a pattern of `list`, unless the same is there already.
    fn insert(&mut self, list: &TextList, name: &str, entry: Entry) -> Result<(), String> {
        let hash = hash(name);
        if self
            .probe(hash)
            .any(|other| other.is_same(&entry) && other.is_name(list, name))
        {
            return Ok(());
        }
        if !self.slots.insert(hash, self.entries.len()) {
            return Err(TOO_LONG.into());
        }
        self.entries.push(entry);
        Ok(())
    }

    /// Every entry whose hash may be this one.
    fn probe(&self, hash: u32) -> impl Iterator<Item = &Entry> {
        self.slots.probe(hash).filter_map(|at| self.entries.get(at))
    }
}

impl Entry {
    /// Whether the pattern is about this name: what follows it in its list is a port or the end.
    fn is_name(&self, list: &TextList, name: &str) -> bool {
        let rest = list.from(self.start as usize).strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(NAME_END))
    }

    /// Whether both say the same about the same name.
    fn is_same(&self, other: &Self) -> bool {
        (self.port, self.scope, self.effect) == (other.port, other.scope, other.effect)
    }
}

/// The name's suffixes at label boundaries, shortest first, each with its hash. One pass from the end.
fn suffixes(name: &str) -> impl Iterator<Item = (&str, u32)> {
    let octets = name.as_bytes();
    let mut hash = Hash::new();
    (0..octets.len()).rev().filter_map(move |at| {
        hash = hash.octet(*octets.get(at)?);
        let begins_label = at
            .checked_sub(1)
            .is_none_or(|before| octets.get(before) == Some(&b'.'));
        if begins_label {
            Some((name.get(at..)?, hash.finish()))
        } else {
            None
        }
    })
}

fn hash(name: &str) -> u32 {
    Hash::of(name.bytes().rev())
}

#[cfg(test)]
impl HostTable {
    pub(crate) fn longest_probe(&self) -> usize {
        self.index.slots.longest_probe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Dice;

    const LABELS: [&str; 3] = ["a", "b", "aa"];

    fn name(dice: &mut Dice) -> String {
        let labels: Vec<_> = (0..=dice.below(3)).map(|_| LABELS[dice.below(3)]).collect();
        labels.join(".")
    }

    fn pattern(dice: &mut Dice) -> String {
        let scope = ["", "*.", "**."][dice.below(3)];
        let port = ["", ":1", ":2"][dice.below(3)];
        format!("{scope}{}{port}", name(dice))
    }

    /// What the documentation says, pattern by pattern.
    fn by_hand(patterns: &[(Effect, String)], name: &str, port: u16) -> Option<Effect> {
        let matching = patterns.iter().filter_map(|(effect, text)| {
            let pattern = Pattern::parse(text).unwrap();
            let own = &text[pattern.name.clone()];
            let itself = pattern.scope.covers_itself() && name == own;
            let below = pattern.scope.covers_below() && name.ends_with(&format!(".{own}"));
            let here = pattern.port.is_none_or(|own| own == port);
            ((itself || below) && here).then_some((own.len(), pattern.port.is_some(), *effect))
        });
        matching.max().map(|(_, _, effect)| effect)
    }

    fn list(patterns: &[(Effect, String)], effect: Effect) -> TextList {
        let own = patterns.iter().filter(|(other, _)| *other == effect);
        let texts: Vec<_> = own.map(|(_, text)| text.clone()).collect();
        serde_json::from_value(texts.into()).unwrap()
    }

    #[test]
    fn a_look_up_finds_what_a_search_finds() {
        let mut dice = Dice::new(7);
        for _ in 0..2_000 {
            let effect = |dice: &mut Dice| [Effect::Allow, Effect::Deny][dice.below(2)];
            let patterns: Vec<_> = (0..dice.below(12))
                .map(|_| (effect(&mut dice), pattern(&mut dice)))
                .collect();
            let (allow, deny) = (
                list(&patterns, Effect::Allow),
                list(&patterns, Effect::Deny),
            );
            let table = HostTable::new(allow, deny, |_, _, problem| panic!("{problem}"));
            for _ in 0..10 {
                let (name, port) = (name(&mut dice), [1, 2, 3][dice.below(3)]);
                let found = table.find(&name, port).map(|found| found.effect);
                assert_eq!(
                    found,
                    by_hand(&patterns, &name, port),
                    "{name}:{port} in {patterns:?}"
                );
            }
        }
    }

    #[test]
    fn what_is_overruled_never_decides() {
        let mut dice = Dice::new(11);
        let mut seen = 0;
        for _ in 0..5_000 {
            let deny: Vec<_> = (0..3).map(|_| (Effect::Deny, pattern(&mut dice))).collect();
            let allow = pattern(&mut dice);
            let lists = list(&[(Effect::Allow, allow.clone())], Effect::Allow);
            let table = HostTable::new(lists, list(&deny, Effect::Deny), |_, _, _| ());
            let is_overruled = table.overruled().next().is_some();
            let own = Pattern::parse(&allow).unwrap();
            let port = own.port.unwrap_or(3);
            // A label that no pattern has, so that only this one can be the most specific.
            let below = format!("zz.{}", &allow[own.name.clone()]);
            let names = [
                (own.scope.covers_itself(), &allow[own.name]),
                (own.scope.covers_below(), &below),
            ];
            let decides = names.iter().any(|(covered, name)| {
                *covered
                    && table
                        .find(name, port)
                        .is_some_and(|found| found.effect == Effect::Allow)
            });
            assert!(!(is_overruled && decides), "{allow} against {deny:?}");
            seen += usize::from(is_overruled);
        }
        assert!(seen > 10, "the dice never met the case");
    }
}
