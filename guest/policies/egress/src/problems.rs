//! Collects what is wrong with the settings, each with its path.

use pinfold_policy::Problem;

/// A list of problems that never grows beyond what the host reads.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<Problem>);

impl Problems {
    /// Adds a problem at a JSON Pointer.
    pub(crate) fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        if self.0.len() < Problem::MAX_COUNT {
            self.0.push(Problem::new(path, message));
        }
    }

    pub(crate) fn into_result<T>(self, value: T) -> Result<T, Vec<Problem>> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(self.0)
        }
    }
}
