//! Looking at a component without trusting it.

use super::{
    LoadError, LoadOptions, Loading, Source, compiled::Compiler, engine, gate::Surface,
    load::hex_digest, snapshot::Readable,
};
use crate::Limits;

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
    /// Those of its imports that inert WASI would cover, were it granted
    /// ([`GuardBuilder::inert_wasi`](crate::GuardBuilder::inert_wasi)). When it covers all of them, the component
    /// would be loaded under that grant, as far as can be told without running it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inert_wasi: Vec<String>,
    /// Every export.
    pub exports: Vec<String>,
    /// What it says of itself; none when it is refused before it may speak, or does not speak well.
    pub description: Option<Description>,
    /// Why it would not be loaded; none when it would be, with settings that suit it.
    pub fault: Option<String>,
}

/// What a policy says of itself. The host believes none of it.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub struct Description {
    /// Short name.
    pub name: String,
    /// Version of the policy.
    pub version: String,
    /// One line.
    pub summary: String,
    /// JSON Schema (draft 2020-12) of the settings, made of the keywords that the contract lists at
    /// `settings-schema`: one with any other keyword is refused, because settings are checked within a
    /// budget of steps, and much of the whole language asks for more.
    pub settings_schema: serde_json::Value,
}

/// Reads a component: what it is and what it could do.
///
/// Nothing of it runs when it imports anything. Otherwise its `describe` runs, under limits.
///
/// # Errors
///
/// When the bytes cannot be read, are too many ([`Limits::component_bytes`] by default), or are no
/// component. A component that is merely no acceptable policy is an [`Inspection::fault`].
///
/// ```
/// # fn main() -> Result<(), pinfold::policy::LoadError> {
/// use pinfold::policy::{Source, inspect};
///
/// let inspection = inspect(&Source::Shipped)?;
/// assert!(inspection.imports.is_empty());
/// assert_eq!(inspection.world.as_deref(), Some("pinfold:policy/policy@0.1.0"));
/// # Ok(())
/// # }
/// ```
pub fn inspect(source: &Source) -> Result<Inspection, LoadError> {
    inspect_with(source, &LoadOptions::default())
}

/// As [`inspect`], with options.
///
/// With a [`LoadOptions::code_cache`] a component is compiled once to hear what it says: what
/// inspects it again, or loads it, begins with that. Under [`LoadOptions::inert_wasi`] a component that needs
/// the grant is heard too. The other options change nothing.
///
/// # Errors
///
/// As [`inspect`], and when the directory for compiled code is not to be trusted.
pub fn inspect_with(source: &Source, options: &LoadOptions) -> Result<Inspection, LoadError> {
    let chosen = options.open()?;
    let bytes = source.read(Limits::default().component_bytes)?;
    let digest = hex_digest(&bytes);
    let surface = Surface::read(&bytes)?;
    let heard = chosen.admit(&surface);
    let heard = heard.and_then(|inert_wasi| hear(&bytes, &digest, &chosen, inert_wasi));
    let (description, fault) = match heard {
        Ok(description) => (Some(description), None),
        Err(fault) => (None, Some(fault.to_string())),
    };
    Ok(Inspection {
        digest,
        size: bytes.len(),
        world: surface.world().map(Into::into),
        inert_wasi: surface.wasi(),
        imports: surface.imports,
        exports: surface.exports,
        description,
        fault,
    })
}

fn hear(
    bytes: &[u8],
    digest: &str,
    chosen: &Loading,
    inert_wasi: bool,
) -> Result<Description, LoadError> {
    let engine = engine::inspecting()?;
    let compiler = Compiler {
        cache: chosen.cache.as_ref(),
        digest,
        limits: &Limits::default(),
    };
    let heard = match inert_wasi {
        true => compiler.plain(bytes, &engine, inert_wasi)?,
        // Code that a load can go on with.
        false => compiler.readable(&Readable::new(bytes), &engine)?,
    };
    Ok(heard.description)
}
