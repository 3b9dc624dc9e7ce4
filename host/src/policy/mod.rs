//! The policy runtime.

pub mod floor;

use std::{path::PathBuf, sync::Arc};

/// Where a policy comes from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Source {
    /// The policy shipped with this library.
    Shipped,
    /// Bytes of a component.
    Bytes(Arc<[u8]>),
    /// A file that holds a component.
    Path(PathBuf),
}

/// One thing that is wrong with the settings.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub struct Problem {
    /// JSON Pointer to the value.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

/// Why a policy was not loaded.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The settings are wrong.
    #[error("settings refused: {} problem(s)", .0.len())]
    Settings(Vec<Problem>),
}

impl LoadError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        "see the problems"
    }
}

/// What a component is, read from its bytes without running a decision.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct Inspection {
    /// SHA-256 of the bytes, hex.
    pub digest: String,
    /// Size of the component in bytes.
    pub size: usize,
    /// The world it fulfils, with version; none when it fulfils none that this host accepts.
    pub world: Option<String>,
    /// Every function it imports: what it could do. Empty for a pure policy.
    pub imports: Vec<String>,
    /// Every export.
    pub exports: Vec<String>,
    /// What it says of itself; none when it is refused before it may speak.
    pub description: Option<Description>,
}

/// What a policy says of itself.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Description {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// One line.
    pub summary: String,
    /// JSON Schema of the settings.
    pub settings_schema: serde_json::Value,
}

/// Reads a component: what it is and what it could do.
pub fn inspect(source: &Source) -> Result<Inspection, LoadError> {
    let _ = source;
    todo!()
}
