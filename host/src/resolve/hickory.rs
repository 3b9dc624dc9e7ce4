//! `Dns`: DNS servers, asked by hickory's client.
//!
//! Of hickory this uses the codec and the client (message identifiers and ports are random, case is
//! randomised, a truncated answer is asked for again over TCP, the question of the answer is compared).
//! Its resolver above that is not used: no hosts file, no search list, no special names, no cache, no
//! second query for an alias. What an answer means is [`answer`](super::answer)'s business.

use std::{
    fmt,
    future::{Ready, ready},
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use futures_util::{Stream, future::try_join, stream::once};
use hickory_resolver::{
    ConnectionProvider, NameServerPool, PoolContext, TlsConfig,
    config::{ConnectionConfig, NameServerConfig, ProtocolConfig, ResolverOpts},
    net::{
        DnsError, NetError, NoRecords,
        runtime::TokioRuntimeProvider,
        tcp::TcpClientStream,
        udp::UdpClientStream,
        xfer::{DnsHandle, DnsRequestSender, FirstAnswer},
    },
    proto::{
        op::{DnsRequest, DnsRequestOptions, DnsResponse, Query, ResponseCode},
        rr::{Name, RecordType},
    },
    system_conf,
};
use pinfold_addr::{Domain, Reason};
use tokio::time::timeout;

use super::{
    Answers, Resolve, ResolveError, Resolving,
    answer::{self, Family},
    cache::Cache,
};

/// For one question, all servers together. [`Limits::resolve`](crate::Limits::resolve) may be shorter.
const DEADLINE: Duration = Duration::from_secs(5);
/// For one server; then the next one is asked.
const SERVER: Duration = Duration::from_secs(2);
/// After this a datagram counts as lost and is sent again, in milliseconds.
const RETRANSMIT_MS: u64 = 1000;
/// How often one question is sent to one server over UDP.
const TRANSMISSIONS: u8 = 2;
/// Servers that are used of those configured (as many as the C library of common systems).
const SERVERS: usize = 3;
/// Largest datagram asked for: fits every path without fragments (RFC 9715).
const PAYLOAD: u16 = 1232;

/// DNS over UDP and TCP, by own queries to the servers given: no NSS, no hosts file, no search list.
///
/// ```no_run
/// use pinfold::{Guard, resolve::Dns};
///
/// let guard = Guard::builder().resolver(Dns::servers(["192.0.2.53:53".parse()?])).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # What one lookup is
///
/// - One question for each family (AAAA and A), absolute, to the first server; the next server is asked
///   only when one does not answer, or answers that it cannot (SERVFAIL, REFUSED). Servers are tried in
///   their order, one at a time.
/// - A datagram without an answer is sent once more after a second. That is the same question again:
///   whichever answer comes first is used, whole, and never joined with another. A truncated answer is
///   dropped and the question asked over TCP.
/// - Aliases count as far as they are in that answer; a server that leaves the end of the chain out
///   answered with nothing. No second question is asked.
/// - A family without records is no error. A family that fails at every server fails the lookup: half an
///   answer is not judged. Where one family is broken, [`families`](Self::families) leaves it out.
///
/// # Bounds
///
/// Five seconds for a question, two for a server, three servers, 64 addresses, 16 aliases. Answers are
/// kept for their TTL, at most an hour, TTL 0 not at all; "no such name" at most 30 seconds; failures
/// never. At most 4096 names are kept.
#[derive(Clone)]
pub struct Dns {
    /// A pool for each server, because hickory's takes SERVFAIL of the first for the answer of all. `Err`
    /// when there is nobody to ask: then every lookup says so.
    pools: Result<Arc<[NameServerPool<Wire>]>, ResolveError>,
    servers: Arc<[SocketAddr]>,
    families: Families,
    cache: Arc<Cache>,
}

/// Which addresses are asked for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there are two families")]
pub enum Families {
    /// AAAA and A.
    #[default]
    Both,
    /// A alone.
    Ipv4,
    /// AAAA alone.
    Ipv6,
}

impl Dns {
    /// The servers of the system's configuration (`/etc/resolv.conf`), read once. Its search list and
    /// options are left aside.
    pub fn system_servers() -> Result<Self, ResolveError> {
        let (config, _) = system_conf::read_system_conf().map_err(|error| {
            failed(format!(
                "the DNS configuration of the system cannot be read: {error}"
            ))
        })?;
        let servers = config.name_servers().iter().map(|server| {
            let port = server
                .connections
                .first()
                .map_or(53, |connection| connection.port);
            SocketAddr::new(server.ip, port)
        });
        Ok(Self::servers(servers))
    }

    /// These servers, in this order, each over UDP and TCP.
    pub fn servers(servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        let servers: Arc<[SocketAddr]> = servers.into_iter().take(SERVERS).collect();
        Self {
            pools: pools(&servers),
            servers,
            families: Families::Both,
            cache: Arc::default(),
        }
    }

    /// Asks for these families only. Default: both. What is already kept stays.
    #[must_use]
    pub fn families(self, families: Families) -> Self {
        Self {
            families,
            cache: Arc::default(),
            ..self
        }
    }

    async fn look_up(&self, name: &Domain) -> Result<Answers, ResolveError> {
        if let Some(known) = self.cache.get(name) {
            return known;
        }
        let question = question(name)?;
        let (v6, v4) = try_join(
            self.ask(&question, RecordType::AAAA),
            self.ask(&question, RecordType::A),
        )
        .await?;
        let answers = answer::join(v6, v4)?;
        if answers.addresses.is_empty() {
            let detail = format!("`{}` has no address", name.as_str());
            self.cache.keep_negative(name, &detail, answers.ttl);
            return Err(ResolveError::new(Reason::ResolveNoAnswer, detail));
        }
        self.cache.keep(name, &answers);
        Ok(answers)
    }

    async fn ask(&self, name: &Name, family: RecordType) -> Result<Family, ResolveError> {
        if !self.families.has(family) {
            // Known for as long as anything can be.
            return Ok(Family::nothing(Some(i32::MAX.unsigned_abs())));
        }
        let pools = self.pools.as_ref().map_err(Clone::clone)?;
        timeout(DEADLINE, ask_in_turn(pools, name, family))
            .await
            .unwrap_or_else(|_| Err(late()))
    }
}

impl Families {
    const fn has(self, family: RecordType) -> bool {
        match self {
            Self::Both => true,
            Self::Ipv4 => matches!(family, RecordType::A),
            Self::Ipv6 => matches!(family, RecordType::AAAA),
        }
    }
}

impl Resolve for Dns {
    fn resolve<'a>(&'a self, name: &'a Domain) -> Resolving<'a> {
        Box::pin(self.look_up(name))
    }
}

impl fmt::Debug for Dns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dns")
            .field("servers", &self.servers)
            .field("families", &self.families)
            .finish_non_exhaustive()
    }
}

