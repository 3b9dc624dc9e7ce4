//! `pinfold policy build`: from source to a component that a host accepts.

mod c;
mod javascript;
mod python;
mod rust;
mod tool;

use crate::{
    exit::Exit,
    output::Output,
    policy::project::{Language, Project},
};

/// Build the policy of a project to a component, and check it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the verb.
pub(crate) fn run(_args: &Args, _out: &mut Output) -> anyhow::Result<Exit> {
    anyhow::bail!("not there yet")
}

/// Makes the bytes of a component, before they are stripped and checked.
type Build = fn(&Project) -> anyhow::Result<Vec<u8>>;

/// How a language is built: each has a file of its own.
fn tool(language: Language) -> Build {
    match language {
        Language::Rust => rust::build,
        Language::C => c::build,
        Language::Javascript => javascript::build,
        Language::Python => python::build,
    }
}
