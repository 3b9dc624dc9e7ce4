//! Why a URL was refused: data, never a panic, never the credentials of the URL.

use alloc::{format, string::String};
use core::fmt;

use crate::Reason;

/// Why a URL was refused.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// The reason.
    pub reason: Reason,
    /// What exactly, for the operator. Holds at most a short excerpt of the URL, escaped, and never
    /// its userinfo.
    pub detail: String,
}

impl Refusal {
    /// How many characters of a refused text a detail quotes.
    const EXCERPT: usize = 80;

    /// A refusal in plain words.
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
        }
    }

    /// A refusal that quotes what was refused: ``what `text` ``, escaped and cut.
    pub(crate) fn quoting(reason: Reason, what: &str, text: &str) -> Self {
        let excerpt: String = text
            .chars()
            .take(Self::EXCERPT)
            .flat_map(char::escape_debug)
            .collect();
        let ellipsis = if text.chars().nth(Self::EXCERPT).is_some() {
            "..."
        } else {
            ""
        };
        Self::new(reason, format!("{what} `{excerpt}{ellipsis}`"))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.detail)
    }
}

impl core::error::Error for Refusal {}
