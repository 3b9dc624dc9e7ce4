//! Who asks, over HTTP: what is answered to who does not say it, or says it wrong.

use base64::{Engine, prelude::BASE64_STANDARD};
use pinfold_gateway::credential::basic_entry;

use crate::support::{Echo, PUBLIC, Proxy, field, file, status};

const PASSWORD: &str = "a long enough password";

#[tokio::test]
async fn credentials_are_asked_for_and_never_travel_on() {
    let server = Echo::http(PUBLIC).await;
    let folder = tempfile::tempdir().unwrap();
    let entry = basic_entry("svc".parse().unwrap(), PASSWORD).unwrap();
    let credentials = file(folder.path(), "credentials.toml", entry.to_string());
    let proxy = Proxy::with(&format!(
        "[[listener]]\nbind = \"127.0.0.1:0\"\n[listener.identity]\nways = [\"basic\", \"bearer\"]\nrequired = true\n\
         credentials = \"{}\"",
        credentials.display()
    ))
    .await;
    let right = BASE64_STANDARD.encode(format!("svc:{PASSWORD}"));
    let wrong = BASE64_STANDARD.encode("svc:another long password");
    let authorization = |kind: &str, text: &str| format!("Proxy-Authorization: {kind} {text}\r\n");
    let name = server.at("public.lab.example.com");
    let target = |inside: &str| format!("GET http://{inside}/ HTTP/1.1\r\n");
    let connect = format!("CONNECT {name} HTTP/1.1\r\n");
    let twice = authorization("Basic", &right).repeat(2);
    let rows = [
        ("nothing", target(&name), String::new(), 407),
        ("nothing, connect", connect.clone(), String::new(), 407),
        ("wrong", target(&name), authorization("Basic", &wrong), 407),
        (
            "not base64",
            target(&name),
            authorization("Basic", "%%"),
            407,
        ),
        (
            "a token that is not",
            target(&name),
            authorization("Bearer", "x"),
            407,
        ),
        ("twice", target(&name), twice, 400),
        ("right", target(&name), authorization("Basic", &right), 200),
        (
            "right, connect",
            connect,
            authorization("Basic", &right),
            200,
        ),
        (
            "right, but denied",
            target("internal.lab.example.com"),
            authorization("Basic", &right),
            403,
        ),
        // What is asked for is not looked at before it is known who asks.
        (
            "nothing, and denied",
            target("internal.lab.example.com"),
            String::new(),
            407,
        ),
    ];
    for (row, line, fields, expected) in rows {
        let mut client = proxy.client().await;
        client.send(format!("{line}{fields}\r\n").as_bytes()).await;
        let (head, body) = client.answer().await;
        assert_eq!(status(&head), expected, "{row}: {head}");
        let challenges = head.matches("proxy-authenticate: ").count();
        assert_eq!(
            challenges,
            if expected == 407 { 2 } else { 0 },
            "{row}: {head}"
        );
        let body = String::from_utf8(body).unwrap();
        assert!(
            !body.to_ascii_lowercase().contains("proxy-authorization:"),
            "{row}: {body}"
        );
        let id = field(&head, "pinfold-request-id").unwrap().to_owned();
        let told = proxy.logged(|line| line["request_id"] == id.as_str()).await;
        let event = match expected {
            400 | 407 => "refused",
            _ => "decision",
        };
        assert_eq!(told["event"], event, "{row}: {told}");
        assert_eq!(
            told["subject"] == "svc",
            event == "decision",
            "{row}: {told}"
        );
    }
}
