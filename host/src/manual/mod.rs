//! The manual: chapters to read, no code.
//!
//! - [`threats`]: each known bypass, what closes it, which test shows it
//! - [`defaults`]: every default and limit, with its reason
//! - [`howto`]: using the guard so that nothing goes round it

pub mod defaults;
pub mod howto;
pub mod threats;
