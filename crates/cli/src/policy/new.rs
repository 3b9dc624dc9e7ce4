//! `pinfold policy new`.

use crate::{exit::Exit, output::Output};

/// Write a new policy: source, settings, vectors, a README and a CI snippet
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the verb.
pub(crate) fn run(_args: &Args, _out: &mut Output) -> anyhow::Result<Exit> {
    anyhow::bail!("not there yet")
}
