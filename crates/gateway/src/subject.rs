//! Who asks, and how that is known.

use std::{fmt, sync::Arc};

/// Who asks: the name that the policy sees, that limits and report mode go by, and that is logged.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    name: Arc<str>,
    way: Way,
    /// Shared: names go wherever a refusal goes.
    voucher: Option<Arc<Voucher>>,
}

/// Which entry of the credentials names a subject: a digest of it, that means nothing elsewhere.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub(crate) struct Voucher(pub(crate) [u8; 32]);

/// How a subject was found.
pub(crate) use crate::config::Way;

impl Subject {
    /// A subject that was authenticated, or found, in this way.
    pub(crate) fn new(name: impl Into<Arc<str>>, way: Way) -> Self {
        Self {
            name: name.into(),
            way,
            voucher: None,
        }
    }

    /// The same, by this entry of the credentials.
    pub(crate) fn by(mut self, voucher: Option<Voucher>) -> Self {
        self.voucher = voucher.map(Arc::new);
        self
    }

    pub(crate) fn voucher(&self) -> Option<&Voucher> {
        self.voucher.as_deref()
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn way(&self) -> Way {
        self.way
    }
}

/// Who it is, and how that is known; by which of several credentials makes no other one of it.
impl PartialEq for Subject {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.way == other.way
    }
}

impl Eq for Subject {}

impl fmt::Debug for Voucher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Voucher(..)")
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
