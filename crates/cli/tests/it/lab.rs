//! The real binary in a hostile network: the lab's name server, TLS and canaries.

use std::process::Output;

use pinfold_lab::{
    Lab, SECRET,
    dns::{Kind, Reply, Strategy},
};

use crate::support::{json_lines, run, show, told};

const PUBLIC: [u8; 4] = [127, 0, 0, 2];
const INTERNAL: [u8; 4] = [127, 0, 0, 3];

/// Runs a verb against the lab: its name server, and a grant for its public servers alone.
fn against(lab: &Lab, verb: &str, args: &[&str]) -> Output {
    let dns = lab.dns().addr().to_string();
    let ports = [lab.public(), lab.tls()].map(|server| server.addr().to_string());
    let fixed = [
        verb, "--dns", &dns, "--grant", &ports[0], "--grant", &ports[1],
    ];
    tokio::task::block_in_place(|| run([&fixed[..], args].concat()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_rebinds_never_leads_inside() {
    let lab = Lab::start().await.unwrap();
    let (public, internal) = (Reply::address(PUBLIC), Reply::address(INTERNAL));
    lab.dns().name(
        "*.out-in.lab.example.com",
        Strategy::first_then_second(public.clone(), internal.clone()),
    );
    lab.dns().name(
        "*.in-out.lab.example.com",
        Strategy::first_then_second(internal, public),
    );

    let output = against(&lab, "fetch", &[&lab.url("1.out-in", "/")]);
    assert_eq!(output.status.code(), Some(0), "{}", show(&output));
    assert!(!String::from_utf8_lossy(&output.stdout).contains(SECRET));

    let output = against(&lab, "fetch", &[&lab.url("2.in-out", "/")]);
    assert_eq!(output.status.code(), Some(1), "{}", show(&output));
    assert!(output.stdout.is_empty());

    assert_eq!(lab.leaks().await.unwrap(), 0);
    for name in ["1.out-in", "2.in-out"] {
        let name = format!("{name}.lab.example.com");
        assert_eq!(
            lab.dns().log().count(&name, Kind::A),
            1,
            "{name} is looked up once"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_asks_the_given_server_and_connects_to_nothing() {
    let lab = Lab::start().await.unwrap();
    let alias = Reply::alias("hidden.lab.example.com");
    lab.dns()
        .name("alias.lab.example.com", Strategy::Always(alias));
    lab.dns().name(
        "hidden.lab.example.com",
        Strategy::Always(Reply::address(INTERNAL)),
    );
    let output = against(&lab, "check", &["--json", &lab.url("alias", "/")]);
    let [report] = &json_lines(&output)[..] else {
        panic!("{}", show(&output))
    };
    assert_eq!(report["verdict"], "deny");
    assert_eq!(report["stage"], "resolve");
    assert_eq!(
        report["decision"]["chain"],
        serde_json::json!(["hidden.lab.example.com"])
    );
    assert_eq!(report["addresses"][0]["address"], "127.0.0.3");
    assert_eq!(lab.leaks().await.unwrap(), 0);
    assert_eq!(lab.public().connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_must_be_trusted_and_for_the_name() {
    let lab = Lab::start().await.unwrap();
    lab.dns().name(
        "*.lab.example.com",
        Strategy::Always(Reply::address(PUBLIC)),
    );
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    std::fs::write(&file, lab.authority().pem()).unwrap();
    let cacert = ["--cacert", file.to_str().unwrap()];
    let url = lab.tls_url("www", "/");

    let output = against(&lab, "fetch", &[&cacert[..], &[&url]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", show(&output));

    let other = format!("https://other.example:{}/", lab.tls().addr().port());
    let fixed = ["--resolve", "other.example=127.0.0.2", &other];
    for args in [&[&url[..]][..], &[&cacert[..], &fixed].concat()] {
        let output = against(&lab, "fetch", args);
        let error = told(&output);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(
            error.starts_with("error: failed at stage `connect` by `tls-failed`"),
            "{error}"
        );
        assert!(output.stdout.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decompression_bomb_is_stopped() {
    let lab = Lab::start().await.unwrap();
    let url = format!("http://{}/bomb", lab.public().addr());
    let output = against(&lab, "fetch", &["--max-bytes", "1M", &url]);
    let error = told(&output);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("`response-inflated`"), "{error}");
    assert!(output.stdout.len() <= 1 << 20);
}
