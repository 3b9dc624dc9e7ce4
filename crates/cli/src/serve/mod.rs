//! `pinfold serve`: the gateway.

mod banner;
mod configured;
mod look;
mod news;
mod run;
mod self_test;

use std::path::PathBuf;

use pinfold_gateway::{
    Config,
    config::{self, Bind},
};

use crate::{exit::Exit, output::Output};

/// Run the gateway: a forward proxy whose every connection is judged and pinned
///
/// Without a file: a proxy for this machine at 127.0.0.1:4750 (HTTP and SOCKS5), an interface for operators
/// at 127.0.0.1:4751, the shipped policy, decisions to standard output.
///
/// SIGHUP reads everything again. SIGTERM and SIGINT drain: no connection is accepted any more, and what is
/// open has the time `drain` of the configuration to end; a second one ends at once.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The configuration, TOML. Paths in it are relative to its folder
    #[arg(value_name = "CONFIG")]
    config: Option<PathBuf>,

    /// Read everything, load and test the policy, say what there is, and start nothing
    #[arg(long, conflicts_with_all = ["print_schema", "print_defaults"])]
    check: bool,

    /// Print the JSON Schema of the configuration
    #[arg(long, exclusive = true)]
    print_schema: bool,

    /// Print a configuration with the default of every key, and its meaning
    #[arg(long, exclusive = true)]
    print_defaults: bool,

    #[command(flatten)]
    instead: Instead,
}

/// What is said here instead of in the file.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Instead of what the configuration says")]
struct Instead {
    /// Where the only listener is: `127.0.0.1:4750`, `unix:PATH`, `systemd:NAME`
    #[arg(long, value_name = "BIND")]
    listen: Option<Bind>,

    /// Where operators connect; `off` for no interface
    #[arg(long, value_name = "BIND", value_parser = admin)]
    admin: Option<AdminBind>,

    /// Policy component
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// Settings of the policy, TOML or JSON
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
}

/// Where operators connect, if anywhere.
#[derive(Clone, Debug, Eq, PartialEq)]
enum AdminBind {
    Off,
    At(Bind),
}

const EXAMPLES: &str = "\
Examples:
  pinfold serve                                     A proxy for this machine
  pinfold serve --print-defaults > gateway.toml     A configuration to begin with
  pinfold serve --check gateway.toml && pinfold serve gateway.toml

Exit codes:
  0  drained; with `--check`: it would start
  1  ended at once, by a second signal
  2  error: usage, a file that cannot be used, a policy that cannot be loaded, an address that is taken";

/// Runs the verb.
pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    if args.print_schema {
        out.json_pretty(&config::schema())?;
        return Ok(Exit::Ok);
    }
    if args.print_defaults {
        out.text(config::defaults().as_bytes())?;
        return Ok(Exit::Ok);
    }
    let config = args.read()?;
    match args.check {
        true => look::run(args, &config, out),
        false => run::run(args, config),
    }
}

impl Args {
    /// The configuration, as the file and the options say.
    fn read(&self) -> anyhow::Result<Config> {
        configured::read(self.config.as_deref(), &self.instead, self.check)
    }
}

fn admin(text: &str) -> Result<AdminBind, &'static str> {
    match text {
        "off" => Ok(AdminBind::Off),
        other => other.parse().map(AdminBind::At),
    }
}
