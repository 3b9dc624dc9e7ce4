//! Settings of a policy, as people write them: TOML or JSON.

mod nesting;

use std::path::Path;

use pinfold::policy::{Problem, settings_from_json};
use serde_json::Value;

pub use nesting::check as check_nesting;

/// The longest settings in TOML, whose text grows more in memory, in bytes: 1 MiB.
pub const MAX_TOML: usize = 1 << 20;

/// Why a text is no settings.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// Not a word. A file that is being written, or was cut off, looks like this, and would be taken for all the
    /// defaults.
    #[error("it is empty")]
    Empty,
    /// JSON that cannot be read, or that says the same thing twice.
    #[error("no valid JSON: {0}")]
    Json(Problem),
    /// TOML that would take far more memory than its text.
    #[error("{0}")]
    Nested(String),
    /// TOML that cannot be read. What is shown here holds nothing of the text; the error itself quotes it.
    #[error("no valid TOML, line {line}: {}", error.message())]
    Toml {
        /// Where, from 1.
        line: usize,
        /// What exactly.
        error: Box<toml::de::Error>,
    },
    /// TOML longer than [`MAX_TOML`].
    #[error("longer than {} MiB", MAX_TOML >> 20)]
    TooLong,
}

impl SettingsError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Empty => "write `{}`, or a comment in TOML, when no setting is meant",
            Self::Json(_) => "write JSON, or give the file a name that ends in `.toml`",
            Self::Nested(_) => "nest less, or write the settings as JSON",
            Self::Toml { .. } => "write TOML, or give the file a name that ends in `.json`",
            Self::TooLong => "write settings of this size as JSON",
        }
    }
}

/// Reads the text of a settings file. Its name says what it is; what has no name that tells is JSON when it begins
/// with a brace, otherwise TOML.
///
/// ```
/// use std::path::Path;
///
/// let settings = pinfold_gateway::settings::parse("ports = [443]", Path::new("egress.toml"))?;
/// assert_eq!(settings["ports"][0], 443);
/// # Ok::<(), pinfold_gateway::settings::SettingsError>(())
/// ```
///
/// # Errors
///
/// When it is neither, is empty, or would take more memory than it is worth.
pub fn parse(text: &str, file: &Path) -> Result<Value, SettingsError> {
    if text
        .trim_matches(|c: char| c.is_whitespace() || EMPTY.contains(&c))
        .is_empty()
    {
        return Err(SettingsError::Empty);
    }
    if is_json(text, file) {
        return settings_from_json(text).map_err(SettingsError::Json);
    }
    if text.len() > MAX_TOML {
        return Err(SettingsError::TooLong);
    }
    check_nesting(text).map_err(SettingsError::Nested)?;
    toml::from_str(text).map_err(|error| not_toml(text, error))
}

/// What is no word either: a mark of the byte order, and what a file has where nothing was written.
const EMPTY: [char; 2] = ['\u{feff}', '\0'];

fn not_toml(text: &str, error: toml::de::Error) -> SettingsError {
    let at = error.span().map_or(0, |span| span.start);
    let before = text.bytes().take(at).filter(|byte| *byte == b'\n').count();
    SettingsError::Toml {
        line: 1 + before,
        error: Box::new(error),
    }
}

fn is_json(text: &str, file: &Path) -> bool {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("json") => true,
        Some("toml") => false,
        _ => text.trim_start().starts_with('{'),
    }
}
