//! What a new project in this language holds.

use super::Template;

pub(super) const FILES: &[Template] = &[];
