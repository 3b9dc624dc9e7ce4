//! Why a change of the policies was refused, and at which step. What was active stays active.

use std::{path::Path, time::Duration};

use pinfold::policy::LoadError;

use super::Untested;

/// What asked for a change.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Trigger {
    /// The gateway starts.
    Start,
    /// A file changed.
    File,
    /// `SIGHUP`, or the library's `reload`.
    Signal,
    /// An operator, by the admin interface.
    Admin,
}

/// How far a candidate came.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Step {
    /// Files: there, whole, of a size, settings that parse.
    Read,
    /// The component: a policy of this contract that imports nothing.
    Verify,
    /// The settings suit it, it is configured and compiled.
    Load,
    /// Its own vectors.
    SelfTest,
}

/// A candidate that was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error, serde::Serialize)]
#[error("{message}")]
pub(crate) struct Failure {
    pub(crate) step: Step,
    /// What is wrong, for the operator; at most [`MESSAGE`] octets.
    pub(crate) message: String,
    pub(crate) hint: Option<&'static str>,
}

/// Why what was asked for is not active.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum ChangeError {
    /// The candidate is bad; what was active stays.
    #[error(transparent)]
    Kept(#[from] Failure),
    /// Nobody can do what was asked for.
    #[error("{message}")]
    Request {
        code: &'static str,
        message: String,
        hint: &'static str,
    },
    /// Too many changes wait already.
    #[error("{QUEUE} changes wait already")]
    Busy,
    /// It is not done yet, and goes on.
    #[error("the change is not done after {} s; it goes on", WAIT.as_secs())]
    Pending,
    /// The gateway ends.
    #[error("the gateway ends")]
    Stopped,
}

/// Changes that may wait while one is made.
pub(super) const QUEUE: usize = 16;

/// How long the caller of a change waits for it. An interpreted policy compiles for some ten seconds.
pub(super) const WAIT: Duration = Duration::from_secs(60);

/// The longest message of a failure, in octets.
const MESSAGE: usize = 2 << 10;

impl Trigger {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::File => "file",
            Self::Signal => "signal",
            Self::Admin => "admin",
        }
    }
}

impl Step {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Verify => "verify",
            Self::Load => "load",
            Self::SelfTest => "self-test",
        }
    }

    fn of(error: &LoadError) -> Self {
        match error {
            LoadError::InLayer { error, .. } => Self::of(error),
            LoadError::Io { .. } | LoadError::TooLarge { .. } => Self::Read,
            LoadError::Describe(_)
            | LoadError::Imports(_)
            | LoadError::NotComponent(_)
            | LoadError::TooComplex(_)
            | LoadError::TooManyParts(_)
            | LoadError::WrongWorld { .. } => Self::Verify,
            _ if error.is_of_chain() => Self::Verify,
            _ => Self::Load,
        }
    }
}

impl Failure {
    pub(crate) fn new(step: Step, message: impl Into<String>, hint: Option<&'static str>) -> Self {
        let mut message = message.into();
        message.truncate(message.floor_char_boundary(MESSAGE));
        Self {
            step,
            message,
            hint,
        }
    }

    pub(super) fn read(message: impl Into<String>, hint: &'static str) -> Self {
        Self::new(Step::Read, message, Some(hint))
    }

    /// The same, with the file that it is about.
    #[must_use]
    pub(super) fn about(self, file: &Path) -> Self {
        let message = format!("`{}`: {}", file.display(), self.message);
        Self::new(self.step, message, self.hint)
    }

    /// The same, with the layer that it is about.
    #[must_use]
    pub(super) fn in_layer(self, name: &str) -> Self {
        Self::new(
            self.step,
            format!("layer `{name}`: {}", self.message),
            self.hint,
        )
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        Self::new(Step::of(&error), error.to_string(), Some(error.hint()))
    }
}

impl From<Untested> for Failure {
    fn from(untested: Untested) -> Self {
        match untested {
            Untested::Load(error) => error.into(),
            Untested::Failed(message) => Self::new(
                Step::SelfTest,
                message,
                Some("`pinfold policy test` shows each vector that failed"),
            ),
        }
    }
}

impl ChangeError {
    pub(crate) fn request(
        code: &'static str,
        message: impl Into<String>,
        hint: &'static str,
    ) -> Self {
        Self::Request {
            code,
            message: message.into(),
            hint,
        }
    }

    /// Stable, kebab-case.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Kept(failure) => match failure.step {
                Step::Read => "policy-unreadable",
                Step::Verify => "policy-unverified",
                Step::Load => "policy-unloadable",
                Step::SelfTest => "policy-untested",
            },
            Self::Request { code, .. } => code,
            Self::Busy => "policy-busy",
            Self::Pending => "policy-pending",
            Self::Stopped => "policy-stopped",
        }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Kept(failure) => failure.hint,
            Self::Request { hint, .. } => Some(hint),
            Self::Busy => Some("wait until those are done"),
            Self::Pending => Some("the status says how it ends"),
            Self::Stopped => None,
        }
    }

    /// The step that refused the candidate.
    #[cfg(test)]
    pub(crate) fn step(&self) -> Option<Step> {
        match self {
            Self::Kept(failure) => Some(failure.step),
            _ => None,
        }
    }
}
