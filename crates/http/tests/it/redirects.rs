//! Redirects: each hop is judged, and little goes along.

use futures_util::stream;
use http::StatusCode;
use pinfold_http::{Body, Client, TlsRoots};
use serde_json::json;

use crate::support::{
    INTERNAL, Journal, PUBLIC, Reply, Server, client, guard, limited, ok, redirect, response,
};

/// Redirects `/` with this status to `location`, and answers everything else.
async fn redirecting(status: u16, location: String) -> Server {
    Server::start(PUBLIC, move |seen| match seen.path() {
        "/" => redirect(status, &location),
        _ => ok("arrived"),
    })
    .await
}

#[tokio::test]
async fn a_chain_is_followed_and_told() {
    let server = Server::start(PUBLIC, |seen| match seen.path() {
        "/" => redirect(302, "/a?x=1"),
        "/a?x=1" => redirect(307, "b"),
        _ => ok("arrived"),
    })
    .await;
    let response = client().get(&server.url("/")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.url().to_string(), server.url("/b"));
    let hops: Vec<_> = response
        .hops()
        .iter()
        .map(|hop| {
            (
                hop.target.path().to_owned(),
                hop.status.as_u16(),
                hop.reused,
            )
        })
        .collect();
    assert_eq!(
        hops,
        [
            ("/".into(), 302, false),
            ("/a".into(), 307, true),
            ("/b".into(), 200, true)
        ]
    );
    assert_eq!(response.text().await.unwrap(), "arrived");
    assert_eq!(
        server.opened(),
        1,
        "redirects within an origin share a connection"
    );
}

#[tokio::test]
async fn a_redirect_to_the_inside_is_denied_before_a_socket_is_opened() {
    let inside = Server::start(INTERNAL, |_| ok("canary")).await;
    let rows = [
        ("literal", inside.url("/")),
        ("name", inside.named("internal.example.com", "/")),
        (
            "mapped",
            format!("http://[::ffff:127.0.0.3]:{}/", inside.addr.port()),
        ),
        (
            "decimal",
            format!("http://2130706435:{}/", inside.addr.port()),
        ),
        (
            "metadata",
            "http://169.254.169.254/latest/meta-data/".into(),
        ),
        (
            "localhost",
            format!("http://localhost:{}/", inside.addr.port()),
        ),
    ];
    for (name, location) in rows {
        let server = redirecting(302, location).await;
        let error = client().get(&server.url("/")).send().await.unwrap_err();
        assert!(error.is_denied(), "{name}: {error:?}");
        assert_eq!(error.decision().unwrap().hop, 1, "{name}");
    }
    assert_eq!(inside.opened(), 0);
}

#[tokio::test]
async fn locations_that_read_two_ways_are_denied() {
    let rows = [
        ("http:127.0.0.2", "url-ambiguous"),
        ("http://one.example.com\\@two.example.com/", "url-backslash"),
        ("gopher://one.example.com/", "scheme-unsupported"),
        ("ws://one.example.com/", "scheme-unsupported"),
        ("http://:0/", "url-invalid"),
    ];
    for (location, code) in rows {
        let server = redirecting(301, location.into()).await;
        let error = client().get(&server.url("/")).send().await.unwrap_err();
        assert_eq!(error.denial().unwrap().code(), code, "{location}");
        assert!(error.is_denied(), "{location}");
    }
}

#[tokio::test]
async fn two_locations_are_refused_and_none_is_a_response() {
    let server = Server::start(PUBLIC, move |seen| {
        let headers = match seen.path() {
            "/two" => "Location: /a\r\nLocation: /b\r\n",
            _ => "",
        };
        Reply::Bytes(response("302 Found", headers, b"read me"))
    })
    .await;
    let error = client().get(&server.url("/two")).send().await.unwrap_err();
    assert_eq!(error.denial().unwrap().code(), "redirect-invalid");

    let response = client().get(&server.url("/none")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::FOUND);
    assert_eq!(response.text().await.unwrap(), "read me");
}

