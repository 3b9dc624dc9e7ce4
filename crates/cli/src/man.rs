//! `pinfold man`: manual pages.

use std::path::PathBuf;

use anyhow::Context;
use clap::CommandFactory;

use crate::{
    exit::Exit,
    output::{self, Output},
};

/// Print the manual page, or write the page of every verb into a folder
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Folder for the pages; made if missing. Without it the main page goes to standard output
    dir: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  pinfold man | man -l -
  pinfold man ~/.local/share/man/man1";

/// Runs the verb.
pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    let command = crate::Cli::command();
    match &args.dir {
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page)?;
            out.text(&page)?;
        }
        Some(dir) => {
            let shown = dir.display();
            std::fs::create_dir_all(dir)
                .and_then(|()| clap_mangen::generate_to(command, dir))
                .with_context(|| format!("cannot write manual pages to `{shown}`"))?;
            output::note(format_args!("wrote the manual pages to `{shown}`"));
        }
    }
    Ok(Exit::Ok)
}
