//! What the origin offers, each on a port of its own.

use std::{fmt, io, net::SocketAddr};

/// One thing that the origin does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Service {
    /// Answers each request with 1 KiB.
    Http,
    /// Sends back what comes.
    Echo,
    /// Takes what comes.
    Sink,
    /// After one byte, sends until the other side is gone.
    Source,
}

/// Where each of them is, at the origin or behind the relay.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Services([SocketAddr; 4]);

impl Services {
    /// In the order of [`Service`].
    pub(crate) const fn new(addresses: [SocketAddr; 4]) -> Self {
        Self(addresses)
    }

    /// Addresses as another role of this program printed them.
    pub(crate) fn parse(words: &[&str]) -> io::Result<Self> {
        let addresses: Vec<SocketAddr> = words.iter().flat_map(|word| word.parse()).collect();
        let addresses = addresses.try_into().map(Self);
        addresses.map_err(|_| io::Error::other("four addresses are needed"))
    }

    /// Where one of them is.
    pub(crate) const fn of(&self, service: Service) -> SocketAddr {
        let [http, echo, sink, source] = self.0;
        match service {
            Service::Http => http,
            Service::Echo => echo,
            Service::Sink => sink,
            Service::Source => source,
        }
    }

    /// All of them.
    pub(crate) const fn all(&self) -> [SocketAddr; 4] {
        self.0
    }

    /// Their ports, as lists in configurations are written.
    pub(crate) fn ports(&self, between: &str) -> String {
        self.0
            .map(|address| address.port().to_string())
            .join(between)
    }
}

impl fmt::Display for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [http, echo, sink, source] = self.0;
        write!(f, "{http} {echo} {sink} {source}")
    }
}
