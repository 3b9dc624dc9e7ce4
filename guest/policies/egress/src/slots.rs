//! A hash index over positions of a list, by open addressing.
//!
//! It has no random seed: a policy has no randomness, and needs none, because only the operator puts
//! keys into an index, and what a request brings is compared with the few keys of one probe. It is also
//! smaller than a sorted list would be: the code of a sort is instantiated for each type.

/// Positions by hash. What a key is, and whether two are equal, is up to the list.
///
/// A slot holds a position in its low bits and, in the others, those of the hash: a key that is not there is
/// mostly told from its neighbours without a look at the list, which would touch more memory.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    /// A power of two, at most half full; empty when there is no key.
    slots: Box<[u32]>,
    /// The bits of a slot that are a position.
    positions: u32,
}

/// No list has this position: it is all ones, and so never below a number of keys.
const EMPTY: u32 = u32::MAX;

impl Slots {
    /// Room for this many keys.
    pub(crate) fn with_room(count: usize) -> Self {
        let len = if count == 0 {
            0
        } else {
            (2 * count).next_power_of_two()
        };
        let positions = (count + 1).next_power_of_two() - 1;
        Self {
            slots: vec![EMPTY; len].into(),
            positions: u32::try_from(positions).unwrap_or(u32::MAX),
        }
    }

    /// Adds a position. False when there is no room left for it.
    pub(crate) fn insert(&mut self, hash: u32, position: usize) -> bool {
        let free = self
            .path(hash)
            .find(|slot| self.slots.get(*slot) == Some(&EMPTY));
        match (
            free.and_then(|slot| self.slots.get_mut(slot)),
            u32::try_from(position),
        ) {
            (Some(slot), Ok(position)) if position < self.positions => {
                *slot = hash & !self.positions | position;
                true
            }
            _ => false,
        }
    }

    /// Every position whose hash may be this one.
    pub(crate) fn probe(&self, hash: u32) -> impl Iterator<Item = usize> {
        let filled = self
            .path(hash)
            .map_while(|slot| self.slots.get(slot).filter(|at| **at != EMPTY));
        let alike = move |slot: &&u32| (**slot ^ hash) & !self.positions == 0;
        filled
            .filter(alike)
            .map(|slot| (slot & self.positions) as usize)
    }

    /// The slots for a hash: the first one, then its neighbours.
    fn path(&self, hash: u32) -> impl Iterator<Item = usize> + use<> {
        let mask = self.slots.len().wrapping_sub(1);
        (0..self.slots.len()).map(move |step| (hash as usize).wrapping_add(step) & mask)
    }
}

/// FNV-1a, 64 bits, folded to 32: an octet at a time, so that one pass hashes every prefix or suffix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hash(u64);

impl Hash {
    pub(crate) const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    #[must_use]
    pub(crate) fn octet(self, octet: u8) -> Self {
        Self((self.0 ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3))
    }

    /// The low bits of FNV alone are weak, and an index keeps only those.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "folding 64 bits to 32 is the point"
    )]
    pub(crate) const fn finish(self) -> u32 {
        (self.0 ^ (self.0 >> 32)) as u32
    }

    pub(crate) fn of(octets: impl Iterator<Item = u8>) -> u32 {
        octets.fold(Self::new(), Self::octet).finish()
    }
}

#[cfg(test)]
impl Slots {
    /// The most slots that a look-up visits before it meets a free one.
    pub(crate) fn longest_probe(&self) -> usize {
        let lengths = self.slots.split(|slot| *slot == EMPTY).map(<[u32]>::len);
        lengths.max().unwrap_or(0)
    }
}
