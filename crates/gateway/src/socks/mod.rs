//! SOCKS5 (RFC 1928, RFC 1929), `CONNECT` only; names are looked up here, never by the client's word.

use std::sync::Arc;

use crate::{listen::Accepted, shared::Shared};

/// Serves a client until it or the gateway is done.
pub(crate) async fn serve(_shared: Arc<Shared>, _accepted: Accepted) {}
