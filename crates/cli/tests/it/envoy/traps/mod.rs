//! Traps: ways in which an Envoy that asks connects to what nobody has judged all the same.
//!
//! Each is shown three times: a configuration that contains it (a file of `tests/vectors/envoy-traps`) does harm with a
//! real Envoy; what `pinfold envoy config` writes does not; and `pinfold envoy check` finds it in the file.
//!
//! | | trap | harm in the file | code of `check` |
//! |---|---|---|---|
//! | T1 | the address comes from a header field | a client names it | `header-mode`, `fail-open` |
//! | T2 | a listener filter restores an address | an answer without one leads there | `restored-address` |
//! | T3 | the proxy for connections connects first | a server inside is connected to before anything is asked | `l4-connects-early` |
//! | T4 | no second layer, or ranges of IPv4 alone | the IPv4-mapped form passes it | `second-layer-missing`, `second-layer-gap` |
//! | T5 | `https` in absolute form | the request leaves in clear text | `scheme-not-routed` |
//! | T6 | a module that decides after its headers | a note: no module is shipped, and none is run here | `dynamic-module-order` |
//! | T7 | connections are pooled by address | two clients share one | `pool-shared` |
//! | T8 | tunnels have no end | one outlives the policy that allowed it | `tunnel-unbounded` |
#![expect(
    clippy::disallowed_methods,
    reason = "the clients of an Envoy are not judged: they are in the tests"
)]

mod scene;

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    time::{Duration, Instant},
};

use pinfold_lab::{INTERNAL, PUBLIC, SECRET};
use serde_json::Value as Json;
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};

use self::scene::{
    BOUNDS, Scene, behind_a_balancer, deny_the_public_server, edited, fixture, request,
    shakes_hands, shorten, speaks, tunnel,
};
use super::{
    authorities::Http2,
    fake::{Says, Value},
    support::{Envoy, PATIENCE, ask, generated, get},
};
use crate::support::{run, show};

