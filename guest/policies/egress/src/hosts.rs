//! Allow and deny patterns in one hash table, looked up once a label.
//!
//! The cost of a decision does not depend on the number of patterns, nor on that of the ports of one name
//! but for a binary search.

use crate::{
    order,
    pattern::{Pattern, Scope},
    ports::Ports,
    settings::TextList,
    slots::{Hash, Slots},
};

/// What a pattern says.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Effect {
    Allow,
    Deny,
}

impl Effect {
    /// How its list is called in the settings.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// Patterns by name.
#[derive(Debug, Default)]
pub(crate) struct HostTable {
    lists: Lists,
    index: Index,
}

/// The patterns as they are written.
#[derive(Debug, Default)]
struct Lists {
    allow: TextList,
    deny: TextList,
}

/// What was read, to be found by name.
#[derive(Debug, Default)]
struct Index {
    /// Those for one name together, by port.
    entries: Vec<Entry>,
    /// Where the entries of each name begin; empty when each name has one.
    names: Vec<usize>,
    /// How many names there are.
    count: usize,
    /// Numbers of names by the hash of the name.
    slots: Slots,
    /// For each number of labels whether a name has so many.
    depths: Depths,
}

/// A pattern in the table: 12 octets, because a snapshot carries all of them.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Where the name begins in the text of its list.
    start: u32,
    /// Position in its list.
    index: u32,
    /// `ANY_PORT` for any.
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
        mut allow: TextList,
        mut deny: TextList,
        mut refuse: impl FnMut(Effect, usize, String),
    ) -> Self {
        allow.make_lowercase();
        deny.make_lowercase();
        let lists = Lists { allow, deny };
        let mut index = Index::with_room(lists.allow.len() + lists.deny.len());
        for (effect, list) in [(Effect::Allow, &lists.allow), (Effect::Deny, &lists.deny)] {
            for (position, (start, text)) in list.iter().enumerate() {
                let read = entry(effect, position, start, text);
                if let Err(problem) = read.and_then(|(name, entry)| index.add(&lists, name, entry))
                {
                    refuse(effect, position, problem);
                }
            }
        }
        let index = index.by_name(&lists);
        Self { lists, index }
    }

    /// Whether there is an allow pattern, which makes the list of allowed names exclusive.
    pub(crate) fn is_exclusive(&self) -> bool {
        !self.lists.allow.is_empty()
    }

    /// The pattern that decides about `name`: the longest name wins, then a pattern with a port, then
    /// deny. `name` is canonical.
    pub(crate) fn find(&self, name: &str, port: u16) -> Option<Match<'_>> {
        let mut found = None;
        for (suffix, entries) in self.known_suffixes(name) {
            found = decide(entries, port, suffix.len() == name.len()).or(found);
        }
        found.map(|entry| self.lists.describe(entry))
    }

    /// What `find` answers on each port of `ports` on which it may differ.
    pub(crate) fn find_all<'a>(
        &'a self,
        name: &'a str,
        ports: &'a Ports,
    ) -> impl Iterator<Item = Option<Match<'a>>> {
        let known: Vec<_> = self.known_suffixes(name).map(|(_, known)| known).collect();
        let is_free = |port: &u16| known.iter().all(|entries| on(entries, *port).is_empty());
        let free = ports.iter().find(is_free);
        let special = known.into_iter().flatten().map(|entry| entry.port);
        let special = special.filter(|port| ports.contains(*port));
        special.chain(free).map(|port| self.find(name, port))
    }

    /// Every pattern.
    pub(crate) fn rules(&self) -> impl Iterator<Item = HostRule<'_>> {
        self.index.groups().flat_map(move |entries| {
            entries.iter().map(move |entry| HostRule {
                lists: &self.lists,
                entries,
                entry,
            })
        })
    }

    /// The suffixes of `name` that patterns are about, the shortest first, with those patterns.
    fn known_suffixes<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, &'a [Entry])> {
        let index = &self.index;
        let name = if index.entries.is_empty() { "" } else { name };
        let labels = suffixes(name).zip(1..);
        let known = labels.filter(|(_, depth)| index.depths.contains(*depth));
        known.filter_map(|((suffix, hash), _)| {
            let number = index.number(&self.lists, suffix, hash)?;
            Some((suffix, index.group(number)))
        })
    }
}

impl Lists {
    fn of(&self, effect: Effect) -> &TextList {
        match effect {
            Effect::Allow => &self.allow,
            Effect::Deny => &self.deny,
        }
    }

