//! The client that most guides print: resolve, check, fetch. It *is* rebound.
//!
//! It looks the host up and checks that the address is not a forbidden one; then it fetches the URL
//! by name, as HTTP libraries do, which looks the name up once more. Whatever happens between the two
//! lookups decides where the connection goes. Tests use it as the positive control (a strategy that
//! does not fool it proves little), the demo to show the hole.
//!
//! As a precaution of its own, this client dials nothing but loopback: other addresses count as
//! unreachable.

use std::{
    collections::HashSet,
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hickory_proto::{
    op::{Message, Query, ResponseCode},
    rr::{Name, RData, RecordType},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::{sleep, timeout},
};

use crate::limits::{PLAIN_BYTES, PLAIN_REDIRECTS, PLAIN_WAIT};

/// How often a question is asked.
const TRIES: usize = 2;
/// The most that a datagram can hold, in octets.
const DATAGRAM: usize = 4096;

/// The naive client.
///
/// # Example
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use pinfold_lab::{Lab, dns::{Reply, Strategy}, plain};
///
/// let lab = Lab::start().await?;
/// let (public, internal) = (lab.public().addr().ip(), lab.internal().addr().ip());
/// lab.dns().name(
///     "shop.lab.example.com",
///     Strategy::first_then_second(Reply::address(public), Reply::address(internal)),
/// );
/// let url = format!("http://shop.lab.example.com:{}/", lab.port());
/// let page = plain::Client::new(lab.dns().addr(), [internal]).get(&url).await?;
/// assert_eq!(page.peer.ip(), internal); // checked one address, fetched from another
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    dns: SocketAddr,
    forbidden: HashSet<IpAddr>,
    pause: Duration,
    wait: Duration,
}

/// What the naive client got.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Page {
    /// Where it came from.
    pub peer: SocketAddr,
    /// The address that was checked.
    pub checked: IpAddr,
    /// The status.
    pub status: u16,
    /// The `Location` of a redirect that was not followed, because there were too many.
    pub location: Option<String>,
    /// The beginning of the body.
    pub body: Vec<u8>,
}

/// Why the naive client got nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlainError {
    /// The text is no URL that it understands.
    #[error("no URL")]
    Url,
    /// The name has no address.
    #[error("no address")]
    NoAddress,
    /// The check worked.
    #[error("`{0}` is forbidden")]
    Forbidden(IpAddr),
    /// The network failed.
    #[error("the network failed")]
    Network(#[from] io::Error),
}

impl Client {
    /// A client that asks this DNS server and refuses these addresses.
    pub fn new(dns: SocketAddr, forbidden: impl IntoIterator<Item = IpAddr>) -> Self {
        let forbidden = forbidden.into_iter().collect();
        Self {
            dns,
            forbidden,
            pause: Duration::ZERO,
            wait: PLAIN_WAIT,
        }
    }

    /// Sets the time between check and fetch. Default: none.
    #[must_use]
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Sets the time for each step. Default: [`PLAIN_WAIT`].
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Checks and fetches `http://host:port/path`; follows redirects without another check, as most
    /// HTTP libraries do.
    ///
    /// # Errors
    ///
    /// When the URL is none, the check refuses, or the network fails.
    pub async fn get(&self, url: &str) -> Result<Page, PlainError> {
        let mut url = Url::parse(url).ok_or(PlainError::Url)?;
        let checked = self.check(&url).await?;
        sleep(self.pause).await;
        let mut page = self.fetch(&url, checked).await?;
        for _ in 0..PLAIN_REDIRECTS {
            let Some(next) = page.location.take() else {
                break;
            };
            url = url.join(&next).ok_or(PlainError::Url)?;
            page = self.fetch(&url, checked).await?;
        }
        Ok(page)
    }

    /// The first address must not be forbidden: what `gethostbyname` and an `if` do.
    async fn check(&self, url: &Url) -> Result<IpAddr, PlainError> {
        let mut addresses = self.lookup(&url.host).await;
        addresses.sort_by_key(IpAddr::is_ipv6);
        let first = *addresses.first().ok_or(PlainError::NoAddress)?;
        if self.forbidden.contains(&first) {
            Err(PlainError::Forbidden(first))
        } else {
            Ok(first)
        }
    }

    /// Connects by name: looks it up, prefers IPv6, tries one after the other.
    async fn fetch(&self, url: &Url, checked: IpAddr) -> Result<Page, PlainError> {
        let mut addresses = self.lookup(&url.host).await;
        addresses.sort_by_key(IpAddr::is_ipv4);
        let mut last = PlainError::NoAddress;
        for address in addresses.into_iter().filter(|address| is_here(*address)) {
            match timeout(self.wait, exchange(SocketAddr::new(address, url.port), url)).await {
                Ok(Ok((peer, response))) => return Ok(read(peer, checked, &response)),
                Ok(Err(error)) => last = error.into(),
                Err(_) => last = io::Error::from(io::ErrorKind::TimedOut).into(),
            }
        }
        Err(last)
    }

