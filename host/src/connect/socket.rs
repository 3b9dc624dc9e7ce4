//! The one door out: the only place in this project where a socket is connected.

use std::{io, net::SocketAddr};

use tokio::net::TcpStream;

/// Connects to a judged address.
///
/// `TCP_NODELAY` is set: requests are written whole, and waiting for a fuller segment only delays them.
/// No proxy, no source address, no socket option comes from the environment.
#[expect(
    clippy::disallowed_methods,
    reason = "the one door out: reached from a `Pinned` only"
)]
pub(super) async fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
