//! `pinfold envoy config`: a whole configuration of Envoy, with comments, for each way to use the gateway with it.
//!
//! | file | what |
//! |---|---|
//! | `facts.rs` | what is taken from the configuration of the gateway |
//! | `address.rs` | where something listens |
//! | `layout.rs` | which pieces make up a configuration |
//! | `pieces/*.yaml` | one for each rule, with the reason for it |
//! | `template.rs` | how places in pieces are filled |

mod address;
mod facts;
mod layout;
mod template;

use std::{net::SocketAddr, path::PathBuf};

use clap::ValueEnum;
use ipnet::IpNet;

use self::address::Address;
use crate::{exit::Exit, output::Output};

/// Write a whole configuration of Envoy
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How Envoy is used
    mode: Mode,

    /// The configuration of the gateway, for what both layers have to agree on: grants, NAT64, the listener that is
    /// asked, deadline, addresses an answer
    #[arg(long, value_name = "FILE")]
    gateway: Option<PathBuf>,

    /// Where the gateway listens, in place of what its configuration says: `IP:PORT` or `unix:PATH`; several for
    /// several instances
    #[arg(long, value_name = "ADDR")]
    service: Vec<Address>,

    /// Where Envoy listens [default: 127.0.0.1:15001; `sni`: 127.0.0.1:15443]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,

    /// Where the admin interface of Envoy listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9901")]
    admin: SocketAddr,

    /// A network that the second layer lets pass beside public ones, because the policy allows it
    #[arg(long, value_name = "CIDR")]
    allow: Vec<IpNet>,

    /// Go on to the next address of an answer when one cannot be connected to
    #[arg(long)]
    failover: bool,

    /// Whom Envoy trusts when it speaks TLS to servers, PEM
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/ssl/certs/ca-certificates.crt"
    )]
    roots: PathBuf,
}

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
