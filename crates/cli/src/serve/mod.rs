//! `pinfold serve`: the gateway.

use crate::{exit::Exit, output::Output};

/// Run the gateway: a forward proxy whose every connection is judged and pinned
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the verb.
pub(crate) fn run(_args: &Args, _out: &mut Output) -> anyhow::Result<Exit> {
    anyhow::bail!("not built yet")
}
