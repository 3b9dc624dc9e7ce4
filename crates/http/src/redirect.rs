//! What a redirect means: where to, with which method, and what may go along.
//!
//! Methods follow RFC 9110, 15.4, as browsers practise it (Fetch, 4.4):
//!
//! | status | `GET`, `HEAD` | `POST` | `PUT`, `DELETE`, others |
//! |---|---|---|---|
//! | 301, 302 | same | `GET`, body dropped | same, body sent again |
//! | 303 | same | `GET`, body dropped | `GET`, body dropped |
//! | 307, 308 | same | same, body sent again | same, body sent again |

use http::{
    HeaderMap, HeaderName, Method, StatusCode,
    header::{
        ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CONTENT_ENCODING, CONTENT_LANGUAGE,
        CONTENT_LOCATION, CONTENT_TYPE, LOCATION, USER_AGENT,
    },
};
use pinfold::Denial;
use pinfold_addr::{Reason, Target};

use crate::Error;

/// A redirect that was read.
#[derive(Debug)]
pub(crate) struct Redirect {
    /// Where to. Parsed as strictly as the first URL, and not judged yet.
    pub(crate) target: Target,
    /// With which method.
    pub(crate) method: Method,
    /// Whether the body goes along.
    pub(crate) keeps_body: bool,
}

/// Whether a response sends the client elsewhere. 300 and 304 carry no order to go anywhere, and
/// without a `Location` there is nowhere to go: that is a response like others (Fetch, 4.4).
pub(crate) fn is_redirect(status: StatusCode, headers: &HeaderMap) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) && headers.contains_key(LOCATION)
}

/// Reads a redirect.
///
/// # Errors
///
/// `redirect-invalid` without exactly one `Location` in UTF-8; the parser's own refusal when the
/// location is none that two readers understand alike.
pub(crate) fn read(
    status: StatusCode,
    headers: &HeaderMap,
    method: &Method,
    from: &Target,
) -> Result<Redirect, Error> {
    let target = from
        .join(location(headers)?)
        .map_err(|refusal| Error::denied(refusal.into()))?;
    let rewritten = match status.as_u16() {
        301 | 302 => *method == Method::POST,
        303 => *method != Method::GET && *method != Method::HEAD,
        _ => false,
    };
    let method = if rewritten {
        Method::GET
    } else {
        method.clone()
    };
    Ok(Redirect {
        target,
        method,
        keeps_body: !rewritten,
    })
}

fn location(headers: &HeaderMap) -> Result<&str, Error> {
    let invalid = |detail: &str| Error::denied(Denial::new(Reason::RedirectInvalid, detail));
    let mut all = headers.get_all(LOCATION).iter();
    match (all.next(), all.next()) {
        (Some(location), None) => std::str::from_utf8(location.as_bytes())
            .map_err(|_| invalid("the `Location` is not UTF-8")),
        (Some(_), Some(_)) => Err(invalid("there is more than one `Location`")),
        (None, _) => Err(invalid("there is no `Location`")),
    }
}

/// Takes away what must not go along on the way `from` one target `to` the next.
///
/// Across origins (scheme, host, port) only headers that are known to hold no secret go along: a list
/// of what to drop could never be complete, because every service invents its own key header. What
/// was dropped once stays dropped, even when a later redirect leads back.
pub(crate) fn strip(headers: &mut HeaderMap, from: &Target, to: &Target, keeps_body: bool) {
    if !keeps_body {
        for name in BODY {
            headers.remove(name);
        }
    }
    if !from.same_origin(to) {
        keep_only_harmless(headers);
    }
}

fn keep_only_harmless(headers: &mut HeaderMap) {
    let dropped: Vec<HeaderName> = headers
        .keys()
        .filter(|name| !harmless(name))
        .cloned()
        .collect();
    for name in dropped {
        headers.remove(name);
    }
}

fn harmless(name: &HeaderName) -> bool {
    HARMLESS.contains(name) || BODY.contains(name)
}

/// Whether a secure exchange would go on in the clear.
pub(crate) fn is_downgrade(from: &Target, to: &Target) -> bool {
    from.scheme().is_tls() && !to.scheme().is_tls()
}

/// What may cross origins with any request.
const HARMLESS: [HeaderName; 4] = [ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, USER_AGENT];

