//! Known bypasses that need sockets: one test for each class, through the real client.
//!
//! The numbers are those of the threats chapter of the manual. Classes that a URL or an answer alone can
//! show are in the corpus; rebinding has a suite of its own.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod attack;

use std::time::{Duration, Instant};

use attack::{Journal, client, code, guard, no_leak};
use http::{Method, header};
use pinfold::{
    Guard,
    policy::{LoadError, Source},
};
use pinfold_http::{Client, Error, Limits, Response, TlsRoots};
use pinfold_lab::{
    Lab, PUBLIC,
    dns::{Reply, Strategy},
    http::{Page, Server, Site},
    tls::{Authority, Identity},
};

/// Shorter than any default of the client, longer than a loaded machine needs for loopback.
const DEADLINE: Duration = Duration::from_millis(800);

/// Spellings of the canaries' addresses, as a URL may hold them (1 to 11, 17 to 30, 57).
#[tokio::test(flavor = "multi_thread")]
async fn address_spellings() {
    let lab = Lab::start().await.unwrap();
    let client = client(&lab).build();
    let hosts = [
        "127.0.0.3",
        "127.0.0.3.",
        "2130706435",
        "0x7f000003",
        "017700000003",
        "127.3",
        "127.0.3",
        "0x7f.0.0.3",
        "127.0.0.03",
        "%31%32%37.0.0.3",
        "127。0。0。3",
        "１２７.0.0.3",
        "①②⑦.0.0.3",
        "0",
        "0.0.0.0",
        "127.0.0.1",
        "localhost",
        "LOCALHOST.",
        "a.localhost",
        "ip6-localhost",
        "[::ffff:127.0.0.3]",
        "[::ffff:7f00:3]",
        "[::127.0.0.3]",
        "[::ffff:0:127.0.0.3]",
        "[64:ff9b::127.0.0.3]",
        "[64:ff9b:1::127.0.0.3]",
        "[2002:7f00:3::1]",
        "[::]",
        "[fe80::1%25lo]",
        "127.0.0.2@127.0.0.3",
        "@127.0.0.3",
        "127.0.0.3\\@127.0.0.2",
        "127.0.0.2#@127.0.0.3",
        "127.0.0.3\u{0}.example.com",
        "127.0.0.3\t",
        "internal.lab.example.com",
        "internal",
    ];
    for host in hosts {
        let outcome = client
            .get(&format!("http://{host}:{}/", lab.port()))
            .timeout(DEADLINE)
            .send()
            .await;
        denied(host, outcome);
    }
    no_leak(&lab).await;
}

/// 42: a scheme is judged before anything is opened, in a URL and in a redirect.
#[tokio::test(flavor = "multi_thread")]
async fn other_schemes() {
    let lab = Lab::start().await.unwrap();
    let client = client(&lab).build();
    for scheme in [
        "ftp", "ws", "wss", "gopher", "dict", "file", "ldap", "jar", "unix", "blob",
    ] {
        let url = format!("{scheme}://127.0.0.2:{}/", lab.port());
        let direct = client.get(&url).send().await;
        denied(&url, direct);
        let redirect = client.get(&redirect(&lab, &url, 302)).send().await;
        denied(&url, redirect);
    }
    let data = client
        .get(&redirect(&lab, "data:text/plain,secret", 302))
        .send()
        .await;
    assert!(data.is_err_and(|error| error.is_denied()));
}

/// 43: the server never sees a whole URL as request target, nor another host.
#[tokio::test(flavor = "multi_thread")]
async fn sends_origin_form_only() {
    let lab = Lab::start().await.unwrap();
    let client = client(&lab).build();
    for path in [
        "/echo",
        "/echo?u=http://127.0.0.3/",
        "//127.0.0.3/",
        "/http://127.0.0.3/",
        "/%0d%0aHost:%20x",
    ] {
        client
            .get(&lab.url("public", path))
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap();
        let seen = lab.public().requests().pop().unwrap();
        assert_eq!(seen.target, path);
        let host = format!("public.lab.example.com:{}", lab.port());
        assert_eq!(seen.header("host"), Some(host.as_str()));
    }
    for method in ["CONNECT", "TRACE"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let outcome = client.request(method, &lab.url("public", "/")).send().await;
        assert!(matches!(outcome, Err(Error::Caller(_))));
    }
    no_leak(&lab).await;
}

