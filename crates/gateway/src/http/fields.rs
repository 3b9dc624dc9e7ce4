//! Which header fields travel on, in either direction (RFC 9110, 7.6.1).

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        CONNECTION, CONTENT_LENGTH, EXPECT, HOST, MAX_FORWARDS, TE, TRAILER, TRANSFER_ENCODING,
        UPGRADE,
    },
};
use pinfold_addr::Target;

/// Leaves what is for the server, and names it. A `Host` that said otherwise is returned.
pub(crate) fn for_server(headers: &mut HeaderMap, target: &Target) -> Option<HeaderValue> {
    strip(headers);
    // Other expectations nobody has to meet (RFC 9110, 10.1.1).
    let goes_on = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if headers.get(EXPECT).is_some_and(|value| !goes_on(value)) {
        headers.remove(EXPECT);
    }
    let host = HeaderValue::try_from(target.authority()).ok()?;
    let before = headers.insert(HOST, host);
    before.filter(|said| !names(said, target))
}

/// Leaves what is for the client.
pub(crate) fn for_client(headers: &mut HeaderMap) {
    // Beside it, a length is meaningless (RFC 9112, 6.3).
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    // Said twice, and alike, or it would not have come so far: once is enough.
    if let Some(length) = headers.get(CONTENT_LENGTH).cloned() {
        headers.insert(CONTENT_LENGTH, length);
    }
    strip(headers);
}

/// Whether a client asks to go on with WebSocket. Other upgrades are not served, and need not be (RFC 9110, 7.8).
pub(crate) fn wants_websocket(headers: &HeaderMap) -> bool {
    tokens(headers, &UPGRADE).any(|token| token.eq_ignore_ascii_case("websocket"))
        && tokens(headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"))
}

/// Whether a request may not travel on (RFC 9110, 7.6.2); counts it down where it may.
pub(crate) fn is_last_hop(headers: &mut HeaderMap) -> bool {
    let Some(left) = headers.get(MAX_FORWARDS) else {
        return false;
    };
    let left = left.to_str().ok().and_then(|text| text.parse::<u32>().ok());
    match left.map(|left| left.checked_sub(1)) {
        // What cannot be read is nobody's business to count.
        None => false,
        Some(None) => true,
        Some(Some(left)) => {
            headers.insert(MAX_FORWARDS, left.into());
            false
        }
    }
}

/// Removes what is for one connection only, what is for or from a proxy, and what only we may say.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = tokens(headers, &CONNECTION)
        .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
        .collect();
    let own: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_own(name) || is_lookalike(name))
        .cloned()
        .collect();
    // A body keeps its length, whatever else is said of it.
    for name in named.iter().filter(|name| **name != CONTENT_LENGTH) {
        headers.remove(name);
    }
    for name in own.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

fn is_own(name: &HeaderName) -> bool {
    OWN.iter().any(|prefix| name.as_str().starts_with(prefix))
}

/// Whether a name becomes that of a field which frames a message, or which only we may say, for a server that takes `_`
/// for `-`. The strict reader of heads refuses those of requests in HTTP/1.
fn is_lookalike(name: &HeaderName) -> bool {
    if !name.as_str().contains('_') {
        return false;
    }
    let name = name.as_str().replace('_', "-");
    let framing = [CONTENT_LENGTH, TRANSFER_ENCODING];
    framing.iter().any(|framing| *framing == *name)
        || OWN.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether a `Host` says what the target does.
fn names(host: &HeaderValue, target: &Target) -> bool {
    let host = host.to_str().unwrap_or_default();
    let read = Target::parse(&format!("{}://{host}/", target.scheme()));
    read.is_ok_and(|read| read.same_origin(target))
}

fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

/// For one connection. Trailers are not passed on, so nothing may announce them.
static HOP_BY_HOP: [HeaderName; 7] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("http2-settings"),
];

