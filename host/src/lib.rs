//! Pinfold: fetch a URL that a stranger wrote. (Manual and threat model come here.)

mod connect;
mod error;
mod event;
mod guard;
mod limits;
pub mod policy;
mod request;
pub mod resolve;
mod verdict;

pub use connect::{Connection, Connector};
pub use error::Error;
pub use event::{Decision, Discard, JudgedAddress, Observer, Outcome, PolicyRef, Timings};
pub use guard::{Guard, GuardBuilder, Session};
pub use limits::Limits;
pub use pinfold_addr as addr;
pub use policy::floor::{Grant, InvalidGrant};
pub use request::{Request, Terms};
pub use verdict::{Admitted, Denial, Pinned};
