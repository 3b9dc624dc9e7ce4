//! `pinfold gateway`: what operators ask of a gateway that runs.

use crate::{exit::Exit, output::Output};

/// Ask a running gateway, or change it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the verb.
pub(crate) fn run(_args: &Args, _out: &mut Output) -> anyhow::Result<Exit> {
    anyhow::bail!("not built yet")
}
