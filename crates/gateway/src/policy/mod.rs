//! The policies of a running gateway: read, loaded, tested, swapped, gone back to.
//!
//! ```text
//!   files, signal, admin ──► Manager ──► worker: one change after the other, on a thread of its own
//!                                          read ─► verify ─► self-test, load ─► swap
//!                                          └─ any failure: what is active stays, and the failure is told
//! ```
//!
//! | file | what it does |
//! |---|---|
//! | `candidate` | what is to judge: the policies and their settings, in memory |
//! | `settings` | settings as people write them |
//! | `files` | reads a candidate from files; sees that they have changed, and that they are whole |
//! | `failure` | why a change was refused, and at which step |
//! | `revision` | what was active, and can be gone back to |
//! | `status` | what operators are shown |
//! | `manager` | asks for changes, and waits for them, but not for ever |
//! | `worker` | makes them |

mod candidate;
mod failure;
mod files;
mod manager;
mod revision;
pub mod settings;
mod status;
#[cfg(test)]
pub(crate) mod tests;
mod worker;

use std::sync::Arc;

pub(crate) use candidate::Change;
pub use candidate::{Candidate, CandidateLayer};
pub(crate) use failure::{ChangeError, Failure, Step, Trigger};
pub(crate) use files::read_layer;
pub(crate) use manager::{Manager, Prepared};
pub(crate) use status::{Changed, Status, rfc3339};

/// Judges a candidate by its own vectors, before it is swapped in. The command line brings the one that reads
/// vector files.
pub type SelfTest = Arc<dyn Fn(&Candidate) -> Result<(), Untested> + Send + Sync>;

/// Why a candidate has not passed its own vectors.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Untested {
    /// It does not load.
    #[error(transparent)]
    Load(#[from] pinfold::policy::LoadError),
    /// It judges otherwise than its vectors say, or they cannot be read.
    #[error("{0}")]
    Failed(String),
}
