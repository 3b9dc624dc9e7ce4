//! Text that others wrote, made fit for a terminal.

use std::{
    borrow::Cow,
    fmt::{self, Write},
    path::Path,
};

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

/// Shows a path as [`Printable`]: the names of files are others' text, too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown<'a>(pub(crate) &'a Path);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printable(&self.0.to_string_lossy()).fmt(f)
    }
}

/// A path as a word for a shell, in quotes when it needs them.
pub(crate) fn shell_word(path: &Path) -> String {
    let text = Shown(path).to_string();
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b"/._-+,:@%".contains(&octet);
    let text = match text.starts_with('-') {
        true => format!("./{text}"),
        false => text,
    };
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Controls, and the marks that turn the direction of the text around them.
pub(crate) fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A URL without its credentials, also when it does not parse: what stands before the last `@` of the
/// authority, as WHATWG parsers find it.
pub(crate) fn redacted(url: &str) -> Cow<'_, str> {
    let is_scheme = |text: &str| !text.contains(['/', '\\', '?', '#', '@']);
    let rest = match url.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => rest,
        _ => url,
    };
    let rest = rest.trim_start_matches(['/', '\\']);
    let start = url.len() - rest.len();
    let authority = rest.split(['/', '\\', '?', '#']).next().unwrap_or(rest);
    match authority.rfind('@') {
        Some(end) if end > 0 => {
            let (scheme, host) = (url.get(..start), rest.get(end..));
            format!("{}***{}", scheme.unwrap_or(""), host.unwrap_or("")).into()
        }
        _ => url.into(),
    }
}

/// `1 address`, `2 addresses`.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_not_shown() {
        for (url, shown) in [
            ("http://u:p@a.example/x@y", "http://***@a.example/x@y"),
            ("http://u:p@b@a.example/", "http://***@a.example/"),
            ("http:u:p@a.example", "http:***@a.example"),
            ("http:\\\\u:p@[::1", "http:\\\\***@[::1"),
            ("//u:p@a.example", "//***@a.example"),
            ("http://@a.example/", "http://@a.example/"),
            ("http://a.example/u:p@b", "http://a.example/u:p@b"),
            ("http://a.example?u@b", "http://a.example?u@b"),
            ("", ""),
        ] {
            assert_eq!(redacted(url), shown, "{url}");
        }
    }

    #[test]
    fn a_word_for_a_shell_is_one_word() {
        for (path, word) in [
            ("policies/partners-eu", "policies/partners-eu"),
            ("my policies", "'my policies'"),
            ("it's; ls $(x)", r"'it'\''s; ls $(x)'"),
            ("-x", "./-x"),
            ("~", "'~'"),
            ("\u{1b}]0;x\u{7}", r"'\u{1b}]0;x\u{7}'"),
            ("", "''"),
        ] {
            assert_eq!(shell_word(Path::new(path)), word);
        }
    }

    #[test]
    fn harmful_characters_are_shown_not_obeyed() {
        for (row, text, shown) in [
            ("plain", "http://example.com/ä", "http://example.com/ä"),
            ("escape", "a\u{1b}[2Jb", "a\\u{1b}[2Jb"),
            ("line feed", "a\nallowed", "a\\u{a}allowed"),
            ("c1 control", "a\u{9b}b", "a\\u{9b}b"),
            ("right-to-left override", "a\u{202e}b", "a\\u{202e}b"),
            ("isolate", "a\u{2066}b", "a\\u{2066}b"),
            ("letter mark", "a\u{61c}b", "a\\u{61c}b"),
        ] {
            assert_eq!(Printable(text).to_string(), shown, "{row}");
        }
    }
}
