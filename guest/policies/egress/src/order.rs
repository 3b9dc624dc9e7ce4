//! One sort for all lists: the code of a sort is instantiated for each type of element, and is large.

use std::cmp::Ordering;

/// The positions of a list of this length in the order of `compare`, which is given positions.
pub(crate) fn sorted(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut positions: Vec<usize> = (0..count).collect();
    positions.sort_unstable_by(|one, other| compare(*one, *other));
    positions
}
