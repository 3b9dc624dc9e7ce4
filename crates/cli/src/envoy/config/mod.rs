//! `pinfold envoy config`: a whole configuration of Envoy, with comments, for each way to use the gateway with it.
//!
//! | file | what |
//! |---|---|
//! | `facts.rs` | what is taken from the configuration of the gateway |
//! | `policy.rs` | what is taken from the settings of its policy |
//! | `address.rs` | where something listens |
//! | `layer.rs` | the second layer: networks that Envoy refuses by itself |
//! | `tls.rs` | TLS with clients and with the gateway |
//! | `command.rs` | the command line that makes the same again |
//! | `layout.rs` | which pieces make up a configuration |
//! | `pieces/*.yaml` | one for each rule, with the reason for it |
//! | `template.rs` | how places in pieces are filled |

mod address;
mod command;
mod facts;
mod layer;
mod layout;
mod policy;
mod template;
mod tls;

use std::{net::SocketAddr, path::PathBuf};

use clap::ValueEnum;
use ipnet::IpNet;
use pinfold_addr::Domain;
use pinfold_gateway::config::Span;

use self::address::Address;
use crate::{exit::Exit, output::Output};

/// Write a whole configuration of Envoy
///
/// Each line of it says what it is for. Envoy gets every address from the gateway (`--gateway`, `--service`), looks no name
/// up, and refuses by itself what no gateway may approve: the same tables, a second time. `pinfold envoy check` finds what
/// later changes open.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// How Envoy is used
    mode: Mode,

    /// The configuration of the gateway, for what both sides have to agree on: the listener that is asked, its deadline,
    /// addresses an answer, times of tunnels, grants, NAT64, networks that the shipped policy allows
    #[arg(long, value_name = "FILE")]
    gateway: Option<PathBuf>,

    /// Where a gateway listens, in place of what its configuration says: `IP:PORT` or `unix:PATH`. On another machine with
    /// `--service-ca`, `--service-certificate` and `--service-key`. May be repeated, for several instances
    #[arg(long, value_name = "ADDR")]
    service: Vec<Address>,

    /// Where Envoy listens [default: 127.0.0.1:15001; `sni`: 127.0.0.1:15443]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,

    /// Where the admin interface of Envoy listens
    #[arg(long, value_name = "ADDR", default_value = ADMIN)]
    admin: SocketAddr,

    /// A network that the second layer lets pass beside public ones, because the policy allows it. May be repeated
    #[arg(long, value_name = "CIDR", value_parser = policy::written)]
    allow: Vec<IpNet>,

    /// Go on to the next address of an answer when one cannot be connected to: as many as `envoy.pins` of the gateway
    #[arg(long)]
    failover: bool,

    /// How long Envoy waits for a decision, all attempts together
    #[arg(long, value_name = "TIME", default_value = TIMEOUT)]
    timeout: Span,

    /// Whom Envoy trusts when it speaks TLS to servers, PEM
    #[arg(long, value_name = "FILE", default_value = ROOTS)]
    roots: PathBuf,

    #[command(flatten)]
    towards: Towards,
}

/// TLS with clients and with the gateway. The files are read by Envoy.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "TLS")]
struct Towards {
    /// The certificate chain that clients are shown, PEM
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,

    /// The key of `--certificate`, PEM
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,

    /// Who signs certificates of clients, PEM: every client has to have one
    #[arg(long, value_name = "FILE", requires = "certificate")]
    client_ca: Option<PathBuf>,

    /// Who signs the certificates of gateways, PEM: TLS is spoken to them
    #[arg(long, value_name = "FILE")]
    service_ca: Option<PathBuf>,

    /// The certificate chain that gateways are shown, PEM
    #[arg(long, value_name = "FILE", requires_all = ["service_ca", "service_key"])]
    service_certificate: Option<PathBuf>,

    /// The key of `--service-certificate`, PEM
    #[arg(long, value_name = "FILE", requires = "service_certificate")]
    service_key: Option<PathBuf>,

    /// The name in the certificates of gateways [default: their addresses]
    #[arg(long, value_name = "NAME", requires = "service_ca")]
    service_name: Option<Domain>,
}

const EXAMPLES: &str = "\
Examples:
  pinfold envoy config forward --gateway gateway.toml > envoy.yaml
  pinfold envoy config forward --gateway gateway.toml --failover --allow 10.20.0.0/16
  pinfold envoy config sni --service 127.0.0.1:4752 --service 127.0.0.1:4762
  pinfold envoy config tls --gateway gateway.toml --roots company.pem
  pinfold envoy config connector --service unix:/run/pinfold/proxy.sock

  envoy --mode validate -c envoy.yaml    What Envoy says of it";

/// How Envoy is used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Mode {
    /// A forward proxy: requests in absolute form, and CONNECT
    Forward,
    /// A forward proxy that speaks TLS to every server, for clients that send clear text to it
    Tls,
    /// TLS passed through by its server name, nothing decrypted
    Sni,
    /// A forward proxy before a gateway that connects itself
    Connector,
}

/// Runs the verb.
pub(super) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    let config = facts::read(args.gateway.as_deref())?;
    out.text(layout::write(args, &config)?.as_bytes())?;
    Ok(Exit::Ok)
}

const ADMIN: &str = "127.0.0.1:9901";

/// More than the gateway takes by default.
const TIMEOUT: &str = "2s";

/// Where Debian and what comes from it keep them.
const ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";
