//! `pinfold credential`: a line for the file of credentials.

use crate::{exit::Exit, output::Output};

/// Make a credential for clients of a gateway
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the verb.
pub(crate) fn run(_args: &Args, _out: &mut Output) -> anyhow::Result<Exit> {
    anyhow::bail!("not built yet")
}
