//! What is counted, and that the manual says of it.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, SystemTime},
};

use pinfold::PolicyRef;
use serde_json::json;

use super::*;
use crate::{
    event::{Phase, PolicyChange, PolicyEvent, Reloaded, ShadowDiffers, TunnelNotice},
    limit::Admission,
    live::{Closing, Counts},
    refusal::Kind,
    telemetry::testing::{asked, decided, ended, guard, judged, refused},
};

fn metrics() -> Metrics {
    Metrics::new(&config::Metrics::default())
}

fn text(metrics: &Metrics, shadow: Option<Shadowed>) -> String {
    let usage = Admission::new(&config::Limits::default()).usage();
    let standing = Standing {
        usage: &usage,
        open: Counts {
            connect: 3,
            ..Counts::default()
        },
        shadow,
        policy_kept: true,
        certificates: vec![("proxy".into(), 1_900_000_000)],
        pooled: 4,
        moving: Vec::new(),
    };
    let kept = Kept {
        log_dropped: 7,
        ..Kept::default()
    };
    metrics.text(&standing, kept)
}

/// The value of a series, by its whole name.
fn value<'a>(text: &'a str, series: &str) -> Option<&'a str> {
    let of = |line: &'a str| line.strip_prefix(series)?.strip_prefix(' ');
    text.lines().find_map(of)
}

fn policy_event(trigger: &'static str, what: PolicyChange) -> Event {
    Event::Policy(Arc::new(PolicyEvent {
        at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000),
        trigger,
        what,
    }))
}

fn active(generation: u64, digest: &str, back: bool) -> Event {
    let policies = vec![PolicyRef {
        layer: None,
        name: "egress".into(),
        digest: digest.into(),
        settings_digest: "s".into(),
        generation,
        inert_wasi: false,
    }];
    policy_event(
        "file",
        PolicyChange::Active {
            generation,
            policies,
            back,
        },
    )
}

/// One of every kind.
async fn everything() -> Vec<Event> {
    let guard = guard(json!({"ports": [443]}));
    let allowed = judged(&guard, "https://a.example.com/", Some("team-7")).await;
    let denied = judged(&guard, "https://inner.example.com/", None).await;
    let unknown = judged(&guard, "https://unknown.example.com/", None).await;
    let trapped = PolicyChange::Kept {
        step: "load",
        error: "no".into(),
    };
    let reviewed = PolicyChange::Reviewed {
        generation: 2,
        kept: 5,
        closed: 2,
        took: Duration::from_millis(3),
    };
    vec![
        decided(asked(Some("team-7")), allowed),
        decided(asked(None), Arc::clone(&denied)),
        decided(asked(None), unknown),
        ended(asked(None), Closing::Revoked),
        refused(Kind::Unauthenticated, "identity", "credentials-wrong", ""),
        refused(Kind::Limited, "limit", "limit-source", ""),
        Event::Tunnel(Arc::new(TunnelNotice {
            at: SystemTime::now(),
            asked: Arc::new(asked(None)),
            code: "sni-mismatch",
            seen: None,
            enforced: true,
        })),
        active(1, "old", false),
        active(2, "new", true),
        policy_event("admin", trapped),
        policy_event("admin", reviewed),
        Event::ShadowDiffers(Arc::new(ShadowDiffers {
            at: SystemTime::now(),
            asked: Arc::new(asked(None)),
            active: None,
            candidate: denied.outcome.denial().cloned(),
            sampled: false,
        })),
        Event::Reloaded(Arc::new(Reloaded {
            at: SystemTime::now(),
            what: "certificates",
            error: None,
        })),
        Event::Trouble {
            what: "accept",
            detail: "no".into(),
        },
        Event::Phase(Phase::Ready),
    ]
}

