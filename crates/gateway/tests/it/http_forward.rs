//! Requests in absolute form: what travels on, what comes back, what ends them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::support::{Client, Echo, PUBLIC, Proxy, field, status, until};

fn get(authority: &str, fields: &str) -> String {
    format!("GET http://{authority}/a?b=c HTTP/1.1\r\n{fields}\r\n")
}

const NAME: &str = "public.lab.example.com";

/// A server that answers every request with these bytes, and closes.
async fn answers(bytes: impl Into<Vec<u8>>) -> Echo {
    let bytes = bytes.into();
    Echo::serve(PUBLIC, move |stream| {
        let bytes = bytes.clone();
        async move {
            let mut stream = stream;
            read_head(&mut stream).await;
            let _ = stream.write_all(&bytes).await;
        }
    })
    .await
}

async fn read_head(stream: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
}

#[tokio::test]
async fn a_body_that_does_not_go_on_is_told_so() {
    let server = Echo::serve(PUBLIC, |mut stream| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let proxy = Proxy::with("[tunnels]\nresponse = \"1s\"").await;
    let mut client = proxy.client().await;
    let at = server.at(NAME);
    let post = format!("POST http://{at}/ HTTP/1.1\r\nContent-Length: 10\r\n\r\nsome");
    client.send(post.as_bytes()).await;
    let (head, body) = client.answer().await;
    assert_eq!(status(&head), 408, "{head}");
    assert_eq!(field(&head, "pinfold-reason"), Some("request-body-timeout"));
    assert_eq!(field(&head, "connection"), Some("close"));
    assert!(
        String::from_utf8(body)
            .unwrap()
            .contains("hint: send the body")
    );
    client.ended().await;
    let end = proxy.logged(|line| line["event"] == "end").await;
    assert_eq!(end["closing"], "idle");
}

#[tokio::test]
async fn only_what_is_for_the_server_reaches_it() {
    let server = Echo::http(PUBLIC).await;
    let proxy = Proxy::start().await;
    let fields = "Host: internal.lab.example.com\r\nAccept: */*\r\nAuthorization: Basic YTpi\r\n\
        Connection: keep-alive, X-Named\r\nX-Named: secret\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\n\
        Proxy-Authorization: Basic eDp5\r\nProxy-Connection: keep-alive\r\nPinfold-Request-Id: forged\r\n\
        traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
    let mut client = proxy.client().await;
    client.send(get(&server.at(NAME), fields).as_bytes()).await;
    let (head, seen) = client.answer().await;
    assert_eq!(status(&head), 200, "{head}");
    assert!(field(&head, "pinfold-request-id").is_some());
    let seen = String::from_utf8(seen).unwrap().to_ascii_lowercase();
    assert!(seen.starts_with("get /a?b=c http/1.1\r\n"), "{seen}");
    for kept in [
        "accept: */*",
        "authorization: basic ytpi",
        "traceparent: 00-0af7651916cd43dd",
    ] {
        assert!(seen.contains(kept), "{kept}: {seen}");
    }
    assert!(
        seen.contains(&format!("host: {}\r\n", server.at(NAME))),
        "{seen}"
    );
    for gone in [
        "internal",
        "x-named",
        "secret",
        "keep-alive",
        "te:",
        "proxy-",
        "edp5",
        "pinfold",
        "via",
        "forwarded",
    ] {
        assert!(!seen.contains(gone), "{gone}: {seen}");
    }
    let told = proxy.logged(|line| line["code"] == "host-differs").await;
    assert_eq!(told["event"], "tunnel");
}

#[tokio::test]
async fn connections_are_kept_on_both_sides() {
    let server = Echo::http(PUBLIC).await;
    let proxy = Proxy::start().await;
    let mut client = proxy.client().await;
    let request = get(&server.at(NAME), "");
    for _ in 0..5 {
        client.send(request.as_bytes()).await;
        let (head, _) = client.answer().await;
        assert_eq!(status(&head), 200);
    }
    client.send(request.repeat(3).as_bytes()).await;
    for _ in 0..3 {
        let (head, _) = client.answer().await;
        assert_eq!(status(&head), 200, "pipelined");
    }
    assert_eq!(server.accepted(), 1);
    client
        .send(get(&server.at(NAME), "Connection: close\r\n").as_bytes())
        .await;
    client.answer().await;
    client.ended().await;
}

#[tokio::test]
async fn http_1_0_is_served_and_closed() {
    let server = Echo::http(PUBLIC).await;
    let proxy = Proxy::start().await;
    let mut client = proxy.client().await;
    let request = format!("GET http://{}/ HTTP/1.0\r\n\r\n", server.at(NAME));
    client.send(request.as_bytes()).await;
    let (head, _) = client.answer().await;
    assert!(head.starts_with("HTTP/1.0 200"), "{head}");
    client.ended().await;
}

#[tokio::test]
async fn a_server_cannot_speak_for_the_proxy() {
    let server = answers(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nPinfold-Reason: host-denied\r\nPinfold-Request-Id: forged\r\n\
         Proxy-Status: pinfold; error=dns_error\r\nProxy-Authenticate: Basic\r\nConnection: close, X-Named\r\n\
         X-Named: 1\r\nX-Kept: 1\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\nok",
    )
    .await;
    let proxy = Proxy::start().await;
    let mut client = proxy.client().await;
    client.send(get(&server.at(NAME), "").as_bytes()).await;
    let (head, body) = client.answer().await;
    assert_eq!(body, b"ok");
    assert_ne!(field(&head, "pinfold-request-id"), Some("forged"));
    for gone in [
        "pinfold-reason",
        "proxy-status",
        "proxy-authenticate",
        "x-named",
    ] {
        assert_eq!(field(&head, gone), None, "{head}");
    }
    assert_eq!(field(&head, "x-kept"), Some("1"));
    assert_eq!(head.matches("set-cookie").count(), 2);
    // The client's connection is the client's business.
    client.send(get(&server.at(NAME), "").as_bytes()).await;
    let (head, _) = client.answer().await;
    assert_eq!(status(&head), 200);
}

#[tokio::test]
async fn what_cannot_be_served_says_why() {
    let proxy = Proxy::start().await;
    let closed = {
        let server = Echo::start(PUBLIC).await;
        server.at(NAME)
    };
    let rows = [
        (
            "origin form",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            400,
            "origin-form",
        ),
        (
            "asterisk",
            "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            400,
            "origin-form",
        ),
        (
            "HTTP/1.0",
            "GET / HTTP/1.0\r\n\r\n".to_owned(),
            400,
            "origin-form",
        ),
        (
            "https",
            "GET https://public.lab.example.com/ HTTP/1.1\r\n\r\n".to_owned(),
            400,
            "https-needs-connect",
        ),
        (
            "ftp",
            "GET ftp://public.lab.example.com/ HTTP/1.1\r\n\r\n".to_owned(),
            400,
            "scheme-unsupported",
        ),
        (
            "userinfo",
            "GET http://a:b@public.lab.example.com/ HTTP/1.1\r\n\r\n".to_owned(),
            400,
            "userinfo-in-target",
        ),
        (
            "TRACE",
            "TRACE http://public.lab.example.com/ HTTP/1.1\r\n\r\n".to_owned(),
            400,
            "method-not-served",
        ),
        (
            "internal",
            get("internal.lab.example.com", ""),
            403,
            "address-not-public",
        ),
        (
            "mixed",
            get("mixed.lab.example.com", ""),
            403,
            "answers-mixed",
        ),
        (
            "metadata",
            get("169.254.169.254", ""),
            403,
            "address-metadata",
        ),
        (
            "a name that is not",
            get("nowhere.lab.example.com", ""),
            502,
            "resolve-failed",
        ),
        ("nobody listens", get(&closed, ""), 502, "connect-failed"),
    ];
    for (name, request, expected, code) in rows {
        let mut client = proxy.client().await;
        client.send(request.as_bytes()).await;
        let (head, body) = client.answer().await;
        let body = String::from_utf8(body).unwrap();
        assert_eq!(status(&head), expected, "{name}: {head}{body}");
        let reason = field(&head, "pinfold-reason").unwrap();
        if code != "resolve-failed" {
            assert_eq!(reason, code, "{name}");
        }
        assert!(
            !body.contains("127.0.0") && !head.contains("127.0.0"),
            "{name}: {head}{body}"
        );
    }
}

#[tokio::test]
async fn a_refusal_is_json_for_who_asks_for_it() {
    let proxy = Proxy::start().await;
    let mut client = proxy.client().await;
    let accept = "Accept: application/json\r\n";
    client
        .send(get("internal.lab.example.com", accept).as_bytes())
        .await;
    let (head, body) = client.answer().await;
    assert_eq!(field(&head, "content-type"), Some("application/json"));
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["error"]["status"], 403);
    assert_eq!(body["error"]["code"], "address-not-public");
    assert_eq!(
        body["error"]["request_id"],
        field(&head, "pinfold-request-id").unwrap()
    );
    // A denial does not cost the connection.
    client
        .send("HEAD http://internal.lab.example.com/ HTTP/1.1\r\n\r\n".as_bytes())
        .await;
    assert_eq!(status(&client.head().await), 403);
    client
        .send(get("internal.lab.example.com", "").as_bytes())
        .await;
    assert_eq!(status(&client.head().await), 403, "`HEAD` had no body");
}

