//! The proxy that speaks HTTP: `CONNECT`, requests in absolute form, answers to what is refused.

use std::sync::Arc;

use crate::{listen::Accepted, shared::Shared};

/// Serves a client until it or the gateway is done.
pub(crate) async fn serve(_shared: Arc<Shared>, _accepted: Accepted) {}
