//! What an open connection was opened for, so that it can be judged again.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use pinfold_addr::{Domain, Target};

use crate::{Decision, Request, Terms, guard::Mode, policy::floor::Floor};

/// What an open connection was opened for: the request, the answer that was judged, and the peer.
/// [`Guard::rejudge`](crate::Guard::rejudge) asks the active policy about it. Cheap to clone.
///
/// It is no proof and opens nothing: only a [`Pinned`](crate::Pinned) does.
#[derive(Clone)]
pub struct Held {
    pub(crate) question: Arc<Question>,
    pub(crate) peer: SocketAddr,
}

/// What was judged for one hop.
pub(crate) struct Question {
    /// The floor of the guard that judged, and so the guard: each has its own.
    pub(crate) made_by: Arc<Floor>,
    pub(crate) request: Request,
    pub(crate) chain: Vec<Domain>,
    /// The whole answer of the lookup, what was refused of it included.
    pub(crate) answers: Vec<IpAddr>,
    /// The terms that held before the hop was judged.
    pub(crate) earlier: Terms,
    pub(crate) mode: Mode,
}

/// What a pin became that was spent on a kept connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Reused {
    /// The record of the hop, as the observer got it.
    pub decision: Arc<Decision>,
    /// What the connection is used for now, so that it can be judged again.
    pub held: Held,
}

impl Held {
    /// Where the request goes.
    pub fn target(&self) -> &Target {
        &self.question.request.target
    }

    /// What was done then about a denial of the policies.
    pub fn mode(&self) -> Mode {
        self.question.mode
    }

    /// The confirmed peer of the connection. For the operator: never shown to a client.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held")
            .field("request", &self.question.request)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question")
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}
