//! Policies are replaced while requests go through: by a file, by a reload, by an operator; and a bad one is not.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use serde_json::{Value, json};

use crate::{
    operator::Operator,
    support::{Client, Echo, PUBLIC, Proxy, file, status, until},
};

/// A policy of its own, with settings that allow this port.
fn policy(folder: &Path, port: u16, more: &str) -> String {
    let settings = write(folder, port);
    format!("policy = {{settings = '{settings}'{more}}}\n")
}

fn write(folder: &Path, port: u16) -> String {
    let path = file(folder, "settings.toml", format!("ports = [{port}]\n"));
    path.display().to_string()
}

async fn asked(proxy: &Proxy, at: &str) -> u16 {
    status(&proxy.client().await.connect_to(at).await)
}

async fn error(proxy: &Proxy) -> Value {
    proxy.admin_json("/status").await["policy"]["last_error"].clone()
}

#[tokio::test]
async fn a_file_that_changes_is_taken_up_and_a_bad_one_is_told() {
    let (echo, folder) = (Echo::start(PUBLIC).await, tempfile::tempdir().unwrap());
    let (folder, port) = (folder.path(), echo.port());
    let at = echo.at("public.lab.example.com");
    let proxy = Proxy::with(&policy(folder, port, ", watch = true, interval = '20ms'")).await;
    assert_eq!(asked(&proxy, &at).await, 200);
    write(folder, 9);
    until("the new settings refuse", async || {
        asked(&proxy, &at).await == 403
    })
    .await;
    for (row, text, step) in [
        ("cut off", "ports = [", "read"),
        ("of the wrong type", "ports = 'all'", "load"),
    ] {
        file(folder, "settings.toml", text);
        until(row, async || error(&proxy).await["step"] == step).await;
        assert_eq!(
            asked(&proxy, &at).await,
            403,
            "{row}: what was active stays"
        );
        let kept = proxy
            .logged(|line| line["event"] == "policy" && line["step"] == step)
            .await;
        assert_eq!(kept["trigger"], "file", "{row}");
        write(folder, port);
        until("mended", async || asked(&proxy, &at).await == 200).await;
        // Traffic sees the policy a moment before the status does.
        until(row, async || error(&proxy).await.is_null()).await;
        write(folder, 9);
        until("refused again", async || asked(&proxy, &at).await == 403).await;
    }
}

#[tokio::test]
async fn an_operator_swaps_goes_back_and_reads_the_files_again() {
    let (echo, folder) = (Echo::start(PUBLIC).await, tempfile::tempdir().unwrap());
    let (folder, port) = (folder.path(), echo.port());
    let at = echo.at("public.lab.example.com");
    let admin = Operator::new(folder);
    let proxy = Proxy::with(&format!("{}{}", policy(folder, port, ""), admin.config())).await;
    let mut tunnel = proxy.tunnel(&at).await;
    let strict = json!({"settings": {"ports": [9]}});
    let (status, changed) = admin.post(&proxy, "/policies/swap", &strict).await;
    assert_eq!(
        (status, &changed["generation"]),
        (200, &json!(2)),
        "{changed}"
    );
    assert_eq!(asked(&proxy, &at).await, 403);
    tunnel.ended().await;
    let shown = proxy.admin_json("/status").await;
    assert_eq!(shown["policy"]["files_in_effect"], false);
    let (status, _) = admin.post(&proxy, "/policies/rollback", &json!({})).await;
    assert_eq!((status, asked(&proxy, &at).await), (200, 200));
    admin.post(&proxy, "/policies/swap", &strict).await;
    let (status, changed) = admin.post(&proxy, "/policies/reload", &json!({})).await;
    assert_eq!(
        (status, &changed["swapped"]),
        (200, &json!(true)),
        "{changed}"
    );
    assert_eq!(asked(&proxy, &at).await, 200);
    let shown = proxy.admin_json("/policies").await;
    assert_eq!(shown["active"]["files_in_effect"], true, "{shown:#}");
    assert_eq!(
        shown["history"].as_array().map(Vec::len),
        Some(4),
        "{shown:#}"
    );
}

#[tokio::test]
async fn what_an_operator_sends_is_refused_at_its_step() {
    let (echo, folder) = (Echo::start(PUBLIC).await, tempfile::tempdir().unwrap());
    let at = echo.at("public.lab.example.com");
    let admin = Operator::new(folder.path());
    let config = format!(
        "{}{}",
        policy(folder.path(), echo.port(), ""),
        admin.config()
    );
    let proxy = Proxy::with(&config).await;
    for (row, sent, expected, code) in [
        (
            "no component",
            json!({"component": "R0lGODlh"}),
            422,
            "policy-unverified",
        ),
        (
            "wrong settings",
            json!({"settings": {"ports": "all"}}),
            422,
            "policy-unloadable",
        ),
        (
            "no such layer",
            json!({"settings": {}, "layer": "team"}),
            409,
            "layer-unknown",
        ),
    ] {
        let (status, problem) = admin.post(&proxy, "/policies/swap", &sent).await;
        assert_eq!(status, expected, "{row}: {problem}");
        assert!(problem.to_string().contains(code), "{row}: {problem}");
        assert_eq!(asked(&proxy, &at).await, 200, "{row}");
    }
    let (status, problem) = admin.post(&proxy, "/policies/rollback", &json!({})).await;
    assert_eq!(status, 409, "nothing was ever swapped: {problem}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_swaps_fail_no_request() {
    const SWAPS: u16 = 50;
    let (echo, folder) = (Echo::start(PUBLIC).await, tempfile::tempdir().unwrap());
    let at = echo.at("public.lab.example.com");
    let admin = Operator::new(folder.path());
    let config = format!(
        "{}{}",
        policy(folder.path(), echo.port(), ""),
        admin.config()
    );
    let proxy = Proxy::with(&config).await;
    let mut kept = proxy.tunnel(&at).await;
    let (done, served) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let (stop, count, address, to) = (
        Arc::clone(&done),
        Arc::clone(&served),
        proxy.address(),
        at.clone(),
    );
    let traffic = tokio::spawn(async move {
        while !stop.load(Ordering::Acquire) {
            let mut client = Client::connect(address).await;
            let head = client.connect_to(&to).await;
            assert_eq!(status(&head), 200, "{head}");
            client.send(b"through").await;
            assert_eq!(client.exactly(7).await, b"through");
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    for at in 0..SWAPS {
        // Both allow it; they are different policies all the same.
        let ports = [echo.port(), 1 + at % 2];
        let sent = json!({"settings": {"ports": ports}});
        let (status, changed) = admin.post(&proxy, "/policies/swap", &sent).await;
        assert_eq!(status, 200, "{changed}");
    }
    done.store(true, Ordering::Release);
    traffic.await.unwrap();
    assert!(served.load(Ordering::Relaxed) > 0);
    kept.send(b"still open").await;
    assert_eq!(kept.exactly(10).await, b"still open");
    let shown = proxy.admin_json("/status").await;
    assert_eq!(shown["policy"]["generation"], 1 + SWAPS, "{shown:#}");
}