#[tokio::test]
async fn options_that_may_not_travel_are_answered_here() {
    let server = Echo::http(PUBLIC).await;
    let proxy = Proxy::start().await;
    let options = |left: &str| {
        format!(
            "OPTIONS http://{}/ HTTP/1.1\r\nMax-Forwards: {left}\r\n\r\n",
            server.at(NAME)
        )
    };
    let mut client = proxy.client().await;
    client.send(options("0").as_bytes()).await;
    let (head, _) = client.answer().await;
    assert_eq!((status(&head), server.accepted()), (200, 0));
    client.send(options("3").as_bytes()).await;
    let (_, seen) = client.answer().await;
    assert!(String::from_utf8(seen).unwrap().contains("max-forwards: 2"));
    let told = proxy.logged(|line| line["code"] == "max-forwards").await;
    assert_eq!(
        (&told["event"], &told["authority"]),
        (&"tunnel".into(), &server.at(NAME).into())
    );
}

#[tokio::test]
async fn options_that_are_answered_here_count_like_others() {
    let proxy = Proxy::with("[limits]\nrate = 1\nburst = 2").await;
    let mut client = proxy.client().await;
    let mut answers = Vec::new();
    for _ in 0..4 {
        client
            .send(b"OPTIONS http://public.lab.example.com/ HTTP/1.1\r\nMax-Forwards: 0\r\n\r\n")
            .await;
        answers.push(status(&client.answer().await.0));
    }
    assert_eq!(answers[..2], [200, 200]);
    assert!(answers[2..].contains(&503), "{answers:?}");
}

