//! What the DNS server was asked.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Mutex,
};

use tokio::time::Instant;

use crate::{
    limits::{NAMES, QUESTIONS_KEPT},
    tasks::locked,
};

/// The type of record asked for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// An alias.
    Cname,
    /// Service binding of HTTP (RFC 9460).
    Https,
    /// Service binding (RFC 9460).
    Svcb,
    /// Any other, by number.
    Other(u16),
}

/// How a question came.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Transport {
    /// A datagram.
    Udp,
    /// A connection.
    Tcp,
}

/// One question.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Question {
    /// The name in lower case, without the root dot.
    pub name: String,
    /// The name as it was written (0x20).
    pub written: String,
    /// The type of record.
    pub kind: Kind,
    /// Datagram or connection.
    pub transport: Transport,
    /// Who asked.
    pub client: SocketAddr,
    /// The client subnet that it told (EDNS, RFC 7871).
    pub subnet: Option<IpAddr>,
    /// When, on tokio's clock.
    pub at: Instant,
}

/// Every question in order, and how often each name and type was asked.
///
/// The list is bounded by [`QUESTIONS_KEPT`], the counters by [`NAMES`]; the total counts on.
#[derive(Default)]
pub struct QuestionLog {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    questions: Vec<Question>,
    counts: HashMap<(String, Kind), u64>,
    total: u64,
}

impl QuestionLog {
    /// All that were kept, in the order they came.
    pub fn questions(&self) -> Vec<Question> {
        locked(&self.kept).questions.clone()
    }

    /// How many came, kept or not.
    pub fn total(&self) -> u64 {
        locked(&self.kept).total
    }

    /// How often this name was asked for this type, over both transports.
    pub fn count(&self, name: &str, kind: Kind) -> u64 {
        let key = (canonical(name), kind);
        locked(&self.kept).counts.get(&key).copied().unwrap_or(0)
    }

    /// The counters of every name that ends with `suffix` (`""` for all), in no order.
    pub fn counts(&self, suffix: &str) -> Vec<(String, Kind, u64)> {
        let kept = locked(&self.kept);
        let matching = kept
            .counts
            .iter()
            .filter(|((name, _), _)| name.ends_with(suffix));
        matching
            .map(|((name, kind), count)| (name.clone(), *kind, *count))
            .collect()
    }

    /// Forgets everything.
    pub fn clear(&self) {
        *locked(&self.kept) = Kept::default();
    }

    pub(crate) fn record(&self, question: &Question) {
        let mut kept = locked(&self.kept);
        kept.total += 1;
        if kept.questions.len() < QUESTIONS_KEPT {
            kept.questions.push(question.clone());
        }
        let key = (question.name.clone(), question.kind);
        if kept.counts.len() < NAMES || kept.counts.contains_key(&key) {
            *kept.counts.entry(key).or_default() += 1;
        }
    }
}

impl fmt::Debug for QuestionLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuestionLog")
            .field("total", &self.total())
            .finish_non_exhaustive()
    }
}

/// Lower case, no root dot.
pub(crate) fn canonical(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}
