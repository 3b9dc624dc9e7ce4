//! A bound socket, TCP or Unix, of our own or of the service manager.

use std::{io, net::SocketAddr, time::Duration};

use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};

use super::{
    Stream,
    inherited::{self, Inherited},
    unix,
};
use crate::{
    client::ClientAddress,
    config::{Bind, Mode},
    source,
};

/// A socket that clients, or operators, connect to.
#[derive(Debug)]
pub(crate) struct Door {
    socket: Socket,
    /// Ours until the end, when there is a path.
    _path: Option<unix::Held>,
}

/// How one is bound.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) unix_mode: Mode,
    pub(crate) reuse_port: bool,
    pub(crate) backlog: u32,
}

/// A connection that was accepted, nothing read.
pub(crate) struct Raw {
    pub(crate) stream: Box<dyn Stream>,
    pub(crate) address: ClientAddress,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Door {
    /// Binds, or takes what the service manager has bound.
    pub(crate) fn open(bind: &Bind, manner: Manner, inherited: &mut Inherited) -> io::Result<Self> {
        match bind {
            Bind::Tcp(address) => tcp(*address, manner).map(Socket::Tcp).map(Self::from),
            Bind::Unix(path) => {
                let (socket, held) = unix::open(path, manner.unix_mode.get(), manner.backlog)?;
                Ok(Self {
                    socket: Socket::Unix(socket),
                    _path: Some(held),
                })
            }
            Bind::Inherited(name) => Socket::inherited(inherited.take(name)?).map(Self::from),
        }
    }

    /// Where it listens; none for a Unix socket.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp(socket) => socket.local_addr().ok(),
            Socket::Unix(_) => None,
        }
    }

    /// The next connection.
    pub(crate) async fn accept(&self) -> io::Result<Raw> {
        match &self.socket {
            Socket::Tcp(socket) => {
                let (stream, address) = socket.accept().await?;
                Ok(Raw::tcp(stream, address))
            }
            Socket::Unix(socket) => Raw::unix(socket.accept().await?.0),
        }
    }

    /// Closes it, and gives out who waits in the queue of the kernel: at most so many.
    pub(crate) fn close(self, most: u32) -> Vec<Raw> {
        // What the runtime knows of the queue may be old: the queue itself is asked.
        let next: Box<dyn FnMut() -> io::Result<Raw>> = match self.socket {
            Socket::Tcp(socket) => match socket.into_std() {
                Ok(socket) => Box::new(move || {
                    let (stream, address) = socket.accept()?;
                    stream.set_nonblocking(true)?;
                    Ok(Raw::tcp(TcpStream::from_std(stream)?, address))
                }),
                Err(_) => return Vec::new(),
            },
            Socket::Unix(socket) => match socket.into_std() {
                Ok(socket) => Box::new(move || {
                    let (stream, _) = socket.accept()?;
                    stream.set_nonblocking(true)?;
                    Raw::unix(UnixStream::from_std(stream)?)
                }),
                Err(_) => return Vec::new(),
            },
        };
        let all = std::iter::repeat_with(next).map_while(Result::ok);
        all.take(most as usize).collect()
    }
}

impl Raw {
    fn tcp(stream: TcpStream, address: SocketAddr) -> Self {
        // A connection without these works all the same: it is slower, or found dead later.
        let _ = stream.set_nodelay(true);
        let _ = keep_alive(&stream);
        Self {
            address: ClientAddress::Tcp(plain(address)),
            stream: Box::new(stream),
        }
    }

    /// The kernel says who connected, when it did.
    fn unix(stream: UnixStream) -> io::Result<Self> {
        let peer = stream.peer_cred()?;
        Ok(Self {
            address: ClientAddress::Unix {
                uid: peer.uid(),
                pid: peer.pid(),
            },
            stream: Box::new(stream),
        })
    }
}

impl Socket {
    fn inherited(socket: inherited::Socket) -> io::Result<Self> {
        match socket {
            inherited::Socket::Tcp(socket) => {
                socket.set_nonblocking(true)?;
                TcpListener::from_std(socket).map(Self::Tcp)
            }
            inherited::Socket::Unix(socket) => {
                socket.set_nonblocking(true)?;
                UnixListener::from_std(socket).map(Self::Unix)
            }
        }
    }
}

impl From<Socket> for Door {
    fn from(socket: Socket) -> Self {
        Self {
            socket,
            _path: None,
        }
    }
}

fn tcp(address: SocketAddr, manner: Manner) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A restart need not wait until old connections have left the kernel's tables.
    socket.set_reuseaddr(true)?;
    if manner.reuse_port {
        socket.set_reuseport(true)?;
    }
    socket.bind(address)?;
    socket.listen(manner.backlog)
}

/// A peer that vanished without a word is found within about two minutes.
fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    rustix::net::sockopt::set_socket_keepalive(stream, true)?;
    rustix::net::sockopt::set_tcp_keepidle(stream, PROBE_AFTER)?;
    rustix::net::sockopt::set_tcp_keepintvl(stream, PROBE_EVERY)?;
    Ok(rustix::net::sockopt::set_tcp_keepcnt(stream, PROBES)?)
}

/// As [`source::plain`].
pub(super) fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(source::plain(address.ip()), address.port())
}

const PROBE_AFTER: Duration = Duration::from_secs(60);
const PROBE_EVERY: Duration = Duration::from_secs(15);
const PROBES: u32 = 4;
