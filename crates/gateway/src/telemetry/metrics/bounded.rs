//! Names that are few enough for labels.

use std::{
    borrow::Cow,
    collections::HashSet,
    sync::{Arc, PoisonError, RwLock},
};

use pinfold_addr::Reason;

/// Names that have series of their own: the first so many that came.
#[derive(Debug)]
pub(super) struct Names {
    most: usize,
    known: RwLock<HashSet<Arc<str>>>,
}

impl Names {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            known: RwLock::default(),
        }
    }

    /// The name as a label, or `other`.
    pub(super) fn label(&self, name: &str) -> Label {
        if name.is_empty() {
            return Cow::Borrowed("");
        }
        match self.admit(name) {
            true => Cow::Owned(printable(name)),
            false => OTHER,
        }
    }

    /// Codes of the host are finite, and always have their own.
    pub(super) fn code(&self, code: &str) -> Label {
        match Reason::from_code(code) {
            Some(reason) => Cow::Borrowed(reason.code()),
            None => self.label(code),
        }
    }

    fn admit(&self, name: &str) -> bool {
        if name.len() > LONGEST {
            return false;
        }
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if known.contains(name) {
            return true;
        }
        drop(known);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.len() < self.most && known.insert(name.into()) || known.contains(name)
    }
}

/// The value of a label.
pub(super) type Label = Cow<'static, str>;

/// A text that steers nothing, wherever it is shown.
pub(super) fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '_' } else { c };
    text.chars().map(shown).take(LONGEST).collect()
}

/// What stands for names beyond the bound.
pub(super) const OTHER: Label = Cow::Borrowed("other");
/// A longer name has no series of its own. As long as subjects may be.
const LONGEST: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_names_have_their_own_the_others_share() {
        let names = Names::new(2);
        let long = "x".repeat(LONGEST + 1);
        let table = [
            ("first", "first"),
            ("second", "second"),
            ("third", "other"),
            ("first", "first"),
            ("", ""),
            (&*long, "other"),
        ];
        for (name, expected) in table {
            assert_eq!(names.label(name), expected, "{name}");
        }
        assert_eq!(names.code("address-floor"), "address-floor");
        assert_eq!(names.code("of-a-policy"), "other");
        assert_eq!(Names::new(1).label("a\u{1b}[2Jb\n"), "a_[2Jb_");
    }
}