/// 41: nothing that a caller passes on can end a header line.
#[tokio::test(flavor = "multi_thread")]
async fn header_injection() {
    let lab = Lab::start().await.unwrap();
    let client = client(&lab).build();
    let rows = [
        ("x-a", "b\r\nhost: 127.0.0.3"),
        ("x-a", "b\nx: y"),
        ("x-a", "b\0"),
        ("x a", "b"),
        ("x:a", "b"),
        ("host", "127.0.0.3"),
        ("connection", "host"),
        ("transfer-encoding", "chunked"),
        ("content-length", "0"),
        ("proxy-authorization", "x"),
        ("upgrade", "h2c"),
    ];
    for (name, value) in rows {
        let outcome = client
            .get(&lab.url("public", "/"))
            .header(name, value)
            .send()
            .await;
        assert!(
            matches!(outcome, Err(Error::Caller(_))),
            "{name}: {value:?}"
        );
    }
    assert_eq!(lab.public().request_count(), 0);
}

/// 51, 52, 53: what one name can answer beside a public address.
#[tokio::test(flavor = "multi_thread")]
async fn mixed_answers() {
    let lab = Lab::start().await.unwrap();
    let client = client(&lab).build();
    let rows = [
        ("mixed", "answers-mixed"),
        ("mixed-internal-first", "answers-mixed"),
        ("family-split-v6", "answers-mixed"),
        ("alias", "address-not-public"),
        ("alias-localhost", "address-not-public"),
        ("chain-short", "address-not-public"),
    ];
    for (attack, expected) in rows {
        assert_eq!(
            code(
                client
                    .get(&lab.url(&format!("m.{attack}"), "/"))
                    .send()
                    .await
            ),
            expected,
            "{attack}"
        );
    }
    // An alias counts even when the address at its end is public.
    let public =
        Strategy::Always(Reply::alias("metadata.google.internal").and(Reply::address(PUBLIC)));
    lab.dns().name("alias-metadata.lab.example.com", public);
    let outcome = client.get(&lab.url("alias-metadata", "/")).send().await;
    denied("alias-metadata", outcome);
    assert_eq!(lab.public().connections() + lab.leaks().await.unwrap(), 0);
}

/// 59, 36, 37: every way to say "go inside" in a redirect.
#[tokio::test(flavor = "multi_thread")]
async fn redirect_to_internal() {
    let lab = Lab::start().await.unwrap();
    let client = client(&lab).build();
    let port = lab.port();
    let rows = [
        (format!("http://127.0.0.3:{port}/"), "address-floor"),
        (format!("//127.0.0.3:{port}/"), "address-floor"),
        (
            format!("http://internal.lab.example.com:{port}/"),
            "address-not-public",
        ),
        (format!("http://localhost:{port}/"), "name-special-use"),
        (
            format!("http://[::ffff:127.0.0.3]:{port}/"),
            "address-floor",
        ),
        (format!("http://2130706435:{port}/"), "address-floor"),
        (format!("http://0.0.0.0:{port}/"), "address-floor"),
        (format!("http://user@127.0.0.2:{port}/"), "userinfo-denied"),
        (
            "http://169.254.169.254/latest/".to_owned(),
            "address-metadata",
        ),
        (format!("http:127.0.0.3:{port}/"), "url-ambiguous"),
        (format!("/\\127.0.0.3:{port}/"), "url-backslash"),
        (format!("http:/\\127.0.0.3:{port}/"), "url-backslash"),
        (
            format!("http://127.0.0.\t3:{port}/"),
            "url-control-character",
        ),
    ];
    for (location, expected) in &rows {
        for status in [301, 302, 303, 307, 308] {
            let path = format!("/go{status}");
            lab.public().route(&path, Page::redirect(status, location));
            let outcome = code(client.get(&lab.url("public", &path)).send().await);
            assert_eq!(outcome, *expected, "{status} {location:?}: {outcome}");
        }
    }
    let hops = lab.url("public", &format!("/hops/3?to={}", encoded(&rows[0].0)));
    assert_eq!(code(client.get(&hops).send().await), "address-floor");
    no_leak(&lab).await;
}