/// The absolute name, label by label: nothing in it is read as an escape.
fn question(name: &Domain) -> Result<Name, ResolveError> {
    Name::from_labels(name.as_str().split('.').map(str::as_bytes))
        .map_err(|error| failed(format!("`{}` is no DNS name: {error}", name.as_str())))
}

/// Asks one server after the other until one answers, if only that there is nothing. What is in the answer
/// is no reason to ask the next one: what is refused stays refused.
async fn ask_in_turn(
    pools: &[NameServerPool<Wire>],
    name: &Name,
    family: RecordType,
) -> Result<Family, ResolveError> {
    let mut failure = late();
    for pool in pools {
        let question = Query::query(name.clone(), family);
        let asked = pool.lookup(question, request_options());
        match asked.first_answer().await {
            Ok(response) => return answer::read(&response, name, family),
            Err(error) => match nothing(error) {
                // What a server said tells more than the silence of another.
                Err(failed) if failure.reason == Reason::ResolveTimeout => failure = failed,
                Err(_) => {}
                absent => return absent,
            },
        }
    }
    Err(failure)
}

/// An answer without records is an answer; everything else is a failure.
fn nothing(error: NetError) -> Result<Family, ResolveError> {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(NoRecords {
            response_code: ResponseCode::NoError | ResponseCode::NXDomain,
            negative_ttl,
            ..
        })) => Ok(Family::nothing(negative_ttl)),
        NetError::Timeout => Err(late()),
        error => Err(failed(error.to_string())),
    }
}

