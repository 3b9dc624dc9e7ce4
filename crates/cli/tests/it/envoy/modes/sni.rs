//! TLS that is passed through: the server name of the handshake is judged, and nothing is decrypted.
#![expect(
    clippy::disallowed_methods,
    reason = "the clients of an Envoy are not judged: they are in the tests"
)]

use std::net::SocketAddr;

use pinfold_lab::dns::{Reply, Strategy};
use tokio::net::TcpStream;

use super::{INTERNAL, PUBLIC, decisions, dialled};
use crate::envoy::{
    client::{ask_through, handshake},
    plan::Plan,
    support::{Answer, Stage, ask},
};

async fn stage(plan: Plan) -> Stage {
    let port = plan.lab.tls().addr().port();
    plan.over(&format!("[envoy]\ntls_port = {port}"))
        .start()
        .await
}

/// A page by TLS, through Envoy, which does not see it.
async fn get(stage: &Stage, name: &str, sni: bool) -> std::io::Result<Answer> {
    let stream = TcpStream::connect(stage.envoy.listeners[0]).await?;
    let mut stream = handshake(stream, stage.lab.authority(), name, sni).await?;
    Ok(ask_through(&mut stream, name, "/echo").await)
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_reaches_the_server_of_its_name_and_no_other() {
    let stage = stage(Plan::new("sni").await).await;
    let lab = &stage.lab;
    for name in [PUBLIC, "PUBLIC.lab.example.com"] {
        let answer = get(&stage, name, true).await.unwrap();
        assert!(answer.body.contains("GET /echo"), "{name}: {answer:?}");
    }
    let handshakes = lab.tls().handshakes();
    assert_eq!(handshakes.len(), 2);
    assert!(
        handshakes.iter().all(|seen| seen.finished),
        "{handshakes:?}"
    );
    assert_eq!(dialled(&stage).await, [lab.tls().addr()].into());
    let records = decisions(&stage, 2).await;
    for record in &records {
        assert_eq!(record["kind"], "sni", "{record:#}");
        let authority = format!("{PUBLIC}:{}", lab.tls().addr().port());
        assert_eq!(record["authority"], authority, "{record:#}");
        assert_eq!(record["decision"]["verdict"], "allow", "{record:#}");
    }
    assert_eq!(lab.leaks().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_name_or_a_refused_one_is_closed() {
    // A client that does not go on is cut off; the test does not wait so long.
    let plan = Plan::new("sni").await.edit(|config| {
        let listener = &mut config["static_resources"]["listeners"][0];
        assert_eq!(listener["listener_filters_timeout"], "5s");
        listener["listener_filters_timeout"] = "0.5s".into();
    });
    let stage = stage(plan).await;
    let lab = &stage.lab;
    let mixed = Reply::addresses([[127, 0, 0, 2].into(), [127, 0, 0, 3].into()]);
    lab.dns()
        .name("mixed.lab.example.com", Strategy::Always(mixed));
    for (name, sni, what) in [
        (INTERNAL, true, "an internal name"),
        ("mixed.lab.example.com", true, "public and internal"),
        ("unknown.lab.example.com", true, "a name that is none"),
        (PUBLIC, false, "no server name"),
        ("127.0.0.2", true, "an address has no server name"),
    ] {
        let outcome = get(&stage, name, sni).await;
        assert!(outcome.is_err(), "{what}: {outcome:?}");
    }
    let proxy: SocketAddr = stage.envoy.listeners[0];
    let long = format!("{:0>4096}", "");
    for (bytes, what) in [
        (
            &b"GET http://public.lab.example.com/ HTTP/1.1\r\n\r\n"[..],
            "HTTP",
        ),
        (b"\x00", "a byte"),
        (b"\x16\x03\x01\xff\xff\x02", "a record that is no handshake"),
        (long.as_bytes(), "many bytes"),
    ] {
        let answer = ask(proxy, bytes).await;
        assert_eq!((answer.status, answer.head.as_str()), (0, ""), "{what}");
    }
    assert_eq!(dialled(&stage).await, [].into());
    assert_eq!(lab.leaks().await.unwrap(), 0);
    assert_eq!(lab.tls().connections(), 0);
}
