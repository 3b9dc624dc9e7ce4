//! What the raw text must not hold, whatever a parser makes of it.

use alloc::format;

use super::Refusal;
use crate::Reason;

/// Refuses control characters, white space, and backslashes before the query.
///
/// WHATWG strips tabs and line breaks anywhere and spaces at both ends, and reads `\` as `/`; other
/// parsers keep, cut or refuse them. The text is refused as a whole, so that no reading matters.
pub(super) fn check(text: &str) -> Result<(), Refusal> {
    if let Some((at, c)) = text.char_indices().find(|(_, c)| is_control_or_space(*c)) {
        return Err(refused(Reason::UrlControl, c, at));
    }
    let before_query = text.find(['?', '#']).unwrap_or(text.len());
    match text.find('\\') {
        Some(at) if at < before_query => Err(refused(Reason::UrlBackslash, '\\', at)),
        _ => Ok(()),
    }
}

fn is_control_or_space(c: char) -> bool {
    c.is_control() || c.is_whitespace()
}

fn refused(reason: Reason, c: char, at: usize) -> Refusal {
    Refusal::new(reason, format!("U+{:04X} at octet {at}", u32::from(c)))
}