    async fn lookup(&self, host: &str) -> Vec<IpAddr> {
        if let Ok(address) = host.trim_matches(['[', ']']).parse() {
            return vec![address];
        }
        let (v4, v6) = tokio::join!(
            self.records(host, RecordType::A),
            self.records(host, RecordType::AAAA)
        );
        v4.into_iter().chain(v6).collect()
    }

    /// Asks until there is a reply that is no failure of the server.
    async fn records(&self, host: &str, kind: RecordType) -> Vec<IpAddr> {
        for _ in 0..TRIES {
            let Ok(Ok(message)) = timeout(self.wait, ask(self.dns, host, kind)).await else {
                continue;
            };
            if message.metadata.response_code != ResponseCode::ServFail {
                return message
                    .answers
                    .iter()
                    .filter_map(|record| address(&record.data))
                    .collect();
            }
        }
        Vec::new()
    }
}

struct Url {
    host: String,
    port: u16,
    path: String,
}

impl Url {
    fn parse(text: &str) -> Option<Self> {
        let (authority, path) = match text.strip_prefix("http://")?.split_once('/') {
            Some((authority, path)) => (authority, format!("/{path}")),
            None => (text.strip_prefix("http://")?, "/".to_owned()),
        };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (authority, 80),
        };
        Some(Self {
            host: host.to_owned(),
            port,
            path,
        })
    }

    fn join(&self, location: &str) -> Option<Self> {
        if !location.starts_with('/') {
            return Self::parse(location);
        }
        Some(Self {
            host: self.host.clone(),
            port: self.port,
            path: location.to_owned(),
        })
    }
}

fn address(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(address) => Some(address.0.into()),
        RData::AAAA(address) => Some(address.0.into()),
        _ => None,
    }
}

async fn ask(server: SocketAddr, host: &str, kind: RecordType) -> io::Result<Message> {
    let mut query = Message::query();
    let name = Name::from_ascii(format!("{host}.")).map_err(io::Error::other)?;
    query.add_query(Query::query(name, kind));
    query.metadata.recursion_desired = true;
    let packet = query.to_vec().map_err(io::Error::other)?;
    let reply = over_udp(server, &packet, query.metadata.id).await?;
    if !reply.metadata.truncation {
        return Ok(reply);
    }
    over_tcp(server, &packet).await
}

async fn over_udp(server: SocketAddr, packet: &[u8], id: u16) -> io::Result<Message> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    socket.send_to(packet, server).await?;
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let packet = buffer.get(..length).unwrap_or_default();
        match Message::from_vec(packet) {
            Ok(message) if message.metadata.id == id => return Ok(message),
            _ => {}
        }
    }
}

async fn over_tcp(server: SocketAddr, packet: &[u8]) -> io::Result<Message> {
    let mut stream = TcpStream::connect(server).await?;
    stream
        .write_u16(u16::try_from(packet.len()).unwrap_or(u16::MAX))
        .await?;
    stream.write_all(packet).await?;
    let length = stream.read_u16().await?;
    let mut reply = vec![0; usize::from(length)];
    stream.read_exact(&mut reply).await?;
    Message::from_vec(&reply).map_err(io::Error::other)
}

/// Whether it is loopback, in whatever spelling.
fn is_here(address: IpAddr) -> bool {
    let address = address.to_canonical();
    address.is_loopback() || address.is_unspecified()
}

/// Sends the request and reads what comes until the end, or until the limit.
async fn exchange(to: SocketAddr, url: &Url) -> io::Result<(SocketAddr, Vec<u8>)> {
    let mut stream = TcpStream::connect(to).await?;
    let peer = stream.peer_addr()?;
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let Url { host, port, path } = url;
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: {host}:{port}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut response = Vec::new();
    let limit = u64::try_from(PLAIN_BYTES).unwrap_or(u64::MAX);
    stream.take(limit).read_to_end(&mut response).await?;
    Ok((peer, response))
}

fn read(peer: SocketAddr, checked: IpAddr, response: &[u8]) -> Page {
    let split = response.windows(4).position(|window| window == b"\r\n\r\n");
    let (head, body) = response.split_at(split.unwrap_or(response.len()));
    let head = String::from_utf8_lossy(head);
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    let location = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find_map(|(name, value)| {
            (name.eq_ignore_ascii_case("location") && (300..400).contains(&status)).then_some(value)
        });
    Page {
        peer,
        checked,
        status,
        location: location.map(str::to_owned),
        body: body.get(4..).unwrap_or_default().to_vec(),
    }
}
