//! `--baseline`: what has become dearer or cheaper since an earlier report.
//!
//! Fuel is exact: the same component with the same settings takes the same fuel for the same vector, on
//! every machine. Any difference is one of the policy, and is shown.

use std::collections::BTreeMap;

use serde::Serialize;

use super::report::{Cost, Report};

/// What is different from the baseline.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Compared {
    /// Fuel of the vectors that are in both, before.
    pub(super) old_sum: u64,
    /// And now.
    pub(super) new_sum: u64,
    /// Size of the component, before.
    pub(super) old_size: u64,
    /// And now.
    pub(super) new_size: u64,
    /// The vectors that take more or less, those with the largest difference first.
    pub(super) changed: Vec<Changed>,
    /// Vectors that take as much as before.
    pub(super) same: usize,
    /// Vectors that the baseline does not have.
    pub(super) added: usize,
    /// Vectors that only the baseline has.
    pub(super) missing: usize,
    /// Whether it is the very same component.
    pub(super) same_component: bool,
}

/// One vector that takes more or less.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Changed {
    /// Its name.
    pub(super) vector: String,
    /// Fuel of both stages, before.
    pub(super) old: u64,
    /// And now.
    pub(super) new: u64,
}

/// Compares with an earlier report.
pub(super) fn compare(old: &Report, new: &Report) -> Compared {
    let before: BTreeMap<_, &Cost> = by_key(old);
    let after = by_key(new);
    let both = after
        .iter()
        .filter_map(|(key, cost)| Some((*before.get(key)?, *cost)));
    let (mut compared, mut both_count) = (start(old, new), 0);
    for (before, after) in both {
        both_count += 1;
        compared.old_sum = compared.old_sum.saturating_add(before.fuel);
        compared.new_sum = compared.new_sum.saturating_add(after.fuel);
        if before.fuel == after.fuel {
            compared.same += 1;
        } else {
            compared.changed.push(Changed {
                vector: after.vector.clone(),
                old: before.fuel,
                new: after.fuel,
            });
        }
    }
    compared.added = after.len() - both_count;
    compared.missing = before.len() - both_count;
    compared
        .changed
        .sort_by_key(|changed| std::cmp::Reverse(changed.new.abs_diff(changed.old)));
    compared
}

fn start(old: &Report, new: &Report) -> Compared {
    Compared {
        old_sum: 0,
        new_sum: 0,
        old_size: old.policy.size_bytes,
        new_size: new.policy.size_bytes,
        changed: Vec::new(),
        same: 0,
        added: 0,
        missing: 0,
        same_component: old.policy.digest == new.policy.digest,
    }
}

/// The vectors by file and name. Of those that share both, the number among them tells them apart.
fn by_key(report: &Report) -> BTreeMap<(&str, &str, usize), &Cost> {
    let mut found = BTreeMap::new();
    let mut seen = BTreeMap::<(&str, &str), usize>::new();
    for cost in &report.fuel.vectors {
        let (file, vector) = cost.key();
        let number = seen.entry((file, vector)).or_default();
        found.insert((file, vector, *number), cost);
        *number += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::bench::report::testing::report;

    #[test]
    fn every_difference_is_shown() {
        let old = report(100, 0, 10);
        let same = compare(&old, &old);
        assert_eq!((same.same, same.changed.len(), same.old_sum), (2, 0, 150));
        let mut new = report(101, 0, 12);
        new.fuel.vectors[0].vector = "another".into();
        let compared = compare(&old, &new);
        assert_eq!(
            compared,
            Compared {
                old_sum: 100,
                new_sum: 101,
                old_size: 10,
                new_size: 12,
                changed: vec![Changed {
                    vector: "dearest".into(),
                    old: 100,
                    new: 101
                }],
                same: 0,
                added: 1,
                missing: 1,
                same_component: true,
            }
        );
    }

    #[test]
    fn vectors_of_one_name_are_compared_in_their_order() {
        let mut old = report(100, 0, 0);
        old.fuel.vectors[0].vector = "dearest".into();
        let compared = compare(&old, &old.clone());
        assert_eq!((compared.same, compared.added, compared.missing), (2, 0, 0));
    }
}