/// 59: what is no redirect sends nobody anywhere.
#[tokio::test(flavor = "multi_thread")]
async fn other_ways_to_redirect() {
    let lab = Lab::start().await.unwrap();
    let client = client(&lab).build();
    let to = format!("http://127.0.0.3:{}/", lab.port());
    let here = lab.url("public", "/go");
    for status in [200, 201, 300, 304, 305, 306, 399, 401] {
        lab.public().route(
            "/go",
            Page::redirect(status, &to).header("refresh", "0; url=/"),
        );
        let response = client.get(&here).send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), response.hops().len()),
            (status, 1)
        );
        response.bytes().await.unwrap();
    }
    lab.public()
        .route("/go", Page::redirect(302, &to).header("location", "/"));
    assert_eq!(code(client.get(&here).send().await), "redirect-invalid");
    lab.public().route("/go", Page::text("").status(302));
    let outcome = code(client.get(&here).send().await);
    assert!(outcome.starts_with("302"), "leads nowhere: {outcome}");
    no_leak(&lab).await;
}

/// 60: both schemes take the same way, in both directions.
#[tokio::test(flavor = "multi_thread")]
async fn cross_protocol_redirect() {
    let lab = Lab::start().await.unwrap();
    let client = client(&lab).build();
    let (plain, tls) = (lab.port(), lab.tls().addr().port());
    let rows = [
        (
            lab.url("public", ""),
            format!("https://127.0.0.3:{tls}/"),
            "address-floor",
        ),
        (
            lab.url("public", ""),
            format!("https://internal.lab.example.com:{tls}/"),
            "address-not-public",
        ),
        (
            lab.tls_url("public", ""),
            format!("http://127.0.0.3:{plain}/"),
            "address-floor",
        ),
        (
            lab.tls_url("public", ""),
            format!("http://internal.lab.example.com:{plain}/"),
            "address-not-public",
        ),
        (lab.url("public", ""), lab.tls_url("public", "/"), "200 OK"),
        (lab.tls_url("public", ""), lab.url("public", "/"), "200 OK"),
    ];
    for (from, to, expected) in rows {
        let url = format!("{from}/redirect?to={}", encoded(&to));
        let outcome = code(client.get(&url).send().await);
        assert!(outcome.starts_with(expected), "{url}: {outcome}");
    }
    no_leak(&lab).await;
}

/// 61: only headers that hold no secret cross origins; and what was dropped does not come back.
#[tokio::test(flavor = "multi_thread")]
async fn credentials_dropped_across_origins() {
    let lab = Lab::start().await.unwrap();
    let client = client(&lab).build();
    let rows = [
        ("same origin", lab.url("public", "/end"), true),
        ("other name", lab.url("other", "/end"), false),
        ("other scheme", lab.tls_url("public", "/end"), false),
        (
            "there and back",
            lab.url(
                "other",
                &format!("/redirect?to={}", encoded(&lab.url("public", "/end"))),
            ),
            false,
        ),
    ];
    lab.dns().name(
        "other.lab.example.com",
        Strategy::Always(Reply::address(PUBLIC)),
    );
    for (row, to, kept) in rows {
        let request = client
            .get(&redirect(&lab, &to, 307))
            .header(header::AUTHORIZATION, "Bearer secret")
            .header(header::COOKIE, "session=secret")
            .header("x-api-key", "secret")
            .header("x-amz-security-token", "secret")
            .header(header::ACCEPT_LANGUAGE, "de");
        request.send().await.unwrap().bytes().await.unwrap();
        let servers = [lab.public(), lab.tls()];
        let mut ends = servers.iter().flat_map(|server| server.requests());
        let seen = ends.rfind(|seen| seen.target == "/end").unwrap();
        for name in [
            "authorization",
            "cookie",
            "x-api-key",
            "x-amz-security-token",
        ] {
            assert_eq!(seen.header(name).is_some(), kept, "{row}: {name}");
        }
        assert_eq!(seen.header("accept-language"), Some("de"), "{row}");
        assert_eq!(seen.header("referer"), None, "{row}");
        servers.iter().for_each(|server| server.clear());
    }
}