#[tokio::test]
async fn an_error_says_which_redirect_it_happened_in() {
    let server = Server::start(PUBLIC, |seen| match seen.path() {
        "/inside" => redirect(302, "/hop"),
        "/hop" => redirect(302, "http://169.254.169.254/latest"),
        "/name" => redirect(302, "https://metadata.google.internal/x?y"),
        "/unread" => redirect(302, "http:127.0.0.2"),
        "/loop" => redirect(302, "/loop"),
        "/large" => redirect(302, "/body"),
        "/body" => Reply::Bytes(response("200 OK", "", &[b'x'; 4096])),
        _ => unreachable!(),
    })
    .await;
    let port = server.addr.port();
    let rows = [
        (
            "/inside",
            2,
            " to `http://(address):80`: refused at stage `address`: address-metadata",
        ),
        (
            "/name",
            1,
            " to `https://metadata.google.internal`: refused at stage `name`: name-metadata",
        ),
        ("/unread", 1, ": refused at stage `parse`: url-ambiguous"),
        (
            "/loop",
            6,
            ": refused at stage `redirect`: redirect-too-many",
        ),
        (
            "/large",
            1,
            ": refused at stage `exchange`: response-too-large",
        ),
    ];
    let client = limited(|limits| limits.response_bytes = 1024);
    for (path, number, rest) in rows {
        let url = server.named("one.example.com", path);
        let error = client.get(&url).send().await.unwrap_err();
        let expected = format!("redirect {number} from `http://one.example.com:{port}`");
        let text = error.to_string();
        assert!(text.starts_with(&expected), "{path}: {text}");
        assert!(text.ends_with(rest), "{path}: {text}");
        let redirect = error.redirect().unwrap();
        assert_eq!(redirect.number(), number, "{path}");
        assert_eq!(redirect.hops()[0].target.to_string(), url, "{path}");
        assert_eq!(redirect.hops().len(), number, "{path}");
    }
    let error = client.get("http://169.254.169.254/").send().await;
    let error = error.unwrap_err();
    assert!(error.redirect().is_none());
    assert_eq!(
        error.to_string(),
        "refused at stage `address`: address-metadata"
    );
}

#[tokio::test]
async fn redirects_are_bounded() {
    let server = Server::start(PUBLIC, |_| redirect(302, "/")).await;
    let error = client().get(&server.url("/")).send().await.unwrap_err();
    assert_eq!(error.denial().unwrap().code(), "redirect-too-many");
    assert_eq!(server.seen().len(), 6, "the first and five redirects");

    let error = client()
        .get(&server.url("/"))
        .max_redirects(1)
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.denial().unwrap().code(), "redirect-too-many");
    assert_eq!(server.seen().len(), 8);
}

#[tokio::test]
async fn a_budget_of_none_hands_the_redirect_over() {
    let server = Server::start(PUBLIC, |_| redirect(302, "http://127.0.0.3/")).await;
    for (name, request) in [
        ("request", client().get(&server.url("/")).max_redirects(0)),
        (
            "client",
            limited(|limits| limits.redirects = 0)
                .get(&server.url("/"))
                .max_redirects(9),
        ),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::FOUND, "{name}");
        assert_eq!(
            response.headers()["location"],
            "http://127.0.0.3/",
            "{name}"
        );
        assert_eq!(response.text().await.unwrap(), "elsewhere", "{name}");
    }
}

