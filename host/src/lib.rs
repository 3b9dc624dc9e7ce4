//! Fetch a URL that a stranger wrote, without letting the stranger into the network behind it.
//!
//! A *policy*, a WebAssembly component that imports nothing, judges each target and each resolved
//! address. The *host*, this crate, resolves a name once, asks the policy, and opens a socket only to
//! addresses that were judged. Policies are swapped while the service runs.
//!
//! ```text
//!   URL ──► Target ──► floor, check-target ──► resolve once ──► classify ──► check-addresses, floor
//!           parsed     │                       │                                │
//!           once       └─ denied: no lookup    └─ failed: denied                ├─ denied: no socket
//!                                                                               ▼
//!   TLS, HTTP ◄── Connection ◄── peer checked ◄── race of judged addresses ◄── Pinned
//! ```
//!
//! # Getting started
//!
//! ```
//! use pinfold::{Guard, Request, addr::Target, resolve::Fixed};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Fixed answers stand for the DNS of a stranger. Without `resolver`, DNS is asked.
//! let guard = Guard::builder()
//!     .resolver(Fixed::default().rule("rebind.example=169.254.169.254")?)
//!     .build()?;
//!
//! let target = Target::parse("http://rebind.example/latest/meta-data/")?;
//! let error = guard.pin(Request::new(target)).await.unwrap_err();
//!
//! assert!(error.is_denied());
//! assert_eq!(error.denial().code(), "address-metadata");
//! // What the stranger may be told names no address; what the operator sees does.
//! assert_eq!(error.to_string(), "refused at stage `resolve`: address-metadata");
//! assert_eq!(error.decision().unwrap().addresses[0].address.to_string(), "169.254.169.254");
//! # Ok(())
//! # }
//! ```
//!
//! An allowed target gives a [`Pinned`]; [`Guard::connector`] turns it into a [`Connection`]. For HTTP
//! there is a client above this crate; for anything else write to the connection, with TLS for
//! [`Pinned::target`]'s host. Redirects are further hops of one [`Session`].
//!
//! # What is defended, against whom
//!
//! The *attacker* writes the URL, runs the servers it names, answers DNS for their names (differently each
//! time, slowly, with anything), and redirects. The attacker wants a socket, or an answer, from an address
//! that is not meant for strangers: loopback, the private network, the metadata endpoint of the cloud.
//!
//! The *policy* is less trusted than the host: a bad one denies too much, or allows what the floor leaves
//! open, but it sees nothing, reaches nothing, remembers nothing, and takes bounded time and memory.
//!
//! The *operator* is trusted: grants, settings, resolver, limits.
//!
//! What holds whatever the attacker and the policy do:
//!
//! - No socket without a [`Pinned`]; no [`Pinned`] with an address that was not judged; the peer of each
//!   socket is compared with the pin once more.
//! - One lookup for each hop. What was judged is what is dialled; a TTL changes nothing about it.
//! - Loopback, link-local, unspecified, multicast, broadcast, metadata endpoints, the guard's own
//!   listeners, and IPv6 addresses that carry one of them are refused natively, after any policy. Only a
//!   [`Grant`] of the operator lifts that, for metadata not even so.
//! - Whatever fails (resolver, policy, clock) denies, each failure with its own [`Reason`](addr::Reason).
//! - Each hop leaves one [`Decision`] record. What a client is told never names an internal address.
//!
//! What is *not* defended: code in the same process that opens its own sockets; an operator's resolver or
//! route that lies about public addresses; what a public server answers.
//!
//! # Reading order
//!
//! [`Guard`] and [`Session`] are the way of a request; [`Admitted`] and [`Pinned`] its proofs; [`Held`] is what an open
//! connection can be judged again by;
//! [`policy`] loads and runs policies; [`resolve`] asks for names; [`Connector`] opens sockets;
//! [`Limits`] bounds everything. [`addr`] knows URLs and addresses.
//!
//! No cargo feature changes a default. Nothing is read from the environment.

mod connect;
mod error;
mod event;
mod guard;
mod held;
mod limits;
pub mod manual;
pub mod policy;
pub mod record;
mod request;
pub mod resolve;
mod verdict;

pub use connect::{Connection, Connector};
pub use error::Error;
pub use event::{Decision, Discard, JudgedAddress, Observer, Outcome, PolicyRef, Timings};
pub use guard::{Guard, GuardBuilder, Session};
pub use held::{Held, Reused};
pub use limits::Limits;
pub use pinfold_addr as addr;
pub use policy::floor::{Grant, InvalidGrant};
pub use request::{Request, Terms};
pub use verdict::{Admitted, Denial, HandedOver, Pinned};