    /// Whether the pattern is about this name: what follows it in its list is a port or the end.
    fn is_name(&self, entry: &Entry, name: &str) -> bool {
        let rest = self.of(entry.effect).from(entry.start as usize);
        rest.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(NAME_END))
    }

    fn name(&self, entry: &Entry) -> &str {
        let text = self.of(entry.effect).from(entry.start as usize);
        text.split(NAME_END).next().unwrap_or_default()
    }

    fn describe(&self, entry: &Entry) -> Match<'_> {
        let start = (entry.start as usize).saturating_sub(entry.scope.front().len());
        let text = self.of(entry.effect).from(start);
        let pattern = text.split(TextList::END).next().unwrap_or_default();
        Match {
            effect: entry.effect,
            index: entry.index as usize,
            pattern,
        }
    }
}

impl Index {
    fn with_room(count: usize) -> Self {
        Self {
            entries: Vec::with_capacity(count),
            slots: Slots::with_room(count),
            ..Self::default()
        }
    }

    /// Adds a pattern. As long as patterns are added, the number of a name is the position of its first.
    fn add(&mut self, lists: &Lists, name: &str, entry: Entry) -> Result<(), String> {
        let hash = hash(name);
        if self.number(lists, name, hash).is_none() {
            if !self.slots.insert(hash, self.entries.len()) {
                return Err(TOO_LONG.into());
            }
            self.count += 1;
            self.depths.add(suffixes(name).count());
        }
        self.entries.push(entry);
        Ok(())
    }

    /// Puts the patterns of each name together, each meaning once, if there are names with several.
    fn by_name(self, lists: &Lists) -> Self {
        if self.count == self.entries.len() {
            return self;
        }
        let number = |entry| {
            let name = lists.name(entry);
            self.number(lists, name, hash(name))
        };
        let numbers: Vec<_> = self.entries.iter().map(number).collect();
        let key = |at: usize| {
            let entry = self.entries.get(at);
            let meaning = entry.map(|entry| (entry.meaning(), entry.index));
            (numbers.get(at), meaning)
        };
        let mut index = Self::with_room(self.count);
        let mut last = None;
        for at in order::sorted(self.entries.len(), &|one, other| key(one).cmp(&key(other))) {
            let Some(entry) = self.entries.get(at) else {
                continue;
            };
            let number = numbers.get(at);
            if last.is_none_or(|(other, _)| other != number) {
                let name = lists.name(entry);
                // There is room: it was made for this many names.
                index.slots.insert(hash(name), index.names.len());
                index.names.push(index.entries.len());
            } else if last == Some((number, entry.meaning())) {
                continue;
            }
            last = Some((number, entry.meaning()));
            index.entries.push(*entry);
        }
        index.depths = self.depths;
        index.count = self.count;
        index
    }

    /// The number of the name, if there are patterns about exactly this one.
    fn number(&self, lists: &Lists, name: &str, hash: u32) -> Option<usize> {
        let is_name = |at: &usize| {
            let first = self.group(*at).first();
            first.is_some_and(|entry| lists.is_name(entry, name))
        };
        self.slots.probe(hash).find(is_name)
    }

    /// The patterns about one name.
    fn group(&self, number: usize) -> &[Entry] {
        let edges = match self.names.get(number) {
            Some(start) => {
                let next = self.names.get(number + 1);
                *start..next.copied().unwrap_or(self.entries.len())
            }
            None => number..number + 1,
        };
        self.entries.get(edges).unwrap_or_default()
    }

    fn groups(&self) -> impl Iterator<Item = &[Entry]> {
        (0..self.count).map(|number| self.group(number))
    }
}

/// A pattern, together with all that are about the same name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostRule<'a> {
    lists: &'a Lists,
    entries: &'a [Entry],
    entry: &'a Entry,
}

impl<'a> HostRule<'a> {
    pub(crate) fn name(&self) -> &'a str {
        self.lists.name(self.entry)
    }

    pub(crate) fn scope(&self) -> Scope {
        self.entry.scope
    }

    pub(crate) fn port(&self) -> Option<u16> {
        (self.entry.port != 0).then_some(self.entry.port)
    }

    pub(crate) fn found(&self) -> Match<'a> {
        self.lists.describe(self.entry)
    }

    /// What decides where this pattern is about the name itself (`is_whole`) or about a name below it that
    /// no longer pattern knows, on each port of `ports` on which it may differ.
    pub(crate) fn outcomes(
        self,
        is_whole: bool,
        ports: &'a Ports,
    ) -> impl Iterator<Item = Match<'a>> {
        let (special, free) = match self.port() {
            Some(_) => (std::slice::from_ref(self.entry), None),
            None => (self.entries, self.free_port(ports)),
        };
        let special = special.iter().map(|entry| entry.port);
        let special = special.filter(|port| ports.contains(*port));
        let deciding = special
            .chain(free)
            .filter_map(move |port| decide(self.entries, port, is_whole));
        deciding.map(move |entry| self.lists.describe(entry))
    }

    /// A port that no pattern about this name mentions.
    fn free_port(&self, ports: &Ports) -> Option<u16> {
        ports.iter().find(|port| on(self.entries, *port).is_empty())
    }
}

