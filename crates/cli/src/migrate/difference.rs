//! What differs after a migration.

use std::fmt;

use crate::{
    output::{BAD, GOOD, LABEL, Output},
    text::Printable,
};

/// One difference in meaning.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub(super) struct Difference {
    pub(super) kind: Kind,
    /// The key or rule that it is about, as it stands in the old files; `-` for what no file says.
    pub(super) about: String,
    /// What it meant there.
    pub(super) was: String,
    /// What holds here.
    pub(super) now: String,
    /// What to do about it, where something can be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hint: Option<String>,
}

/// In which way it differs.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// Something is let through that was refused.
    Looser,
    /// It has no equivalent.
    Missing,
    /// Something is refused that was let through.
    Stricter,
    /// The same in other words, or something that clients or operators notice.
    Changed,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Looser => "looser",
            Self::Missing => "missing",
            Self::Stricter => "stricter",
            Self::Changed => "changed",
        }
    }
}

/// Collects differences.
#[derive(Debug, Default)]
pub(super) struct Differences {
    all: Vec<Difference>,
}

impl Differences {
    pub(super) fn add(
        &mut self,
        kind: Kind,
        about: impl fmt::Display,
        was: impl Into<String>,
        now: impl Into<String>,
    ) -> &mut Difference {
        let at = self.all.len();
        self.all.push(Difference {
            kind,
            about: about.to_string(),
            was: was.into(),
            now: now.into(),
            hint: None,
        });
        &mut self.all[at]
    }

    /// The gravest first; of one kind in the order of the files.
    pub(super) fn sorted(mut self) -> Vec<Difference> {
        self.all.sort_by_key(|difference| difference.kind);
        self.all
    }
}

impl Difference {
    pub(super) fn hint(&mut self, hint: impl Into<String>) {
        self.hint = Some(hint.into());
    }

    /// For people: what it is about, then a line each for before, after and what to do.
    pub(super) fn show(&self, out: &mut Output) -> std::io::Result<()> {
        let style = match self.kind {
            Kind::Looser | Kind::Missing => BAD,
            Kind::Stricter => GOOD,
            Kind::Changed => LABEL,
        };
        let kind = self.kind.name();
        out.line(format_args!(
            "{style}{kind:<9}{style:#}{}",
            Printable(&self.about)
        ))?;
        out.line(format_args!("  was   {}", Printable(&self.was)))?;
        out.line(format_args!("  now   {}", Printable(&self.now)))?;
        match &self.hint {
            Some(hint) => out.line(format_args!("  hint  {}", Printable(hint))),
            None => Ok(()),
        }
    }
}
