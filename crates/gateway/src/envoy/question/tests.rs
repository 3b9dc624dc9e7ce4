use super::*;
use crate::envoy::wire::{Attributes, HttpRequest, Peer, TlsSession};

/// A request as the filter for HTTP describes it.
pub(crate) fn request(method: &str, scheme: &str, host: &str, path: &str) -> HttpRequest {
    HttpRequest {
        method: method.into(),
        scheme: scheme.into(),
        host: host.into(),
        path: path.into(),
        ..HttpRequest::default()
    }
}

pub(crate) fn asked(http: HttpRequest, route: &[(&str, &str)]) -> Attributes {
    let extensions = route.iter().map(|(k, v)| ((*k).into(), (*v).into()));
    Attributes {
        request: Some(wire::Request { http: Some(http) }),
        context_extensions: extensions.collect(),
        ..Attributes::default()
    }
}

fn sni(name: &str) -> Attributes {
    Attributes {
        tls_session: Some(TlsSession { sni: name.into() }),
        ..Attributes::default()
    }
}

/// Kind, target and spelling as they were read, or status and code.
fn read(attributes: &Attributes) -> Result<String, (u16, String)> {
    match Question::read(attributes, 443) {
        Ok(question) => Ok(format!("{:?} {}", question.kind, question.target)),
        Err(refusal) => {
            assert!(refusal.hint.is_some(), "{}", refusal.code);
            Err((refusal.kind.status().as_u16(), refusal.code.into_owned()))
        }
    }
}

/// A name, what is asked, and what it is read as.
type Row<'a> = (&'a str, Attributes, Result<&'a str, (u16, &'a str)>);

