//! Names of subjects: what a policy sees, what is logged, what limits go by.

use std::{borrow::Borrow, fmt, ops::Deref, str::FromStr, sync::Arc};

use super::text::written_as_text;

/// A name that is fit to be a subject: printable, of a bounded length, without space at its ends.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SubjectName(Arc<str>);

/// Why a text is no name of a subject.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSubject {
    /// There is nothing.
    #[error("a subject has a name")]
    Empty,
    /// It is longer than [`SubjectName::MAX`] bytes.
    #[error("the name of a subject has at most {} bytes", SubjectName::MAX)]
    Long,
    /// A character that steers a terminal, or that nobody sees.
    #[error("the name of a subject holds a character that is not printed")]
    Unprintable,
    /// Space at an end, or of an unusual kind: two names would look alike.
    #[error("the name of a subject begins or ends with a space, or holds an unusual one")]
    Spaces,
}

written_as_text!(SubjectName, "the name of a subject", ["payments"]);

impl SubjectName {
    /// The longest name, in bytes. A SPIFFE identifier is seldom longer than 200.
    pub const MAX: usize = 512;

    /// The name, to be shared.
    pub(crate) fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl FromStr for SubjectName {
    type Err = InvalidSubject;

    fn from_str(text: &str) -> Result<Self, InvalidSubject> {
        match text {
            "" => Err(InvalidSubject::Empty),
            _ if text.len() > Self::MAX => Err(InvalidSubject::Long),
            _ if text.chars().any(is_unprintable) => Err(InvalidSubject::Unprintable),
            _ if text.trim() != text || text.chars().any(is_odd_space) => {
                Err(InvalidSubject::Spaces)
            }
            _ => Ok(Self(text.into())),
        }
    }
}

/// Control characters, and what reorders or hides text: marks of direction, joiners, fillers, tags.
fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffd}' | '\u{e0000}'..='\u{e0fff}')
}

fn is_odd_space(character: char) -> bool {
    character.is_whitespace() && character != ' '
}

impl Deref for SubjectName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for SubjectName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SubjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_printable_and_bounded() {
        let longest = "a".repeat(SubjectName::MAX);
        for (row, name, refused) in [
            ("plain", "payments", None),
            ("spiffe", "spiffe://example.org/ns/a/sa/b", None),
            ("inner space", "Payments Team", None),
            ("other scripts", "z\u{e4}hler", None),
            ("the longest", &longest, None),
            ("empty", "", Some(InvalidSubject::Empty)),
            (
                "too long",
                &format!("{longest}a"),
                Some(InvalidSubject::Long),
            ),
            ("line feed", "a\nb", Some(InvalidSubject::Unprintable)),
            ("nul", "a\0", Some(InvalidSubject::Unprintable)),
            ("C1", "a\u{9b}2J", Some(InvalidSubject::Unprintable)),
            (
                "right to left",
                "a\u{202e}b",
                Some(InvalidSubject::Unprintable),
            ),
            ("zero width", "a\u{200b}", Some(InvalidSubject::Unprintable)),
            ("leading space", " a", Some(InvalidSubject::Spaces)),
            ("trailing space", "a ", Some(InvalidSubject::Spaces)),
            ("no-break space", "a\u{a0}b", Some(InvalidSubject::Spaces)),
        ] {
            assert_eq!(name.parse::<SubjectName>().err(), refused, "{row}");
        }
    }
}
