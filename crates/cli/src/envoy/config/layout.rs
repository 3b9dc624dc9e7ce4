//! Which pieces make up a configuration.

use std::net::Ipv4Addr;

use pinfold_gateway::{
    Config,
    envoy::{HTTP_NAMESPACE, NETWORK_NAMESPACE, pin_key},
};

use super::{
    Args, Mode,
    address::Address,
    command,
    facts::{self, Services, seconds},
    policy,
    template::{fill, quoted},
    tls::{self, Speaks},
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
    let listener = match args.mode {
        Mode::Sni => layout.sni_listener(),
        _ => layout.http_listener(),
    };
    Ok(fill(
        piece!("frame"),
        &[
            ("purpose", args.mode.purpose()),
            ("version", env!("CARGO_PKG_VERSION")),
            ("command", &command::line(args)),
            ("admin", &Address::Tcp(args.admin).yaml()),
            ("listener", &listener),
            ("clusters", &layout.clusters()),
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

    fn default_port(self) -> u16 {
        match self {
            Self::Sni => 15_443,
            Self::Forward | Self::Tls | Self::Connector => 15_001,
        }
    }
}

/// What the pieces are filled with.
struct Layout<'a> {
    args: &'a Args,
    listen: String,
    services: Services,
    second_layer: String,
    /// How many addresses are tried.
    attempts: usize,
    deadline: String,
    idle: String,
    lifetime: String,
    response: String,
}

impl<'a> Layout<'a> {
    fn of(args: &'a Args, config: &'a Config) -> anyhow::Result<Self> {
        let listen = (Ipv4Addr::LOCALHOST, args.mode.default_port());
        let listen = args.listen.unwrap_or(listen.into());
        facts::may_decrypt(args)?;
        if args.mode != Mode::Connector {
            facts::waits_long_enough(args.timeout, config)?;
        }
        let second_layer = match args.mode {
            Mode::Forward | Mode::Tls => policy::basis(config, &args.allow)?.yaml(),
            Mode::Sni | Mode::Connector => facts::no_second_layer(args).map(|()| String::new())?,
        };
        Ok(Self {
            args,
            listen: Address::Tcp(listen).yaml(),
            services: Services::of(args, config)?,
            second_layer,
            attempts: facts::attempts(args, config)?,
            deadline: config.envoy.deadline.to_string(),
            idle: seconds(config.tunnels.idle),
            lifetime: seconds(config.tunnels.lifetime),
            response: seconds(config.tunnels.response),
        })
    }

    fn http_listener(&self) -> String {
        let connect = self.args.mode != Mode::Tls;
        let upgrades = match self.args.mode {
            Mode::Forward => "CONNECT}, {upgrade_type: websocket",
            Mode::Tls => "websocket",
            Mode::Sni | Mode::Connector => "CONNECT",
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
                ("downstream_tls", &tls::downstream(&self.args.towards)),
            ],
        )
    }

    fn routes(&self) -> String {
        let pieces: &[&str] = match self.args.mode {
            Mode::Forward => &[
                piece!("route_upgrade"),
                piece!("route_connect"),
                piece!("route_https"),
                piece!("route_http"),
            ],
            Mode::Tls => &[piece!("route_tls")],
            Mode::Sni => &[],
            Mode::Connector => &[piece!("route_upgrade"), piece!("route_gateway")],
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
        let id = piece!("envoy_id");
        if self.args.mode == Mode::Connector {
            return id.to_owned();
        }
        let authz = fill(piece!("http_authz"), &[("grpc", &self.grpc())]);
        id.to_owned() + &authz + piece!("sni_state")
    }

    fn grpc(&self) -> String {
        let timeout = seconds(self.args.timeout);
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
            ],
        )
    }

    fn clusters(&self) -> String {
        let first = Filters::Written;
        match self.args.mode {
            Mode::Forward => {
                let clear = self.pinned(Upstream::Clear, first);
                clear + &self.pinned(Upstream::Tls, Filters::AsBefore) + &self.service()
            }
            Mode::Tls => self.pinned(Upstream::Tls, first) + &self.service(),
            Mode::Sni => self.pinned(Upstream::Bytes, first) + &self.service(),
            Mode::Connector => self.gateway(),
        }
    }

    /// The cluster of servers, or for several attempts a cluster of such clusters.
    fn pinned(&self, upstream: Upstream, filters: Filters) -> String {
        let name = upstream.name();
        if self.attempts <= 1 {
            return self.pinned_to(upstream, name, 0, filters);
        }
        let names: Vec<_> = (1..=self.attempts)
            .map(|at| format!("{name}_{at}"))
            .collect();
        let members: Vec<_> = names
            .iter()
            .map(|name| format!("{{name: {name}}}"))
            .collect();
        let mut clusters = fill(
            piece!("composite"),
            &[
                ("name", name),
                ("connect_timeout", FAILOVER_CONNECT),
                ("members", &members.join(", ")),
                ("apart", upstream.apart()),
                ("breakers", piece!("breakers")),
                ("options", &self.options(upstream, filters)),
                ("transport", &self.transport(upstream)),
            ],
        );
        for (at, name) in names.iter().enumerate() {
            clusters.push_str(&self.pinned_to(upstream, name, at, Filters::AsBefore));
        }
        clusters
    }

    fn pinned_to(&self, upstream: Upstream, name: &str, at: usize, filters: Filters) -> String {
        let connect = match self.attempts {
            0 | 1 => CONNECT,
            _ => FAILOVER_CONNECT,
        };
        fill(
            piece!("pinned"),
            &[
                ("name", name),
                ("connect_timeout", connect),
                ("namespace", upstream.namespace()),
                ("pin", &pin_key(at)),
                ("apart", upstream.apart()),
                ("breakers", piece!("breakers")),
                ("options", &self.options(upstream, filters)),
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

    fn options(&self, upstream: Upstream, filters: Filters) -> String {
        let piece = match upstream {
            Upstream::Clear => piece!("options_plain"),
            Upstream::Tls => piece!("options_tls"),
            Upstream::Bytes => return String::new(),
        };
        let filters = match filters {
            Filters::Written => &self.second_layer,
            Filters::AsBefore => "http_filters: *second_layer",
        };
        fill(piece, &[("second_layer", filters)])
    }

    fn service(&self) -> String {
        fill(
            piece!("service"),
            &[
                ("endpoints", &self.services.endpoints()),
                (
                    "transport",
                    &self.services.transport(&self.args.towards, Speaks::Http2),
                ),
            ],
        )
    }

    fn gateway(&self) -> String {
        fill(
            piece!("gateway"),
            &[
                ("apart", piece!("apart")),
                ("breakers", piece!("breakers")),
                ("endpoints", &self.services.endpoints()),
                (
                    "transport",
                    &self.services.transport(&self.args.towards, Speaks::Http1),
                ),
            ],
        )
    }
}

/// The second layer is written once, and other clusters refer to it.
#[derive(Clone, Copy, Debug)]
enum Filters {
    Written,
    AsBefore,
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

    fn namespace(self) -> &'static str {
        match self {
            Self::Clear | Self::Tls => HTTP_NAMESPACE,
            Self::Bytes => NETWORK_NAMESPACE,
        }
    }

    /// Bytes of different clients are never on one connection.
    fn apart(self) -> &'static str {
        match self {
            Self::Clear | Self::Tls => piece!("apart"),
            Self::Bytes => "",
        }
    }
}

/// Time to connect to the only address of an answer.
const CONNECT: &str = "5s";

/// Time to connect to an address, when there are more.
const FAILOVER_CONNECT: &str = "2s";
