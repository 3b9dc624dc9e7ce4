//! Servers that say what a test wants, byte by byte, and guards that may reach them.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use pinfold::{Decision, Grant, Guard, GuardBuilder, Observer, resolve::Fixed};
use pinfold_http::{Client, Limits, TlsRoots};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    sync::Barrier,
    time::sleep,
};
use tokio_rustls::TlsAcceptor;

/// Stands for the public internet: the guard of [`guard`] may dial it.
pub(crate) const PUBLIC: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// Stands for the internal network: nothing may dial it.
pub(crate) const INTERNAL: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));

/// Names that resolve to [`PUBLIC`].
pub(crate) const NAMES: [&str; 3] = ["one.example.com", "two.example.com", "three.example.com"];

/// A request that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Which connection it came over, counted from 1.
    pub(crate) connection: usize,
    /// Request line and headers.
    pub(crate) head: String,
    /// The body, framing taken away.
    pub(crate) body: Vec<u8>,
}

impl Seen {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The request target.
    pub(crate) fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// The method.
    pub(crate) fn method(&self) -> &str {
        self.head.split(' ').next().unwrap_or_default()
    }
}

/// What a server does with a request.
pub(crate) enum Reply {
    /// Sends these bytes and waits for the next request.
    Bytes(Vec<u8>),
    /// Sends these bytes and closes.
    Last(Vec<u8>),
    /// Sends these bytes and drops the connection; under TLS without saying so.
    Cut(Vec<u8>),
    /// Sends the first, then the second again and again.
    Endless(Vec<u8>, Vec<u8>),
    /// Sends the first; at the barrier, the second, which nobody asked for, or closes when there is none;
    /// then comes to the barrier once more.
    After(Vec<u8>, Option<Vec<u8>>, Arc<Barrier>),
    /// Sends the bytes one at a time, this long apart.
    Slow(Vec<u8>, Duration),
    /// Says nothing and keeps the connection.
    Hang,
}

/// A complete response.
pub(crate) fn ok(body: &str) -> Reply {
    Reply::Bytes(response("200 OK", "", body.as_bytes()))
}

/// A redirect, with a body.
pub(crate) fn redirect(status: u16, location: &str) -> Reply {
    let headers = format!("Location: {location}\r\n");
    Reply::Bytes(response(&format!("{status} Moved"), &headers, b"elsewhere"))
}

/// A response with a `Content-Length`.
pub(crate) fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// A server on a loopback address.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    opened: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
}

impl Server {
    /// Plain HTTP.
    pub(crate) async fn start(
        ip: IpAddr,
        reply: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::listen(ip, None, reply).await
    }

    /// HTTP under TLS.
    pub(crate) async fn tls(
        ip: IpAddr,
        acceptor: TlsAcceptor,
        reply: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::listen(ip, Some(acceptor), reply).await
    }

    async fn listen(
        ip: IpAddr,
        acceptor: Option<TlsAcceptor>,
        reply: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let server = Self {
            addr: listener.local_addr().unwrap(),
            seen: Arc::default(),
            opened: Arc::default(),
            open: Arc::default(),
        };
        let (seen, opened, open) = (
            server.seen.clone(),
            server.opened.clone(),
            server.open.clone(),
        );
        let reply = Arc::new(reply);
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let number = opened.fetch_add(1, Ordering::SeqCst) + 1;
                open.fetch_add(1, Ordering::SeqCst);
                let (seen, reply, open) = (seen.clone(), reply.clone(), open.clone());
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let _ = match acceptor {
                        None => serve(socket, number, &seen, &*reply).await,
                        Some(acceptor) => match acceptor.accept(socket).await {
                            Ok(stream) => serve(stream, number, &seen, &*reply).await,
                            Err(error) => Err(error),
                        },
                    };
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        server
    }

    /// `http://<address>/`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// `http://<name>:<port>/`.
    pub(crate) fn named(&self, name: &str, path: &str) -> String {
        format!("http://{name}:{}{path}", self.addr.port())
    }

    /// All requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The last request.
    pub(crate) fn last(&self) -> Seen {
        self.seen().last().cloned().expect("a request")
    }