/// 61: a server cannot make the client keep anything.
#[tokio::test(flavor = "multi_thread")]
async fn cookies_are_not_kept() {
    let lab = Lab::start().await.unwrap();
    let client = client(&lab).build();
    for _ in 0..2 {
        client
            .get(&lab.url("public", "/set-cookie"))
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap();
    }
    assert!(
        lab.public()
            .requests()
            .iter()
            .all(|seen| seen.header("cookie").is_none())
    );
}

/// 62, 65: the same in a process whose environment names a proxy, and switches that turned other guards off.
#[tokio::test(flavor = "multi_thread")]
async fn proxy_environment_ignored() {
    let lab = Lab::start().await.unwrap();
    let proxy = format!("http://127.0.0.3:{}", lab.port());
    let variables = [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
        "FTP_PROXY",
    ];
    let mut test = tokio::process::Command::new(std::env::current_exe().unwrap());
    test.args(["--exact", "cross_protocol_redirect", "redirect_to_internal"])
        .envs(variables.map(|name| (name, &proxy)))
        .env("NO_PROXY", "")
        .env("HOSTALIASES", "/dev/null")
        .env("LOCALDOMAIN", "lab.example.com")
        .env("LANGCHAIN_ENV", "local_test")
        .env("PINFOLD_ALLOW_PRIVATE", "1");
    let output = test.output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("2 passed"),
        "{text}"
    );
    no_leak(&lab).await;
}

/// 63: a kept connection serves the same scheme, name, port, address and policy, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn keep_alive_reuse_is_keyed() {
    let lab = Lab::start().await.unwrap();
    lab.dns().name(
        "other.lab.example.com",
        Strategy::Always(Reply::address(PUBLIC)),
    );
    let client = client(&lab).build();
    let get = async |url: String| {
        let response = client.get(&url).send().await.unwrap();
        let reused = response.hops()[0].reused;
        response.bytes().await.unwrap();
        reused
    };
    let (public, other) = (lab.tls_url("public", "/"), lab.tls_url("other", "/"));
    assert!(!get(public.clone()).await);
    assert!(get(public.clone()).await, "the same origin");
    assert!(
        !get(other.clone()).await,
        "another name at the same address, though the certificate covers it"
    );
    assert!(
        !get(format!("https://127.0.0.2:{}/", lab.tls().addr().port())).await,
        "the address itself"
    );
    assert!(get(other).await);
    client
        .guard()
        .swap(Source::Shipped, serde_json::json!({}))
        .unwrap();
    assert!(
        !get(public.clone()).await,
        "another generation of the policy"
    );
    assert!(get(public).await);
    let names: Vec<_> = lab
        .tls()
        .handshakes()
        .into_iter()
        .map(|handshake| handshake.sni)
        .collect();
    let expected = [
        "public.lab.example.com",
        "other.lab.example.com",
        "",
        "public.lab.example.com",
    ];
    assert_eq!(
        names,
        expected.map(|name| (!name.is_empty()).then(|| name.to_owned()))
    );
}

/// 63: octets that follow a response are not the response to the next request.
#[tokio::test(flavor = "multi_thread")]
async fn response_splitting() {
    let lab = Lab::start().await.unwrap();
    let client = client(&lab).build();
    let forged = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged";
    let rows = [
        format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok{forged}"),
        format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n{forged}"
        ),
        format!(
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n{forged}"
        ),
        format!("HTTP/1.1 204 No Content\r\n\r\n{forged}"),
    ];
    for octets in rows {
        lab.public().route("/split", Page::raw_open(octets.clone()));
        if let Ok(response) = client.get(&lab.url("public", "/split")).send().await {
            let text = response.text().await.unwrap_or_default();
            assert!(!text.contains("forged"), "{octets}");
        }
        let next = client.get(&lab.url("public", "/")).send().await.unwrap();
        assert_eq!(next.text().await.unwrap(), "a public page\n", "{octets}");
    }
}

