//! What a URL and an address are: the knowledge that every decision of Pinfold stands on.
//!
//! ```
//! use pinfold_addr::{Class, Classifier, Host, Target};
//!
//! let target = Target::parse("http://[::FFFF:127.0.0.1]:8080/admin")?;
//! let Host::Ip(address) = target.host() else { unreachable!("a literal") };
//! let found = Classifier::default().classify(*address);
//! assert_eq!(found.class, Class::Translated);
//! assert_eq!(found.embedded[0].class, Class::Loopback);
//! # Ok::<(), pinfold_addr::Refusal>(())
//! ```
//!
//! # The nouns
//!
//! - [`Target`]: a URL that was parsed once, and whose two readings (WHATWG and RFC 3986) agree. Its
//!   existence is the proof; the raw string is never looked at again.
//! - [`Class`]: what an address is by the registries. [`Classifier`] finds it, and every IPv4 address
//!   [`Embedded`] in an IPv6 address. [`registration`] tells which row of which registry decided,
//!   [`registrations`] lists them, and [`networks`] those of a class.
//! - [`names`]: names that have no meaning on the public internet, and names of metadata endpoints.
//! - [`PrefixMap`]: values by network, the most specific network wins.
//! - [`Reason`]: the one registry of refusals, each with a stable code.
//!
//! # What it does not do
//!
//! No I/O, no clock, no global state, no allocation but for what it returns; no judgement either: what is
//! allowed is for a policy to say. It knows the registries as of the date in `data/*.csv` and learns
//! nothing at run time, an operator's NAT64 prefixes apart ([`Classifier::with_nat64`]).
//!
//! # Features
//!
//! - `target` (on by default): [`Target`] and what belongs to it. Brings in the URL parser and the
//!   tables of UTS 46. Guests leave it off: they are handed parsed targets.
//! - `serde`: classes, reasons and stages as their kebab-case names; targets, names and hosts as text.
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
mod networks;
mod prefix_map;
mod reason;
mod registry;
mod tables;
#[cfg(feature = "target")]
mod target;

pub use class::{Class, Embedded, Embedding};
pub use classify::{Classified, Classifier, InvalidNat64Prefix};
pub use networks::networks;
pub use prefix_map::{DuplicatePrefix, PrefixMap};
pub use reason::{Reason, Stage};
pub use registry::{Registration, registration, registrations};
#[cfg(feature = "target")]
pub use target::{Domain, Host, Refusal, Scheme, Spelling, Target, TargetParts};
