//! What an address and a URL are.
//!
//! Pure and `no_std`: no I/O, no clock, no global state.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod class;
mod classify;
mod reason;
#[cfg(feature = "target")]
mod target;

pub use class::{Class, Embedded, Embedding};
pub use classify::{Classified, Classifier, InvalidNat64Prefix};
pub use reason::{Reason, Stage};
#[cfg(feature = "target")]
pub use target::{Domain, Host, Refusal, Scheme, Spelling, Target};
