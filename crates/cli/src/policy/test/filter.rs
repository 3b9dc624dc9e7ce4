//! Which cases are judged.

use std::{convert::Infallible, str::FromStr};

/// A part of a name, or a pattern for the whole of it.
#[derive(Clone, Debug)]
pub(super) struct Filter(String);

impl Filter {
    /// Whether a case with this name is judged.
    pub(super) fn takes(&self, name: &str) -> bool {
        let is_pattern = self.0.contains(['*', '?']);
        if is_pattern {
            glob(&self.0, name)
        } else {
            name.contains(&self.0)
        }
    }

    /// As it was given.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Filter {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

/// Matches `*` (any text) and `?` (any character). Linear for each star: it goes back to the last one only.
fn glob(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while let Some(character) = text.get(t) {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(wanted) if *wanted == '?' || wanted == character => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, taken)) = star else {
                    return false;
                };
                star = Some((at, taken + 1));
                p = at + 1;
                t = taken + 1;
            }
        }
    }
    pattern.iter().skip(p).all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_part_or_a_pattern() {
        for (filter, name, taken) in [
            ("http", "not http at all", true),
            ("http", "ftp", false),
            ("", "anything", true),
            ("http*", "http on port 443", true),
            ("http*", "not http", false),
            ("*http", "not http", true),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*", "", true),
            ("?", "\u{e4}", true),
            ("*ab", "aab", true),
        ] {
            let filter: Filter = filter.parse().unwrap();
            assert_eq!(filter.takes(name), taken, "{filter:?} {name}");
        }
    }
}
