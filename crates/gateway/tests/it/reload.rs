//! A reload: what may change does, what may not is named, and what is wrong changes nothing.

use crate::support::{Echo, PUBLIC, Proxy, file, status, until};

#[tokio::test]
async fn report_mode_and_limits_change_while_running() {
    let echo = Echo::start(PUBLIC).await;
    let folder = tempfile::tempdir().unwrap();
    let settings = file(folder.path(), "settings.toml", "ports = [443]\n");
    let policy = format!("policy = {{settings = '{}'}}\n", settings.display());
    let proxy = Proxy::with(&policy).await;
    let at = echo.at("public.lab.example.com");
    let mut client = proxy.client().await;
    assert_eq!(status(&client.connect_to(&at).await), 403);

    proxy
        .gateway()
        .reload(proxy.config(&format!("{policy}report = {{all = true}}")));
    let mut tunnel = proxy.tunnel(&at).await;
    tunnel.send(b"let pass").await;
    assert_eq!(tunnel.exactly(8).await, b"let pass");

    proxy
        .gateway()
        .reload(proxy.config(&format!("{policy}limits = {{connections_per_source = 1}}")));
    let mut refused = proxy.client().await;
    let head = refused.connect_to(&at).await;
    assert!([429, 503].contains(&status(&head)), "{head}");
}

#[tokio::test]
async fn new_settings_are_swapped_in() {
    let echo = Echo::start(PUBLIC).await;
    let folder = tempfile::tempdir().unwrap();
    let settings = file(folder.path(), "settings.toml", "ports = [443]\n");
    let policy = format!("policy = {{settings = '{}'}}\n", settings.display());
    let proxy = Proxy::with(&policy).await;
    let at = echo.at("public.lab.example.com");
    let mut client = proxy.client().await;
    assert_eq!(status(&client.connect_to(&at).await), 403);
    file(
        folder.path(),
        "settings.toml",
        format!("ports = [{}]\n", echo.port()),
    );
    proxy.gateway().reload(proxy.config(&policy));
    until("the new settings hold", async || {
        status(&proxy.client().await.connect_to(&at).await) == 200
    })
    .await;
}

#[tokio::test]
async fn what_needs_a_restart_is_named() {
    let proxy = Proxy::start().await;
    proxy
        .gateway()
        .reload(proxy.config("dns = {timeout = '1s'}"));
    let told = proxy.logged(|line| line["what"] == "configuration").await;
    assert_eq!(told["error"], "changes with a restart only: `dns.timeout`");
}
