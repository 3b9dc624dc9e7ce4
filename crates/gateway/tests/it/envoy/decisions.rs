//! What an Envoy is told: addresses that were judged, or what its client gets instead.

use std::net::SocketAddr;

use pinfold_gateway::envoy::wire::{Answer, CheckRequest};
use tokio::net::UdpSocket;

use super::{
    ENVOY, Envoy, INTERNAL_NAME, PUBLIC_NAME, connect, denied, get, meta, of_http, pins, sni,
    stage, stage_with_dns, with_field,
};
use crate::support::{Proxy, logged};

/// A name, what is asked, the addresses, the name for TLS, the kind.
type Allowed<'a> = (
    &'a str,
    CheckRequest,
    &'a [&'a str],
    Option<&'a str>,
    &'a str,
);

#[tokio::test]
async fn what_is_allowed_has_addresses_and_the_name() {
    let proxy = stage("").await;
    let mut envoy = Envoy::connect(&proxy).await;
    let tls = [("pinfold-upstream", "tls")];
    let port = |name: &str, port: u16| format!("{name}:{port}");
    let rows: [Allowed<'_>; 9] = [
        (
            "a request",
            get(PUBLIC_NAME),
            &["127.0.0.2:80"],
            Some(PUBLIC_NAME),
            "forward",
        ),
        (
            "a tunnel",
            connect(&port(PUBLIC_NAME, 443)),
            &["127.0.0.2:443"],
            Some(PUBLIC_NAME),
            "connect",
        ),
        (
            "case, root dot",
            get("PUBLIC.lab.Example.com.:81"),
            &["127.0.0.2:81"],
            Some(PUBLIC_NAME),
            "forward",
        ),
        (
            "TLS by Envoy",
            of_http("GET", PUBLIC_NAME, "/", &tls),
            &["127.0.0.2:443"],
            Some(PUBLIC_NAME),
            "forward",
        ),
        (
            "a server name",
            sni("Public.lab.example.com"),
            &["127.0.0.2:443"],
            Some(PUBLIC_NAME),
            "sni",
        ),
        (
            "IPv6",
            connect("six.lab.example.com:81"),
            &["[::1]:81"],
            Some("six.lab.example.com"),
            "connect",
        ),
        (
            "a literal",
            get("127.0.0.2:81"),
            &["127.0.0.2:81"],
            None,
            "forward",
        ),
        (
            "a literal of IPv6",
            get("[::1]:81"),
            &["[::1]:81"],
            None,
            "forward",
        ),
        (
            "several, as many as are wanted, in order",
            get("many.lab.example.com:81"),
            &["127.0.0.2:81", "127.0.0.4:81", "127.0.0.5:81"],
            Some("many.lab.example.com"),
            "forward",
        ),
    ];
    for (row, question, expected, name, kind) in rows {
        let answer = envoy.check(&question).await;
        assert_eq!(pins(&answer), expected, "{row}");
        assert_eq!(meta(&answer, "sni"), name, "{row}");
        assert_eq!(meta(&answer, "generation"), Some("1"), "{row}");
        assert_eq!(meta(&answer, "policy").map(str::len), Some(64), "{row}");
        assert_eq!(meta(&answer, "reason"), None, "{row}");
        let Some(Answer::Ok(ok)) = &answer.answer else {
            panic!("{row}: {answer:?}");
        };
        assert_eq!(
            ok.headers_to_remove,
            ["proxy-authorization", "proxy-connection"]
        );
        let id = meta(&answer, "request_id").unwrap().to_owned();
        let line = proxy.logged(|line| line["request_id"] == id.as_str()).await;
        assert_eq!(line["kind"], kind, "{row}: {line}");
        assert_eq!(line["listener"], "envoy", "{row}");
        assert_eq!(line["client"], "10.9.8.7:4321", "{row}");
        assert_eq!(line["decision"]["verdict"], "allow", "{row}");
        assert!(line["decision"]["dialed"].is_null(), "{row}: {line}");
    }
}

#[tokio::test]
async fn there_are_as_many_addresses_as_the_configuration_says() {
    for (wanted, expected) in [(1, 1), (8, 5)] {
        let proxy = stage(&format!("[envoy]\npins = {wanted}\ntls_port = 8443")).await;
        let mut envoy = Envoy::connect(&proxy).await;
        let answer = envoy.check(&get("many.lab.example.com:81")).await;
        assert_eq!(pins(&answer).len(), expected, "{wanted}: {answer:?}");
        let answer = envoy.check(&sni(PUBLIC_NAME)).await;
        assert_eq!(pins(&answer), ["127.0.0.2:8443"]);
        let both = envoy.check(&get("both.lab.example.com:81")).await;
        assert_eq!(pins(&both).len(), expected.min(2), "{both:?}");
    }
}

