//! A connection that becomes a tunnel: what waits for that, and what of the connection goes on.
//!
//! The task of a connection, the library's buffers and the gate are larger than a tunnel at rest. A connection of
//! HTTP/1 lets all of that go: it ends with its last answer, and the tunnel is a task of its own. A connection of
//! HTTP/2 stays, and each tunnel is a stream of it.

use std::sync::Arc;

use hyper::upgrade::{OnUpgrade, Parts, Upgraded};
use hyper_util::rt::TokioIo;

use super::{activity::Busy, gate::Gate};
use crate::{
    limit::Permit,
    listen::{Stream, rewound},
    live::{Closing, Live},
    shared::Shared,
    tunnel,
};

/// A tunnel that begins when the client has its answer.
pub(crate) struct Onward {
    pub(crate) client: OnUpgrade,
    pub(crate) server: Box<dyn Stream>,
    pub(crate) live: Live,
    pub(crate) permit: Permit,
    /// Until then, the connection is not idle.
    pub(crate) busy: Busy,
}

impl Onward {
    /// On a connection of HTTP/1, which has ended: the tunnel takes its `place`.
    pub(crate) async fn alone(self, shared: Arc<Shared>, place: Permit) {
        match self.client.await {
            Ok(upgraded) => {
                let client = bare(upgraded);
                tunnel::spawn(shared, place, client, self.server, self.live, self.permit);
            }
            Err(_) => self.live.lost(Closing::Client),
        }
    }

    /// On a stream of HTTP/2, which keeps its connection busy.
    pub(crate) async fn within(self, shared: Arc<Shared>) {
        let answered = tokio::select! {
            answered = self.client => answered.ok(),
            // A client that does not take its answer holds nothing open.
            _ = self.live.told_to_close() => None,
        };
        match answered {
            Some(upgraded) => {
                let client = TokioIo::new(upgraded);
                tunnel::relay(&shared, client, self.server, self.live, self.permit).await;
            }
            None => self.live.lost(Closing::Client),
        }
        drop(self.busy);
    }
}

/// The client, without what read its requests; what it sent early comes first.
fn bare(upgraded: Upgraded) -> Box<dyn Stream> {
    match upgraded.downcast::<TokioIo<Gate<Box<dyn Stream>>>>() {
        Ok(Parts { io, read_buf, .. }) => {
            let (stream, held) = io.into_inner().into_parts();
            let early = match read_buf.is_empty() {
                true => held.freeze(),
                // The gate passes no byte of a tunnel to the library. If it did, these were first.
                false => [read_buf, held.freeze()].concat().into(),
            };
            rewound(early, stream)
        }
        Err(upgraded) => Box::new(TokioIo::new(upgraded)),
    }
}

#[cfg(test)]
mod tests;
