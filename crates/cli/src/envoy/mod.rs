//! `pinfold envoy`: configurations for an Envoy that asks where it may connect to.

mod check;
mod config;

use clap::Subcommand;

use crate::{exit::Exit, output::Output};

/// Write the configuration of an Envoy that dials only what was judged, or find the holes in one
///
/// An Envoy that resolves by itself dials what nobody has judged. With these configurations it asks a gateway
/// (`pinfold serve`, a listener whose protocol is `envoy`), and has no other address than the one in the answer.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Config(Box<config::Args>),
    Check(check::Args),
}

/// Runs the verb.
pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    match &args.verb {
        Verb::Config(args) => config::run(args, out),
        Verb::Check(args) => check::run(args, out),
    }
}
