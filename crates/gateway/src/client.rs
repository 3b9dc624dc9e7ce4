//! The other end of a connection that was accepted.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{config, listen::Proof};

/// A connection of a client, as all its requests know it.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// The listener that it came to.
    pub(crate) listener: Arc<config::Listener>,
    /// Where it comes from; with a PROXY header, what that says.
    pub(crate) address: ClientAddress,
    /// The certificate that its TLS handshake proved, when there was one.
    pub(crate) certificate: Option<Arc<Proof>>,
}

/// Where a client is. Never the address of a server: those are judged.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum ClientAddress {
    /// Over TCP.
    Tcp(SocketAddr),
    /// Over a Unix socket: the user and the process at the other end.
    Unix { uid: u32, pid: Option<i32> },
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix { uid, .. } => write!(f, "uid-{uid}"),
        }
    }
}

/// The correlation id of one request: in the answer to the client, in the log, in traces. Unique among processes
/// that run at the same time, as far as 32 random bits go.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct RequestId {
    process: u32,
    number: u64,
}

impl RequestId {
    pub(crate) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            process: process_tag(),
            number: NEXT.fetch_add(1, Ordering::Relaxed),
        }
    }
}

/// The id that whoever asks gave to a request: a few printable characters, so that it can be looked for.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(transparent)]
pub(crate) struct Correlation(Arc<str>);

impl Correlation {
    /// None when it is empty, too long, or holds what is not printed.
    pub(crate) fn of(id: &str) -> Option<Self> {
        let fit = (1..=LONGEST).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
        fit.then(|| Self(id.into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Bytes of a correlation id. A UUID has 36.
const LONGEST: usize = 128;

fn process_tag() -> u32 {
    static TAG: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    // Without randomness ids are unique in this process only, which is no reason to serve nobody.
    *TAG.get_or_init(|| getrandom::u32().unwrap_or_else(|_| std::process::id()))
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{:x}", self.process, self.number)
    }
}

impl serde::Serialize for RequestId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
