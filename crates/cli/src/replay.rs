//! `pinfold replay`: judges recorded decisions again.

use crate::{exit::Exit, output::Output};

/// Judge recorded decisions again, and show which differ
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the verb.
pub(crate) fn run(_args: &Args, _out: &mut Output) -> anyhow::Result<Exit> {
    anyhow::bail!("not there yet")
}
