//! Connections of each client address. An entry lives as long as a connection: the table is never larger than the
//! number of open connections.

use std::collections::{HashMap, hash_map::Entry};

use crate::source::Source;

/// How many connections each source has.
#[derive(Debug, Default)]
pub(super) struct Sources {
    open: HashMap<Source, usize>,
}

impl Sources {
    /// Counts one more connection, unless there are as many as there may be.
    pub(super) fn enter(&mut self, source: Source, bound: usize) -> bool {
        match self.open.entry(source) {
            Entry::Occupied(entry) if *entry.get() >= bound => return false,
            Entry::Occupied(mut entry) => *entry.get_mut() += 1,
            Entry::Vacant(_) if bound == 0 => return false,
            Entry::Vacant(entry) => {
                entry.insert(1);
            }
        }
        true
    }

    pub(super) fn leave(&mut self, source: Source) {
        let Entry::Occupied(mut entry) = self.open.entry(source) else {
            return;
        };
        if *entry.get() > 1 {
            *entry.get_mut() -= 1;
            return;
        }
        entry.remove();
        self.shrink();
    }

    /// Gives memory back after a flood.
    fn shrink(&mut self) {
        if self.open.capacity() > SPARE && self.open.len() < self.open.capacity() / 8 {
            self.open.shrink_to(self.open.len() * 2);
        }
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.open.capacity()
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (Source, usize)> {
        self.open.iter().map(|(source, open)| (*source, *open))
    }
}

/// Places that a table may keep empty.
pub(super) const SPARE: usize = 1_024;