/// 64: nobody is told to go elsewhere, and only HTTP/1.1 is offered.
#[tokio::test(flavor = "multi_thread")]
async fn alt_svc_ignored() {
    let lab = Lab::start().await.unwrap();
    let client = client(&lab).build();
    let service = format!(
        "h2=\"127.0.0.3:{0}\", http/1.1=\"127.0.0.3:{0}\"; persist=1",
        lab.tls().addr().port()
    );
    lab.tls()
        .route("/moved", Page::text("here").header("alt-svc", &service));
    for _ in 0..3 {
        let response = client
            .get(&lab.tls_url("public", "/moved"))
            .send()
            .await
            .unwrap();
        assert_eq!(response.hops()[0].peer, lab.tls().addr());
        assert_eq!(response.text().await.unwrap(), "here");
    }
    no_leak(&lab).await;
    for handshake in lab.tls().handshakes() {
        assert!(
            handshake.alpn.is_empty() || handshake.alpn == ["http/1.1"],
            "{handshake:?}"
        );
    }
}

/// 66: a list of allowed networks that covers wrapped addresses is refused; any other opens only itself.
#[tokio::test(flavor = "multi_thread")]
async fn allowed_wrapper_refused() {
    let lab = Lab::start().await.unwrap();
    let guard_allowing = |network: &str| {
        let settings = serde_json::json!({ "networks": { "allow": [network] } });
        guard(&lab).settings(settings).build()
    };
    for network in [
        "::/96",
        "::ffff:0:0/96",
        "64:ff9b::/96",
        "2002::/16",
        "::/0",
        "127.0.0.0/8",
        "0.0.0.0/0",
    ] {
        let Err(LoadError::Settings(problems)) = guard_allowing(network) else {
            panic!("`{network}` is allowed")
        };
        assert!(
            problems[0].path.starts_with("/networks/allow/0"),
            "{network}: {problems:?}"
        );
    }
    let client = Client::new(guard_allowing("10.0.0.0/8").unwrap());
    for host in [
        "127.0.0.3",
        "[::ffff:10.0.0.1]",
        "[64:ff9b::a00:1]",
        "x.mapped.lab.example.com",
    ] {
        let outcome = client
            .get(&format!("http://{host}:{}/", lab.port()))
            .send()
            .await;
        denied(host, outcome);
    }
    no_leak(&lab).await;
}

/// 67: a wide grant does not reach the guard's own listeners; one for exactly this socket does.
#[tokio::test(flavor = "multi_thread")]
async fn own_listener_refused() {
    let lab = Lab::start().await.unwrap();
    let own = lab.internal().addr();
    let url = format!("http://{own}/");
    let rows = [
        ("127.0.0.0/8".to_owned(), "address-own"),
        (own.to_string(), "200 OK"),
    ];
    for (grant, expected) in rows {
        let guard = guard(&lab)
            .grants([grant.parse().unwrap()])
            .listeners([own])
            .build()
            .unwrap();
        let outcome = code(Client::new(guard).get(&url).send().await);
        assert!(outcome.starts_with(expected), "{grant}: {outcome}");
    }
    assert_eq!(lab.internal().connections(), 1);
}

/// 69: a refusal comes before any socket, and does not tell what is inside.
#[tokio::test(flavor = "multi_thread")]
async fn refusal_names_no_address() {
    let lab = Lab::start().await.unwrap();
    let decisions = Journal::default();
    let client = Client::new(guard(&lab).observer(decisions.clone()).build().unwrap());
    // One port where a canary listens, one where nobody does.
    for port in [lab.port(), 9] {
        for host in [
            "127.0.0.3",
            "internal.lab.example.com",
            "x.mixed.lab.example.com",
        ] {
            let error = client
                .get(&format!("http://{host}:{port}/"))
                .send()
                .await
                .unwrap_err();
            let text = format!("{error}");
            assert!(text.starts_with("refused at stage `"), "{text}");
            assert!(
                !text.contains("127.") && !text.contains("lab.example"),
                "{text}"
            );
        }
    }
    no_leak(&lab).await;
    let decisions = decisions.take();
    assert_eq!(decisions.len(), 6);
    assert!(
        decisions
            .iter()
            .all(|decision| decision.outcome.denial().is_some())
    );
    assert!(
        decisions
            .iter()
            .all(|decision| decision.timings.connect.is_zero())
    );
}

