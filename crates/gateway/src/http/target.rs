//! What a request asks for: read from its target alone. `Host` is never believed.

use http::{Request, header::CONTENT_LENGTH};
use pinfold_addr::{Reason, Scheme, Target};

use crate::{
    egress::tunnel_target,
    refusal::{Kind, Refusal},
};

/// The target of `CONNECT`: `host:port`.
pub(crate) fn of_connect<B>(request: &Request<B>) -> Result<Target, Refusal> {
    let uri = request.uri();
    let authority = uri.authority().map(http::uri::Authority::as_str);
    let (Some(authority), None, None) = (authority, uri.scheme(), uri.path_and_query()) else {
        return Err(connect_authority());
    };
    if authority.contains('@') {
        return Err(userinfo());
    }
    tunnel_target(authority).map_err(|refusal| match refusal.reason {
        Reason::UrlInvalid => connect_authority(),
        _ => Refusal::from_parse(&refusal),
    })
}

/// The target of a request that is to be forwarded: an absolute `http` URL.
pub(crate) fn of_forward<B>(request: &Request<B>) -> Result<Target, Refusal> {
    let uri = request.uri();
    let Some(scheme) = uri.scheme_str() else {
        return Err(origin_form());
    };
    if scheme.eq_ignore_ascii_case("https") {
        let hint = "TLS is not ended here: use `CONNECT host:443`, as clients do for `https` URLs";
        return Err(malformed("https-needs-connect", hint));
    }
    if uri
        .authority()
        .is_some_and(|authority| authority.as_str().contains('@'))
    {
        return Err(userinfo());
    }
    let target = Target::parse(&uri.to_string());
    let target = target.map_err(|refusal| Refusal::from_parse(&refusal))?;
    match target.scheme() {
        Scheme::Http => Ok(target),
        _ => {
            let reason = Reason::SchemeUnsupported;
            Err(malformed(reason.code(), "use `http`, or `CONNECT`"))
        }
    }
}

/// What is refused whatever it asks for. HTTP/1 was read strictly; in HTTP/2 nobody has looked at it.
pub(crate) fn served<B>(request: &Request<B>, fields: usize) -> Result<(), Refusal> {
    served_method(request.method().as_str())?;
    if request.headers().len() > fields {
        let refusal = Refusal::new(Kind::Oversized, "request", "headers-too-many");
        return Err(refusal.hint("send fewer header fields"));
    }
    if request.headers().get_all(CONTENT_LENGTH).iter().count() > 1 {
        return Err(malformed("length-repeated", "send one `Content-Length`"));
    }
    Ok(())
}

/// A method that is forwarded.
pub(crate) fn served_method(method: &str) -> Result<(), Refusal> {
    let hint = match method {
        // It would show to its sender what others have added, credentials among them.
        method if method.eq_ignore_ascii_case("TRACE") => "`TRACE` is not forwarded",
        // Another method by the letter (RFC 9110, 9.1), and the same one to servers that fold.
        method if method != "CONNECT" && method.eq_ignore_ascii_case("CONNECT") => {
            "write `CONNECT` in capitals"
        }
        method if !(1..=METHOD).contains(&method.len()) => "use a registered method",
        _ => return Ok(()),
    };
    Err(malformed("method-not-served", hint))
}

fn origin_form() -> Refusal {
    let hint = "this is a proxy: set it as your HTTP proxy, and ask for `http://host/path`, or for `host:port` with `CONNECT`";
    malformed("origin-form", hint)
}

fn connect_authority() -> Refusal {
    let hint = "`CONNECT` takes `host:port`, with IPv6 in brackets";
    malformed("connect-authority", hint)
}

fn userinfo() -> Refusal {
    let hint = "remove `user:password@` from the target";
    malformed("userinfo-in-target", hint)
}

fn malformed(code: &'static str, hint: &'static str) -> Refusal {
    Refusal::new(Kind::Malformed, "request", code).hint(hint)
}

/// Bytes of a method; the longest that is registered has 17.
const METHOD: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, target: &str) -> Request<()> {
        let builder = Request::builder().method(method);
        builder.uri(target).body(()).unwrap()
    }

    #[test]
    fn connect_takes_host_and_port() {
        let rows = [
            ("example.com:443", Ok("https://example.com/")),
            ("example.com:80", Ok("http://example.com/")),
            ("example.com:8080", Ok("https://example.com:8080/")),
            ("EXAMPLE.com.:443", Ok("https://example.com/")),
            ("example.com:007", Ok("https://example.com:7/")),
            ("[2001:DB8::1]:443", Ok("https://[2001:db8::1]/")),
            ("127.0.0.1:443", Ok("https://127.0.0.1/")),
            ("example.com", Err("connect-authority")),
            ("example.com:", Err("connect-authority")),
            ("example.com:0", Err("port-zero")),
            ("example.com:99999", Err("connect-authority")),
            ("user@example.com:443", Err("userinfo-in-target")),
            ("http://example.com:443/", Err("connect-authority")),
            ("/", Err("connect-authority")),
            ("a..b:443", Err("host-invalid")),
        ];
        for (target, expected) in rows {
            let read = of_connect(&request("CONNECT", target));
            let read = read.map(|target| target.to_string());
            let read = read.map_err(|refusal| refusal.code.into_owned());
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(read, expected, "{target}");
        }
    }

    #[test]
    fn a_port_of_connect_decides_the_scheme() {
        let scheme = |target| of_connect(&request("CONNECT", target)).unwrap().scheme();
        assert_eq!(scheme("a.example:80"), Scheme::Http);
        assert_eq!(scheme("a.example:0080"), Scheme::Http);
        assert_eq!(scheme("a.example:443"), Scheme::Https);
        assert_eq!(scheme("a.example:81"), Scheme::Https);
    }

    #[test]
    fn forwarded_requests_are_absolute_http() {
        let rows = [
            ("http://example.com/a?b", Ok("http://example.com/a?b")),
            ("http://example.com", Ok("http://example.com/")),
            ("http://example.com:443/", Ok("http://example.com:443/")),
            ("/a", Err("origin-form")),
            ("*", Err("origin-form")),
            ("example.com:80", Err("origin-form")),
            ("https://example.com/", Err("https-needs-connect")),
            ("ftp://example.com/", Err("scheme-unsupported")),
            ("http://user:secret@example.com/", Err("userinfo-in-target")),
            ("http://@example.com/", Err("userinfo-in-target")),
        ];
        for (target, expected) in rows {
            let read = of_forward(&request("GET", target));
            let read = read.map(|target| target.to_string());
            let read = read.map_err(|refusal| refusal.code.into_owned());
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(read, expected, "{target}");
        }
    }

    #[test]
    fn methods_and_lengths() {
        assert!(served(&request("GET", "http://a/"), 1).is_ok());
        let trace = served(&request("TRACE", "http://a/"), 1).unwrap_err();
        assert_eq!(trace.code, "method-not-served");
        let long = served(&request(&"A".repeat(METHOD + 1), "http://a/"), 1).unwrap_err();
        assert_eq!(long.code, "method-not-served");
        let mut two = request("POST", "http://a/");
        for length in ["1", "1"] {
            let value = http::HeaderValue::from_static(length);
            two.headers_mut().append(CONTENT_LENGTH, value);
        }
        assert_eq!(served(&two, 2).unwrap_err().code, "length-repeated");
        assert_eq!(served(&two, 1).unwrap_err().code, "headers-too-many");
    }
}
