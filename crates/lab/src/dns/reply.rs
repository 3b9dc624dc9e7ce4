//! One reply of the DNS server: what it says and how the packet is bent.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

/// What is answered to one question.
///
/// Made by a constructor, then bent by setters. Records of a type that was not asked for are left
/// out, so that one reply serves both families: a question for `AAAA` to a reply with only IPv4
/// addresses gets an empty answer.
///
/// # Example
///
/// ```
/// use std::{net::Ipv4Addr, time::Duration};
/// use pinfold_lab::dns::{Reply, Tamper};
///
/// // A forged packet first, then, 20 ms later, the true one.
/// let public = Ipv4Addr::new(127, 0, 0, 2);
/// let internal = Ipv4Addr::new(127, 0, 0, 3);
/// let reply = Reply::address(internal)
///     .tamper(Tamper::WrongId)
///     .then(Reply::address(public).ttl(60).delay(Duration::from_millis(20)));
/// # let _ = reply;
/// ```
#[derive(Clone, Debug)]
pub struct Reply {
    pub(crate) body: Body,
    pub(crate) delay: Duration,
    pub(crate) truncated: bool,
    pub(crate) bare: bool,
    pub(crate) tamper: Option<Tamper>,
    pub(crate) then: Option<Box<Self>>,
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    Records {
        answers: Vec<Entry>,
        additional: Vec<Entry>,
    },
    Code(Code),
    Silence,
    Raw(Vec<u8>),
}

/// Response codes of a refusal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Code {
    /// The name does not exist.
    NxDomain,
    /// The server will not say.
    Refused,
    /// The server failed.
    ServFail,
}

/// A record, and the name that it is filed under: by default the name asked for, or the target of
/// the alias before it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) owner: Option<String>,
    pub(crate) ttl: u32,
    pub(crate) data: Data,
}

#[derive(Clone, Debug)]
pub(crate) enum Data {
    Address(IpAddr),
    Alias(String),
    /// A DNAME of the asked name's parent; the alias that follows from it is sent beside it.
    Subtree(String),
    Hint {
        ipv4: Vec<Ipv4Addr>,
        ipv6: Vec<Ipv6Addr>,
    },
}

/// How a packet is bent after it was built.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Tamper {
    /// The case of the letters in the echoed question is flipped (0x20).
    FlippedCase,
    /// Octets that are no DNS message.
    Garbage,
    /// The header says that there are more records than there are.
    LyingCounts,
    /// A compression pointer that points to itself.
    PointerLoop,
    /// Only this many octets of it.
    Short(usize),
    /// Another transaction id.
    WrongId,
    /// Another name in the echoed question.
    WrongQuestion,
}

impl Reply {
    /// One address, TTL 0.
    pub fn address(address: impl Into<IpAddr>) -> Self {
        Self::addresses([address.into()])
    }

    /// Several addresses in this order, TTL 0.
    pub fn addresses(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        Self::records(addresses.into_iter().map(Data::Address))
    }

    /// An alias (CNAME). When the target is a name of the same zone, its answer follows in the same
    /// packet, as a recursive server would do; see [`bare`](Self::bare).
    pub fn alias(target: impl Into<String>) -> Self {
        Self::records([Data::Alias(target.into())])
    }

    /// `length` aliases, `c1.suffix`, `c2.suffix`, ..., and the address at the end.
    pub fn chain(length: usize, suffix: &str, address: impl Into<IpAddr>) -> Self {
        let links = (1..=length).map(|link| Data::Alias(format!("c{link}.{suffix}")));
        Self::records(links.chain([Data::Address(address.into())]))
    }

    /// Two names that are aliases of each other, and no address.
    pub fn alias_loop(suffix: &str) -> Self {
        let names = [
            format!("l1.{suffix}"),
            format!("l2.{suffix}"),
            format!("l1.{suffix}"),
        ];
        Self {
            bare: true,
            ..Self::records(names.map(Data::Alias))
        }
    }

