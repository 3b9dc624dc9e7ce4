//! Authentication that binds a connection: for the server, what comes over it afterwards is of who authenticated.
//!
//! HTTP knows no such thing (RFC 9110, 3.3), and servers do it: NTLM always, Negotiate often (RFC 4559, 6).

use http::{
    HeaderMap,
    header::{
        AUTHORIZATION, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, WWW_AUTHENTICATE,
    },
};

/// Whether a request tries it.
pub(crate) fn tried(headers: &HeaderMap) -> bool {
    names_one(headers, &AUTHORIZATION) || names_one(headers, &PROXY_AUTHORIZATION)
}

/// Whether an answer asks for it, or goes on with it.
pub(crate) fn asked(headers: &HeaderMap) -> bool {
    names_one(headers, &WWW_AUTHENTICATE) || names_one(headers, &PROXY_AUTHENTICATE)
}

/// Whether such a scheme begins a value, or a member of a list. A quoted comma may make it see one too many.
fn names_one(headers: &HeaderMap, name: &HeaderName) -> bool {
    let values = headers.get_all(name).iter();
    let mut members = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    members.any(|member| {
        let mut words = member.trim_ascii().split(u8::is_ascii_whitespace);
        let scheme = words.next().unwrap_or_default();
        SCHEMES
            .iter()
            .any(|bound| scheme.eq_ignore_ascii_case(bound))
    })
}

const SCHEMES: [&[u8]; 5] = [b"ntlm", b"negotiate", b"kerberos", b"nego2", b"credssp"];

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn schemes_that_bind_a_connection_are_seen() {
        for (row, value, expected) in [
            ("ntlm", "NTLM TlRMTVNTUAAB", true),
            ("any case", "nEgOtIaTe YII=", true),
            ("alone", "Negotiate", true),
            ("in a list", "Basic realm=\"a\", NTLM", true),
            ("tab", "\tNTLM\tx", true),
            ("basic", "Basic bnRsbQ==", false),
            ("bearer", "Bearer NTLM", false),
            ("longer", "NTLMv9 x", false),
            ("empty", "", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Digest x"));
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(value));
            assert_eq!(asked(&headers), expected, "{row}");
            headers.insert(AUTHORIZATION, HeaderValue::from_static(value));
            assert_eq!(tried(&headers), expected, "{row}");
        }
    }
}
