//! Who asks, and how that is known.

use std::{fmt, sync::Arc};

/// Who asks: the name that the policy sees, that limits and report mode go by, and that is logged.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Subject {
    name: Arc<str>,
    way: Way,
}

/// How a subject was found.
pub(crate) use crate::config::Way;

impl Subject {
    /// A subject that was authenticated, or found, in this way.
    pub(crate) fn new(name: impl Into<Arc<str>>, way: Way) -> Self {
        Self {
            name: name.into(),
            way,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn way(&self) -> Way {
        self.way
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
