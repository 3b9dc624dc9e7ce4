//! `pinfold migrate`: from the configuration of another proxy.

use crate::{exit::Exit, output::Output};

/// Write configuration and settings from those of another proxy
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the verb.
pub(crate) fn run(_args: &Args, _out: &mut Output) -> anyhow::Result<Exit> {
    anyhow::bail!("not built yet")
}
