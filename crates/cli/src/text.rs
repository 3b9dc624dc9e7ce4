//! Text that others wrote, made fit for a terminal.

use std::fmt::{self, Write};

/// Shows a string with control characters escaped: a URL or a policy's message must not move the
/// cursor of whoever reads it, nor begin a line that looks like ours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printable<'a>(pub(crate) &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| {
            if is_harmful(character) {
                write!(f, "{}", character.escape_unicode())
            } else {
                f.write_char(character)
            }
        })
    }
}

/// Controls, and the marks that turn the direction of the text around them.
fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `1 address`, `2 addresses`.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harmful_characters_are_shown_not_obeyed() {
        for (row, text, shown) in [
            ("plain", "http://example.com/ä", "http://example.com/ä"),
            ("escape", "a\u{1b}[2Jb", "a\\u{1b}[2Jb"),
            ("line feed", "a\nallowed", "a\\u{a}allowed"),
            ("c1 control", "a\u{9b}b", "a\\u{9b}b"),
            ("right-to-left override", "a\u{202e}b", "a\\u{202e}b"),
            ("isolate", "a\u{2066}b", "a\\u{2066}b"),
        ] {
            assert_eq!(Printable(text).to_string(), shown, "{row}");
        }
    }
}
