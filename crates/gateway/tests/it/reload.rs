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

#[tokio::test]
async fn what_is_in_effect_is_shown_and_what_was_not_taken_is_told_until_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let token = file(folder.path(), "token", "0123456789abcdef0123456789abcdef");
    let with = |connect: &str| {
        format!(
            "admin = {{token_file = '{}'}}\ntunnels = {{connect = '{connect}'}}\n",
            token.display()
        )
    };
    let proxy = Proxy::with(&with("7s")).await;
    std::fs::write(&token, "short").unwrap();
    proxy.gateway().reload(proxy.config(&with("9s")));
    let status = proxy.admin_json("/status").await;
    let errors = &status["last_reload_error"];
    let said = |what: &str| errors[what]["error"].as_str().unwrap_or_default();
    assert!(said("token").contains("at least 32"), "{errors:#}");
    assert!(
        said("configuration").contains("`tunnels.connect`"),
        "{errors:#}"
    );
    let config = proxy.admin_json("/config").await;
    assert_eq!(config["tunnels"]["connect"], "7s");
    let (_, metrics) = proxy.admin("/metrics").await;
    assert!(metrics.contains("pinfold_reload_kept{what=\"token\"} 1"));
    std::fs::write(&token, "0123456789abcdef0123456789abcdef").unwrap();
    proxy.gateway().reload(proxy.config(&with("7s")));
    let status = proxy.admin_json("/status").await;
    assert_eq!(status["last_reload_error"], serde_json::json!({}));
}

#[tokio::test]
async fn a_candidate_follows_the_policies_and_ends_with_its_table() {
    let proxy = Proxy::start().await;
    let watching = async || proxy.admin_json("/shadow").await["watching"] == true;
    let chain = "[[policy.layer]]\nname = 'organisation'\n[[policy.layer]]\nname = 'team'\n";
    // The layer is there only after this very reload.
    let settings = file(proxy.folder(), "candidate.toml", "ports = [443]\n");
    let settings = settings.display();
    let both = format!("{chain}[shadow]\nlayer = 'team'\nsettings = '{settings}'\n");
    proxy.gateway().reload(proxy.config(&both));
    until("a candidate of the new layer watches", async || {
        watching().await
    })
    .await;
    proxy.gateway().reload(proxy.config(chain));
    until("it watches no more", async || !watching().await).await;
}