/// 71: a small body that becomes a large one.
#[tokio::test(flavor = "multi_thread")]
async fn decompression_bomb() {
    let lab = Lab::start().await.unwrap();
    let client = client(&lab)
        .limits(limits(|limits| limits.response_bytes = 4 << 20))
        .build();
    for path in ["/bomb", "/bomb-deflate"] {
        let response = client.get(&lab.url("public", path)).send().await.unwrap();
        let error = response.bytes().await.unwrap_err();
        assert_eq!(
            error.denial().unwrap().code(),
            "response-inflated",
            "{path}"
        );
    }
    let honest = client
        .get(&lab.url("public", "/gzip"))
        .send()
        .await
        .unwrap();
    assert_eq!(honest.text().await.unwrap(), "a public page in gzip\n");
}

/// 71: a body that does not end, or not as it said.
#[tokio::test(flavor = "multi_thread")]
async fn endless_body() {
    let lab = Lab::start().await.unwrap();
    let client = client(&lab)
        .limits(limits(|limits| limits.response_bytes = 1 << 20))
        .build();
    let rows = [
        ("/endless", "response-too-large"),
        ("/bytes/2000000", "response-too-large"),
        ("/too-short", "connection-lost"),
    ];
    for (path, expected) in rows {
        let outcome = client.get(&lab.url("public", path)).send().await;
        let code = match outcome {
            Ok(response) => response
                .bytes()
                .await
                .unwrap_err()
                .denial()
                .unwrap()
                .code()
                .to_owned(),
            failed => code(failed),
        };
        assert_eq!(code, expected, "{path}");
    }
    let own = client
        .get(&lab.url("public", "/bytes/1000"))
        .max_bytes(999)
        .send()
        .await;
    assert!(match own {
        Ok(response) => response.bytes().await.is_err(),
        Err(_) => true,
    });
}

/// 71: a server that takes its time, in each part of the exchange.
#[tokio::test(flavor = "multi_thread")]
async fn slow_headers() {
    let lab = Lab::start().await.unwrap();
    let client = client(&lab)
        .limits(limits(|limits| limits.total = DEADLINE))
        .build();
    for path in ["/slow-headers", "/slow-body", "/silence"] {
        let start = Instant::now();
        let error = match client.get(&lab.url("public", path)).send().await {
            Ok(response) => response.bytes().await.unwrap_err(),
            Err(error) => error,
        };
        assert!(error.is_timeout(), "{path}: {error}");
        assert!(
            start.elapsed() < 3 * DEADLINE,
            "{path}: {:?}",
            start.elapsed()
        );
    }
}

