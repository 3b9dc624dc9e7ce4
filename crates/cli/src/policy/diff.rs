//! `pinfold policy diff`.

use crate::{exit::Exit, output::Output};

/// Show what a new version of a policy decides differently
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the verb.
pub(crate) fn run(_args: &Args, _out: &mut Output) -> anyhow::Result<Exit> {
    anyhow::bail!("not there yet")
}
