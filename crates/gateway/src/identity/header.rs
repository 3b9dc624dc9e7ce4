//! `Proxy-Authorization`, and what else a client can say of itself.

use base64::{Engine, alphabet, engine};

use super::Presented;

/// Credentials, read.
#[derive(Clone, Eq, PartialEq)]
pub(super) enum Given {
    Nothing,
    Password { name: String, password: Vec<u8> },
    Token(Vec<u8>),
}

/// What was given; none when it cannot be read, or is of a scheme that nobody takes.
pub(super) fn given(presented: Presented<'_>) -> Option<Given> {
    match presented {
        Presented::Nothing | Presented::Principal(_) => Some(Given::Nothing),
        Presented::Password { name, password } => pair(name, password),
        Presented::Header(value) => header(value),
    }
}

/// `Basic` and `Bearer` (RFC 7617, RFC 6750). The scheme is in any case, then come spaces, then one word.
fn header(value: &[u8]) -> Option<Given> {
    if value.len() > MAX_HEADER {
        return None;
    }
    let text = std::str::from_utf8(value).ok()?.trim_matches([' ', '\t']);
    let (scheme, word) = text.split_once(' ')?;
    let word = word.trim_start_matches(' ');
    if scheme.eq_ignore_ascii_case("basic") {
        return basic(word);
    }
    let bearer = scheme.eq_ignore_ascii_case("bearer") && is_token(word);
    bearer.then(|| Given::Token(word.as_bytes().to_vec()))
}

fn basic(word: &str) -> Option<Given> {
    let decoded = BASE64.decode(word).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let (name, rest) = decoded.split_at(colon);
    pair(name, rest.get(1..)?)
}

/// Control characters are in no user name and in no password (RFC 7617, section 2).
fn pair(name: &[u8], password: &[u8]) -> Option<Given> {
    let name = std::str::from_utf8(name).ok()?;
    let fits = !name.is_empty() && name.len() <= MAX_NAME && password.len() <= MAX_PASSWORD;
    let printed = !name.chars().any(char::is_control);
    let clean = !password.iter().any(u8::is_ascii_control);
    (fits && printed && clean).then(|| Given::Password {
        name: name.into(),
        password: password.to_vec(),
    })
}

/// `b64token` of RFC 6750.
pub(super) fn is_token(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !body.is_empty()
        && body
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte))
}

/// Some clients leave the padding out.
const BASE64: engine::GeneralPurpose = engine::GeneralPurpose::new(
    &alphabet::STANDARD,
    engine::GeneralPurposeConfig::new()
        .with_decode_padding_mode(engine::DecodePaddingMode::Indifferent),
);

/// The longest header, in bytes.
const MAX_HEADER: usize = 8 << 10;

/// The longest user name, in bytes; that of a subject.
const MAX_NAME: usize = crate::config::SubjectName::MAX;

/// The longest password, in bytes: what is hashed for strangers is bounded.
pub(super) const MAX_PASSWORD: usize = 1 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_strictly() {
        let password = |name: &str, password: &str| {
            Some(Given::Password {
                name: name.into(),
                password: password.as_bytes().to_vec(),
            })
        };
        let token = |text: &str| Some(Given::Token(text.as_bytes().to_vec()));
        let long = format!("Bearer {}", "a".repeat(MAX_HEADER));
        for (value, expected) in [
            ("Basic YTpi", password("a", "b")),
            ("bAsIc   YTpi", password("a", "b")),
            ("Basic YTo=", password("a", "")),
            ("Basic YTo", password("a", "")),
            ("Basic YTpiOmM=", password("a", "b:c")),
            ("Bearer abc.-_~+/=", token("abc.-_~+/=")),
            ("BEARER abc", token("abc")),
            ("Basic", None),
            ("Basic ", None),
            ("Basic YQ==", None),
            ("Basic OmI=", None),
            ("Basic YTpi YTpi", None),
            ("Basic YQphOmI=", None),
            ("Basic YToKYg==", None),
            ("Basic !!!!", None),
            ("Bearer", None),
            ("Bearer a b", None),
            ("Bearer ===", None),
            ("Bearer a\u{7f}", None),
            ("Digest a=b", None),
            ("Negotiate YTpi", None),
            ("", None),
            (&long, None),
        ] {
            let read = given(Presented::Header(value.as_bytes()));
            assert!(read == expected, "{value}");
        }
        assert!(given(Presented::Header(b"Basic \xff")).is_none());
    }

    #[test]
    fn a_pair_of_socks_is_bounded_text() {
        let long = [b'a'; MAX_PASSWORD + 1];
        for (row, name, password, good) in [
            ("plain", &b"a"[..], &b"b"[..], true),
            ("empty password", b"a", b"", true),
            ("bytes", b"a", b"\xff", true),
            ("empty name", b"", b"b", false),
            ("no UTF-8", b"\xff", b"b", false),
            ("line feed", b"a\n", b"b", false),
            ("nul", b"a", b"b\0", false),
            ("long", b"a", &long, false),
        ] {
            let read = given(Presented::Password { name, password });
            assert_eq!(read.is_some(), good, "{row}");
        }
    }
}