    /// Connections that were accepted.
    pub(crate) fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }

    /// Waits until this many connections are open.
    pub(crate) async fn wait_open(&self, count: usize) {
        for _ in 0..200 {
            if self.open.load(Ordering::SeqCst) == count {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!(
            "{} connections are open, not {count}",
            self.open.load(Ordering::SeqCst)
        );
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    connection: usize,
    seen: &Mutex<Vec<Seen>>,
    reply: &(dyn Fn(&Seen) -> Reply + Send + Sync),
) -> io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        let Some((head, body)) = read_request(&mut stream, &mut buffer).await? else {
            return Ok(());
        };
        let request = Seen {
            connection,
            head,
            body,
        };
        seen.lock().unwrap().push(request.clone());
        match reply(&request) {
            Reply::Bytes(bytes) => stream.write_all(&bytes).await?,
            Reply::Last(bytes) => {
                stream.write_all(&bytes).await?;
                return stream.shutdown().await;
            }
            Reply::Cut(bytes) => {
                stream.write_all(&bytes).await?;
                return stream.flush().await;
            }
            Reply::Endless(first, then) => {
                stream.write_all(&first).await?;
                loop {
                    stream.write_all(&then).await?;
                }
            }
            Reply::After(first, then, barrier) => {
                stream.write_all(&first).await?;
                barrier.wait().await;
                match then {
                    Some(then) => stream.write_all(&then).await?,
                    None => stream.shutdown().await?,
                }
                barrier.wait().await;
            }
            Reply::Slow(bytes, pause) => {
                for byte in bytes {
                    stream.write_all(&[byte]).await?;
                    stream.flush().await?;
                    sleep(pause).await;
                }
            }
            Reply::Hang => {
                let mut rest = [0; 64];
                while stream.read(&mut rest).await? > 0 {}
                return Ok(());
            }
        }
        stream.flush().await?;
    }
}

async fn read_request<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
) -> io::Result<Option<(String, Vec<u8>)>> {
    let end = loop {
        if let Some(end) = find(buffer, b"\r\n\r\n") {
            break end + 4;
        }
        if !more(stream, buffer).await? {
            return Ok(None);
        }
    };
    let head = String::from_utf8(buffer.drain(..end).collect()).unwrap();
    let lower = head.to_ascii_lowercase();
    let mut body = Vec::new();
    if lower.contains("transfer-encoding: chunked") {
        loop {
            let size = loop {
                if let Some(end) = find(buffer, b"\r\n") {
                    let line: Vec<u8> = buffer.drain(..end + 2).collect();
                    let text = std::str::from_utf8(&line).unwrap().trim();
                    break usize::from_str_radix(text, 16).unwrap();
                }
                if !more(stream, buffer).await? {
                    return Ok(None);
                }
            };
            while buffer.len() < size + 2 {
                if !more(stream, buffer).await? {
                    return Ok(None);
                }
            }
            body.extend(buffer.drain(..size));
            buffer.drain(..2);
            if size == 0 {
                break;
            }
        }
    } else if let Some(line) = lower
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
    {
        let length: usize = line.trim().parse().unwrap();
        while buffer.len() < length {
            if !more(stream, buffer).await? {
                return Ok(None);
            }
        }
        body.extend(buffer.drain(..length));
    }
    Ok(Some((head, body)))
}

async fn more<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut Vec<u8>) -> io::Result<bool> {
    Ok(stream.read_buf(buffer).await? > 0)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

/// A guard that may dial [`PUBLIC`] and knows [`NAMES`].
pub(crate) fn guard() -> GuardBuilder {
    let mut fixed = Fixed::default();
    for name in NAMES {
        fixed = fixed.rule(&format!("{name}={PUBLIC}")).unwrap();
    }
    fixed = fixed
        .rule(&format!("internal.example.com={INTERNAL}"))
        .unwrap();
    Guard::builder()
        .resolver(fixed)
        .grants([PUBLIC.to_string().parse::<Grant>().unwrap()])
}

/// The guard of [`guard`] with nothing changed, built once: compiling a policy is what takes time.
pub(crate) fn shared_guard() -> Guard {
    static GUARD: LazyLock<Guard> = LazyLock::new(|| guard().build().unwrap());
    GUARD.clone()
}

/// A client that may dial [`PUBLIC`], with default limits.
pub(crate) fn client() -> Client {
    limited(|_| {})
}

/// The same with other limits.
pub(crate) fn limited(change: impl FnOnce(&mut Limits)) -> Client {
    let mut limits = Limits::default();
    change(&mut limits);
    Client::builder(shared_guard())
        .tls_roots(TlsRoots::Only(Vec::new()))
        .limits(limits)
        .build()
}

/// Keeps every decision.
#[derive(Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<Vec<Arc<Decision>>>>);

impl Journal {
    pub(crate) fn all(&self) -> Vec<Arc<Decision>> {
        self.0.lock().unwrap().clone()
    }
}

impl Observer for Journal {
    fn observe(&self, decision: &Arc<Decision>) {
        self.0.lock().unwrap().push(decision.clone());
    }
}

/// A certificate authority of its own.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self {
            issuer: CertifiedIssuer::self_signed(params, key).unwrap(),
        }
    }

    /// The roots that trust it.
    pub(crate) fn roots(&self) -> TlsRoots {
        TlsRoots::pem(self.issuer.pem().as_bytes()).unwrap()
    }

    /// A TLS server with a certificate for this name or address.
    pub(crate) fn acceptor(&self, name: &str) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                key.serialize_der().try_into().unwrap(),
            )
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }

    /// A client that trusts it and nothing else.
    pub(crate) fn client(&self) -> Client {
        Client::builder(shared_guard())
            .tls_roots(self.roots())
            .build()
    }
}
