//! Allow and deny patterns in one hash table, looked up once a label.
//!
//! The cost of a decision does not depend on the number of patterns. The hash has no random seed: a
//! policy has no randomness, and needs none, because only the operator puts names into the table and a
//! requested name is compared with the few patterns of one probe.

use crate::{
    pattern::{Pattern, Scope},
    settings::TextList,
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
    entries: Vec<Entry>,
    /// Open addressing, a power of two, at most half full. `EMPTY` or a position in `entries`.
    slots: Vec<u32>,
}

/// A pattern in the table. Small, because a snapshot carries all of them.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Position in its list.
    index: u32,
    effect: Effect,
    scope: Scope,
    /// Where the name begins in the pattern's text.
    start: u8,
    /// Length of the name, at most 253.
    len: u8,
    /// 0 for any port.
    port: u16,
}

/// The pattern that decides about a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Match<'a> {
    pub(crate) effect: Effect,
    pub(crate) index: usize,
    pub(crate) pattern: &'a str,
}

const EMPTY: u32 = u32::MAX;

impl HostTable {
    /// Builds the table. Patterns that do not parse are handed to `refuse` and left out.
    pub(crate) fn new(
        allow: TextList,
        deny: TextList,
        mut refuse: impl FnMut(Effect, usize, String),
    ) -> Self {
        let mut table = Self {
            allow,
            deny,
            ..Self::default()
        };
        table.allow.make_lowercase();
        table.deny.make_lowercase();
        table.make_room();
        for effect in [Effect::Allow, Effect::Deny] {
            for index in 0..table.list(effect).len() {
                if let Err(problem) = table.insert(effect, index) {
                    refuse(effect, index, problem);
                }
            }
        }
        table
    }

    /// Whether there is an allow pattern, which makes the list of allowed names exclusive.
    pub(crate) fn is_exclusive(&self) -> bool {
        !self.allow.is_empty()
    }

    /// The pattern that decides about `name`: the longest name wins, then a pattern with a port, then
    /// deny. `name` is canonical.
    pub(crate) fn find(&self, name: &str, port: u16) -> Option<Match<'_>> {
        if self.entries.is_empty() {
            return None;
        }
        let mut found = None;
        for (suffix, hash) in suffixes(name) {
            let is_whole = suffix.len() == name.len();
            found = self
                .probe(hash)
                .filter(|entry| self.name(entry) == Some(suffix))
                .filter(|entry| entry.port == 0 || entry.port == port)
                .filter(|entry| {
                    if is_whole {
                        entry.scope.covers_itself()
                    } else {
                        entry.scope.covers_below()
                    }
                })
                .max_by_key(|entry| (entry.port != 0, entry.effect))
                .or(found);
        }
        found.map(|entry| self.describe(entry))
    }

    /// Every allow pattern that can never decide, with the deny pattern that wins over it.
    pub(crate) fn overruled(&self) -> impl Iterator<Item = (Match<'_>, Match<'_>)> {
        self.entries
            .iter()
            .filter(|entry| entry.effect == Effect::Allow)
            .filter_map(|allow| {
                let name = self.name(allow)?;
                let deny = self.probe(hash(name)).find(|deny| {
                    deny.effect == Effect::Deny
                        && deny.port == allow.port
                        && self.name(deny) == Some(name)
                        && deny.scope.includes(allow.scope)
                })?;
                Some((self.describe(allow), self.describe(deny)))
            })
    }

    /// Every pattern with what it was read as.
    pub(crate) fn patterns(&self) -> impl Iterator<Item = (Match<'_>, &str, Scope, Option<u16>)> {
        self.entries.iter().map(|entry| {
            let name = self.name(entry).unwrap_or_default();
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

    fn make_room(&mut self) {
        let count = self.allow.len() + self.deny.len();
        self.entries = Vec::with_capacity(count);
        if count > 0 {
            self.slots = vec![EMPTY; (2 * count).next_power_of_two()];
        }
    }

    fn insert(&mut self, effect: Effect, index: usize) -> Result<(), String> {
        const TOO_LONG: &str = "the list or the pattern is too long";
        let text = self.list(effect).get(index).unwrap_or_default();
        let Pattern { scope, name, port } = Pattern::parse(text)?;
        let hash = hash(text.get(name.clone()).unwrap_or_default());
        let entry = Entry {
            index: index.try_into().map_err(|_| TOO_LONG)?,
            effect,
            scope,
            start: name.start.try_into().map_err(|_| TOO_LONG)?,
            len: name.len().try_into().map_err(|_| TOO_LONG)?,
            port: port.unwrap_or(0),
        };
        let at = self.entries.len().try_into().map_err(|_| TOO_LONG)?;
        let free = self
            .positions(hash)
            .find(|slot| self.slots.get(*slot) == Some(&EMPTY));
        if let Some(slot) = free.and_then(|slot| self.slots.get_mut(slot)) {
            *slot = at;
            self.entries.push(entry);
        }
        Ok(())
    }

    /// Every entry whose hash may be this one.
    fn probe(&self, hash: u32) -> impl Iterator<Item = &Entry> {
        self.positions(hash)
            .map_while(|slot| self.slots.get(slot).filter(|at| **at != EMPTY))
            .filter_map(|at| self.entries.get(*at as usize))
    }

    /// The slots for a hash: the first one, then its neighbours.
    fn positions(&self, hash: u32) -> impl Iterator<Item = usize> + use<> {
        let mask = self.slots.len().wrapping_sub(1);
        (0..self.slots.len()).map(move |step| (hash as usize).wrapping_add(step) & mask)
    }

    fn name(&self, entry: &Entry) -> Option<&str> {
        let start = usize::from(entry.start);
        self.list(entry.effect)
            .get(entry.index as usize)?
            .get(start..start + usize::from(entry.len))
    }

    fn describe(&self, entry: &Entry) -> Match<'_> {
        let index = entry.index as usize;
        let pattern = self.list(entry.effect).get(index).unwrap_or_default();
        Match {
            effect: entry.effect,
            index,
            pattern,
        }
    }
}

/// The name's suffixes at label boundaries, shortest first, each with its hash. One pass from the end.
fn suffixes(name: &str) -> impl Iterator<Item = (&str, u32)> {
    let octets = name.as_bytes();
    let mut state = FNV_BASIS;
    (0..octets.len()).rev().filter_map(move |at| {
        state = step(state, *octets.get(at)?);
        let begins_label = at
            .checked_sub(1)
            .is_none_or(|before| octets.get(before) == Some(&b'.'));
        if begins_label {
            Some((name.get(at..)?, finish(state)))
        } else {
            None
        }
    })
}

fn hash(name: &str) -> u32 {
    finish(name.bytes().rev().fold(FNV_BASIS, step))
}

/// FNV-1a, 64 bits.
const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;

fn step(state: u64, octet: u8) -> u64 {
    (state ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3)
}

/// The low bits of FNV alone are weak, and a table's mask keeps only those.
#[expect(
    clippy::cast_possible_truncation,
    reason = "folding 64 bits to 32 is the point"
)]
fn finish(state: u64) -> u32 {
    (state ^ (state >> 32)) as u32
}

#[cfg(test)]
impl HostTable {
    /// The most slots that a look-up visits before it meets a free one.
    pub(crate) fn longest_probe(&self) -> usize {
        let lengths = self.slots.split(|slot| *slot == EMPTY).map(<[u32]>::len);
        lengths.max().unwrap_or(0)
    }
}
