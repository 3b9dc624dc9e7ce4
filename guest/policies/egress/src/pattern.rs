//! Patterns of names.
//!
//! | written | matches |
//! |---|---|
//! | `example.com` | exactly that name |
//! | `*.example.com` | every name below it, at any depth, not the name itself |
//! | `**.example.com` | the name itself and every name below it |
//! | any of these with `:8443` | the same, on that port only |
//!
//! There are no other wildcards: a pattern is looked up, never searched.

use std::ops::Range;

/// What a pattern covers, relative to its name.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Scope {
    Exact,
    Below,
    Tree,
}

impl Scope {
    pub(crate) fn covers_itself(self) -> bool {
        matches!(self, Self::Exact | Self::Tree)
    }

    pub(crate) fn covers_below(self) -> bool {
        matches!(self, Self::Below | Self::Tree)
    }

    /// Whether it covers its name, or else the names below.
    pub(crate) fn covers(self, is_whole: bool) -> bool {
        if is_whole {
            self.covers_itself()
        } else {
            self.covers_below()
        }
    }

    /// What a pattern of this scope begins with.
    pub(crate) fn front(self) -> &'static str {
        match self {
            Self::Exact => "",
            Self::Below => "*.",
            Self::Tree => "**.",
        }
    }
}

/// A pattern that was read; `name` is the part of the text that holds the name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Pattern {
    pub(crate) scope: Scope,
    pub(crate) name: Range<usize>,
    pub(crate) port: Option<u16>,
}

/// The longest name (RFC 1035, 2.3.4), without the root dot.
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

impl Pattern {
    /// Reads a pattern in lower case.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        refuse_foreign_forms(text)?;
        let scope = scope(text);
        let start = scope.front().len();
        let (end, port) = port(text)?;
        let name = text.get(start..end).unwrap_or_default();
        check_name(name)?;
        Ok(Self {
            scope,
            name: start..end,
            port,
        })
    }
}

/// Forms that other tools accept, each with what to write here instead.
fn refuse_foreign_forms(text: &str) -> Result<(), String> {
    if !text.is_ascii() {
        return Err("international names are written as A-labels (`xn--...`)".into());
    }
    if text.contains('/') {
        return Err(
            "is a URL or a network: write the host alone; networks belong in `networks`".into(),
        );
    }
    if matches!(text, "*" | "**") {
        return Err("matches every name: leave the list out instead".into());
    }
    if text.starts_with('.') {
        return Err(format!(
            "write `*{text}` for the names below it, or `**{text}` to include it"
        ));
    }
    let host = text.trim_start_matches('[').trim_end_matches(']');
    if host.parse::<std::net::IpAddr>().is_ok() || text.starts_with('[') {
        return Err("is an address: write it in `networks`".into());
    }
    Ok(())
}

fn scope(text: &str) -> Scope {
    let wild = [Scope::Tree, Scope::Below];
    wild.into_iter()
        .find(|scope| text.starts_with(scope.front()))
        .unwrap_or(Scope::Exact)
}

fn port(text: &str) -> Result<(usize, Option<u16>), String> {
    let Some(colon) = text.find(':') else {
        return Ok((text.len(), None));
    };
    let digits = text.get(colon + 1..).unwrap_or_default();
    match digits.parse() {
        Ok(port) if port != 0 && is_plain_number(digits) => Ok((colon, Some(port))),
        _ => Err("what follows `:` must be a port from 1 to 65535".into()),
    }
}

/// `parse` also accepts `+80` and `080`.
pub(crate) fn is_plain_number(digits: &str) -> bool {
    !digits.starts_with('0') && digits.bytes().all(|octet| octet.is_ascii_digit())
}

fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(format!("a name has 1 to {MAX_NAME} octets"));
    }
    if name.contains('*') {
        return Err("`*` may only stand for whole labels at the front: `*.` or `**.`".into());
    }
    if name.ends_with('.') {
        return Err("names are written without the dot at the end".into());
    }
    if let Some(label) = name.split('.').find(|label| !is_label(label)) {
        return Err(format!(
            "`{label}` is no label: 1 to {MAX_LABEL} of a-z, 0-9, `-` and `_`, no `-` at either end"
        ));
    }
    if ends_in_number(name) {
        return Err("no name ends in a number: addresses belong in `networks`".into());
    }
    Ok(())
}

fn is_label(label: &str) -> bool {
    let is_allowed = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
    (1..=MAX_LABEL).contains(&label.len())
        && label.bytes().all(is_allowed)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// A URL whose host ends in a number is an IPv4 address or invalid, so such a name is never asked for.
fn ends_in_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x");
    last.bytes().all(|octet| octet.is_ascii_digit())
        || hex.is_some_and(|digits| digits.bytes().all(|octet| octet.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_read() {
        let table = [
            ("example.com", Scope::Exact, "example.com", None),
            ("*.example.com", Scope::Below, "example.com", None),
            ("**.example.com", Scope::Tree, "example.com", None),
            ("example.com:8443", Scope::Exact, "example.com", Some(8443)),
            ("*.example.com:1", Scope::Below, "example.com", Some(1)),
            ("_api.internal", Scope::Exact, "_api.internal", None),
            (
                "xn--bcher-kva.example",
                Scope::Exact,
                "xn--bcher-kva.example",
                None,
            ),
            ("*.internal", Scope::Below, "internal", None),
        ];
        for (text, scope, name, port) in table {
            let pattern = Pattern::parse(text).unwrap();
            assert_eq!(
                (pattern.scope, &text[pattern.name], pattern.port),
                (scope, name, port),
                "{text}"
            );
        }
    }

    #[test]
    fn everything_else_says_what_to_write_instead() {
        let table = [
            ("", "1 to 253"),
            ("*", "leave the list out"),
            ("**", "leave the list out"),
            ("*.", "1 to 253"),
            (".example.com", "`*.example.com`"),
            ("bücher.example", "A-labels"),
            ("https://example.com", "host alone"),
            ("10.0.0.0/8", "networks"),
            ("10.0.0.1", "`networks`"),
            ("::1", "`networks`"),
            ("[::1]:80", "`networks`"),
            ("[::1]", "`networks`"),
            ("10.1", "`networks`"),
            ("a.0x7f", "`networks`"),
            ("exa*mple.com", "whole labels"),
            ("*.*.example.com", "whole labels"),
            ("***.example.com", "whole labels"),
            ("example.com.", "without the dot"),
            ("example..com", "no label"),
            ("-a.example", "no label"),
            ("a-.example", "no label"),
            ("a b.example", "no label"),
            ("example.com:0", "1 to 65535"),
            ("example.com:080", "1 to 65535"),
            ("example.com:+80", "1 to 65535"),
            ("example.com:65536", "1 to 65535"),
            ("example.com:", "1 to 65535"),
            ("user@example.com", "no label"),
        ];
        for (text, part) in table {
            let problem = Pattern::parse(text).unwrap_err();
            assert!(problem.contains(part), "{text}: {problem}");
        }
        let long_label = "a".repeat(64);
        assert!(Pattern::parse(&format!("{long_label}.example")).is_err());
        let long_name = "a.".repeat(130) + "example";
        assert!(Pattern::parse(&long_name).is_err());
    }
}
