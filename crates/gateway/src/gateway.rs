//! A running gateway: started from a configuration, reloaded, drained.

use std::{net::SocketAddr, time::Duration};

use crate::{Config, policy::SelfTest};

/// A gateway that serves.
#[derive(Debug)]
pub struct Gateway {}

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration contradicts itself.
    #[error("{0}")]
    Config(String),
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Drained {
    /// Connections that were still open, and were cut.
    pub cut: usize,
    /// How long it took.
    pub took: Duration,
}

impl Gateway {
    /// Binds, loads, starts. Must run inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// When a listener cannot be bound, a file not be read, or a policy is refused.
    pub async fn start(_config: Config, _test: Option<SelfTest>) -> Result<Self, StartError> {
        todo!("gateway")
    }

    /// Where it listens, in the order of the configuration; for tests that bind port 0.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        todo!("gateway")
    }

    /// Where operators connect.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        todo!("gateway")
    }

    /// Reads everything again that may change while running: policies, certificates, credentials, the token, and of
    /// the configuration what needs no new listener. What is wrong stays as it was, and is told.
    pub fn reload(&self, _config: Config) {
        todo!("gateway")
    }

    /// Accepts no more, lets open exchanges end, cuts what is left after `drain`.
    pub async fn drain(self) -> Drained {
        todo!("gateway")
    }
}