/// What describes a body, and goes where the body goes.
const BODY: [HeaderName; 4] = [
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LOCATION,
    CONTENT_TYPE,
];

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn target(url: &str) -> Target {
        Target::parse(url).unwrap()
    }

    fn located(location: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(LOCATION, HeaderValue::from_static(location))])
    }

    #[test]
    fn methods_are_rewritten_as_in_the_table() {
        let rows = [
            (301, "GET", "GET", true),
            (301, "HEAD", "HEAD", true),
            (301, "POST", "GET", false),
            (301, "PUT", "PUT", true),
            (302, "POST", "GET", false),
            (302, "DELETE", "DELETE", true),
            (303, "GET", "GET", true),
            (303, "HEAD", "HEAD", true),
            (303, "POST", "GET", false),
            (303, "PUT", "GET", false),
            (303, "DELETE", "GET", false),
            (307, "POST", "POST", true),
            (307, "PUT", "PUT", true),
            (308, "POST", "POST", true),
            (308, "GET", "GET", true),
        ];
        for (status, before, after, keeps_body) in rows {
            let status = StatusCode::from_u16(status).unwrap();
            let method = Method::from_bytes(before.as_bytes()).unwrap();
            let from = target("https://example.com/a/b");
            let read = read(status, &located("c?d"), &method, &from).unwrap();
            assert_eq!(read.method, after, "{status} {before}");
            assert_eq!(read.keeps_body, keeps_body, "{status} {before}");
            assert_eq!(
                read.target.to_string(),
                "https://example.com/a/c?d",
                "{status} {before}"
            );
        }
    }

    #[test]
    fn only_five_statuses_redirect_and_only_with_a_location() {
        let redirects = |headers: HeaderMap| -> Vec<u16> {
            (100..600)
                .filter(|&code| is_redirect(StatusCode::from_u16(code).unwrap(), &headers))
                .collect()
        };
        assert_eq!(redirects(located("/")), [301, 302, 303, 307, 308]);
        assert_eq!(redirects(HeaderMap::new()), [0; 0]);
    }

    #[test]
    fn a_bad_location_is_refused() {
        let two = HeaderMap::from_iter([
            (LOCATION, HeaderValue::from_static("/a")),
            (LOCATION, HeaderValue::from_static("/b")),
        ]);
        let latin1 = HeaderMap::from_iter([(LOCATION, HeaderValue::from_bytes(b"/\xe9").unwrap())]);
        let rows = [
            ("none", HeaderMap::new(), "redirect-invalid"),
            ("two", two, "redirect-invalid"),
            ("not UTF-8", latin1, "redirect-invalid"),
            (
                "another scheme",
                located("gopher://example.com/"),
                "scheme-unsupported",
            ),
            ("no host", located("http://"), "url-invalid"),
            (
                "backslash",
                located("http://example.com\\@127.0.0.1/"),
                "url-backslash",
            ),
            ("read two ways", located("http:127.0.0.1"), "url-ambiguous"),
        ];
        let from = target("http://example.com/");
        for (name, headers, code) in rows {
            let error = read(StatusCode::FOUND, &headers, &Method::GET, &from).unwrap_err();
            assert_eq!(error.denial().unwrap().code(), code, "{name}");
            assert!(error.is_denied(), "{name}");
        }
    }

    #[test]
    fn headers_cross_origins_only_from_the_list() {
        let full = || {
            HeaderMap::from_iter(
                [
                    "accept",
                    "accept-language",
                    "authorization",
                    "content-type",
                    "cookie",
                    "origin",
                    "referer",
                    "user-agent",
                    "x-api-key",
                ]
                .map(|name| (HeaderName::from_static(name), HeaderValue::from_static("v"))),
            )
        };
        let all = "accept accept-language authorization content-type cookie origin referer user-agent x-api-key";
        let rows = [
            ("same origin", "https://a.example/2", true, all),
            (
                "same origin, body dropped",
                "https://a.example/2",
                false,
                "accept accept-language authorization cookie origin referer user-agent x-api-key",
            ),
            (
                "other host",
                "https://b.example/",
                true,
                "accept accept-language content-type user-agent",
            ),
            (
                "other host, body dropped",
                "https://b.example/",
                false,
                "accept accept-language user-agent",
            ),
            (
                "other port",
                "https://a.example:8443/",
                true,
                "accept accept-language content-type user-agent",
            ),
            (
                "downgrade",
                "http://a.example/",
                true,
                "accept accept-language content-type user-agent",
            ),
        ];
        for (name, to, keeps_body, expected) in rows {
            let mut headers = full();
            strip(
                &mut headers,
                &target("https://a.example/1"),
                &target(to),
                keeps_body,
            );
            let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
            left.sort_unstable();
            assert_eq!(left.join(" "), expected, "{name}");
        }
    }
}