#[tokio::test]
async fn each_event_counts_where_it_belongs() {
    let metrics = metrics();
    everything()
        .await
        .iter()
        .for_each(|event| metrics.take(event));
    let shadowed = Shadowed {
        compared: 9,
        dropped: 1,
    };
    let text = text(&metrics, Some(shadowed));
    for (series, expected) in [
        (
            r#"pinfold_decisions_total{verdict="allow",stage="",code="",report="false",listener="proxy"}"#,
            "1",
        ),
        (
            r#"pinfold_decisions_total{verdict="deny",stage="resolve",code="address-not-public",report="false",listener="proxy"}"#,
            "1",
        ),
        (
            r#"pinfold_subject_decisions_total{subject="team-7",verdict="allow"}"#,
            "1",
        ),
        (
            r#"pinfold_subject_decisions_total{subject="",verdict="deny"}"#,
            "1",
        ),
        (
            r#"pinfold_requests_total{listener="proxy",kind="connect"}"#,
            "3",
        ),
        (r#"pinfold_stage_seconds_count{stage="target"}"#, "3"),
        (r#"pinfold_decision_seconds_count{verdict="deny"}"#, "1"),
        (r#"pinfold_dns_lookups_total{outcome="answered"}"#, "2"),
        (
            r#"pinfold_dns_lookups_total{outcome="resolve-no-answer"}"#,
            "1",
        ),
        ("pinfold_dns_lookup_seconds_count", "3"),
        (
            r#"pinfold_bytes_total{direction="down",listener="proxy"}"#,
            "20",
        ),
        (
            r#"pinfold_ends_total{kind="connect",closing="revoked"}"#,
            "1",
        ),
        (r#"pinfold_open_seconds_count{kind="connect"}"#, "1"),
        (r#"pinfold_open{kind="connect"}"#, "3"),
        (
            r#"pinfold_refused_total{listener="proxy",stage="limit",code="limit-source"}"#,
            "1",
        ),
        (
            r#"pinfold_auth_failures_total{listener="proxy",code="credentials-wrong"}"#,
            "1",
        ),
        (
            r#"pinfold_tunnel_notices_total{code="sni-mismatch",enforced="true"}"#,
            "1",
        ),
        (
            r#"pinfold_policy_info{layer="",name="egress",digest="new",settings_digest="s"}"#,
            "1",
        ),
        ("pinfold_policy_generation", "2"),
        (
            r#"pinfold_policy_changes_total{outcome="active",trigger="file",step=""}"#,
            "1",
        ),
        (
            r#"pinfold_policy_changes_total{outcome="back",trigger="file",step=""}"#,
            "1",
        ),
        (
            r#"pinfold_policy_changes_total{outcome="kept",trigger="admin",step="load"}"#,
            "1",
        ),
        ("pinfold_policy_kept", "1"),
        ("pinfold_policy_last_success_timestamp_seconds", "1000.0"),
        ("pinfold_review_seconds_count", "1"),
        (r#"pinfold_reviewed_total{outcome="closed"}"#, "2"),
        ("pinfold_shadow_compared_total", "9"),
        ("pinfold_shadow_active", "1"),
        (
            r#"pinfold_shadow_differences_total{active="allow",candidate="deny"}"#,
            "1",
        ),
        (
            r#"pinfold_reloads_total{what="certificates",outcome="done"}"#,
            "1",
        ),
        (r#"pinfold_reload_kept{what="certificates"}"#, "0"),
        (
            r#"pinfold_certificate_expiry_timestamp_seconds{listener="proxy"}"#,
            "1900000000",
        ),
        ("pinfold_pool_connections", "4"),
        (r#"pinfold_troubles_total{what="accept"}"#, "1"),
        ("pinfold_log_dropped_total", "7"),
        ("pinfold_ready", "1"),
        (r#"pinfold_limit_max{limit="connections"}"#, "10000"),
    ] {
        assert_eq!(value(&text, series), Some(expected), "{series} in\n{text}");
    }
    assert!(
        !text.contains("digest=\"old\""),
        "only what is active is listed"
    );
    assert!(text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn the_text_is_what_scrapers_read() {
    let metrics = metrics();
    everything()
        .await
        .iter()
        .for_each(|event| metrics.take(event));
    let text = text(&metrics, None);
    let mut described = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let name = rest.split(' ').next().unwrap();
            assert!(
                described.insert(name.to_owned()),
                "{name} is described twice"
            );
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let name = series.split('{').next().unwrap();
            let family = ["_total", "_count", "_sum", "_bucket"]
                .iter()
                .find_map(|ending| name.strip_suffix(ending));
            assert!(described.contains(family.unwrap_or(name)), "{line}");
        }
    }
}

#[tokio::test]
async fn labels_are_bounded() {
    let metrics = Metrics::new(&config::Metrics {
        subjects: 2,
        ..config::Metrics::default()
    });
    let decision = judged(&guard(json!({})), "https://inner.example.com/", None).await;
    for n in 0..100 {
        let asked = asked(Some(&format!("made-up-{n}")));
        metrics.take(&decided(asked, Arc::clone(&decision)));
    }
    let text = text(&metrics, None);
    let series = text
        .lines()
        .filter(|line| line.starts_with("pinfold_subject_decisions_total{"));
    assert_eq!(series.count(), 3);
    let other = r#"pinfold_subject_decisions_total{subject="other",verdict="deny"}"#;
    assert_eq!(value(&text, other), Some("98"));
}

#[test]
fn codes_of_the_gateway_are_always_told_apart() {
    let metrics = Metrics::new(&config::Metrics {
        codes: 0,
        ..config::Metrics::default()
    });
    metrics.take(&refused(Kind::Limited, "limit", "limit-source", ""));
    let text = text(&metrics, None);
    let series = r#"pinfold_refused_total{listener="proxy",stage="limit",code="limit-source"}"#;
    assert_eq!(value(&text, series), Some("1"), "{text}");
}

#[test]
fn bytes_are_counted_while_they_move_and_never_go_down() {
    let metrics = metrics();
    let usage = Admission::new(&config::Limits::default()).usage();
    let down = |moving: &[(String, u64, u64)]| {
        let standing = Standing {
            usage: &usage,
            open: Counts::default(),
            shadow: None,
            policy_kept: false,
            certificates: Vec::new(),
            pooled: 0,
            moving: moving.to_vec(),
        };
        let text = metrics.text(&standing, Kept::default());
        let series = r#"pinfold_bytes_total{direction="down",listener="proxy"}"#;
        value(&text, series).unwrap().parse::<u64>().unwrap()
    };
    let open = [("proxy".to_owned(), 1, 15)];
    assert_eq!(down(&open), 15);
    assert_eq!(down(&[]), 15, "no longer open, not yet told");
    metrics.take(&ended(asked(None), Closing::Finished));
    assert_eq!(down(&[]), 20, "not twice");
    assert_eq!(down(&open), 35);
}

#[test]
fn the_manual_names_every_family_and_no_other() {
    let ending = |unit: &Option<prometheus_client::registry::Unit>| {
        unit.as_ref()
            .map_or(String::new(), |unit| format!("_{}", unit.as_str()))
    };
    let names = Families::NAMES.iter();
    let there: BTreeSet<_> = names
        .map(|(name, unit)| format!("{name}{}", ending(unit)))
        .collect();
    assert_eq!(there.len(), Families::NAMES.len());
    let manual = include_str!("../../../../../docs/gateway-metrics.md");
    let rows = manual.lines().filter_map(|line| line.strip_prefix("| `"));
    let rows = rows.filter_map(|row| row.split('`').next());
    let said: BTreeSet<_> = rows
        .map(|name| name.strip_suffix("_total").unwrap_or(name).to_owned())
        .collect();
    assert_eq!(
        there.difference(&said).collect::<Vec<_>>(),
        [""; 0],
        "not in the manual"
    );
    assert_eq!(
        said.difference(&there).collect::<Vec<_>>(),
        [""; 0],
        "not in the code"
    );
}
