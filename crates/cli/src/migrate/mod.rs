//! `pinfold migrate`: from the configuration of another proxy to ours, and what then differs.

mod difference;
mod smokescreen;

use clap::Subcommand;

use crate::{exit::Exit, output::Output};

/// Write configuration and settings from those of another proxy, and list what then differs
///
/// Nothing is overwritten, and nothing is guessed: what has no equivalent is listed, with what to do about it.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, Subcommand)]
enum From {
    Smokescreen(smokescreen::Args),
}

/// Runs the verb.
pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    match &args.from {
        From::Smokescreen(args) => smokescreen::run(args, out),
    }
}
