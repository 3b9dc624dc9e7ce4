//! A hostile internet on loopback.
//!
//! The lab stands on the other side: a name server that plays every known rebinding strategy, HTTP
//! and TLS servers that misbehave, canaries that count each connection, and the naive client that
//! most guides print, which all of this fools. It shares no code with the guard that it attacks, so
//! that an error of the one does not hide in the other.
//!
//! Three addresses of loopback play the network: 127.0.0.2 is a public server, 127.0.0.3 a server
//! inside, 127.0.0.1 the host itself. The guard under test gets a grant for the public one alone.
//!
//! # Example
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use pinfold_lab::{Lab, dns::{Kind, Reply, Strategy}};
//!
//! let lab = Lab::start().await?;
//! lab.dns().name(
//!     "*.mine.lab.example.com",
//!     Strategy::first_then_second(Reply::address([127, 0, 0, 2]), Reply::address([127, 0, 0, 3])),
//! );
//! // ... let a client loose on lab.url("1.mine", "/"), then:
//! assert_eq!(lab.leaks().await?, 0);
//! assert!(lab.dns().log().count("1.mine.lab.example.com", Kind::A) <= 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! Everything is bounded, see [`limits`], and stops when its owner is dropped.
#![forbid(unsafe_code)]
#![expect(
    clippy::disallowed_methods,
    reason = "the lab serves and attacks: it is no part of the guard and opens sockets of its own"
)]

pub mod dns;
pub mod http;
mod lab;
pub mod limits;
pub mod plain;
mod tasks;
pub mod tls;

pub use lab::{APEX, INTERNAL, Lab, LabError, PUBLIC, SECRET};