/// Of the patterns about one name, the one that decides on a port.
fn decide(entries: &[Entry], port: u16, is_whole: bool) -> Option<&Entry> {
    let strongest = |port| {
        let covering = on(entries, port)
            .iter()
            .filter(|entry| entry.scope.covers(is_whole));
        covering.max_by_key(|entry| entry.effect)
    };
    strongest(port).or_else(|| strongest(ANY_PORT))
}

/// Of the patterns about one name, those that are written with this port: one for each scope and effect.
fn on(entries: &[Entry], port: u16) -> &[Entry] {
    let from = entries.partition_point(|entry| entry.port < port);
    let rest = entries.get(from..).unwrap_or_default();
    let count = rest.partition_point(|entry| entry.port == port);
    rest.get(..count).unwrap_or_default()
}

/// What ends a name inside a pattern.
const NAME_END: [char; 2] = [':', TextList::END];
/// The port of an entry for all ports.
const ANY_PORT: u16 = 0;
const TOO_LONG: &str = "the lists are too long";

/// Reads a pattern that begins at `start` in its list; answers with its name, too.
fn entry(effect: Effect, index: usize, start: usize, text: &str) -> Result<(&str, Entry), String> {
    let Pattern { scope, name, port } = Pattern::parse(text)?;
    let entry = Entry {
        start: (start + name.start).try_into().map_err(|_| TOO_LONG)?,
        index: index.try_into().map_err(|_| TOO_LONG)?,
        port: port.unwrap_or(ANY_PORT),
        scope,
        effect,
    };
    Ok((text.get(name).unwrap_or_default(), entry))
}

impl Entry {
    /// What two patterns about one name have in common when they say the same.
    fn meaning(&self) -> (u16, Scope, Effect) {
        (self.port, self.scope, self.effect)
    }
}

/// A set of numbers of labels: most suffixes of a name are told apart by it alone.
#[derive(Clone, Copy, Debug, Default)]
struct Depths(u128);

impl Depths {
    fn add(&mut self, labels: usize) {
        self.0 |= Self::bit(labels);
    }

    fn contains(self, labels: usize) -> bool {
        self.0 & Self::bit(labels) != 0
    }

    /// A name has at most 127 labels.
    fn bit(labels: usize) -> u128 {
        1 << labels.min(127)
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
    use crate::{settings::PortEntry, tests::Dice};

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

    /// What a rule is told to meet is what a search finds, port by port.
    #[test]
    fn outcomes_are_those_of_a_search() {
        let mut dice = Dice::new(11);
        let ports = |range: &str| Ports::read(&[PortEntry::Range(range.into())], |_, _| ());
        for _ in 0..2_000 {
            let patterns: Vec<_> = (0..6)
                .map(|_| {
                    let effect = [Effect::Allow, Effect::Deny][dice.below(2)];
                    (effect, pattern(&mut dice))
                })
                .collect();
            let lists = [Effect::Allow, Effect::Deny].map(|effect| list(&patterns, effect));
            let [allow, deny] = lists;
            let table = HostTable::new(allow, deny, |_, _, problem| panic!("{problem}"));
            let ports = ports(["1-1", "1-2", "2-3"][dice.below(3)]);
            for rule in table.rules() {
                for is_whole in [true, false] {
                    let name = match is_whole {
                        true => rule.name().to_owned(),
                        // A label that no pattern has.
                        false => format!("zz.{}", rule.name()),
                    };
                    let own = |port: &u16| rule.port().is_none_or(|own| own == *port);
                    let mut expected: Vec<_> = ports
                        .iter()
                        .filter(own)
                        .filter_map(|port| by_hand(&about(&patterns, rule.name()), &name, port))
                        .collect();
                    let mut found: Vec<_> = rule
                        .outcomes(is_whole, &ports)
                        .map(|found| found.effect)
                        .collect();
                    for list in [&mut expected, &mut found] {
                        list.sort_unstable();
                        list.dedup();
                    }
                    assert_eq!(found, expected, "{name} in {patterns:?}");
                    let mut all: Vec<_> = table
                        .find_all(&name, &ports)
                        .map(|found| found.map(|found| found.effect))
                        .collect();
                    let mut by_hand: Vec<_> = ports
                        .iter()
                        .map(|port| by_hand(&patterns, &name, port))
                        .collect();
                    for list in [&mut all, &mut by_hand] {
                        list.sort_unstable();
                        list.dedup();
                    }
                    assert_eq!(all, by_hand, "{name} in {patterns:?}");
                }
            }
        }
    }

    /// Those about exactly this name.
    fn about(patterns: &[(Effect, String)], name: &str) -> Vec<(Effect, String)> {
        let own = patterns.iter().filter(|(_, text)| {
            let pattern = Pattern::parse(text).unwrap();
            &text[pattern.name] == name
        });
        own.cloned().collect()
    }
}