    /// A DNAME that moves the parent of the asked name to `target`, the alias that follows, and the
    /// address.
    pub fn subtree(target: impl Into<String>, address: impl Into<IpAddr>) -> Self {
        Self::records([Data::Subtree(target.into()), Data::Address(address.into())])
    }

    /// A service binding (HTTPS or SVCB, as asked) with these addresses as hints.
    pub fn hint(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        Self::records([hint(addresses)])
    }

    /// No record of the type asked for, though the name exists.
    pub fn no_data() -> Self {
        Self::records([])
    }

    /// A refusal with this code.
    pub fn code(code: Code) -> Self {
        Self::new(Body::Code(code))
    }

    /// Nothing at all.
    pub fn silence() -> Self {
        Self::new(Body::Silence)
    }

    /// These octets, whatever they are. The first two are replaced by the transaction id.
    pub fn raw(octets: impl Into<Vec<u8>>) -> Self {
        Self::new(Body::Raw(octets.into()))
    }

    /// Sets the time to live of every record so far, in seconds.
    #[must_use]
    pub fn ttl(self, seconds: u32) -> Self {
        self.each(|entry| entry.ttl = seconds)
    }

    /// Files every record so far under another name than the one asked for.
    #[must_use]
    pub fn owner(self, name: &str) -> Self {
        self.each(|entry| entry.owner = Some(name.to_owned()))
    }

    /// Adds the records of another reply.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        if let (
            Body::Records {
                answers,
                additional,
            },
            Body::Records {
                answers: more,
                additional: beside,
            },
        ) = (&mut self.body, other.body)
        {
            answers.extend(more);
            additional.extend(beside);
        }
        self
    }

    /// Adds a service binding with hints to the additional section, where nobody asked for it.
    #[must_use]
    pub fn unasked_hint(mut self, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        if let Body::Records { additional, .. } = &mut self.body {
            additional.push(Entry {
                owner: None,
                ttl: 0,
                data: hint(addresses),
            });
        }
        self
    }

    /// Says that the answer was cut (TC), which makes the client ask again over TCP.
    #[must_use]
    pub fn truncated(mut self) -> Self {
        self.truncated = true;
        self
    }

    /// Leaves an alias without the answer of its target: the client must ask for that itself.
    #[must_use]
    pub fn bare(mut self) -> Self {
        self.bare = true;
        self
    }

    /// Sends it so much later.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Bends the packet.
    #[must_use]
    pub fn tamper(mut self, tamper: Tamper) -> Self {
        self.tamper = Some(tamper);
        self
    }

    /// Sends another packet after this one, to the same question.
    #[must_use]
    pub fn then(mut self, next: Self) -> Self {
        self.then = Some(Box::new(next));
        self
    }

    /// The alias that this reply ends with, when its target's answer should follow.
    pub(crate) fn open_alias(&self) -> Option<&str> {
        let Body::Records { answers, .. } = &self.body else {
            return None;
        };
        match answers.last().map(|entry| &entry.data) {
            Some(Data::Alias(target)) if !self.bare => Some(target),
            _ => None,
        }
    }

    fn records(data: impl IntoIterator<Item = Data>) -> Self {
        let answers = data
            .into_iter()
            .map(|data| Entry {
                owner: None,
                ttl: 0,
                data,
            })
            .collect();
        Self::new(Body::Records {
            answers,
            additional: Vec::new(),
        })
    }

    fn new(body: Body) -> Self {
        Self {
            body,
            delay: Duration::ZERO,
            truncated: false,
            bare: false,
            tamper: None,
            then: None,
        }
    }

    fn each(mut self, change: impl FnMut(&mut Entry)) -> Self {
        if let Body::Records { answers, .. } = &mut self.body {
            answers.iter_mut().for_each(change);
        }
        self
    }
}

fn hint(addresses: impl IntoIterator<Item = IpAddr>) -> Data {
    let (mut ipv4, mut ipv6) = (Vec::new(), Vec::new());
    for address in addresses {
        match address {
            IpAddr::V4(address) => ipv4.push(address),
            IpAddr::V6(address) => ipv6.push(address),
        }
    }
    Data::Hint { ipv4, ipv6 }
}
