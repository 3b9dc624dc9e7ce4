//! Which pieces make up a configuration.

use std::time::Duration;

use pinfold_gateway::{
    Config,
    config::Protocol,
    envoy::{HTTP_NAMESPACE, NETWORK_NAMESPACE, pin_key},
};

use super::{
    Args, Mode,
    address::Address,
    facts::{self, seconds},
    template::{fill, quoted},
};

/// The pieces, one for each rule.
macro_rules! piece {
    ($name:literal) => {
        include_str!(concat!("pieces/", $name, ".yaml"))
    };
}

/// The whole configuration.
pub(super) fn write(args: &Args, config: &Config) -> anyhow::Result<String> {
    let layout = Layout::of(args, config)?;
    let (listener, clusters) = match args.mode {
        Mode::Sni => (layout.sni_listener(), layout.clusters()),
        _ => (layout.http_listener(), layout.clusters()),
    };
    Ok(fill(
        piece!("frame"),
        &[
            ("purpose", args.mode.purpose()),
            ("version", env!("CARGO_PKG_VERSION")),
            ("command", "pinfold envoy config"),
            ("admin", &Address::Tcp(args.admin).yaml()),
            ("listener", &listener),
            ("clusters", &clusters),
        ],
    ))
}

impl Mode {
    fn purpose(self) -> &'static str {
        match self {
            Self::Forward => "a forward proxy, for HTTP and CONNECT",
            Self::Tls => "a forward proxy that speaks TLS to servers",
            Self::Sni => "TLS passed through by its server name",
            Self::Connector => "a forward proxy before a gateway that connects itself",
        }
    }
}

struct Layout<'a> {
    args: &'a Args,
    listen: String,
    services: Vec<Address>,
    /// How many addresses are tried.
    attempts: usize,
    idle: String,
    lifetime: String,
    response: String,
    deadline: String,
}

impl<'a> Layout<'a> {
    fn of(args: &'a Args, config: &'a Config) -> anyhow::Result<Self> {
        let port = if args.mode == Mode::Sni { 15443 } else { 15001 };
        let listen = args.listen.unwrap_or(([127, 0, 0, 1], port).into());
        Ok(Self {
            args,
            listen: Address::Tcp(listen).yaml(),
            services: services(args, config)?,
            attempts: if args.failover { config.envoy.pins } else { 1 },
            idle: seconds(config.tunnels.idle.get()),
            lifetime: seconds(config.tunnels.lifetime.get()),
            response: seconds(config.tunnels.response.get()),
            deadline: seconds(config.envoy.deadline.get()),
        })
    }

    fn http_listener(&self) -> String {
        let connect = self.args.mode != Mode::Tls;
        let upgrades = if connect {
            "upgrade_configs: [{upgrade_type: CONNECT}]"
        } else {
            ""
        };
        fill(
            piece!("http_listener"),
            &[
                ("listen", &self.listen),
                ("connect", if connect { "true" } else { "false" }),
                ("upgrades", upgrades),
                ("idle", &self.idle),
                ("lifetime", &self.lifetime),
                ("access_log", piece!("http_access_log")),
                ("routes", &self.routes()),
                ("filters", &self.filters()),
                ("downstream_tls", ""),
            ],
        )
    }

    fn routes(&self) -> String {
        let pieces: &[&str] = match self.args.mode {
            Mode::Forward => &[
                piece!("route_connect"),
                piece!("route_https"),
                piece!("route_http"),
            ],
            Mode::Tls => &[piece!("route_tls")],
            Mode::Sni => &[],
            Mode::Connector => &[piece!("route_gateway")],
        };
        let retry = self.retry();
        let places = [
            ("idle", self.idle.as_str()),
            ("lifetime", &self.lifetime),
            ("response", &self.response),
            ("upstream_tls", piece!("upstream_tls")),
            ("retry", &retry),
        ];
        pieces.iter().map(|piece| fill(piece, &places)).collect()
    }

    fn retry(&self) -> String {
        match (self.args.mode, self.attempts) {
            (Mode::Connector, _) => piece!("retry_gateway").to_owned(),
            (_, 0 | 1) => String::new(),
            (_, attempts) => {
                let retries = (attempts - 1).to_string();
                fill(piece!("retry"), &[("retries", &retries)])
            }
        }
    }

    fn filters(&self) -> String {
        if self.args.mode == Mode::Connector {
            return String::new();
        }
        fill(piece!("http_authz"), &[("grpc", &self.grpc())]) + piece!("sni_state")
    }

    fn grpc(&self) -> String {
        let timeout = seconds(Duration::from_secs(2));
        fill(
            piece!("grpc"),
            &[("timeout", &timeout), ("deadline", &self.deadline)],
        )
    }

