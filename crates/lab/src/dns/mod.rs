//! A DNS server that lies.
//!
//! [`Reply`] is one answer and how its packet is bent; [`Strategy`] says which reply a question gets,
//! depending on what was asked before; [`Zone`] gives each name, or each name below one, a strategy
//! with a state of its own; [`DnsServer`] serves a zone on loopback and logs every question.
//! [`attacks`] lists the known rebinding strategies, ready to be played.

mod attacks;
mod log;
mod reply;
mod server;
mod strategy;
mod wire;
mod zone;

pub use attacks::{Attack, Scene, attacks};
pub use log::{Kind, Question, QuestionLog, Transport};
pub use reply::{Code, Reply, Tamper};
pub use server::DnsServer;
pub use strategy::{Strategy, View};
pub use zone::Zone;

#[cfg(test)]
mod tests;
