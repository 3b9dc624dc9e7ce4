//! From an accepted socket to a client that speaks HTTP or SOCKS5: PROXY header, TLS, first byte.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::{client::Client, limit::Permit};

/// The bytes of a client, under TLS or not, with nothing read from them that is not read again.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// A client, ready to be served.
pub(crate) struct Accepted {
    pub(crate) stream: Box<dyn Stream>,
    pub(crate) client: Arc<Client>,
    /// Its place among the connections.
    pub(crate) permit: Permit,
}
