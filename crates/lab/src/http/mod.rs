//! HTTP servers that misbehave, and log what they saw.
//!
//! Written on bare sockets: what a hostile server sends is what no HTTP library lets one send.
//! [`Page`] is one response, honest or not; [`Site`] maps paths to pages; [`Server`] serves a site,
//! with TLS when it is given an [`Identity`](crate::tls::Identity), and logs connections and requests.

mod gzip;
mod page;
mod request;
mod respond;
mod server;
mod site;

pub use page::{Coding, Page};
pub use request::Seen;
pub use server::{Handshake, Server};
pub use site::Site;

#[cfg(test)]
mod tests;
