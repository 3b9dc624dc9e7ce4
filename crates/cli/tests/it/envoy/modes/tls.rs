//! TLS by Envoy: the name that was judged is asked for, and has to be in the certificate.

use std::net::{IpAddr, SocketAddr};

use pinfold_lab::{
    PUBLIC as PUBLIC_IP,
    dns::{Reply, Strategy},
    http::{Server, Site},
    tls::Authority,
};

use super::{PUBLIC, assert_refused, dialled};
use crate::envoy::{
    client::{Kept, until},
    plan::Plan,
    support::Stage,
};

async fn stage() -> Stage {
    Plan::new("tls").await.trusting().start().await
}

/// Clear text from the client, TLS to the server.
fn url(host: &str, server: &Server) -> String {
    format!("http://{host}:{}/echo", server.addr().port())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_that_was_judged_is_asked_for_and_has_to_be_in_the_certificate() {
    let stage = stage().await;
    let lab = &stage.lab;
    let deep = "not.in.the.certificate.lab.example.com";
    lab.dns()
        .name(deep, Strategy::Always(Reply::address(PUBLIC_IP)));
    for (host, what) in [
        (PUBLIC, "a name"),
        ("PUBLIC.Lab.Example.COM", "upper case"),
        ("public.lab.example.com.", "a dot at the end"),
    ] {
        let answer = stage.get(&url(host, lab.tls())).await;
        assert_eq!(answer.status, 200, "{what}: {answer:?}");
        let seen = lab.tls().requests().pop().unwrap();
        assert_eq!(seen.sni.as_deref(), Some(PUBLIC), "{what}");
    }
    let https = url(PUBLIC, lab.tls()).replace("http://", "https://");
    let answer = stage.get(&https).await;
    assert_eq!(answer.status, 200, "https: {answer:?}");
    let before = lab.tls().request_count();
    let answer = stage.get(&url(deep, lab.tls())).await;
    assert_eq!(answer.status, 503, "another name: {answer:?}");
    assert!(!answer.body.contains("127.0.0"), "{answer:?}");
    assert_eq!(lab.tls().request_count(), before, "nothing was sent");
    let handshake = lab.tls().handshakes().pop().unwrap();
    assert_eq!(handshake.sni.as_deref(), Some(deep));
    let refused = stage.get(&url("internal.lab.example.com", lab.tls())).await;
    assert_refused(&refused, "address-not-public", "internal");
    let expected = [lab.tls().addr()].into();
    assert_eq!(dialled(&stage).await, expected);
    assert_eq!(lab.leaks().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_good_means_that_nothing_is_sent() {
    let plan = Plan::new("tls").await.trusting().edit(|config| {
        // A server that does not answer a handshake; tests do not wait so long.
        let cluster = &mut config["static_resources"]["clusters"][0];
        assert_eq!(cluster["connect_timeout"], "5s");
        cluster["connect_timeout"] = "1s".into();
    });
    let stage = plan.start().await;
    let (authority, other) = (stage.lab.authority(), Authority::new().unwrap());
    let wildcard = || ["*.lab.example.com", "127.0.0.2"];
    for (identity, what) in [
        (Authority::self_signed(wildcard()), "self-signed"),
        (authority.expired(wildcard()), "expired"),
        (other.issue(wildcard()), "of somebody else"),
        (authority.issue(["other.example.com"]), "of another name"),
    ] {
        let at = SocketAddr::from((PUBLIC_IP, 0));
        let server = Server::start_tls(at, Site::standard(), &identity.unwrap()).await;
        let server = server.unwrap();
        for host in [PUBLIC, "127.0.0.2"] {
            let answer = stage.get(&url(host, &server)).await;
            assert_eq!(answer.status, 503, "{what}, {host}: {answer:?}");
        }
        assert_eq!(server.request_count(), 0, "{what}");
        assert!(server.connections() >= 2, "{what}");
    }
    // What an address is judged by, when it has no name: the certificate has to have the address.
    let answer = stage.get(&url("127.0.0.2", stage.lab.tls())).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(stage.lab.tls().requests()[0].sni, None);
    // And a server without TLS gets no request in clear text.
    let plain = stage.get(&stage.lab.url("public", "/")).await;
    assert_eq!(plain.status, 503, "{plain:?}");
    assert_eq!(stage.lab.public().request_count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_names_at_one_address_share_no_connection() {
    let stage = stage().await;
    let lab = &stage.lab;
    let at = |label: &str| format!("{label}.lab.example.com");
    for label in ["a", "b"] {
        let public = Reply::address(IpAddr::from(PUBLIC_IP));
        lab.dns().name(&at(label), Strategy::Always(public));
    }
    let mut client = Kept::to(stage.envoy.listeners[0]);
    for label in ["a", "b", "a", "b"] {
        let answer = client.get(&url(&at(label), lab.tls())).await;
        assert_eq!(answer.status, 200, "{label}: {answer:?}");
    }
    assert_eq!(client.opened, 1);
    let seen = until("requests", || {
        let seen = lab.tls().requests();
        (seen.len() == 4).then_some(seen)
    })
    .await;
    for seen in &seen {
        let host = seen.header("host").unwrap();
        assert_eq!(seen.sni.as_deref(), host.split(':').next(), "{seen:?}");
    }
    let connections = |label| {
        let name = at(label);
        let of = seen
            .iter()
            .filter(move |seen| seen.sni.as_ref() == Some(&name));
        of.map(|seen| seen.connection).collect::<Vec<_>>()
    };
    let (a, b) = (connections("a"), connections("b"));
    assert_eq!(a[0], a[1], "one connection for one name");
    assert_eq!(b[0], b[1], "one connection for one name");
    assert_ne!(a[0], b[0]);
}