/// 71: heads without end, interim responses without end, no head at all.
#[tokio::test(flavor = "multi_thread")]
async fn endless_head() {
    let lab = Lab::start().await.unwrap();
    let client = client(&lab)
        .limits(limits(|limits| limits.total = DEADLINE))
        .build();
    let many = "x: y\r\n".repeat(5000);
    lab.public()
        .route("/many", Page::raw(format!("HTTP/1.1 200 OK\r\n{many}\r\n")))
        .route(
            "/interim",
            Page::raw("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(200_000)),
        )
        .route(
            "/switch",
            Page::raw("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n"),
        )
        .route("/nonsense", Page::raw("\u{0}\u{1}\u{2}\r\n\r\n"));
    for path in [
        "/huge-headers",
        "/many",
        "/interim",
        "/switch",
        "/nonsense",
        "/early-close",
    ] {
        let start = Instant::now();
        let outcome = client.get(&lab.url("public", path)).send().await;
        assert!(
            matches!(outcome, Err(Error::Exchange(..))),
            "{path}: {}",
            code(outcome)
        );
        assert!(
            start.elapsed() < 3 * DEADLINE,
            "{path}: {:?}",
            start.elapsed()
        );
    }
}

/// 71: redirects without end.
#[tokio::test(flavor = "multi_thread")]
async fn redirect_loop() {
    let lab = Lab::start().await.unwrap();
    let client = client(&lab).build();
    for path in ["/loop", "/hops/1000"] {
        assert_eq!(
            code(client.get(&lab.url("public", path)).send().await),
            "redirect-too-many",
            "{path}"
        );
    }
    assert!(lab.public().request_count() <= 2 * u64::from(Limits::default().redirects + 1));
    let allowed = client
        .get(&lab.url("public", "/hops/5"))
        .send()
        .await
        .unwrap();
    assert_eq!(allowed.hops().len(), 6);
}

/// A certificate must be valid for the name in the URL, not for the address dialled.
#[tokio::test(flavor = "multi_thread")]
async fn tls_wrong_name() {
    const NAME: &str = "shop.lab.example.com";
    let lab = Lab::start().await.unwrap();
    lab.dns()
        .name(NAME, Strategy::Always(Reply::address(PUBLIC)));
    let client = any_port(&lab, TlsRoots::Only(vec![lab.authority().der()]));
    let authority = lab.authority();
    let rows = [
        ("valid", authority.issue([NAME]).unwrap(), "200 OK"),
        (
            "another name",
            authority.issue(["other.lab.example.com"]).unwrap(),
            "tls-failed",
        ),
        (
            "the address alone",
            authority.issue(["127.0.0.2"]).unwrap(),
            "tls-failed",
        ),
        ("expired", authority.expired([NAME]).unwrap(), "tls-failed"),
        (
            "self-signed",
            Authority::self_signed([NAME]).unwrap(),
            "tls-failed",
        ),
        (
            "another authority",
            Authority::new().unwrap().issue([NAME]).unwrap(),
            "tls-failed",
        ),
    ];
    for (row, identity, expected) in rows {
        let (outcome, server) = fetch_tls(&client, NAME, &identity).await;
        assert!(outcome.starts_with(expected), "{row}: {outcome}");
        assert_eq!(server.handshakes()[0].sni.as_deref(), Some(NAME), "{row}");
        assert_eq!(
            server.request_count() > 0,
            expected == "200 OK",
            "{row}: nothing is sent before"
        );
    }
    let address = authority.issue(["127.0.0.2"]).unwrap();
    let (outcome, server) = fetch_tls(&client, "127.0.0.2", &address).await;
    assert!(outcome.starts_with("200 OK"), "{outcome}");
    assert_eq!(
        server.handshakes()[0].sni,
        None,
        "an address is no server name"
    );
}

/// A server without TLS, and a server that answers TLS with something else.
#[tokio::test(flavor = "multi_thread")]
async fn tls_not_spoken() {
    let lab = Lab::start().await.unwrap();
    let client = client(&lab).build();
    let url = format!("https://public.lab.example.com:{}/", lab.port());
    let error = client.get(&url).timeout(DEADLINE).send().await.unwrap_err();
    assert!(
        matches!(error, Error::Network(..)) || error.is_timeout(),
        "{error}"
    );
    assert_eq!(lab.public().request_count(), 0);
}

async fn fetch_tls(client: &Client, host: &str, identity: &Identity) -> (String, Server) {
    let server = Server::start_tls((PUBLIC, 0), Site::standard(), identity)
        .await
        .unwrap();
    let url = format!("https://{host}:{}/", server.addr().port());
    (code(client.get(&url).send().await), server)
}

/// The guard, or the parser before it, refused.
fn denied(what: &str, outcome: Result<Response, Error>) {
    assert!(
        outcome.as_ref().is_err_and(Error::is_denied),
        "{what:?}: {}",
        code(outcome)
    );
}

/// A client whose guard may dial the public address at every port.
fn any_port(lab: &Lab, roots: TlsRoots) -> Client {
    let guard: Guard = guard(lab)
        .grants([PUBLIC.to_string().parse().unwrap()])
        .build()
        .unwrap();
    Client::builder(guard).tls_roots(roots).build()
}

fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

/// A URL of the public server that redirects.
fn redirect(lab: &Lab, to: &str, status: u16) -> String {
    lab.url(
        "public",
        &format!("/redirect?to={}&status={status}", encoded(to)),
    )
}

fn encoded(text: &str) -> String {
    text.bytes().map(|octet| format!("%{octet:02x}")).collect()
}
