//! Whole translations. What the rules then decide is tested with the binary, in `tests/it/migrate.rs`.

use super::*;
use crate::migrate::difference::Kind;

fn translated(acl: &str, config: &str) -> (Vec<(String, String)>, Vec<Difference>) {
    let acl: Acl = serde_saphyr::from_str(acl).unwrap();
    let config: Config = serde_saphyr::from_str(config).unwrap();
    let (files, differences) =
        translate(&acl, &config, &Places::only(Path::new("/etc/smokescreen"))).unwrap();
    let files = files.into_iter().map(|file| (file.path, file.content));
    (files.collect(), differences)
}

/// What is different beyond what always is.
fn own(differences: &[Difference]) -> Vec<(Kind, &str)> {
    let mut general = Differences::default();
    general::add(&mut general);
    let general = general.sorted();
    let own = differences.iter().filter(|d| !general.contains(d));
    own.map(|d| (d.kind, d.about.as_str())).collect()
}

#[test]
fn a_list_that_enforces() {
    let (files, differences) = translated(
        "\
version: v1
services:
  - name: billing
    project: money
    action: enforce
    allowed_domains: [pay.example.com, '*.bank.example', 192.0.2.7]
  - name: crawler
    action: open
default:
  action: enforce
  allowed_domains: [status.example.com, intranet]
global_allow_list: [api.example.net]
global_deny_list: ['*.evil.example']
",
        "\
ip: 127.0.0.1
port: 4760
allow_missing_role: true
deny_ranges: [198.51.100.0/24]
idle_timeout: 90s
",
    );
    let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["pinfold.toml", "settings.toml"]);
    insta::assert_snapshot!(files[0].1, @r#"
    # Written by `pinfold migrate smokescreen`; `pinfold serve --check` reads it.
    drain = "500m"

    [[listener]]
    bind = "127.0.0.1:4760"
    protocols = ["http"]

    [policy]
    settings = "settings.toml"

    [dns]
    timeout = "5s"

    [tunnels]
    connect = "10s"
    idle = "90s"
    "#);
    insta::assert_snapshot!(files[1].1, @r#"
    # Who may fetch what. Written by `pinfold migrate smokescreen`.

    # Refused addresses among others are left out, as there; "deny" refuses the whole answer.
    mixed_answers = "filter"
    unknown_subject = "allow"

    [names]
    allow = ["intranet"]

    [hosts]
    allow = ["api.example.net", "intranet", "status.example.com"]
    deny = ["*.evil.example"]

    [networks]
    deny = ["198.51.100.0/24"]

    # money
    [[subjects]]
    match = ["billing"]
    hosts = { allow = ["api.example.net", "*.bank.example", "pay.example.com"], deny = ["*.evil.example"] }
    networks = { allow = ["192.0.2.7/32"], deny = ["198.51.100.0/24"] }

    [[subjects]]
    match = ["crawler"]
    hosts = { deny = ["*.evil.example"] }
    "#);
    assert_eq!(
        own(&differences),
        [(Kind::Missing, "roles"), (Kind::Changed, "exit_timeout")]
    );
}

#[test]
fn what_is_denied_for_everybody_is_reported_too() {
    let (_, differences) = translated(
        "\
global_deny_list: [evil.example]
services:
  - {name: old, action: report, allowed_domains: [a.example]}
  - {name: new, action: enforce, allowed_domains: [a.example]}
",
        "allow_missing_role: true",
    );
    assert_eq!(
        own(&differences),
        [
            (Kind::Looser, "service `old`: global_deny_list"),
            (Kind::Missing, "roles"),
            (Kind::Stricter, "service `old`"),
            (Kind::Changed, "exit_timeout"),
        ]
    );
}

#[test]
fn a_list_that_reports_enforces_addresses() {
    let (files, differences) = translated(
        "\
services:
  - {name: old, action: report, allowed_domains: [a.example], mitm_domains: [{domain: a.example}]}
",
        "tls: {cert_file: /etc/p/c.pem, key_file: /etc/p/k.pem, client_ca_files: [ca.pem]}",
    );
    insta::assert_snapshot!(files[0].1, @r#"
    # Written by `pinfold migrate smokescreen`; `pinfold serve --check` reads it.
    drain = "500m"

    [[listener]]
    bind = "0.0.0.0:4750"
    protocols = ["http"]

    [listener.tls]
    certificate = "/etc/p/c.pem"
    key = "/etc/p/k.pem"
    client_ca = ["/etc/smokescreen/ca.pem"]
    client_auth = "optional"

    [listener.identity]
    ways = ["mtls"]
    required = true

    [policy]
    settings = "settings.toml"

    [report]
    # Denials of names are only reported for these; addresses are enforced for everybody.
    subjects = ["old"]
    addresses = "enforce"

    [dns]
    timeout = "5s"

    [tunnels]
    connect = "10s"
    "#);
    insta::assert_snapshot!(files[1].1, @r#"
    # Who may fetch what. Written by `pinfold migrate smokescreen`.

    # Refused addresses among others are left out, as there; "deny" refuses the whole answer.
    mixed_answers = "filter"
    unknown_subject = "deny"

    [[subjects]]
    match = ["old"]
    hosts = { allow = ["a.example"] }
    "#);
    assert_eq!(
        own(&differences),
        [
            (Kind::Missing, "service `old`: mitm_domains"),
            (Kind::Stricter, "service `old`"),
            (Kind::Changed, "exit_timeout"),
            (Kind::Changed, "tls: `ca.pem`"),
        ]
    );
}

#[test]
fn what_would_lose_a_denial_is_an_error() {
    for (name, acl, message) in [
        (
            "a denial that cannot be read",
            "{services: [], global_deny_list: ['bad*']}",
            "`bad*` in `global_deny_list` cannot be translated: a wildcard is only the first label",
        ),
        (
            "a name twice",
            "{services: [{name: a, action: open}, {name: a, action: open}]}",
            "there are two services `a`",
        ),
        (
            "another version",
            "{version: v2, services: []}",
            "the access list is of a version other than `v1`",
        ),
    ] {
        let acl: Acl = serde_saphyr::from_str(acl).unwrap();
        let error = translate(&acl, &Config::default(), &Places::default()).unwrap_err();
        assert_eq!(error.to_string(), message, "{name}");
    }
}

#[test]
fn everything_without_an_equivalent_is_listed() {
    let (_, differences) = translated(
        "{services: [{name: a, action: open, allowed_external_proxies: [p.example], colour: red}], more: 1}",
        "{network: ip4, statsd_address: x, max_concurrent_requests: 5, support_proxy_protocol: true, colour: red}",
    );
    let missing: Vec<_> = own(&differences)
        .into_iter()
        .filter(|(kind, _)| *kind == Kind::Missing)
        .map(|(_, about)| about)
        .collect();
    assert_eq!(
        missing,
        [
            "access list: `more`",
            "service `a`: `colour`",
            "service `a`: allowed_external_proxies",
            "roles",
            "support_proxy_protocol",
            "network",
            "max_concurrent_requests",
            "configuration: `colour`",
            "statsd_address",
        ]
    );
}

#[test]
fn a_relative_path_holds_wherever_the_configuration_is() {
    let (_, differences) = translated(
        "{services: []}",
        "tls: {cert_file: /c.pem, key_file: /k.pem, client_ca_files: [ca.pem]}",
    );
    let path = differences.iter().find(|d| d.about == "tls: `ca.pem`");
    let path = path.unwrap();
    assert_eq!(path.was, "relative to where the process was started");
    assert_eq!(path.now, "`/etc/smokescreen/ca.pem`");
    assert_eq!(
        path.hint.as_deref(),
        Some("nothing is there: write where the file is")
    );
}

#[test]
fn a_drain_that_is_longer_than_the_unit_waits_is_told() {
    let hint =
        "set `drain` to what clients need, such as `30s`, and `TimeoutStopSec=` to more than that";
    for (config, was) in [
        (
            "{}",
            Some("unset: open connections have `500m` to end after a signal"),
        ),
        (
            "exit_timeout: 2m",
            Some("open connections have `2m` to end after a signal"),
        ),
        ("exit_timeout: 30s", None),
    ] {
        let (_, differences) = translated("{services: []}", config);
        let drain = differences.iter().find(|d| d.about == "exit_timeout");
        assert_eq!(drain.map(|d| &*d.was), was, "{config}");
        assert!(drain.is_none_or(|d| d.hint.as_deref() == Some(hint)));
    }
}

#[test]
fn an_unknown_key_is_read_by_neither() {
    let (_, differences) = translated("{services: [], more: 1}", "allow_missing_role: true");
    let more = differences
        .iter()
        .find(|d| d.about == "access list: `more`")
        .unwrap();
    assert_eq!(more.now, "an unknown key, read by neither");
}