#[tokio::test]
async fn what_is_refused_says_why_and_no_address() {
    let proxy = stage("").await;
    let mut envoy = Envoy::connect(&proxy).await;
    let mut https = get(PUBLIC_NAME);
    let attributes = https.attributes.as_mut().unwrap();
    let http = attributes.request.as_mut().unwrap().http.as_mut().unwrap();
    http.scheme = "https".into();
    let rows = [
        (
            "an internal address",
            get(INTERNAL_NAME),
            403,
            "address-not-public",
            "decision",
        ),
        (
            "one of several",
            get("mixed.lab.example.com"),
            403,
            "answers-mixed",
            "decision",
        ),
        (
            "a tunnel",
            connect("internal.lab.example.com:443"),
            403,
            "address-not-public",
            "decision",
        ),
        (
            "a server name",
            sni(INTERNAL_NAME),
            403,
            "address-not-public",
            "decision",
        ),
        (
            "no such name",
            get("none.lab.example.com"),
            504,
            "resolve-timeout",
            "decision",
        ),
        (
            "metadata",
            get("169.254.169.254"),
            403,
            "address-metadata",
            "decision",
        ),
        (
            "an odd literal",
            get("0x7f.3"),
            403,
            "address-floor",
            "decision",
        ),
        (
            "its own listener",
            get(&proxy.address().to_string()),
            403,
            "address-floor",
            "decision",
        ),
        (
            "mapped",
            get("[::ffff:127.0.0.2]:81"),
            403,
            "address-floor",
            "decision",
        ),
        (
            "two hosts",
            get("a.test,b.test"),
            400,
            "host-malformed",
            "refused",
        ),
        ("another scheme", https, 403, "scheme-differs", "refused"),
        (
            "a label of ours",
            of_http("GET", PUBLIC_NAME, "/", &[("kind", "x")]),
            403,
            "label-reserved",
            "refused",
        ),
        ("no server name", sni(""), 403, "sni-missing", "refused"),
        (
            "nothing",
            CheckRequest::default(),
            403,
            "sni-missing",
            "refused",
        ),
    ];
    for (row, question, status, code, event) in rows {
        let answer = envoy.check(&question).await;
        assert_eq!(answer.status.as_ref().unwrap().code, 7, "{row}");
        let (told, fields, body) = denied(&answer);
        assert_eq!(
            fields.get("pinfold-reason"),
            Some(&code),
            "{row}: {fields:?}"
        );
        assert_eq!(told, status, "{row}: {fields:?}");
        assert_eq!(fields["content-type"], "text/plain; charset=utf-8", "{row}");
        assert!(fields.contains_key("pinfold-stage"), "{row}");
        assert!(
            body.contains(code) && body.contains("hint: "),
            "{row}: {body}"
        );
        assert!(
            !format!("{answer:?}").contains("127.0.0."),
            "{row}: {answer:?}"
        );
        assert_eq!(meta(&answer, "reason"), Some(code), "{row}");
        assert!(
            pins(&answer).is_empty() && meta(&answer, "sni").is_none(),
            "{row}"
        );
        let id = fields["pinfold-request-id"];
        assert_eq!(meta(&answer, "request_id"), Some(id), "{row}");
        let line = proxy.logged(|line| line["request_id"] == id).await;
        assert_eq!(line["event"], event, "{row}: {line}");
    }
}

#[tokio::test]
async fn a_client_that_reads_json_gets_json() {
    let proxy = stage("").await;
    let mut envoy = Envoy::connect(&proxy).await;
    let question = with_field(get(INTERNAL_NAME), "accept", "application/json");
    let answer = envoy.check(&question).await;
    let (_, fields, body) = denied(&answer);
    assert_eq!(fields["content-type"], "application/json");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["error"]["code"], "address-not-public");
    assert_eq!(body["error"]["request_id"], fields["pinfold-request-id"]);
}

#[tokio::test]
async fn an_envoy_vouches_for_its_clients_where_it_may() {
    let over = |identity: &str| {
        let listener = format!("protocols = ['envoy']\nidentity = {{{identity}}}");
        ENVOY.replace("protocols = ['envoy']", &listener)
    };
    let rows = [
        ("nobody is asked", "", None, None),
        ("it may", "ways = ['envoy']", Some("spiffe://lab/a"), None),
        (
            "it has to",
            "ways = ['envoy'], required = true",
            Some("spiffe://lab/a"),
            Some(403),
        ),
    ];
    for (row, identity, subject, without) in rows {
        let proxy = Proxy::with(&over(identity)).await;
        let mut envoy = Envoy::connect(&proxy).await;
        let answer = envoy.check(&get(PUBLIC_NAME)).await;
        let id = meta(&answer, "request_id").unwrap().to_owned();
        let line = proxy.logged(|line| line["request_id"] == id.as_str()).await;
        assert_eq!(line["subject"].as_str(), subject, "{row}");
        assert_eq!(line["decision"]["subject"].as_str(), subject, "{row}");
        assert_eq!(line["way"].as_str(), subject.map(|_| "envoy"), "{row}");

        // What a client writes is nobody's name.
        let mut nameless = with_field(
            get(PUBLIC_NAME),
            "x-forwarded-client-cert",
            "URI=spiffe://lab/b",
        );
        let attributes = nameless.attributes.as_mut().unwrap();
        attributes.source.as_mut().unwrap().principal.clear();
        let answer = envoy.check(&nameless).await;
        match without {
            None => assert_eq!(pins(&answer).len(), 1, "{row}"),
            Some(status) => {
                let (told, fields, _) = denied(&answer);
                assert_eq!(
                    (told, fields["pinfold-reason"]),
                    (status, "identity-missing"),
                    "{row}"
                );
            }
        }
    }
}

