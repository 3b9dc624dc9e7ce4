//! What an address and a URL are.
//!
//! Pure and `no_std`: no I/O, no clock, no global state.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod bits;
mod class;
mod classify;
mod embedded;
pub mod names;
mod prefix_map;
mod reason;
mod registry;
mod tables;
#[cfg(feature = "target")]
mod target;

pub use class::{Class, Embedded, Embedding};
pub use classify::{Classified, Classifier, InvalidNat64Prefix};
pub use prefix_map::{DuplicatePrefix, PrefixMap};
pub use reason::{Reason, Stage};
pub use registry::{Registration, registration};
#[cfg(feature = "target")]
pub use target::{Domain, Host, Refusal, Scheme, Spelling, Target};
