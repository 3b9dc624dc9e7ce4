//! A reload: what may change does, what may not is named, and what is wrong changes nothing.

use pinfold_gateway::{Config, Gateway};

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

#[tokio::test]
async fn what_contradicts_itself_changes_nothing() {
    let proxy = Proxy::start().await;
    let unsound = format!("{LESS}policy = {{settings = '/nowhere/settings.toml'}}");
    proxy.gateway().reload(proxy.config(&unsound));
    let told = proxy.logged(|line| line["what"] == "configuration").await;
    let error = told["error"].as_str().unwrap();
    assert!(error.contains("/nowhere/settings.toml"), "{error}");
    let [mut first, mut second] = [proxy.client().await, proxy.client().await];
    for client in [&mut first, &mut second] {
        let head = client.connect_to("internal.lab.example.com:443").await;
        assert_eq!(status(&head), 403, "the bounds are the old ones");
    }
}

#[tokio::test]
async fn what_contradicts_itself_does_not_start() {
    let mut config = Config::default();
    config.policy.settings = Some("/nowhere/settings.toml".into());
    config.listener[0].bind = "127.0.0.1:0".parse().unwrap();
    let expected = config.clone().sound().unwrap_err();
    let error = Gateway::start(config.clone(), None).await.unwrap_err();
    assert_eq!(error.to_string(), expected.to_string());
    assert_eq!(error.hint(), expected.hint());
    let checked = pinfold_gateway::check(&config, None).await;
    let found = checked[0].found.as_ref().unwrap_err();
    assert_eq!(found.to_string(), expected.to_string());
}

/// A bound that would be felt.
const LESS: &str = "limits = {connections_per_source = 1}\n";
