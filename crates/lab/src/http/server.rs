//! Accepting, counting, logging.

use std::{
    collections::HashSet,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncRead, AsyncWrite, BufReader},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Notify, Semaphore},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::{
    Page, Seen, Site, request,
    respond::{Flow, respond},
};
use crate::{
    limits::{CONNECTION_LIFE, CONNECTIONS, HEAD_WAIT, REQUESTS_KEPT},
    tasks::{Task, locked},
    tls::Identity,
};

/// A server with a site and a log. It stops when it is dropped.
///
/// It serves as a *canary* too: every connection counts, also one on which nothing is sent.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    shared: Arc<Shared>,
    _task: Task,
}

/// A TLS handshake that a server saw, finished or not.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Handshake {
    /// The server name that the client sent.
    pub sni: Option<String>,
    /// The protocols that the client offered (ALPN).
    pub alpn: Vec<String>,
    /// Whether the client went through with it.
    pub finished: bool,
}

#[derive(Debug, Default)]
struct Shared {
    site: Site,
    connections: AtomicU64,
    requests: AtomicU64,
    seen: Mutex<Vec<Seen>>,
    handshakes: Mutex<Vec<Handshake>>,
    /// Our own connections, which are not counted, see [`Server::settle`].
    fences: Mutex<HashSet<SocketAddr>>,
    fence_passed: Notify,
}

impl Server {
    /// Starts a server without TLS. Port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound.
    pub async fn start(addr: impl Into<SocketAddr>, site: Site) -> io::Result<Self> {
        Self::bind(addr.into(), site, None).await
    }

    /// Starts a server with TLS.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound.
    pub async fn start_tls(
        addr: impl Into<SocketAddr>,
        site: Site,
        identity: &Identity,
    ) -> io::Result<Self> {
        Self::bind(addr.into(), site, Some(identity.acceptor())).await
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Puts a page at a path.
    pub fn route(&self, path: &str, page: Page) -> &Self {
        self.shared.site.route(path, page);
        self
    }

    /// How many connections were opened to it. Call [`settle`](Self::settle) first.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many requests were read.
    pub fn request_count(&self) -> u64 {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// The requests, in the order they were read.
    pub fn requests(&self) -> Vec<Seen> {
        locked(&self.shared.seen).clone()
    }

    /// The TLS handshakes, in the order they were begun.
    pub fn handshakes(&self) -> Vec<Handshake> {
        locked(&self.shared.handshakes).clone()
    }

    /// Forgets what was seen and begins to count anew.
    pub fn clear(&self) {
        self.shared.connections.store(0, Ordering::SeqCst);
        self.shared.requests.store(0, Ordering::SeqCst);
        locked(&self.shared.seen).clear();
        locked(&self.shared.handshakes).clear();
    }

    /// Waits until every connection that was opened before is counted. Connections are accepted in
    /// their order, so that one of our own, sent behind them, tells when they are through.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached any more.
    pub async fn settle(&self) -> io::Result<()> {
        let (socket, from) = match self.addr.ip() {
            IpAddr::V4(_) => (TcpSocket::new_v4()?, "127.0.0.1:0"),
            IpAddr::V6(_) => (TcpSocket::new_v6()?, "[::1]:0"),
        };
        socket.bind(from.parse().map_err(io::Error::other)?)?;
        let local = socket.local_addr()?;
        locked(&self.shared.fences).insert(local);
        let _stream = socket.connect(self.addr).await?;
        loop {
            let passed = self.shared.fence_passed.notified();
            if !locked(&self.shared.fences).contains(&local) {
                return Ok(());
            }
            passed.await;
        }
    }

    async fn bind(addr: SocketAddr, site: Site, tls: Option<TlsAcceptor>) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            site,
            ..Shared::default()
        });
        let task = Task::spawn(accept(listener, shared.clone(), tls));
        Ok(Self {
            addr,
            shared,
            _task: task,
        })
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, tls: Option<TlsAcceptor>) {
    let mut connections = JoinSet::new();
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            continue;
        };
        if shared.is_fence(peer) {
            continue;
        }
        let number = shared.connections.fetch_add(1, Ordering::SeqCst) + 1;
        let Ok(slot) = slots.clone().try_acquire_owned() else {
            continue;
        };
        let (shared, tls) = (shared.clone(), tls.clone());
        connections.spawn(async move {
            let _ = timeout(CONNECTION_LIFE, shared.serve(stream, tls, number, peer)).await;
            drop(slot);
        });
        while connections.try_join_next().is_some() {}
    }
}

impl Shared {
    fn is_fence(&self, peer: SocketAddr) -> bool {
        let fence = locked(&self.fences).remove(&peer);
        if fence {
            self.fence_passed.notify_waiters();
        }
        fence
    }

    async fn serve(
        &self,
        stream: TcpStream,
        tls: Option<TlsAcceptor>,
        number: u64,
        peer: SocketAddr,
    ) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let Some(tls) = tls else {
            return self.talk(stream, number, peer, None).await;
        };
        let index = self.begin_handshake();
        let start = timeout(
            HEAD_WAIT,
            tokio_rustls::LazyConfigAcceptor::new(Default::default(), stream),
        )
        .await??;
        let hello = start.client_hello();
        let sni = hello.server_name().map(str::to_owned);
        let alpn = hello.alpn().into_iter().flatten();
        let alpn = alpn
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect();
        self.note_handshake(index, |handshake| {
            (handshake.sni, handshake.alpn) = (sni.clone(), alpn);
        });
        let stream = timeout(HEAD_WAIT, start.into_stream(tls.config().clone())).await??;
        self.note_handshake(index, |handshake| handshake.finished = true);
        self.talk(stream, number, peer, sni.as_deref()).await
    }

    async fn talk(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        number: u64,
        peer: SocketAddr,
        sni: Option<&str>,
    ) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        while let Some(seen) = request::read(&mut stream, number, peer, sni).await? {
            let page = self.site.page(&seen);
            self.record(&seen);
            if respond(&mut stream, &page, &seen).await? == Flow::Close {
                break;
            }
        }
        tokio::io::AsyncWriteExt::shutdown(&mut stream).await
    }

    fn record(&self, seen: &Seen) {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let mut kept = locked(&self.seen);
        if kept.len() < REQUESTS_KEPT {
            kept.push(seen.clone());
        }
    }

    fn begin_handshake(&self) -> usize {
        let mut handshakes = locked(&self.handshakes);
        if handshakes.len() < REQUESTS_KEPT {
            handshakes.push(Handshake {
                sni: None,
                alpn: Vec::new(),
                finished: false,
            });
        }
        handshakes.len() - 1
    }

    fn note_handshake(&self, index: usize, note: impl FnOnce(&mut Handshake)) {
        if let Some(handshake) = locked(&self.handshakes).get_mut(index) {
            note(handshake);
        }
    }
}