#[tokio::test]
async fn a_body_waits_until_the_server_is_there() {
    let server = Echo::serve(PUBLIC, |stream| async move {
        let mut client = Client::over(stream);
        let head = client.head().await;
        client.send(b"HTTP/1.1 100 Continue\r\n\r\n").await;
        let body = client.exactly(5).await;
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}",
            head.len() + body.len()
        );
        client.send(answer.as_bytes()).await;
        client.send(&body).await;
    })
    .await;
    let proxy = Proxy::start().await;
    let post = |authority: &str| {
        format!(
            "POST http://{authority}/ HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        )
    };
    let mut client = proxy.client().await;
    client.send(post(&server.at(NAME)).as_bytes()).await;
    assert_eq!(status(&client.head().await), 100);
    client.send(b"hello").await;
    let (head, body) = client.answer().await;
    assert_eq!(status(&head), 200);
    assert!(body.ends_with(b"hello"));

    let mut client = proxy.client().await;
    client
        .send(post("internal.lab.example.com").as_bytes())
        .await;
    assert_eq!(
        status(&client.head().await),
        403,
        "no `100` for what is refused"
    );
}

#[tokio::test]
async fn a_server_that_keeps_silent_is_not_waited_for() {
    let server = Echo::serve(PUBLIC, |stream| async move {
        let mut stream = stream;
        read_head(&mut stream).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await;
    let proxy = Proxy::with("[tunnels]\nresponse = \"300ms\"").await;
    let mut client = proxy.client().await;
    client.send(get(&server.at(NAME), "").as_bytes()).await;
    let (head, _) = client.answer().await;
    assert_eq!(status(&head), 504, "{head}");
    assert_eq!(field(&head, "pinfold-stage"), Some("exchange"));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_passed_for_whole() {
    let rows = [
        (
            "length",
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        ),
        (
            "chunks",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        ),
    ];
    for (name, bytes) in rows {
        let server = answers(bytes).await;
        let proxy = Proxy::start().await;
        let mut client = proxy.client().await;
        client.send(get(&server.at(NAME), "").as_bytes()).await;
        assert_eq!(status(&client.head().await), 200, "{name}");
        let rest = String::from_utf8(client.rest().await).unwrap();
        assert!(
            rest.contains("hello") && !rest.ends_with("0\r\n\r\n"),
            "{name}: {rest}"
        );
        let told = proxy.logged(|line| line["event"] == "end").await;
        assert_eq!(told["closing"], "server", "{name}: {told}");
    }
}

#[tokio::test]
async fn a_client_that_vanishes_frees_everything() {
    let server = Echo::serve(PUBLIC, |stream| async move {
        let mut stream = stream;
        read_head(&mut stream).await;
        let endless = [b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &[b'x'; 1 << 16]].concat();
        while stream.write_all(&endless).await.is_ok() {}
    })
    .await;
    let proxy = Proxy::with("[limits]\ntunnels = 1").await;
    let mut client = proxy.client().await;
    client.send(get(&server.at(NAME), "").as_bytes()).await;
    assert_eq!(status(&client.head().await), 200);
    let mut second = proxy.client().await;
    second.send(get(&server.at(NAME), "").as_bytes()).await;
    let (head, _) = second.answer().await;
    assert_eq!(status(&head), 503, "{head}");
    assert!(field(&head, "retry-after").is_some());
    drop(client);
    let told = proxy.logged(|line| line["event"] == "end").await;
    assert_eq!(told["closing"], "client");
    until("the place is free", async || {
        let mut client = proxy.client().await;
        client
            .send(get("internal.lab.example.com", "").as_bytes())
            .await;
        status(&client.head().await) == 403
    })
    .await;
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_no_server() {
    let server = Echo::serve(PUBLIC, |stream| async move {
        let mut stream = stream;
        read_head(&mut stream).await;
        let endless = [b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &[b'x'; 1 << 16]].concat();
        while stream.write_all(&endless).await.is_ok() {}
    })
    .await;
    let proxy = Proxy::with("[tunnels]\nresponse = \"200ms\"").await;
    let mut client = proxy.client().await;
    client.send(get(&server.at(NAME), "").as_bytes()).await;
    let told = proxy.logged(|line| line["event"] == "end").await;
    assert_eq!(told["closing"], "idle", "{told}");
    drop(client);
}

#[tokio::test]
async fn who_is_refused_while_sending_hears_it() {
    let proxy = Proxy::start().await;
    let mut client = proxy.client().await;
    let head =
        "POST http://internal.lab.example.com/ HTTP/1.1\r\nContent-Length: 100000000\r\n\r\n";
    client.send(head.as_bytes()).await;
    // More than is read of it: what is left unread must not cost the answer.
    let _ = client.try_send(&[b'x'; 100_000]).await;
    let head = client.head().await;
    assert_eq!(status(&head), 403);
    client.rest().await;
}

/// A server that says which of its connections a request came over, and authenticates it by connection.
async fn counts() -> Echo {
    let number = Arc::new(AtomicUsize::new(0));
    Echo::serve(PUBLIC, move |mut stream| {
        let number = number.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            loop {
                read_head(&mut stream).await;
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}");
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn connections_to_servers_are_not_shared_between_subjects_or_listeners() {
    let server = counts().await;
    let proxy = Proxy::with(
        "[[listener]]\nname = 'a'\nbind = '127.0.0.1:0'\n[listener.identity]\nways = ['source']\n\
         networks = {'127.0.0.4/32' = 'alpha', '127.0.0.5/32' = 'beta'}\n\
         [[listener]]\nname = 'b'\nbind = '127.0.0.1:0'",
    )
    .await;
    let doors = proxy.gateway().addresses();
    let door = |at: usize| doors[at];
    let ntlm = "Authorization: NTLM TlRM\r\n";
    for (row, source, at, fields, connection) in [
        ("alpha", 4, 0, "", "1"),
        ("beta", 5, 0, "", "2"),
        ("nobody", 6, 0, "", "3"),
        ("nobody, elsewhere", 6, 1, "", "4"),
        ("alpha again", 4, 0, "", "1"),
        ("nobody, elsewhere again", 6, 1, "", "4"),
        ("alpha authenticates the connection", 4, 0, ntlm, "1"),
        ("and no request is taken for hers", 4, 0, "", "5"),
    ] {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, source], 0).into()).unwrap();
        let mut client = Client::over(socket.connect(door(at)).await.unwrap());
        client.send(get(&server.at(NAME), fields).as_bytes()).await;
        let (head, body) = client.answer().await;
        assert_eq!(status(&head), 200, "{row}: {head}");
        assert_eq!(String::from_utf8(body).unwrap(), connection, "{row}");
    }
}

#[tokio::test]
async fn a_server_does_not_ask_for_the_credentials_of_the_proxy() {
    let asks = "HTTP/1.1 407 Give Me\r\nProxy-Authenticate: Basic realm=\"pinfold\"\r\nContent-Length: 2\r\n\r\nhm";
    let server = answers(asks).await;
    let proxy = Proxy::start().await;
    let upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\n";
    for (row, fields) in [("forward", ""), ("upgrade", upgrade)] {
        let mut client = proxy.client().await;
        client.send(get(&server.at(NAME), fields).as_bytes()).await;
        let (head, _) = client.answer().await;
        assert_eq!(status(&head), 502, "{row}: {head}");
        let code = field(&head, "pinfold-reason");
        assert_eq!(code, Some("response-proxy-auth"), "{row}");
        assert!(
            field(&head, "proxy-authenticate").is_none(),
            "{row}: {head}"
        );
    }
}
