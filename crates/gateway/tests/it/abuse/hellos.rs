//! What opens a TLS connection, in a tunnel and at a listener.

use rustls_pki_types::ServerName;

use super::*;
use crate::certificates::shake;

/// The first message of TLS 1.2, with this server name.
fn hello(name: &[u8]) -> Vec<u8> {
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_be_bytes();
    let entry = [&[0][..], &length(name), name].concat();
    let list = [&length(&entry)[..], &entry].concat();
    // The server name, and the one signature that must be offered.
    let extension = [
        &[0, 0][..],
        &length(&list),
        &list,
        &[0, 13, 0, 4, 0, 2, 4, 3],
    ]
    .concat();
    let body = [
        &[3, 3][..],
        &[7; 32],
        &[0, 0, 2, 0xc0, 0x2f, 1, 0],
        &length(&extension),
        &extension,
    ]
    .concat();
    let [.., a, b, c] = u32::try_from(body.len()).unwrap().to_be_bytes();
    let message = [&[1, a, b, c][..], &body].concat();
    let records = message
        .chunks(16_000)
        .map(|piece| [&[22, 3, 1][..], &length(piece), piece].concat());
    records.collect::<Vec<_>>().concat()
}

#[tokio::test]
async fn odd_names_and_odd_hellos_do_not_reach_the_server() {
    let got = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&got);
    let server = Echo::serve(PUBLIC, move |mut stream| {
        let count = Arc::clone(&count);
        async move {
            let mut space = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut space).await {
                count.fetch_add(length, Ordering::SeqCst);
            }
        }
    })
    .await;
    let proxy = Proxy::start().await;
    let long = format!("{}.example.com", "a".repeat(300));
    let endless = [
        &[22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff][..],
        &vec![0; 40_000],
    ]
    .concat();
    let rows: [(&str, Vec<u8>, &str); 7] = [
        (
            "a name of 60,000 bytes",
            hello(&[b'a'; 60_000]),
            "sni-unreadable",
        ),
        (
            "a name of 312 bytes",
            hello(long.as_bytes()),
            "sni-unreadable",
        ),
        (
            "a label of 100 bytes",
            hello(&[b'a'; 100]),
            "sni-unreadable",
        ),
        ("an empty name", hello(b""), "sni-unreadable"),
        (
            "a name with a NUL",
            hello(b"public.lab.example.com\0.evil.example"),
            "sni-unreadable",
        ),
        ("another name", hello(b"evil.example.com"), "sni-mismatch"),
        ("a message without an end", endless, "sni-unreadable"),
    ];
    for (row, bytes, code) in rows {
        let mut tunnel = proxy.tunnel(&server.at(NAME)).await;
        let _ = tunnel.try_send(&bytes).await;
        let _ = tunnel.rest().await;
        let such = |line: &serde_json::Value| line["event"] == "tunnel" && line["code"] == code;
        proxy.logged(such).await;
        drop(tunnel);
        nothing_is_left(&proxy, row).await;
    }
    let ended = proxy
        .log()
        .into_iter()
        .filter(|line| line["closing"] == "mismatch");
    assert_eq!(ended.count(), 7);
    assert_eq!(got.load(Ordering::SeqCst), 0, "bytes for the server");
    // The right name reaches it.
    let mut tunnel = proxy.tunnel(&server.at(NAME)).await;
    tunnel.send(&hello(NAME.as_bytes())).await;
    until("it is there", async || {
        got.load(Ordering::SeqCst) == hello(NAME.as_bytes()).len()
    })
    .await;
}

#[tokio::test]
async fn early_data_of_tls_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("lab");
    authority.server().write(folder.path(), "server");
    let at = folder.path().display();
    let proxy = Proxy::with(&format!(
        "[[listener]]\nbind = '127.0.0.1:0'\ntls = {{certificate = '{at}/server.pem', key = '{at}/server.key'}}"
    ))
    .await;
    let mut config = (**authority.connector(None, &[]).config()).clone();
    config.enable_early_data = true;
    let config = Arc::new(config);
    for _ in 0..2 {
        let connector = Arc::clone(&config).into();
        let mut client = shake(&connector, proxy.client().await).await.unwrap();
        // The ticket comes with what is read.
        assert_eq!(
            status(&client.connect_to("internal.lab.example.com:443").await),
            403
        );
    }
    let name = ServerName::try_from("localhost").unwrap();
    let mut next = rustls::ClientConnection::new(config, name).unwrap();
    // What may be replayed by anybody who saw it is no request.
    assert!(next.early_data().is_none(), "the tickets allow early data");
}