fn hold(rows: &[Row<'_>]) {
    let wrong = rows.iter().filter_map(|(row, attributes, expected)| {
        let expected = expected.map(str::to_owned);
        let expected = expected.map_err(|(status, code)| (status, code.to_owned()));
        let read = read(attributes);
        (read != expected).then(|| format!("{row}: {read:?}, not {expected:?}"))
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn authorities_of_requests() {
    let get = |host: &str| asked(request("GET", "http", host, "/"), &[]);
    let malformed = Err((400, "host-malformed"));
    hold(&[
        ("a name", get("api.test"), Ok("Forward http://api.test/")),
        (
            "case",
            get("API.Test:8081"),
            Ok("Forward http://api.test:8081/"),
        ),
        ("root dot", get("api.test."), Ok("Forward http://api.test/")),
        (
            "root dot, port",
            get("api.test.:81"),
            Ok("Forward http://api.test:81/"),
        ),
        (
            "default port",
            get("api.test:80"),
            Ok("Forward http://api.test/"),
        ),
        (
            "port of TLS",
            get("api.test:443"),
            Ok("Forward http://api.test:443/"),
        ),
        ("IPv4", get("127.0.0.3"), Ok("Forward http://127.0.0.3/")),
        (
            "hexadecimal",
            get("0x7f.3"),
            Ok("Forward http://127.0.0.3/"),
        ),
        (
            "decimal",
            get("2130706433"),
            Ok("Forward http://127.0.0.1/"),
        ),
        ("IPv6", get("[::1]:81"), Ok("Forward http://[::1]:81/")),
        (
            "mapped",
            get("[::ffff:127.0.0.3]"),
            Ok("Forward http://[::ffff:127.0.0.3]/"),
        ),
        (
            "punycode",
            get("xn--bcher-kva.test"),
            Ok("Forward http://xn--bcher-kva.test/"),
        ),
        ("nothing", get(""), malformed),
        ("two of them", get("a.test:81,b.test:81"), malformed),
        ("two, spaced", get("a.test, b.test"), malformed),
        ("userinfo", get("user@api.test"), malformed),
        ("no user", get("@api.test"), malformed),
        ("path", get("api.test/evil"), malformed),
        ("backslash", get("api.test\\evil"), malformed),
        ("query", get("api.test?x"), malformed),
        ("fragment", get("api.test#x"), malformed),
        ("backslash, at", get("a.test\\@b.test"), malformed),
        ("percent-encoded", get("%61pi.test"), malformed),
        ("zone", get("[fe80::1%25eth0]"), malformed),
        ("zone, not encoded", get("[fe80::1%eth0]"), malformed),
        ("UTF-8", get("bücher.test"), malformed),
        ("full-width", get("１２７.0.0.1"), malformed),
        ("space", get("api.test "), malformed),
        ("tabulator", get("\tapi.test"), malformed),
        ("line", get("api.test\r\nx: y"), malformed),
        ("zero byte", get("api.test\0"), malformed),
        ("delete", get("api.test\x7f"), malformed),
        ("no port", get("api.test:"), Ok("Forward http://api.test/")),
        ("port 0", get("api.test:0"), Err((400, "port-zero"))),
        (
            "large port",
            get("api.test:99999"),
            Err((400, "url-invalid")),
        ),
        (
            "port of letters",
            get("api.test:http"),
            Err((400, "url-invalid")),
        ),
        (
            "signed port",
            get("api.test:+80"),
            Err((400, "url-invalid")),
        ),
        (
            "two ports",
            get("api.test:80:81"),
            Err((400, "url-invalid")),
        ),
        (
            "IPv6 without brackets",
            get("::1"),
            Err((400, "url-invalid")),
        ),
        ("open bracket", get("[::1"), Err((400, "url-invalid"))),
        ("empty label", get("a..test"), Err((400, "host-invalid"))),
        ("dot alone", get("."), Err((400, "host-invalid"))),
        ("wildcard", get("*.test"), Err((400, "host-invalid"))),
        (
            "long label",
            get(&"a".repeat(64)),
            Err((400, "host-invalid")),
        ),
        ("long", get(&"a.".repeat(200)), Err((400, "host-invalid"))),
        (
            "very long",
            get(&"a".repeat(70_000)),
            Err((400, "url-too-long")),
        ),
        (
            "numbers too large",
            get("256.1.1.1"),
            Err((400, "url-invalid")),
        ),
    ]);
}

#[test]
fn authorities_of_tunnels() {
    let connect = |host: &str| asked(request("CONNECT", "http", host, ""), &[]);
    let wrong = Err((400, "connect-authority"));
    hold(&[
        (
            "a name",
            connect("Api.test.:443"),
            Ok("Connect https://api.test/"),
        ),
        (
            "port of HTTP",
            connect("api.test:80"),
            Ok("Connect http://api.test/"),
        ),
        (
            "another port",
            connect("api.test:22"),
            Ok("Connect https://api.test:22/"),
        ),
        ("IPv6", connect("[::1]:443"), Ok("Connect https://[::1]/")),
        ("no port", connect("api.test"), wrong),
        ("empty port", connect("api.test:"), wrong),
        ("port 0", connect("api.test:0"), Err((400, "port-zero"))),
        ("large port", connect("api.test:99999"), wrong),
        ("nothing", connect(""), Err((400, "host-malformed"))),
        (
            "userinfo",
            connect("u@api.test:443"),
            Err((400, "host-malformed")),
        ),
        (
            "two",
            connect("a.test:443,b.test:443"),
            Err((400, "host-malformed")),
        ),
        (
            "a path",
            asked(request("CONNECT", "http", "api.test:443", "/"), &[]),
            wrong,
        ),
        (
            "the scheme says nothing",
            asked(request("CONNECT", "https", "api.test:80", ""), &[]),
            Ok("Connect http://api.test/"),
        ),
        (
            "in small letters it is another method to some",
            asked(request("connect", "http", "api.test:443", ""), &[]),
            Err((400, "method-not-served")),
        ),
    ]);
}

#[test]
fn schemes_and_what_the_route_says() {
    let get = |scheme: &str, route: &[(&str, &str)]| {
        asked(request("GET", scheme, "api.test", "/"), route)
    };
    let tls = &[(UPSTREAM, TLS)][..];
    hold(&[
        (
            "clear text",
            get("http", &[]),
            Ok("Forward http://api.test/"),
        ),
        (
            "TLS by Envoy",
            get("http", tls),
            Ok("Forward https://api.test/"),
        ),
        (
            "TLS on both sides",
            get("https", tls),
            Ok("Forward https://api.test/"),
        ),
        (
            "https in clear text",
            get("https", &[]),
            Err((403, "scheme-differs")),
        ),
        ("ftp", get("ftp", &[]), Err((400, "scheme-unsupported"))),
        (
            "ftp over TLS",
            get("ftp", tls),
            Err((400, "scheme-unsupported")),
        ),
        ("none", get("", &[]), Err((400, "scheme-unsupported"))),
        (
            "in capitals",
            get("HTTPS", &[]),
            Err((400, "scheme-unsupported")),
        ),
        (
            "unknown",
            get("http", &[(UPSTREAM, "yes")]),
            Err((403, "upstream-unknown")),
        ),
        (
            "empty",
            get("http", &[(UPSTREAM, "")]),
            Err((403, "upstream-unknown")),
        ),
        (
            "unknown, of a tunnel",
            asked(
                request("CONNECT", "http", "api.test:443", ""),
                &[(UPSTREAM, "TLS")],
            ),
            Err((403, "upstream-unknown")),
        ),
        (
            "listener",
            get("http", &[("listener", "x")]),
            Err((403, "label-reserved")),
        ),
        (
            "kind",
            get("http", &[("kind", "x")]),
            Err((403, "label-reserved")),
        ),
        (
            "ours",
            get("http", &[("pinfold-x", "x")]),
            Err((403, "label-reserved")),
        ),
    ]);
}

#[test]
fn methods_and_paths() {
    let to = |method: &str, path: &str| asked(request(method, "http", "api.test", path), &[]);
    let malformed = Err((400, "path-malformed"));
    let dotted = Err((400, "path-dotted"));
    hold(&[
        (
            "query",
            to("GET", "/a?b=/../c"),
            Ok("Forward http://api.test/a?b=/../c"),
        ),
        (
            "two slashes",
            to("GET", "//b.test/"),
            Ok("Forward http://api.test//b.test/"),
        ),
        (
            "UTF-8",
            to("GET", "/ä"),
            Ok("Forward http://api.test/%C3%A4"),
        ),
        (
            "dots in a name",
            to("GET", "/.a/b..c/..."),
            Ok("Forward http://api.test/.a/b..c/..."),
        ),
        (
            "the server",
            to("OPTIONS", "*"),
            Ok("Forward http://api.test/"),
        ),
        ("nothing", to("GET", ""), malformed),
        ("no slash", to("GET", "a"), malformed),
        ("a URL", to("GET", "http://b.test/"), malformed),
        ("an authority", to("GET", "@b.test/"), malformed),
        ("fragment", to("GET", "/a#b"), malformed),
        ("dots", to("GET", "/a/../b"), dotted),
        ("a dot", to("GET", "/./b"), dotted),
        ("at the end", to("GET", "/a/.."), dotted),
        ("dots, encoded", to("GET", "/a/%2e%2E/b"), dotted),
        ("dots, half encoded", to("GET", "/a/.%2e?q"), dotted),
        ("dots with a parameter", to("GET", "/..;/x"), dotted),
        ("and an encoded one", to("GET", "/a/%2e%2e%3Bx/b"), dotted),
        ("behind an encoded slash", to("GET", "/a%2F..%2fb"), dotted),
        ("behind backslashes", to("GET", "/a%5C..%5cb"), dotted),
        ("backslash", to("GET", "/a\\b"), Err((400, "url-backslash"))),
        (
            "space",
            to("GET", "/a b"),
            Err((400, "url-control-character")),
        ),
        (
            "line",
            to("GET", "/a\r\nb"),
            Err((400, "url-control-character")),
        ),
        (
            "very long",
            to("GET", &format!("/{}", "a".repeat(70_000))),
            Err((400, "url-too-long")),
        ),
        ("TRACE", to("TRACE", "/"), Err((400, "method-not-served"))),
        ("trace", to("trace", "/"), Err((400, "method-not-served"))),
        (
            "connect",
            to("connect", "/"),
            Err((400, "method-not-served")),
        ),
        ("no method", to("", "/"), Err((400, "method-not-served"))),
        (
            "a long one",
            to(&"A".repeat(65), "/"),
            Err((400, "method-not-served")),
        ),
    ]);
}

#[test]
fn server_names() {
    let unreadable = Err((400, "sni-unreadable"));
    hold(&[
        ("a name", sni("api.test"), Ok("Sni https://api.test/")),
        ("case", sni("API.test"), Ok("Sni https://api.test/")),
        ("root dot", sni("api.test."), Ok("Sni https://api.test/")),
        ("underscore", sni("a_b.test"), Ok("Sni https://a_b.test/")),
        ("none", Attributes::default(), Err((403, "sni-missing"))),
        ("empty", sni(""), Err((403, "sni-missing"))),
        ("IPv4", sni("127.0.0.1"), unreadable),
        ("IPv4 in hexadecimal", sni("0x7f.1"), unreadable),
        ("IPv6", sni("::1"), unreadable),
        ("IPv6 in brackets", sni("[::1]"), unreadable),
        ("with a port", sni("api.test:443"), unreadable),
        ("wildcard", sni("*.test"), unreadable),
        ("UTF-8", sni("bücher.test"), unreadable),
        ("space", sni("a b.test"), unreadable),
        ("path", sni("a.test/b"), unreadable),
        ("userinfo", sni("a@b.test"), unreadable),
        ("zero byte", sni("a.test\0"), unreadable),
        ("dot alone", sni("."), unreadable),
        ("long", sni(&"a.".repeat(128)), unreadable),
    ]);
    let port = Question::read(&sni("api.test"), 8443).unwrap();
    assert_eq!(port.target.to_string(), "https://api.test:8443/");
}

#[test]
fn a_spelling_is_left_for_the_policy() {
    let question = Question::read(&asked(request("GET", "http", "0x7f.3", "/"), &[]), 443);
    let spelling = question.unwrap().target.spelling();
    assert!(spelling.non_canonical_literal, "{spelling:?}");
}

#[test]
fn labels_are_those_of_the_route_in_order() {
    let route = [("tenant", "b"), (UPSTREAM, TLS), ("app", "a")];
    let question = Question::read(&asked(request("GET", "http", "api.test", "/"), &route), 443);
    let labels = question.unwrap().labels;
    assert_eq!(
        labels,
        [("app", "a"), ("tenant", "b")].map(|(k, v)| (k.into(), v.into()))
    );
}

#[test]
fn who_asks_is_read_from_whatever_there_is() {
    let mut http = request("GET", "http", "api.test", "/");
    http.id = "8f2c".into();
    http.headers = HashMap::from([("accept".into(), "application/json".into())]);
    http.header_map = Some(wire::HeaderMap {
        headers: vec![wire::HeaderValue {
            key: "traceparent".into(),
            raw_value: b"00-1-2-01".to_vec(),
            ..wire::HeaderValue::default()
        }],
    });
    let mut attributes = asked(http, &[]);
    attributes.source = Some(peer("::1", 7));
    let asker = Asker::of(&attributes);
    assert_eq!(asker.address, Some("[::1]:7".parse().unwrap()));
    assert_eq!(asker.principal, "spiffe://lab/a");
    assert_eq!(asker.accept.as_deref(), Some("application/json"));
    assert_eq!(asker.traceparent.as_deref(), Some("00-1-2-01"));
    assert_eq!(asker.correlation.unwrap().as_str(), "8f2c");
}

#[test]
fn what_is_not_fit_to_be_shown_is_left_out() {
    for id in ["", "a b", "a\nb", "ä", &"a".repeat(129)] {
        let mut http = request("GET", "http", "api.test", "/");
        http.id = id.into();
        http.headers = HashMap::from([("traceparent".into(), "0".repeat(200))]);
        let asker = Asker::of(&asked(http, &[]));
        assert!(
            asker.correlation.is_none() && asker.traceparent.is_none(),
            "{id:?}"
        );
    }
    for (address, port) in [("/tmp/socket", 0), ("127.0.0.1", 70_000), ("", 80)] {
        let attributes = Attributes {
            source: Some(peer(address, port)),
            ..Attributes::default()
        };
        assert_eq!(Asker::of(&attributes).address, None, "{address}");
    }
}

#[test]
fn an_operator_sees_no_secret_of_what_was_refused() {
    let get = |host: &str| described(&asked(request("GET", "http", host, "/secret"), &[]));
    assert_eq!(get("user:secret@api.test/secret"), "GET api.test");
    assert_eq!(get(""), "GET, without a host");
    assert!(get(&"é".repeat(400)).len() <= DESCRIPTION);
    assert_eq!(described(&sni("::1")), "TLS for ::1");
    assert_eq!(
        described(&Attributes::default()),
        "no request of HTTP, and no server name"
    );
}

fn peer(address: &str, port: u32) -> Peer {
    Peer {
        address: Some(wire::Address {
            socket_address: Some(wire::SocketAddress {
                address: address.into(),
                port_value: port,
            }),
        }),
        principal: "spiffe://lab/a".into(),
    }
}

#[test]
fn a_route_says_only_so_much() {
    let names: Vec<_> = (0..=MOST_EXTENSIONS).map(|n| n.to_string()).collect();
    let labels: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
    let get = |labels: &[(&str, &str)]| asked(request("GET", "http", "api.test", "/"), labels);
    hold(&[
        ("as many", get(&labels[1..]), Ok("Forward http://api.test/")),
        ("one more", get(&labels), Err((403, "request-oversized"))),
    ]);
}