#[tokio::test(flavor = "multi_thread")]
async fn t1_an_address_from_a_client_is_not_believed() {
    let scene = Scene::start().await;
    let request = request(
        &scene.lab.url("public", "/"),
        &format!("x-envoy-original-dst-host: {}\r\n", scene.inside()),
    );
    scene.fake.says(Says::Error);

    let trapped = scene.trapped("header-mode.yaml", scene.fake.address).await;
    let answer = ask(trapped.listeners[0], &request).await;
    assert_eq!((answer.status, &*answer.body), (200, SECRET));
    assert!(scene.leaked().await);

    let ours = scene.ours("forward", &[]).await;
    let answer = ask(ours.listeners[0], &request).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    scene.fake.pin(scene.outside());
    let answer = ask(ours.listeners[0], &request).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_ne!(answer.body, SECRET);
    let seen = scene.lab.public().requests();
    let seen = seen.last().unwrap();
    assert_eq!(seen.header("x-envoy-original-dst-host"), None);
    assert!(!scene.leaked().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn t2_an_address_that_a_listener_restored_is_not_dialled() {
    let scene = Scene::start().await;
    let said = format!(
        "PROXY TCP4 127.0.0.1 {INTERNAL} 1000 {}\r\n",
        scene.lab.port()
    );
    let through_proxy = |label: &str| {
        let request = request(&scene.lab.url(label, "/"), "");
        [said.as_bytes(), &request].concat()
    };
    scene.fake.says(Says::Pins(Vec::new()));

    let trapped = scene.trapped("restored-address.yaml", scene.fake.address);
    let trapped = trapped.await;
    let answer = ask(trapped.listeners[0], &through_proxy("public")).await;
    assert_eq!((answer.status, &*answer.body), (200, SECRET));
    assert!(scene.leaked().await);

    // Ours has no such filter. An operator may need one, behind a balancer: the second layer stands, ...
    let behind = edited(&scene.generated("forward", &[]), behind_a_balancer);
    let behind = Envoy::start(scene.folder.path(), "behind", &behind).await;
    let answer = ask(behind.listeners[0], &through_proxy("public")).await;
    assert_eq!(answer.status, 403, "{answer:?}");
    assert!(!scene.leaked().await);

    // ... and a gateway never allows without an address.
    let gateway = scene.gateway().await;
    let asks = generated("forward", &gateway.config, &[gateway.service], &[]);
    let asks = edited(&asks, behind_a_balancer);
    let asks = Envoy::start(scene.folder.path(), "asks", &asks).await;
    let rows = [("public", 200), ("internal", 403), ("nothing-at-all", 502)];
    for (label, status) in rows {
        let answer = ask(asks.listeners[0], &through_proxy(label)).await;
        assert_eq!(answer.status, status, "{label}: {answer:?}");
        assert_ne!(answer.body, SECRET, "{label}");
    }
    assert!(!scene.leaked().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn t3_nothing_is_connected_to_before_the_decision() {
    let scene = Scene::start().await;
    let trapped = scene.trapped("l4.yaml", scene.fake.address).await;
    assert!(!shakes_hands(&scene.lab, trapped.listeners[0], "public").await);
    let connected = async {
        while !scene.leaked().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, connected).await.unwrap();

    let ours = scene.ours("sni", &[]).await;
    let silent = TcpStream::connect(ours.listeners[0]).await.unwrap();
    assert!(!shakes_hands(&scene.lab, ours.listeners[0], "public").await);
    drop(silent);
    assert_eq!(scene.fake.asked().len(), 2, "one question of each Envoy");
    scene.lab.tls().settle().await.unwrap();
    assert_eq!(scene.lab.tls().connections(), 0);
    assert!(!scene.leaked().await);

    scene.fake.pin(scene.lab.tls().addr());
    assert!(shakes_hands(&scene.lab, ours.listeners[0], "public").await);
    scene.fake.says(Says::Pins(Vec::new()));
    assert!(!shakes_hands(&scene.lab, ours.listeners[0], "public").await);
    scene.fake.says(Says::Error);
    assert!(!shakes_hands(&scene.lab, ours.listeners[0], "public").await);
    assert!(!scene.leaked().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn t4_the_second_layer_knows_the_mapped_form() {
    let scene = Scene::start().await;
    let url = scene.lab.url("public", "/");

    let trapped = scene.trapped("ipv4-ranges.yaml", scene.fake.address).await;
    scene.fake.pin(scene.inside());
    assert_eq!(get(trapped.listeners[0], &url).await.status, 403);
    assert!(!scene.leaked().await);
    scene.fake.pin(scene.mapped());
    let answer = get(trapped.listeners[0], &url).await;
    assert_eq!((answer.status, &*answer.body), (200, SECRET));
    assert!(scene.leaked().await);

    let ours = scene.ours("forward", &[]).await;
    for pin in [scene.inside().to_string(), scene.mapped()] {
        scene.fake.pin(&pin);
        let answer = get(ours.listeners[0], &url).await;
        assert_eq!(answer.status, 403, "{pin}: {answer:?}");
    }
    assert!(!scene.leaked().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn t5_what_is_asked_for_with_tls_does_not_leave_in_clear_text() {
    let scene = Scene::start().await;
    let url = scene.lab.url("public", "/");
    let (authority, url) = (
        url.split('/').nth(2).unwrap(),
        url.replace("http:", "https:"),
    );
    scene.fake.pin(scene.outside());

    let trapped = scene.trapped("forward.yaml", scene.fake.address).await;
    assert_eq!(get(trapped.listeners[0], &url).await.status, 200);
    assert_eq!(scene.lab.public().request_count(), 1, "in clear text");
    scene.lab.public().clear();

    // The route speaks TLS, to whatever address is answered: one that speaks no TLS cannot be reached, ...
    let ours = edited(&scene.generated("forward", &[]), |ours| {
        // A server that waits for the end of a line would be waited for.
        assert_ne!(shorten(ours, &["connect_timeout"]), 0);
    });
    let ours = Envoy::start(scene.folder.path(), "ours", &ours).await;
    let https = Http2::get("https", authority);
    let one = get(ours.listeners[0], &url);
    let two = https.ask(ours.listeners[0], |text| text.into());
    let (one, two) = tokio::join!(one, two);
    assert_eq!((one.status, two.0), (503, 503));
    assert_eq!(scene.lab.public().request_count(), 0);
    // ... and one that does is the other case.
    scene.fake.pin(scene.lab.tls().addr());
    assert_eq!(get(ours.listeners[0], &url).await.status, 200);
    assert_eq!(
        https.ask(ours.listeners[0], |text| text.into()).await.0,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn t7_two_clients_do_not_share_a_connection() {
    let scene = Scene::start().await;
    scene.fake.pin(scene.outside());
    let rows = [
        (
            "file",
            scene.trapped("forward.yaml", scene.fake.address).await,
            1,
        ),
        ("ours", scene.ours("forward", &[]).await, 2),
    ];
    for (row, envoy, connections) in rows {
        scene.lab.public().clear();
        for label in ["one", "two"] {
            let answer = get(envoy.listeners[0], &scene.lab.url(label, "/")).await;
            assert_eq!(answer.status, 200, "{row}: {answer:?}");
        }
        let mut seen: Vec<_> = scene.lab.public().requests();
        seen.dedup_by_key(|seen| seen.peer);
        assert_eq!(seen.len(), connections, "{row}: {seen:?}");
    }
}

/// The bound of ours is an hour or so; here it is two seconds, and nothing else is changed.
#[tokio::test(flavor = "multi_thread")]
async fn t8_a_tunnel_ends_although_it_is_in_use() {
    let scene = Scene::start().await;
    let gateway = scene.gateway().await;
    let trapped = scene.trapped("forward.yaml", gateway.service).await;
    let ours = generated("forward", &gateway.config, &[gateway.service], &[]);
    let ours = edited(&ours, |ours| assert_ne!(shorten(ours, &BOUNDS), 0));
    let ours = Envoy::start(scene.folder.path(), "ours", &ours).await;
    let (to, began) = (scene.outside(), Instant::now());
    let (status, mut unbounded) = tunnel(trapped.listeners[0], &to.to_string()).await;
    assert_eq!(status, 200);
    let (status, mut bounded) = tunnel(ours.listeners[0], &to.to_string()).await;
    assert_eq!(status, 200);

    deny_the_public_server(&gateway);
    let (status, _) = tunnel(ours.listeners[0], &to.to_string()).await;
    assert_eq!(status, 403);
    let ended = async {
        while speaks(&mut bounded).await {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, ended).await.unwrap();
    assert!(
        began.elapsed() >= Duration::from_millis(1_900),
        "its time was not up"
    );
    assert!(
        speaks(&mut unbounded).await,
        "the policy is gone, and the tunnel is not"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_was_taken_over_leads_nowhere() {
    let scene = Scene::start().await;
    let (url, tls) = (
        scene.lab.url("public", "/"),
        scene.lab.internal_tls().addr(),
    );
    let dead = SocketAddr::from((PUBLIC, 1));
    let forward = scene.ours("forward", &[]).await;
    let failover = scene.ours("forward", &["--failover"]).await;
    let to_tls = scene.ours("tls", &[]).await;
    let inside = Value::Text(scene.inside().to_string());
    let rows = [
        ("forward", &forward, vec![inside.clone()]),
        (
            "second",
            &failover,
            vec![Value::Text(dead.to_string()), inside],
        ),
        ("tls", &to_tls, vec![Value::Text(tls.to_string())]),
    ];
    for (row, envoy, pins) in rows {
        scene.fake.says(Says::Pins(pins));
        let answer = get(envoy.listeners[0], &url).await;
        assert_eq!(answer.status, 403, "{row}: {answer:?}");
        assert_ne!(answer.body, SECRET, "{row}");
    }
    for (row, envoy) in [("forward", &forward), ("second", &failover)] {
        scene.fake.pin(scene.inside());
        let (status, _) = tunnel(envoy.listeners[0], "public.lab.example.com:443").await;
        assert_eq!(status, 403, "a tunnel: {row}");
    }
    assert!(!scene.leaked().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_none_is_not_dialled() {
    let scene = Scene::start().await;
    let (inside, port) = (scene.inside(), scene.lab.port());
    let text = |text: String| vec![Value::Text(text)];
    let rows = [
        ("a port that is none", text(format!("{INTERNAL}:99999"))),
        ("no port", text(INTERNAL.to_string())),
        ("port 0", text(format!("{INTERNAL}:0"))),
        ("a name", text(format!("localhost:{port}"))),
        ("nothing", text(String::new())),
        (
            "two, by a comma",
            text(format!("{inside},{}", scene.outside())),
        ),
        (
            "the other first",
            text(format!("{},{inside}", scene.outside())),
        ),
        ("space before", text(format!(" {inside}"))),
        ("a line end", text(format!("{inside}\r\n"))),
        ("mapped", text(scene.mapped())),
        (
            "mapped, in hexadecimal",
            text(format!("[::ffff:7f00:3]:{port}")),
        ),
        (
            "mapped, written out",
            text(format!("[0:0:0:0:0:ffff:7f00:3]:{port}")),
        ),
        (
            "mapped, with a scope",
            text(format!("[::ffff:127.0.0.3%1]:{port}")),
        ),
        ("short", text(format!("127.3:{port}"))),
        ("hexadecimal", text(format!("0x7f000003:{port}"))),
        ("a number", text(format!("2130706435:{port}"))),
        ("octal", text(format!("0177.0.0.3:{port}"))),
        ("this host", text(format!("0.0.0.0:{port}"))),
        ("loopback", text(format!("127.0.0.1:{port}"))),
        ("this host, IPv6", text(format!("[::]:{port}"))),
        ("a socket of the file system", text("/tmp/none.sock".into())),
        ("a URL", text(format!("http://{inside}/"))),
        (
            "a list",
            vec![Value::Texts(vec![
                inside.to_string(),
                scene.outside().to_string(),
            ])],
        ),
        ("an empty list", vec![Value::Texts(Vec::new())]),
        ("a number of JSON", vec![Value::Number(2_130_706_435.0)]),
        ("none", Vec::new()),
    ];
    let ours = scene.ours("forward", &[]).await;
    for (row, pins) in rows {
        scene.fake.says(Says::Pins(pins));
        let answer = get(ours.listeners[0], &scene.lab.url("public", "/")).await;
        assert!(matches!(answer.status, 403 | 503), "{row}: {answer:?}");
        let (status, _) = tunnel(ours.listeners[0], "public.lab.example.com:443").await;
        assert!(matches!(status, 403 | 503), "a tunnel: {row}: {status}");
        assert!(!scene.leaked().await, "{row}");
    }
    // The one that is an address.
    scene.fake.pin(scene.outside());
    assert_eq!(
        get(ours.listeners[0], &scene.lab.url("public", "/"))
            .await
            .status,
        200
    );
}

/// Each file says in its head what it contains.
#[test]
fn what_a_file_contains_is_found() {
    let mut codes = BTreeSet::new();
    for file in FILES {
        let output = run(["envoy", "check", "--json", fixture(file).to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{file}: {}", show(&output));
        let report: Json = serde_json::from_slice(&output.stdout).unwrap();
        let found: Vec<_> = report["findings"].as_array().unwrap().iter().collect();
        let contained = contained(file);
        assert!(!contained.is_empty(), "{file}");
        for code in contained {
            let told = found.iter().any(|finding| finding["code"] == *code);
            assert!(told, "{file}: {code}: {found:?}");
            codes.insert(code);
        }
    }
    assert_eq!(Vec::from_iter(codes), CODES);
}

/// What the traps are called.
const CODES: [&str; 10] = [
    "dynamic-module-order",
    "fail-open",
    "header-mode",
    "l4-connects-early",
    "pool-shared",
    "restored-address",
    "scheme-not-routed",
    "second-layer-gap",
    "second-layer-missing",
    "tunnel-unbounded",
];

/// All files.
const FILES: [&str; 6] = [
    "dynamic-module.yaml",
    "forward.yaml",
    "header-mode.yaml",
    "ipv4-ranges.yaml",
    "l4.yaml",
    "restored-address.yaml",
];

/// The codes in the head of a file: `#   code  what it does`.
fn contained(file: &str) -> Vec<String> {
    let text = fs::read_to_string(fixture(file)).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("#   "));
    let codes = lines.filter(|line| !line.starts_with(' '));
    codes
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect()
}
