//! `pinfold policy build`.

use crate::{exit::Exit, output::Output};

/// Build a policy into a component, and check what it imports
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the verb.
pub(crate) fn run(_args: &Args, _out: &mut Output) -> anyhow::Result<Exit> {
    anyhow::bail!("not there yet")
}