fn late() -> ResolveError {
    ResolveError::new(Reason::ResolveTimeout, "no DNS server answered in time")
}

fn failed(detail: impl Into<String>) -> ResolveError {
    ResolveError::new(Reason::ResolveFailed, detail)
}

fn pools(servers: &[SocketAddr]) -> Result<Arc<[NameServerPool<Wire>]>, ResolveError> {
    if servers.is_empty() {
        return Err(failed("no DNS server is configured"));
    }
    let tls = TlsConfig::new().map_err(|error| failed(error.to_string()))?;
    let context = Arc::new(PoolContext::new(pool_options(), tls));
    let pools = servers.iter().map(server);
    let pools =
        pools.map(|server| NameServerPool::from_config([server], context.clone(), Wire::default()));
    Ok(pools.collect())
}

fn server(address: &SocketAddr) -> NameServerConfig {
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    for connection in &mut connections {
        connection.port = address.port();
    }
    NameServerConfig::new(address.ip(), true, connections)
}

fn pool_options() -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.timeout = DEADLINE;
    options.case_randomization = true;
    options
}

fn request_options() -> DnsRequestOptions {
    let mut options = DnsRequestOptions::default();
    options.edns_payload_len = PAYLOAD;
    options
}

/// Makes [`Line`]s: hickory's own provider would keep sockets and a background task, tied to the runtime
/// that first asked, and sends again after a third of a second.
#[derive(Clone, Default)]
struct Wire {
    runtime: TokioRuntimeProvider,
}

/// One server by one protocol. Each question has a socket of its own: a random port, nothing shared.
#[derive(Clone)]
struct Line {
    server: SocketAddr,
    tcp: bool,
    runtime: TokioRuntimeProvider,
}

impl ConnectionProvider for Wire {
    type Conn = Line;
    type FutureConn = Ready<Result<Line, NetError>>;
    type RuntimeProvider = TokioRuntimeProvider;

    fn new_connection(
        &self,
        ip: IpAddr,
        config: &ConnectionConfig,
        _: &PoolContext,
    ) -> Result<Self::FutureConn, NetError> {
        let tcp = config.protocol == ProtocolConfig::Tcp;
        let server = SocketAddr::new(ip, config.port);
        Ok(ready(Ok(Line {
            server,
            tcp,
            runtime: self.runtime.clone(),
        })))
    }

    fn runtime_provider(&self) -> &TokioRuntimeProvider {
        &self.runtime
    }
}

impl DnsHandle for Line {
    type Response = Pin<Box<dyn Stream<Item = Result<DnsResponse, NetError>> + Send>>;
    type Runtime = TokioRuntimeProvider;

    fn send(&self, request: DnsRequest) -> Self::Response {
        let line = self.clone();
        match self.tcp {
            true => Box::pin(once(line.send_tcp(request))),
            false => Box::pin(line.send_udp(request)),
        }
    }
}

impl Line {
    fn send_udp(
        self,
        request: DnsRequest,
    ) -> impl Stream<Item = Result<DnsResponse, NetError>> + Send {
        UdpClientStream::builder(self.server, self.runtime)
            .with_timeout(Some(SERVER))
            .with_max_retries(TRANSMISSIONS)
            .with_retry_interval_floor(RETRANSMIT_MS)
            .build()
            .send_message(request)
    }

    async fn send_tcp(self, request: DnsRequest) -> Result<DnsResponse, NetError> {
        let exchange =
            TcpClientStream::exchange(self.server, None, SERVER, None, self.runtime).await?;
        exchange.send(request).first_answer().await
    }
}

#[cfg(test)]
mod tests;
