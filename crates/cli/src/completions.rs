//! `pinfold completions`: a completion script for a shell.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::{exit::Exit, output::Output};

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  pinfold completions bash > ~/.local/share/bash-completion/completions/pinfold
  pinfold completions zsh > ~/.zfunc/_pinfold
  pinfold completions fish > ~/.config/fish/completions/pinfold.fish";

/// Runs the verb.
pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    // Into memory first: the generator panics when the reader of a pipe has gone.
    let mut script = Vec::new();
    clap_complete::generate(
        args.shell,
        &mut crate::Cli::command(),
        "pinfold",
        &mut script,
    );
    out.text(&script)?;
    Ok(Exit::Ok)
}
