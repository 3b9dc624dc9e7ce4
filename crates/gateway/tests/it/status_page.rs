//! The status page of a real gateway, in a real browser: what clients do is seen, and what they write stays text.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::support::{Client, Echo, PUBLIC, Proxy};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_do_is_seen_and_what_they_write_stays_text() {
    let proxy = Proxy::start().await;
    let echo = Echo::start(PUBLIC).await;
    let authority = echo.at("public.lab.example.com");
    let mut tunnel = Client::connect(proxy.address()).await;
    tunnel.connect_to(&authority).await;
    tunnel.send(b"hello").await;
    tunnel.exactly(5).await;
    let mut denied = Client::connect(proxy.address()).await;
    denied.connect_to("internal.lab.example.com:443").await;
    for hostile in [
        "CONNECT <img/src=x/onerror=alert(1)>:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET http://<script>alert(2)</script>/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "GET http://public.lab.example.com:1/<svg/onload=alert(3)> HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "<img src=x onerror=alert(4)> http://a/ HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        let mut client = Client::connect(proxy.address()).await;
        client.send(hostile.as_bytes()).await;
        client.head().await;
    }
    let address = proxy.gateway().admin_address().unwrap();
    let holds = |selector: &str, text: &str| json!({"until": format!("document.querySelector({selector:?}).textContent.includes({text:?})")});
    let steps = json!([
        {"until": "document.querySelector('#link').textContent === 'live'"},
        holds("#phase", "ready"),
        holds("#rows", &authority),
        holds("#rows", "internal.lab.example.com:443"),
        holds("#rows", "127.0.0.3"),
        holds("#connections", &authority),
        holds("#open", "1"),
        holds("#generation", "1"),
        holds("#policies", "egress"),
        holds("#reasons", "address-not-public"),
        holds("#limits", "connections"),
        holds("#shadow-state", "No candidate watches"),
        holds("#latency", "s"),
        {"until": "document.querySelector('#error').hidden"},
        {"until": "String(document.querySelectorAll('main img, main script, [onerror], [onload]').length)"},
    ]);
    let seen = browse(format!("http://{address}/"), steps).await;
    assert_eq!(seen["failed"], Value::Null, "{seen:#}");
    assert_eq!(seen["results"][14], "0");
    assert_eq!(
        (&seen["dialogs"], &seen["console"]),
        (&json!([]), &json!([]))
    );
    for url in seen["requests"].as_array().unwrap() {
        let own = format!("http://{address}/");
        assert!(url.as_str().unwrap().starts_with(&own), "{url}");
    }
}

/// Runs steps in a browser, as `page.mjs` describes them.
async fn browse(url: String, steps: Value) -> Value {
    let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/e2e/gateway/page.mjs");
    let browsing = tokio::task::spawn_blocking(move || {
        let mut node = Command::new("node")
            .arg(driver)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`cargo xtask setup` installs node");
        let input = json!({"url": url, "steps": steps}).to_string();
        node.stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        node.wait_with_output().unwrap().stdout
    });
    serde_json::from_slice(&browsing.await.unwrap()).unwrap()
}