#[tokio::test]
async fn the_policy_bounds_redirects_too() {
    let server = Server::start(PUBLIC, |_| redirect(302, "/")).await;
    let guard = guard()
        .settings(json!({"limits": {"redirects": 1}}))
        .build()
        .unwrap();
    let client = Client::builder(guard)
        .tls_roots(TlsRoots::Only(Vec::new()))
        .build();
    let error = client.get(&server.url("/")).send().await.unwrap_err();
    assert_eq!(error.denial().unwrap().code(), "redirect-too-many");
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn methods_and_bodies_follow_the_table() {
    let rows = [
        (301, "POST", "GET", ""),
        (302, "POST", "GET", ""),
        (302, "PUT", "PUT", "body"),
        (303, "PUT", "GET", ""),
        (303, "DELETE", "GET", ""),
        (307, "POST", "POST", "body"),
        (308, "PUT", "PUT", "body"),
    ];
    for (status, before, after, body) in rows {
        let server = redirecting(status, "/next".into()).await;
        let method = http::Method::from_bytes(before.as_bytes()).unwrap();
        let request = client()
            .request(method, &server.url("/"))
            .header("content-type", "text/x");
        request.body("body").send().await.unwrap();
        let seen = server.last();
        assert_eq!(
            (seen.method(), seen.body.as_slice()),
            (after, body.as_bytes()),
            "{status} {before}"
        );
        let kept = (!body.is_empty()).then_some("text/x");
        assert_eq!(seen.header("content-type"), kept, "{status} {before}");
    }
}

#[tokio::test]
async fn a_stream_is_not_sent_twice() {
    let server = redirecting(307, "/next".into()).await;
    let stream = || Body::stream(stream::iter([Ok::<_, std::io::Error>("once")]));
    let error = client()
        .post(&server.url("/"))
        .body(stream())
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.denial().unwrap().code(), "redirect-body");
    assert_eq!(server.seen().len(), 1);

    let server = redirecting(303, "/next".into()).await;
    let response = client()
        .post(&server.url("/"))
        .body(stream())
        .send()
        .await
        .unwrap();
    assert_eq!(
        response.text().await.unwrap(),
        "arrived",
        "303 needs no body"
    );
}

#[tokio::test]
async fn secrets_do_not_cross_origins_and_do_not_come_back() {
    let secrets = ["authorization", "cookie", "x-api-key", "referer"];
    let back = Server::start(PUBLIC, |_| ok("back")).await;
    let back_url = back.named("one.example.com", "/back");
    let server = Server::start(PUBLIC, move |seen| match seen.path() {
        "/" => redirect(
            302,
            &format!(
                "http://two.example.com:{}/two",
                port(seen.header("host").unwrap())
            ),
        ),
        "/two" => redirect(302, &back_url),
        _ => unreachable!(),
    })
    .await;
    let mut request = client()
        .get(&server.named("one.example.com", "/"))
        .header("accept-language", "de");
    for name in secrets {
        request = request.header(name, "secret");
    }
    request.send().await.unwrap();
    let seen = server.seen();
    for name in secrets {
        assert_eq!(
            seen[0].header(name),
            Some("secret"),
            "{name} goes where the caller sends it"
        );
        assert_eq!(seen[1].header(name), None, "{name} at the other host");
        assert_eq!(
            back.last().header(name),
            None,
            "{name} at the first host, other port"
        );
    }
    assert_eq!(seen[1].header("accept-language"), Some("de"));
    assert!(
        seen[1]
            .header("host")
            .unwrap()
            .starts_with("two.example.com:")
    );
}

fn port(authority: &str) -> &str {
    authority.rsplit(':').next().unwrap()
}

#[tokio::test]
async fn a_large_body_of_a_redirect_is_not_read() {
    let server = Server::start(PUBLIC, |seen| match seen.path() {
        "/" => Reply::Endless(
            b"HTTP/1.1 302 Found\r\nLocation: /next\r\nContent-Length: 99999999\r\n\r\n".to_vec(),
            vec![b'x'; 4096],
        ),
        _ => ok("arrived"),
    })
    .await;
    let response = client().get(&server.url("/")).send().await.unwrap();
    assert_eq!(response.text().await.unwrap(), "arrived");
    assert_eq!(server.opened(), 2, "the first connection is not used again");
}

#[tokio::test]
async fn each_hop_leaves_one_record_under_one_policy() {
    let server = redirecting(302, "/next".into()).await;
    let journal = Journal::default();
    let guard = guard().observer(journal.clone()).build().unwrap();
    let client = Client::builder(guard)
        .tls_roots(TlsRoots::Only(Vec::new()))
        .build();
    let response = client
        .get(&server.url("/"))
        .subject("user-7")
        .send()
        .await
        .unwrap();
    let hops: Vec<u64> = response.hops().iter().map(|hop| hop.decision).collect();
    let records = journal.all();
    assert_eq!(
        records.iter().map(|record| record.id).collect::<Vec<_>>(),
        hops
    );
    assert_eq!(
        records.iter().map(|record| record.hop).collect::<Vec<_>>(),
        [0, 1]
    );
    assert!(
        records
            .iter()
            .all(|record| record.subject.as_deref() == Some("user-7"))
    );
}