#[tokio::test]
async fn who_asks_too_often_waits() {
    let rows = [
        (
            "a subject",
            "[limits.subject]\nrate = 1\nburst = 2",
            429,
            "limit-subject-rate",
        ),
        ("all", "[limits]\nrate = 1\nburst = 2", 503, "limit-rate"),
    ];
    for (row, over, status, code) in rows {
        let proxy = stage(over).await;
        let mut envoy = Envoy::connect(&proxy).await;
        let mut last = None;
        for _ in 0..20 {
            let answer = envoy.check(&get(PUBLIC_NAME)).await;
            if pins(&answer).is_empty() {
                last = Some(answer);
                break;
            }
        }
        let last = last.expect("20 requests are more than a burst of 2");
        let (told, fields, _) = denied(&last);
        assert_eq!((told, fields["pinfold-reason"]), (status, code), "{row}");
        assert_eq!(fields["retry-after"], "1", "{row}");
        let line = proxy.logged(|line| line["event"] == "refused").await;
        assert_eq!(
            (line["code"].as_str(), line["correlation_id"].as_str()),
            (Some(code), Some("8f2c-1"))
        );
    }
}

/// A name server that never answers.
pub(super) async fn silent() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = socket.local_addr().unwrap();
    (socket, at)
}

#[tokio::test]
async fn a_decision_that_comes_too_late_is_a_refusal_and_one_record() {
    let (_socket, dns) = silent().await;
    let proxy = stage_with_dns("envoy.deadline = '300ms'", dns).await;
    let mut envoy = Envoy::connect(&proxy).await;
    let answer = envoy.check(&get("slow.example.org")).await;
    let (status, fields, _) = denied(&answer);
    assert_eq!(
        (status, fields["pinfold-reason"]),
        (504, "deadline-exceeded")
    );
    let id = fields["pinfold-request-id"].to_owned();
    let line = proxy.logged(|line| line["request_id"] == id.as_str()).await;
    assert_eq!(line["event"], "decision");
    assert_eq!(line["decision"]["verdict"], "failed");
    assert_eq!(line["decision"]["code"], "deadline-exceeded");
    assert_eq!(line["correlation_id"], "8f2c-1");
    // What comes after it is told after it: there is no second line about the first.
    let next = envoy.check(&get(PUBLIC_NAME)).await;
    let next = meta(&next, "request_id").unwrap().to_owned();
    proxy
        .logged(|line| line["request_id"] == next.as_str())
        .await;
    let lines = proxy.log().into_iter();
    assert_eq!(
        lines
            .filter(|line| line["request_id"] == id.as_str())
            .count(),
        1
    );
}

#[tokio::test]
async fn an_envoy_that_waits_less_is_answered_sooner() {
    let (_socket, dns) = silent().await;
    let proxy = stage_with_dns("envoy.deadline = '10s'", dns).await;
    let mut envoy = Envoy::connect(&proxy).await;
    let message = prost::Message::encode_to_vec(&get("slow.example.org"));
    let mut request = super::call(super::wire::CHECK, super::framed(&message));
    let time = "250m".parse().unwrap();
    request.headers_mut().insert("grpc-timeout", time);
    let began = std::time::Instant::now();
    let reply = envoy.send(request).await;
    assert_eq!(denied(&reply.message()).0, 504);
    // Far less than the gateway would have taken by itself.
    assert!(began.elapsed().as_secs() < 8, "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_envoy_that_gives_up_is_no_deadline() {
    let (socket, dns) = silent().await;
    let proxy = stage_with_dns("envoy.deadline = '10s'", dns).await;
    let mut envoy = Envoy::connect(&proxy).await;
    let message = prost::Message::encode_to_vec(&get("slow.example.org"));
    let request = super::call(super::wire::CHECK, super::framed(&message));
    let asking = tokio::spawn(envoy.sender.send_request(request));
    // The question is there once the lookup has begun.
    crate::support::within("a lookup", socket.readable())
        .await
        .unwrap();
    asking.abort();
    let line = logged(proxy.folder(), |line| line["event"] == "decision").await;
    assert_eq!(line["decision"]["code"], "abandoned", "{line}");
}
