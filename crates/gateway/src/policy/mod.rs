//! The policies of a running gateway: read, loaded, tested, swapped, gone back to.

use std::sync::Arc;

use pinfold::policy::Source;
use serde_json::Value;

/// Judges a candidate by its own vectors, before it is swapped in: source and settings, and whether they pass.
/// The command line brings the one that reads vector files.
pub type SelfTest = Arc<dyn Fn(&Source, &Value) -> Result<(), String> + Send + Sync>;

/// Who changes the policies, one change after the other.
pub(crate) struct Manager {}
