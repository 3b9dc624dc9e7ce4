use super::*;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn access(token: bool) -> Access {
    Access {
        token: ArcSwapOption::from(token.then(|| Token::of(TOKEN.as_bytes()).into())),
        names: vec!["gateway.example".into()],
    }
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

fn peer(origin: Origin, certified: bool) -> Peer {
    Peer { origin, certified }
}

/// What health, reading and a change come to.
fn outcome(access: &Access, peer: Peer, headers: &HeaderMap) -> [u16; 3] {
    [Needs::Nothing, Needs::Reading, Needs::Change].map(|needs| {
        match access.check(peer, needs, headers) {
            Ok(()) => 200,
            Err(problem) => problem.known().0,
        }
    })
}

#[test]
fn who_may_do_what() {
    let (right, wrong) = (format!("Bearer {TOKEN}"), format!("Bearer {TOKEN}x"));
    // Origin, certificate, whether a token is configured, what is sent: health, reading, change.
    let table = [
        ("unix", Origin::Unix, false, false, None, [200, 200, 200]),
        (
            "unix, wrong token",
            Origin::Unix,
            false,
            true,
            Some(&wrong),
            [401, 401, 401],
        ),
        (
            "loopback",
            Origin::Loopback,
            false,
            false,
            None,
            [200, 200, 403],
        ),
        (
            "loopback, a token is there",
            Origin::Loopback,
            false,
            true,
            None,
            [200, 200, 401],
        ),
        (
            "loopback, right token",
            Origin::Loopback,
            false,
            true,
            Some(&right),
            [200, 200, 200],
        ),
        (
            "loopback, wrong token",
            Origin::Loopback,
            false,
            true,
            Some(&wrong),
            [401, 401, 401],
        ),
        (
            "loopback, token for nothing",
            Origin::Loopback,
            false,
            false,
            Some(&right),
            [401, 401, 401],
        ),
        (
            "loopback, certificate",
            Origin::Loopback,
            true,
            false,
            None,
            [200, 200, 200],
        ),
        (
            "beyond",
            Origin::Beyond,
            false,
            false,
            None,
            [200, 403, 403],
        ),
        (
            "beyond, a token is there",
            Origin::Beyond,
            false,
            true,
            None,
            [200, 401, 401],
        ),
        (
            "beyond, right token",
            Origin::Beyond,
            false,
            true,
            Some(&right),
            [200, 200, 200],
        ),
        (
            "beyond, wrong token",
            Origin::Beyond,
            false,
            true,
            Some(&wrong),
            [401, 401, 401],
        ),
        (
            "beyond, certificate",
            Origin::Beyond,
            true,
            true,
            None,
            [200, 200, 200],
        ),
        (
            "beyond, certificate and wrong token",
            Origin::Beyond,
            true,
            true,
            Some(&wrong),
            [401, 401, 401],
        ),
    ];
    for (row, origin, certified, token, sent, expected) in table {
        let mut headers = headers(&[("host", "127.0.0.1:4751"), ("pinfold-admin", "1")]);
        if let Some(sent) = sent {
            headers.insert(header::AUTHORIZATION, sent.parse().unwrap());
        }
        let found = outcome(&access(token), peer(origin, certified), &headers);
        assert_eq!(found, expected, "{row}");
    }
}

#[test]
fn a_token_is_one_word_of_the_scheme() {
    let table = [
        ("as it is", format!("Bearer {TOKEN}"), true),
        ("scheme in other letters", format!("bEARER {TOKEN}"), true),
        ("more spaces", format!("Bearer   {TOKEN} "), true),
        ("no scheme", TOKEN.into(), false),
        ("another scheme", format!("Basic {TOKEN}"), false),
        ("nothing", "Bearer ".into(), false),
        ("half of it", format!("Bearer {}", &TOKEN[..16]), false),
        (
            "other letters",
            format!("Bearer {}", TOKEN.to_uppercase()),
            false,
        ),
    ];
    for (row, sent, expected) in table {
        let headers = headers(&[("host", "localhost"), ("authorization", &sent)]);
        let found = access(true).check(peer(Origin::Beyond, false), Needs::Reading, &headers);
        assert_eq!(found.is_ok(), expected, "{row}");
    }
}

/// DNS rebinding: a page whose name leads here now asks with that name.
#[test]
fn a_name_that_nobody_listed_leads_nowhere() {
    let table = [
        ("an address", &["127.0.0.1:4751"][..], 200),
        ("without a port", &["127.0.0.1"], 200),
        ("IPv6", &["[::1]:4751"], 200),
        ("localhost", &["LocalHost:4751"], 200),
        ("a listed name", &["Gateway.Example"], 200),
        ("another name", &["evil.example:4751"], 403),
        (
            "a name that ends like a listed one",
            &["x.gateway.example"],
            403,
        ),
        (
            "a name that begins like localhost",
            &["localhost.evil.example"],
            403,
        ),
        ("an address inside a name", &["127.0.0.1.evil.example"], 403),
        ("a short address", &["127.1"], 403),
        ("user information", &["127.0.0.1@evil.example"], 403),
        ("nothing", &[""], 403),
        ("none", &[], 400),
        ("two", &["127.0.0.1", "evil.example"], 400),
    ];
    for (row, hosts, expected) in table {
        let pairs: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
        let found = access(false).check(
            peer(Origin::Loopback, true),
            Needs::Reading,
            &headers(&pairs),
        );
        let status = found.err().map_or(200, |problem| problem.known().0);
        assert_eq!(status, expected, "{row}");
    }
}

/// Cross-site request forgery: what a page of another site can make a browser send.
#[test]
fn a_page_of_another_site_changes_nothing() {
    let table = [
        ("no browser", &[("pinfold-admin", "1")][..], "ok"),
        (
            "its own page",
            &[
                ("pinfold-admin", "1"),
                ("origin", "http://127.0.0.1:4751"),
                ("sec-fetch-site", "same-origin"),
            ],
            "ok",
        ),
        (
            "a form",
            &[
                ("origin", "http://evil.example"),
                ("content-type", "text/plain"),
            ],
            "cross-site",
        ),
        (
            "a form without an origin",
            &[("content-type", "text/plain")],
            "intent-missing",
        ),
        (
            "an origin that is withheld",
            &[("pinfold-admin", "1"), ("origin", "null")],
            "cross-site",
        ),
        (
            "another port",
            &[("pinfold-admin", "1"), ("origin", "http://127.0.0.1:8000")],
            "cross-site",
        ),
        (
            "the header, from elsewhere",
            &[("pinfold-admin", "1"), ("sec-fetch-site", "cross-site")],
            "cross-site",
        ),
        (
            "another port, as the browser says",
            &[("pinfold-admin", "1"), ("sec-fetch-site", "same-site")],
            "cross-site",
        ),
        (
            "another value",
            &[("pinfold-admin", "yes")],
            "intent-missing",
        ),
        (
            "twice",
            &[("pinfold-admin", "1"), ("pinfold-admin", "1")],
            "intent-missing",
        ),
    ];
    for (row, pairs, expected) in table {
        let pairs = [&[("host", "127.0.0.1:4751")], pairs].concat();
        for origin in [Origin::Loopback, Origin::Unix] {
            let found = access(false).check(peer(origin, true), Needs::Change, &headers(&pairs));
            let code = found.err().map_or("ok", |problem| problem.known().1);
            assert_eq!(code, expected, "{row}");
        }
    }
}

#[test]
fn loopback_is_both_ends() {
    let table = [
        ("both", "127.0.0.1:9", "127.0.0.1:4751", Origin::Loopback),
        (
            "another of loopback",
            "127.0.0.2:9",
            "127.0.0.1:4751",
            Origin::Loopback,
        ),
        ("IPv6", "[::1]:9", "[::1]:4751", Origin::Loopback),
        (
            "bound to everything",
            "127.0.0.1:9",
            "0.0.0.0:4751",
            Origin::Beyond,
        ),
        (
            "from elsewhere",
            "10.0.0.1:9",
            "127.0.0.1:4751",
            Origin::Beyond,
        ),
        (
            "to elsewhere",
            "127.0.0.1:9",
            "10.0.0.1:4751",
            Origin::Beyond,
        ),
        (
            "mapped",
            "[::ffff:127.0.0.1]:9",
            "127.0.0.1:4751",
            Origin::Beyond,
        ),
    ];
    for (row, peer, local, expected) in table {
        let found = Origin::tcp(peer.parse().unwrap(), local.parse().unwrap());
        assert_eq!(found, expected, "{row}");
    }
}

#[test]
fn a_token_is_long_and_is_read_again() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let config = config::Admin {
        token_file: Some(file.path().into()),
        ..config::Admin::default()
    };
    let table = [
        ("empty", String::new(), false),
        ("too short", "x".repeat(TOKEN_LEAST - 1), false),
        ("just long enough", "x".repeat(TOKEN_LEAST), true),
        ("a line feed", format!("{TOKEN}\n"), true),
        ("two words", format!("{TOKEN} {TOKEN}"), false),
        ("no ASCII", "\u{e4}".repeat(TOKEN_LEAST), false),
        ("a whole disk", "x".repeat(TOKEN_BYTES as usize + 1), false),
    ];
    for (row, text, expected) in table {
        std::fs::write(file.path(), text).unwrap();
        assert_eq!(Access::new(&config).is_ok(), expected, "{row}");
    }
    std::fs::write(file.path(), TOKEN).unwrap();
    let access = Access::new(&config).unwrap();
    let sent = format!("Bearer {TOKEN}");
    let sent = headers(&[("host", "localhost"), ("authorization", &sent)]);
    let reads = || {
        access
            .check(peer(Origin::Beyond, false), Needs::Reading, &sent)
            .is_ok()
    };
    assert!(reads());
    std::fs::write(file.path(), "short").unwrap();
    assert!(access.reload(&config).is_err());
    assert!(reads(), "what was read before stays");
    std::fs::write(file.path(), "y".repeat(40)).unwrap();
    access.reload(&config).unwrap();
    assert!(!reads(), "the old one is over");
}
