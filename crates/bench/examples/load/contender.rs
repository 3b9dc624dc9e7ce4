//! Who is compared.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use crate::{
    envoy::{self, Asked},
    pinfold::{self, Protocol},
    process::{Folder, Process},
    service::Services,
    tinyproxy_squid,
    way::{Door, Way},
};

/// What stands between client and origin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// Copies bytes; the limit.
    Relay,
    Pinfold,
    Tinyproxy,
    Squid,
    /// An Envoy, and whom it asks.
    Envoy(Asked),
}

/// One line of the comparison.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contender {
    pub(crate) kind: Kind,
    /// Whether each request is logged to a file.
    pub(crate) log: bool,
}

/// The comparison with other proxies, in the order of the first round.
pub(crate) const PROXIES: [Contender; 7] = [
    Contender::new(Kind::Relay, false),
    Contender::new(Kind::Pinfold, false),
    Contender::new(Kind::Pinfold, true),
    Contender::new(Kind::Tinyproxy, false),
    Contender::new(Kind::Tinyproxy, true),
    Contender::new(Kind::Squid, false),
    Contender::new(Kind::Squid, true),
];

/// The comparison of what an Envoy asks.
pub(crate) const ENVOYS: [Contender; 6] = [
    Contender::new(Kind::Envoy(Asked::Nobody), false),
    Contender::new(Kind::Envoy(Asked::Itself), false),
    Contender::new(Kind::Envoy(Asked::Yes), false),
    Contender::new(Kind::Envoy(Asked::Pinfold), false),
    Contender::new(Kind::Envoy(Asked::Pinfold), true),
    Contender::new(Kind::Envoy(Asked::Connector), false),
];

/// The one whose policies are swapped.
pub(crate) const SWAPPED: Contender = Contender::new(Kind::Pinfold, false);

/// What all of them need to start.
pub(crate) struct Ground {
    pub(crate) pinfold: PathBuf,
    /// Found like any other program where none is named.
    pub(crate) envoy: PathBuf,
    pub(crate) origin: Services,
    pub(crate) folder: Folder,
}

/// A contender that serves.
pub(crate) struct Running {
    pub(crate) process: Process,
    /// What it asks, or goes through, when that is a process of its own.
    pub(crate) behind: Option<Process>,
    pub(crate) way: Way,
    /// The interface for operators, where there is one.
    pub(crate) admin: Option<SocketAddr>,
}

impl Ground {
    /// With an origin, which runs as long as the process that comes with it.
    pub(crate) fn new(pinfold: &Path) -> io::Result<(Self, Process)> {
        let folder = Folder::new()?;
        let (process, line) = Process::role(&["origin"], &folder)?;
        let ground = Self {
            pinfold: pinfold.to_owned(),
            envoy: PathBuf::from("envoy"),
            origin: Services::parse(&line.split_whitespace().collect::<Vec<_>>())?,
            folder,
        };
        Ok((ground, process))
    }
}

impl Contender {
    const fn new(kind: Kind, log: bool) -> Self {
        Self { kind, log }
    }

    /// As the report calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self.kind {
            Kind::Relay => "relay",
            Kind::Pinfold => "pinfold",
            Kind::Tinyproxy => "tinyproxy",
            Kind::Squid => "squid",
            Kind::Envoy(asked) => asked.name(),
        }
    }

    /// Whether it has rules at all.
    const fn judges(self) -> bool {
        match self.kind {
            Kind::Relay => false,
            Kind::Pinfold | Kind::Tinyproxy | Kind::Squid => true,
            Kind::Envoy(asked) => asked.judges(),
        }
    }

    /// Starts it, and sees that it refuses what its rules do not name.
    pub(crate) async fn start(self, ground: &Ground) -> io::Result<Running> {
        let running = match self.kind {
            Kind::Relay => relay(ground)?,
            Kind::Pinfold => pinfold::start(ground, Protocol::Proxy, self.log).await?,
            Kind::Tinyproxy => {
                let config = tinyproxy_squid::tinyproxy(self.log);
                peer(ground, &config, |file| vec!["-d", "-c", file]).await?
            }
            Kind::Squid => {
                let config = tinyproxy_squid::squid(self.log);
                peer(ground, &config, |file| vec!["-N", "-f", file]).await?
            }
            Kind::Envoy(asked) => envoy::start(ground, asked, self.log).await?,
        };
        if self.judges() {
            running.way.refuses_others().await?;
        }
        Ok(running)
    }
}

/// An error that says whose it is.
pub(crate) fn named(name: &str, error: &io::Error) -> io::Error {
    io::Error::other(format!("{name}: {error}"))
}

fn relay(ground: &Ground) -> io::Result<Running> {
    let origin = ground.origin.to_string();
    let mut words = vec!["relay"];
    words.extend(origin.split(' '));
    let (process, line) = Process::role(&words, &ground.folder)?;
    let doors = Services::parse(&line.split_whitespace().collect::<Vec<_>>())?;
    Ok(Running {
        process,
        behind: None,
        way: Way {
            origin: ground.origin,
            name: None,
            door: Door::Relay(doors),
            keeps: true,
        },
        admin: None,
    })
}

async fn peer(
    ground: &Ground,
    config: &tinyproxy_squid::Config,
    words: impl Fn(&str) -> Vec<&str>,
) -> io::Result<Running> {
    let door = crate::process::free()?;
    let file = config.write(ground, door)?;
    let file = file.to_string_lossy();
    let mut process = Process::start(
        config.name,
        Path::new(config.name),
        &words(&file),
        &ground.folder,
    )?;
    process.listens(door).await?;
    Ok(Running {
        process,
        behind: None,
        way: Way {
            origin: ground.origin,
            name: None,
            door: Door::Proxy(door),
            keeps: config.keeps,
        },
        admin: None,
    })
}
