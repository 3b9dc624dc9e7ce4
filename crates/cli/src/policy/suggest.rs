//! What was probably meant, for files that authors write by hand.

use std::path::Path;

pub(crate) use pinfold_gateway::suggest::{nearest, suggestion};

use crate::fault::Fault;

/// The error of a TOML file: where, what, and for a misspelt key the one that was probably meant.
pub(crate) fn not_valid(file: &Path, error: toml::de::Error) -> anyhow::Error {
    let message = format!("`{}` cannot be used", file.display());
    match suggestion(error.message()) {
        Some(hint) => anyhow::Error::from(error).context(Fault::new(message, hint)),
        None => anyhow::Error::from(error).context(message),
    }
}
