//! Records of decisions that can be replayed: what each policy was asked, and what it answered.
//!
//! A policy is a pure function: who keeps what it was asked can ask again, years later, and get the same
//! answer, or show that a new version would have given another one. A guard that is built with
//! [`record_inputs`](crate::GuardBuilder::record_inputs) adds an [`Input`] to each
//! [`Decision`](crate::Decision); [`Log`] writes decisions as JSON lines; [`Entry`] reads such a line;
//! [`replay`] asks again.
//!
//! ```
//! use pinfold::{
//!     Guard, Limits, Request,
//!     addr::Target,
//!     policy::{Evaluator, Source},
//!     record::{Entry, Inputs, replay},
//!     resolve::Fixed,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let guard = Guard::builder()
//!     .resolver(Fixed::default().rule("intern.example=10.0.0.7")?)
//!     .record_inputs(Inputs::Keep)
//!     .build()?;
//! let decision = guard.check(Request::new(Target::parse("http://intern.example/")?)).await;
//! let line = serde_json::to_string(&*decision)?;
//!
//! // Later, from the text alone:
//! let entry: Entry = serde_json::from_str(&line)?;
//! assert!(entry.contradictions().is_empty());
//! let input = entry.input.ok_or("recorded without its input")?;
//! let policy = Evaluator::load(Source::Shipped, serde_json::json!({}), &Limits::default())?;
//! let replayed = replay(&policy, &input, 0).ok_or("another policy judged")?;
//! assert!(replayed.differences.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! # What a record gives away
//!
//! Paths and queries often hold secrets (tokens, signed URLs), and what names resolve to shows the inner
//! network. Records of inputs are off by default. [`Redaction`] withholds paths and queries, and marks
//! those records whose answers depend on what is withheld: what is not marked replays bit for bit. Labels and
//! subjects are never withheld: do not put secrets in them.
//!
//! # What a record proves
//!
//! That what was asked leads to the answers that are written beside it, and these to the verdict: `replay` shows that the
//! very component, under the very settings, answers so. It does not prove that a guard was ever asked: a record is
//! not signed, and who can write the log can write one of a decision that was never made, or leave one out. What no guard
//! could have recorded is refused when it is read, and [`Entry::contradictions`] tells where the line and its input
//! differ; both show mistakes, and forgeries that were made without care. Where a log is evidence, keep it where the service
//! can only append, and sign or chain it there.
//!
//! | file | what it does |
//! |---|---|
//! | `input` | what policies were asked, and what they answered |
//! | `wire` | both as JSON |
//! | `check` | refuses what no guard can have recorded |
//! | `claims` | whether what a line says of the decision follows from its input |
//! | `replay` | asks again, and compares |
//! | `verdict` | what follows from the answers of all policies and the floor |
//! | `redact` | what is withheld, and whether the answers depend on it |
//! | `entry` | a line of a log |
//! | `log` | writes the lines, on a thread of its own |

mod check;
mod claims;
mod entry;
mod input;
mod log;
mod redact;
mod replay;
#[cfg(test)]
mod tests;
mod verdict;
mod wire;

pub use crate::guard::Mode;
pub use entry::{Entry, Mark, Written};
pub(crate) use input::Judges;
pub use input::{Answered, Input, Inputs};
pub use log::{Log, LogBuilder};
pub use redact::Redaction;
pub use replay::{Difference, Replayed, ask, replay};
pub use verdict::Ruling;
pub(crate) use wire::layer_name;