/// What a proxy says or is told.
const OWN: [&str; 2] = ["proxy-", "pinfold-"];

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &'static str)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        };
        let mut headers = HeaderMap::new();
        fields.iter().map(field).for_each(|(name, value)| {
            headers.append(name, value);
        });
        headers
    }

    fn target() -> Target {
        Target::parse("http://example.com:8080/a").unwrap()
    }

    #[test]
    fn only_what_is_for_the_server_travels_on() {
        let rows = [
            ("accept", "*/*", true),
            ("authorization", "Basic YTpi", true),
            ("te", "trailers", false),
            ("trailer", "x-a", false),
            ("keep-alive", "timeout=5", false),
            ("upgrade", "h2c", false),
            ("http2-settings", "AAMAAABk", false),
            ("transfer-encoding", "chunked", false),
            ("proxy-authorization", "Basic YTpi", false),
            ("proxy-connection", "keep-alive", false),
            ("proxy-anything", "x", false),
            ("pinfold-request-id", "forged", false),
            ("pinfold_request_id", "forged", false),
            ("transfer_encoding", "chunked", false),
            ("content_length", "5", false),
            ("content_type", "text/plain", true),
            ("expect", "100-continue", true),
            ("expect", "miracles", false),
            ("x-named", "secret", false),
            ("x-also-named", "secret", false),
            ("content-length", "5", true),
            ("traceparent", "00-1-2-01", true),
        ];
        let named = ("connection", "X-Named , close,x-also-named, content-length");
        for (name, value, kept) in rows {
            let mut fields = headers(&[(name, value), named]);
            for_server(&mut fields, &target());
            assert_eq!(fields.contains_key(name), kept, "{name}");
            assert!(!fields.contains_key(CONNECTION));
        }
    }

    #[test]
    fn the_target_names_the_host() {
        let rows = [
            (None, None),
            (Some("example.com:8080"), None),
            (Some("EXAMPLE.com:8080"), None),
            (Some("example.com"), Some("example.com")),
            (Some("internal.example"), Some("internal.example")),
            (Some(""), Some("")),
            (Some("a b"), Some("a b")),
        ];
        for (said, differs) in rows {
            let mut fields = match said {
                None => HeaderMap::new(),
                Some(said) => headers(&[("host", said)]),
            };
            let before = for_server(&mut fields, &target());
            assert_eq!(
                before.as_ref().map(|b| b.to_str().unwrap()),
                differs,
                "{said:?}"
            );
            assert_eq!(fields.get(HOST).unwrap(), "example.com:8080", "{said:?}");
        }
    }

    #[test]
    fn a_server_cannot_speak_for_the_proxy() {
        let mut fields = headers(&[
            ("pinfold-reason", "host-denied"),
            ("proxy-status", "pinfold; error=dns_error"),
            ("proxy-authenticate", "Basic realm=\"pinfold\""),
            ("connection", "keep-alive, x-named"),
            ("x-named", "1"),
            ("content-length", "5"),
            ("transfer-encoding", "chunked"),
            ("set-cookie", "a"),
            ("set-cookie", "b"),
        ]);
        for_client(&mut fields);
        let left: Vec<_> = fields.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["set-cookie"]);
        assert_eq!(fields.get_all("set-cookie").iter().count(), 2);
    }

    #[test]
    fn only_websocket_is_an_upgrade() {
        let rows = [
            (&[("upgrade", "websocket"), ("connection", "Upgrade")], true),
            (
                &[
                    ("upgrade", "WebSocket"),
                    ("connection", "keep-alive, upgrade"),
                ],
                true,
            ),
            (
                &[
                    ("upgrade", "h2c"),
                    ("connection", "Upgrade, HTTP2-Settings"),
                ],
                false,
            ),
            (
                &[("upgrade", "websocket"), ("connection", "keep-alive")],
                false,
            ),
        ];
        for (fields, expected) in rows {
            assert_eq!(wants_websocket(&headers(fields)), expected, "{fields:?}");
        }
    }

    #[test]
    fn hops_are_counted_down() {
        let rows = [
            (None, false, None),
            (Some("0"), true, Some("0")),
            (Some("1"), false, Some("0")),
            (Some("x"), false, Some("x")),
        ];
        for (left, last, after) in rows {
            let mut fields = match left {
                None => HeaderMap::new(),
                Some(left) => headers(&[("max-forwards", left)]),
            };
            assert_eq!(is_last_hop(&mut fields), last, "{left:?}");
            let left_after = fields.get(MAX_FORWARDS).map(|v| v.to_str().unwrap());
            assert_eq!(left_after, after, "{left:?}");
        }
    }
}
