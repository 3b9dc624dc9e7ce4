//! Everything together: names, a public server, canaries.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use crate::{
    dns::{DnsServer, Scene},
    http::{Page, Server, Site},
    limits::PORT_ATTEMPTS,
    tls::{Authority, TlsError},
};

/// The name below which the lab's names are. It belongs to no one (RFC 6761), so that a name which
/// leaks out of the lab hurts no one.
pub const APEX: &str = "lab.example.com";
/// Stands for a public server.
pub const PUBLIC: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Stands for a server inside.
pub const INTERNAL: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
/// What a canary says.
pub const SECRET: &str = "a secret of the internal network\n";

/// A hostile internet on loopback. It stops when it is dropped.
///
/// | who | where | port |
/// |---|---|---|
/// | [`dns`](Self::dns) | 127.0.0.1 | its own, UDP and TCP |
/// | [`public`](Self::public) | 127.0.0.2 | the lab's |
/// | [`internal`](Self::internal), a canary | 127.0.0.3 | the lab's |
/// | [`local`](Self::local), a canary | 127.0.0.1 | the lab's |
/// | [`public_v6`](Self::public_v6), where there is IPv6 | ::1 | the lab's |
/// | [`tls`](Self::tls) | 127.0.0.2 | another |
/// | [`internal_tls`](Self::internal_tls), a canary | 127.0.0.3 | as `tls` |
///
/// Public and internal servers share their port, since a rebound name keeps it.
#[derive(Debug)]
pub struct Lab {
    dns: DnsServer,
    public: Server,
    public_v6: Option<Server>,
    internal: Server,
    local: Server,
    authority: Authority,
    tls: Server,
    internal_tls: Server,
}

/// The lab could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// A socket could not be bound.
    #[error("no socket")]
    Io(#[from] io::Error),
    /// A certificate could not be made.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Lab {
    /// Starts everything. The zone holds the attacks of [`attacks`](crate::dns::attacks) below
    /// [`APEX`], and the names that [`Scene::set`] adds.
    ///
    /// # Errors
    ///
    /// When sockets cannot be bound, or no certificate can be made.
    pub async fn start() -> Result<Self, LabError> {
        let dns = DnsServer::start().await?;
        let (public, internal, local) = start_plain().await?;
        let port = public.addr().port();
        let public_v6 = Server::start((Ipv6Addr::LOCALHOST, port), Site::standard())
            .await
            .ok();
        let authority = Authority::new()?;
        let (tls, internal_tls) = start_tls(&authority).await?;
        let lab = Self {
            dns,
            public,
            public_v6,
            internal,
            local,
            authority,
            tls,
            internal_tls,
        };
        lab.scene().set(lab.dns.zone());
        Ok(lab)
    }

    /// The name server.
    pub fn dns(&self) -> &DnsServer {
        &self.dns
    }

    /// The public server, with the [standard site](Site).
    pub fn public(&self) -> &Server {
        &self.public
    }

    /// The public server with IPv6; none on a machine without.
    pub fn public_v6(&self) -> Option<&Server> {
        self.public_v6.as_ref()
    }

    /// The canary inside.
    pub fn internal(&self) -> &Server {
        &self.internal
    }

    /// The canary on this host, which `0.0.0.0` and `localhost` reach.
    pub fn local(&self) -> &Server {
        &self.local
    }

    /// The public server with TLS; its certificate is for [`APEX`], `*.` of it, and 127.0.0.2.
    pub fn tls(&self) -> &Server {
        &self.tls
    }

    /// The canary with TLS, on the port of [`tls`](Self::tls), with the same certificate.
    pub fn internal_tls(&self) -> &Server {
        &self.internal_tls
    }

    /// Who signed the certificates.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The port of the public server and the canaries.
    pub fn port(&self) -> u16 {
        self.public.addr().port()
    }

    /// All canaries.
    pub fn canaries(&self) -> [&Server; 3] {
        [&self.internal, &self.local, &self.internal_tls]
    }

    /// Connections to any canary, after waiting for those that are under way.
    ///
    /// # Errors
    ///
    /// When a canary cannot be reached any more.
    pub async fn leaks(&self) -> io::Result<u64> {
        let mut leaks = 0;
        for canary in self.canaries() {
            canary.settle().await?;
            leaks += canary.connections();
        }
        Ok(leaks)
    }

    /// `http://<label>.lab.example.com:<port><path>`
    pub fn url(&self, label: &str, path: &str) -> String {
        format!("http://{label}.{APEX}:{}{path}", self.port())
    }

    /// `https://<label>.lab.example.com:<port><path>`
    pub fn tls_url(&self, label: &str, path: &str) -> String {
        format!("https://{label}.{APEX}:{}{path}", self.tls.addr().port())
    }

    /// What the attacks play with.
    pub fn scene(&self) -> Scene {
        Scene {
            apex: APEX.to_owned(),
            public: PUBLIC,
            public_v6: self.public_v6.is_some().then_some(Ipv6Addr::LOCALHOST),
            internal: INTERNAL,
        }
    }

    /// The addresses that must not be reached.
    pub fn forbidden(&self) -> [IpAddr; 2] {
        [INTERNAL.into(), Ipv4Addr::LOCALHOST.into()]
    }
}

/// A server that must not be reached.
fn canary() -> Site {
    Site::only(Page::text(SECRET))
}

async fn start_plain() -> io::Result<(Server, Server, Server)> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..PORT_ATTEMPTS {
        let public = Server::start((PUBLIC, 0), Site::standard()).await?;
        let port = public.addr().port();
        let internal = Server::start((INTERNAL, port), canary()).await;
        let local = Server::start((Ipv4Addr::LOCALHOST, port), canary()).await;
        match internal.and_then(|internal| Ok((public, internal, local?))) {
            Ok(servers) => return Ok(servers),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn start_tls(authority: &Authority) -> Result<(Server, Server), LabError> {
    let wildcard = format!("*.{APEX}");
    let address = PUBLIC.to_string();
    let identity = authority.issue([APEX, &wildcard, &address])?;
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..PORT_ATTEMPTS {
        let public = Server::start_tls((PUBLIC, 0), Site::standard(), &identity).await?;
        let at = SocketAddr::from((INTERNAL, public.addr().port()));
        match Server::start_tls(at, canary(), &identity).await {
            Ok(internal) => return Ok((public, internal)),
            Err(error) => last = error,
        }
    }
    Err(last.into())
}