    fn sni_listener(&self) -> String {
        fill(
            piece!("sni_listener"),
            &[
                ("listen", &self.listen),
                ("grpc", &self.grpc()),
                ("idle", &self.idle),
                ("lifetime", &self.lifetime),
                ("retry", ""),
            ],
        )
    }

    fn clusters(&self) -> String {
        match self.args.mode {
            Mode::Forward => {
                self.pinned(Upstream::Clear) + &self.pinned(Upstream::Tls) + &self.service()
            }
            Mode::Tls => self.pinned(Upstream::Tls) + &self.service(),
            Mode::Sni => self.pinned(Upstream::Bytes) + &self.service(),
            Mode::Connector => self.gateway(),
        }
    }

    /// The cluster of servers, or for several attempts a cluster of such clusters.
    fn pinned(&self, upstream: Upstream) -> String {
        let name = upstream.name();
        if self.attempts <= 1 {
            return self.pinned_to(upstream, name, 0);
        }
        let names: Vec<_> = (1..=self.attempts)
            .map(|at| format!("{name}_{at}"))
            .collect();
        let members: Vec<_> = names
            .iter()
            .map(|name| format!("{{name: {name}}}"))
            .collect();
        let composite = fill(
            piece!("composite"),
            &[
                ("name", name),
                ("connect_timeout", "2s"),
                ("members", &members.join(", ")),
                ("apart", piece!("apart")),
                ("breakers", piece!("breakers")),
                ("options", &self.options(upstream)),
                ("transport", &self.transport(upstream)),
            ],
        );
        let members = names.iter().enumerate();
        composite
            + &members
                .map(|(at, name)| self.pinned_to(upstream, name, at))
                .collect::<String>()
    }

    fn pinned_to(&self, upstream: Upstream, name: &str, at: usize) -> String {
        let namespace = match upstream {
            Upstream::Bytes => NETWORK_NAMESPACE,
            Upstream::Clear | Upstream::Tls => HTTP_NAMESPACE,
        };
        fill(
            piece!("pinned"),
            &[
                ("name", name),
                (
                    "connect_timeout",
                    if self.attempts > 1 { "2s" } else { "5s" },
                ),
                ("namespace", namespace),
                ("pin", &pin_key(at)),
                (
                    "apart",
                    if upstream == Upstream::Bytes {
                        ""
                    } else {
                        piece!("apart")
                    },
                ),
                ("breakers", piece!("breakers")),
                ("options", &self.options(upstream)),
                ("transport", &self.transport(upstream)),
            ],
        )
    }

    fn transport(&self, upstream: Upstream) -> String {
        let roots = quoted(&self.args.roots.display().to_string());
        match upstream {
            Upstream::Tls => fill(piece!("transport_tls"), &[("roots", &roots)]),
            Upstream::Clear | Upstream::Bytes => String::new(),
        }
    }

    fn options(&self, upstream: Upstream) -> String {
        let piece = match upstream {
            Upstream::Clear => piece!("options_plain"),
            Upstream::Tls => piece!("options_tls"),
            Upstream::Bytes => return String::new(),
        };
        fill(piece, &[("second_layer", "")])
    }

    fn service(&self) -> String {
        fill(
            piece!("service"),
            &[("endpoints", &endpoints(&self.services)), ("transport", "")],
        )
    }

    fn gateway(&self) -> String {
        fill(
            piece!("gateway"),
            &[
                ("apart", piece!("apart")),
                ("breakers", piece!("breakers")),
                ("endpoints", &endpoints(&self.services)),
                ("transport", ""),
            ],
        )
    }
}

/// What Envoy speaks to a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Upstream {
    Clear,
    Tls,
    /// What the client speaks.
    Bytes,
}

impl Upstream {
    fn name(self) -> &'static str {
        match self {
            Self::Clear | Self::Bytes => "pinned",
            Self::Tls => "pinned_tls",
        }
    }
}

fn services(args: &Args, config: &Config) -> anyhow::Result<Vec<Address>> {
    if !args.service.is_empty() {
        return Ok(args.service.clone());
    }
    let protocol = match args.mode {
        Mode::Connector => Protocol::Http,
        _ => Protocol::Envoy,
    };
    let listeners = facts::listeners(config, protocol);
    Ok(listeners.map(facts::reachable).collect::<Result<_, _>>()?)
}

fn endpoints(addresses: &[Address]) -> String {
    let lines = addresses.iter();
    lines
        .map(|address| format!("- endpoint: {{address: {}}}\n", address.yaml()))
        .collect()
}
