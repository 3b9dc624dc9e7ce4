//! What is open: tunnels and exchanges, from the decision to the end. Judged again after a swap.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use pinfold::{Decision, Held};

use crate::event::{Asked, Bus};

/// Everything that is open.
#[derive(Debug)]
pub(crate) struct Registry {
    bus: Bus,
}

/// One open tunnel or exchange. Dropped, it is no longer listed, and its end is told.
#[derive(Debug)]
pub(crate) struct Live {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    asked: Arc<Asked>,
    decision: Arc<Decision>,
    held: Held,
    up: AtomicU64,
    down: AtomicU64,
}

/// Why something ended.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Closing {
    /// Both sides were done.
    #[default]
    Finished,
    /// The client went away, or broke off.
    Client,
    /// The server broke off.
    Server,
    /// Nothing moved.
    Idle,
    /// The longest life was over, the policy's included.
    Lifetime,
    /// The new policy refuses it, or could not be asked in time.
    Revoked,
    /// The server name, or what is spoken, is not what was asked for.
    Mismatch,
    /// An operator closed it.
    Operator,
    /// The gateway ends.
    Drained,
}

impl Registry {
    pub(crate) fn new(bus: Bus) -> Self {
        Self { bus }
    }

    /// Lists a connection that was allowed.
    pub(crate) fn enter(
        self: &Arc<Self>,
        asked: Arc<Asked>,
        decision: Arc<Decision>,
        held: Held,
    ) -> Live {
        let _ = &self.bus;
        Live {
            shared: Arc::new(Shared {
                asked,
                decision,
                held,
                up: AtomicU64::new(0),
                down: AtomicU64::new(0),
            }),
        }
    }

    /// How many are open.
    pub(crate) fn len(&self) -> usize {
        todo!("live")
    }
}

impl Live {
    /// Counts bytes from the client to the server.
    pub(crate) fn up(&self, bytes: u64) {
        self.shared.up.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts bytes from the server to the client.
    pub(crate) fn down(&self, bytes: u64) {
        self.shared.down.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Waits until it is to be closed, and says why. Whoever moves the bytes selects on it.
    pub(crate) async fn told_to_close(&self) -> Closing {
        std::future::pending().await
    }

    /// Ends it, and says why; without it, dropping says `finished`.
    pub(crate) fn end(self, _closing: Closing) {}

    pub(crate) fn asked(&self) -> &Arc<Asked> {
        &self.shared.asked
    }

    pub(crate) fn decision(&self) -> &Arc<Decision> {
        &self.shared.decision
    }

    /// What can be judged again.
    pub(crate) fn held(&self) -> &Held {
        &self.shared.held
    }
}
