//! From a pin to a confirmed socket.

use std::{future::Future, net::SocketAddr, pin::Pin, task::{Context, Poll}};

use tokio::net::TcpStream;

use crate::{Error, Pinned};

/// Opens sockets, only from pins.
#[derive(Clone, Debug)]
pub struct Connector {}

/// A connected socket whose peer was judged.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
}

impl Connection {
    /// The confirmed peer.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The socket.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }
}

impl Connector {
    /// Races the judged addresses (RFC 8305) and confirms the peer.
    pub async fn connect(&self, pinned: Pinned) -> Result<Connection, Error> {
        let _ = pinned;
        todo!()
    }
}

impl tower_service::Service<Pinned> for Connector {
    type Response = Connection;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Connection, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, pinned: Pinned) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect(pinned).await })
    }
}
