//! The interface for operators: JSON over HTTP/1.1 on a listener of its own, and the status page.
//!
//! ```text
//!   server ── accepts, bounds, deadlines        access ── who may do what
//!   routes ── what is asked of whom             body   ── what is sent, bounded
//!   recent ── the last decisions, as a sink     stream ── decisions as they happen
//!   backend ─ the gateway behind it             page/  ── the status page
//! ```
//!
//! It shows addresses, hosts and subjects: it is for operators. Clients of the proxy have no way to it, since the
//! guard refuses to connect to the gateway's own listeners.

mod access;
mod answer;
mod backend;
mod body;
mod operated;
mod paced;
mod page;
mod places;
mod recent;
mod routes;
mod row;
mod server;
mod stream;
#[cfg(test)]
mod tests;

pub(crate) use access::Access;
pub(crate) use operated::Operated;
pub(crate) use recent::Recent;
pub(crate) use row::FILES_BACK;
pub(crate) use server::Admin;
