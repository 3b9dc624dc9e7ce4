//! Clients that vanish, at any stage.

use tokio::runtime::Handle;

use super::*;
use crate::smokescreen::Full;

/// What a client does before it vanishes, and what must have happened before it does.
struct Stage {
    name: &'static str,
    bytes: Vec<u8>,
    reached: fn(&Seen) -> bool,
}

/// What can be seen of a stage from outside.
struct Seen {
    status: serde_json::Value,
    asked: usize,
    served: usize,
}

fn connected(seen: &Seen) -> bool {
    seen.status["usage"]["connections"]["open"] == 1
}

fn looked_up(seen: &Seen) -> bool {
    seen.asked > 0
}

/// Let in, and on its way to the server.
fn let_in(seen: &Seen) -> bool {
    seen.status["usage"]["tunnels"]["open"] == 1
}

fn served(seen: &Seen) -> bool {
    seen.served > 0
}

fn stages(port: u16, full: u16) -> Vec<Stage> {
    let at = format!("{NAME}:{port}");
    let get = |host: &str| format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let post = format!(
        "POST http://{at}/ HTTP/1.1\r\nHost: {at}\r\nContent-Length: 1000000\r\n\r\n{}",
        "x".repeat(1000)
    );
    let chunked = format!(
        "POST http://{at}/ HTTP/1.1\r\nHost: {at}\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n{}",
        "x".repeat(500)
    );
    let connect = format!("CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n\r\n");
    let socks = |name: &str, port: u16| {
        [
            &[5, 1, 0, 5, 1, 0, 3, u8::try_from(name.len()).unwrap()][..],
            name.as_bytes(),
            &port.to_be_bytes(),
        ]
        .concat()
    };
    let stage = |name, bytes: &[u8], reached| Stage {
        name,
        bytes: bytes.into(),
        reached,
    };
    vec![
        stage("nothing said", b"", connected),
        stage(
            "mid-head",
            b"GET http://public.lab.example.com/ HTTP/1.1\r\nX: ",
            connected,
        ),
        stage("mid-greeting of SOCKS", &[5, 3, 0], connected),
        stage(
            "mid-request of SOCKS",
            &[5, 1, 0, 5, 1, 0, 3, 30, b'a'],
            connected,
        ),
        stage(
            "HTTP/2 preface",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            connected,
        ),
        stage(
            "during the lookup, forward",
            get("slow.example.com").as_bytes(),
            looked_up,
        ),
        stage(
            "during the lookup, CONNECT",
            b"CONNECT slow.example.com:443 HTTP/1.1\r\n\r\n",
            looked_up,
        ),
        stage(
            "during the lookup, SOCKS",
            &socks("slow.example.com", 443),
            looked_up,
        ),
        stage(
            "during the connection, forward",
            get(&format!("{NAME}:{full}")).as_bytes(),
            let_in,
        ),
        stage("during the connection, SOCKS", &socks(NAME, full), let_in),
        stage("mid-body", post.as_bytes(), served),
        stage("mid-chunk", chunked.as_bytes(), served),
        stage("waiting for the answer", get(&at).as_bytes(), served),
        stage("mid-tunnel", connect.as_bytes(), served),
        stage("mid-tunnel, SOCKS", &socks(NAME, port), served),
        stage(
            "mid-hello in a tunnel",
            &[connect.as_bytes(), b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"].concat(),
            served,
        ),
    ]
}

#[tokio::test]
async fn whoever_vanishes_leaves_nothing_behind_at_any_stage() {
    let dns = DnsServer::start().await.unwrap();
    dns.name("slow.example.com", Strategy::Always(Reply::silence()));
    let full = Full::start().await;
    let serving = Arc::new(AtomicUsize::new(0));
    let now = Arc::clone(&serving);
    // Reads, and never answers.
    let server = Echo::serve(PUBLIC, move |mut stream| {
        let now = Arc::clone(&now);
        async move {
            now.fetch_add(1, Ordering::SeqCst);
            let mut space = [0; 4096];
            while matches!(stream.read(&mut space).await, Ok(1..)) {}
            now.fetch_sub(1, Ordering::SeqCst);
        }
    })
    .await;
    // Nothing ends by a deadline of the gateway: what ends does so because its client is gone.
    let over = format!(
        "limits = {{head_time = '5m'}}\ntunnels = {{response = '5m', connect = '5m'}}\n[dns]\nservers = ['{}']\ntimeout = '5m'",
        dns.addr()
    );
    let proxy = Proxy::with(&over).await;
    nothing_is_left(&proxy, "before").await;
    let before = tasks();
    for abrupt in [false, true] {
        for stage in stages(server.port(), full.port) {
            let row = format!("{}{}", stage.name, if abrupt { ", reset" } else { "" });
            let (mut client, log) = (proxy.client().await, dns.log().questions().len());
            client.send(&stage.bytes).await;
            until(&format!("{row}: it got there"), async || {
                let status = proxy.admin_json("/status").await;
                let asked = dns.log().questions().len() - log;
                (stage.reached)(&Seen {
                    status,
                    asked,
                    served: serving.load(Ordering::SeqCst),
                })
            })
            .await;
            if abrupt {
                client.stream.set_zero_linger().unwrap();
            }
            drop(client);
            nothing_is_left(&proxy, &row).await;
            until(&format!("{row}: the server is let go"), async || {
                serving.load(Ordering::SeqCst) == 0
            })
            .await;
        }
    }
    until("no task is left", async || tasks() <= before + RESOLVER).await;
}

/// Tasks that the resolver may keep: its sockets outlive a question.
const RESOLVER: usize = 4;

/// Tasks that live on this runtime, those of the gateway among them.
fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}
