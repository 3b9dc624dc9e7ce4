//! `pinfold check`.

use insta::assert_snapshot;

use crate::support::{json_lines, run, run_with_input, show, shown};

#[test]
fn an_allowed_name_is_explained_stage_by_stage() {
    let output = shown(&[
        "check",
        "--resolve",
        "example.com=93.184.216.34,2606:4700:4700::1111",
        "https://example.com/path?query#fragment",
    ]);
    assert_snapshot!(output, @"");
}

#[test]
fn a_denied_literal_says_which_rule_and_what_to_do() {
    assert_snapshot!(shown(&["check", "http://169.254.169.254/latest/meta-data/"]), @"");
}

#[test]
fn an_embedded_address_is_shown() {
    assert_snapshot!(shown(&["check", "http://[64:ff9b::7f00:1]/"]), @"");
}

#[test]
fn one_bad_answer_refuses_the_name() {
    let output = shown(&[
        "check",
        "--resolve",
        "mixed.example=93.184.216.34,10.0.0.7",
        "http://mixed.example/",
    ]);
    assert_snapshot!(output, @"");
}

#[test]
fn a_name_is_refused_before_it_is_looked_up() {
    assert_snapshot!(shown(&["check", "--resolve", "db.internal=8.8.8.8", "http://db.internal/"]), @"");
}

#[test]
fn a_url_that_two_parsers_read_differently_is_refused() {
    assert_snapshot!(shown(&["check", "http://8.8.8.8\\@127.0.0.1/"]), @"");
}

#[test]
fn text_that_is_no_url_is_invalid_and_cannot_drive_the_terminal() {
    assert_snapshot!(shown(&["check", "http://1.2.3.4.5/\u{1b}[2J"]), @"");
}

#[test]
fn of_several_urls_the_worst_exit_wins() {
    assert_snapshot!(shown(&["check", "http://8.8.8.8/", "http://127.0.0.1:8080/"]), @"");
}

#[test]
fn a_grant_opens_one_port_of_the_floor() {
    let granted = ["check", "--grant", "127.0.0.2:8080"];
    assert_snapshot!(shown(&[&granted[..], &["http://127.0.0.2:8080/"]].concat()), @"");
    assert_eq!(
        run([&granted[..], &["http://127.0.0.2:8081/"]].concat())
            .status
            .code(),
        Some(1)
    );
    assert_eq!(
        run([&granted[..], &["http://127.0.0.3:8080/"]].concat())
            .status
            .code(),
        Some(1)
    );
    let wrapped = "http://[::ffff:127.0.0.2]:8080/";
    assert_eq!(
        run([&granted[..], &[wrapped]].concat()).status.code(),
        Some(1)
    );
}

#[test]
fn metadata_endpoints_cannot_be_granted() {
    let output = run([
        "check",
        "--grant",
        "169.254.0.0/16",
        "http://169.254.169.254/",
    ]);
    assert_eq!(output.status.code(), Some(1), "{}", show(&output));
}

#[test]
fn an_operators_nat64_prefix_is_unwrapped() {
    let url = "http://[2001:db8:64::a9fe:a9fe]/";
    let url = &url.replace("db8", "4860");
    assert_eq!(run(["check", url]).status.code(), Some(0));
    let output = run(["check", "--nat64", "2001:4860:64::/96", url]);
    assert_eq!(output.status.code(), Some(1), "{}", show(&output));
}

#[test]
fn json_holds_the_verdict_and_the_whole_record() {
    let output = run([
        "check",
        "--json",
        "--subject",
        "tenant-7",
        "http://[::ffff:10.0.0.1]/",
    ]);
    let [report] = &json_lines(&output)[..] else {
        panic!("one line for one URL")
    };
    let mut report = report.clone();
    assert!(report["decision"]["timings"].is_object());
    report["decision"]["timings"] = "[TIMINGS]".into();
    for digest in ["digest", "settings_digest"] {
        assert_eq!(
            report["decision"]["policy"][digest].as_str().map(str::len),
            Some(64)
        );
        report["decision"]["policy"][digest] = "[DIGEST]".into();
    }
    assert_snapshot!(serde_json::to_string_pretty(&report).unwrap(), @"");
}

#[test]
fn json_of_an_unreadable_url_has_no_record() {
    let output = run(["check", "--json", "http://[::1"]);
    assert_snapshot!(show(&output), @"");
}

#[test]
fn a_dns_server_that_does_not_answer_denies() {
    // A socket that is bound and never read: the question is lost.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = silent.local_addr().unwrap().to_string();
    let output = run(["check", "--json", "--dns", &server, "http://example.com/"]);
    let [report] = &json_lines(&output)[..] else {
        panic!("one line for one URL")
    };
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(report["verdict"], "deny");
    assert_eq!(report["stage"], "resolve");
}

#[test]
fn settings_change_the_verdict() {
    let dir = tempfile::tempdir().unwrap();
    let settings = dir.path().join("settings.toml");
    std::fs::write(&settings, "ports = [443]\n").unwrap();
    let settings = settings.to_str().unwrap();
    let output = run([
        "check",
        "--json",
        "--settings",
        settings,
        "http://8.8.8.8:80/",
    ]);
    assert_eq!(
        json_lines(&output)[0]["code"],
        "port-denied",
        "{}",
        show(&output)
    );
    let output = run(["check", "--settings", settings, "https://8.8.8.8/"]);
    assert_eq!(output.status.code(), Some(0), "{}", show(&output));
}

#[test]
fn bad_settings_are_refused_with_every_problem() {
    let dir = tempfile::tempdir().unwrap();
    let settings = dir.path().join("settings.json");
    std::fs::write(&settings, r#"{"ports": [0], "no_such_setting": 1}"#).unwrap();
    assert_snapshot!(shown(&["check", "--settings", settings.to_str().unwrap(), "http://8.8.8.8/"]), @"");
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    assert_snapshot!(shown(&["check", "--settings", "/nonexistent/settings.toml", "http://8.8.8.8/"]), @"");
    assert_snapshot!(shown(&["check", "--policy", "/nonexistent/policy.wasm", "http://8.8.8.8/"]), @"");
    assert_snapshot!(shown(&["check", "--batch", "/nonexistent/cases.jsonl"]), @"");
}

#[test]
fn wrong_usage_is_an_error_with_a_hint() {
    assert_snapshot!(shown(&["check"]), @"");
    assert_snapshot!(shown(&["check", "--resolve", "example.com", "http://example.com/"]), @"");
    assert_snapshot!(shown(&["check", "--grant", "localhost", "http://localhost/"]), @"");
}

const BATCH: &str = r#"
{"id": "allowed", "url": "http://example.com/", "resolves_to": ["93.184.216.34"]}
{"id": "denied", "url": "http://example.com/", "resolves_to": ["10.0.0.1", "93.184.216.34"], "unknown": {"field": 1}}
{"id": "invalid", "url": "http://1.2.3.4.5/"}
{"id": "address", "ip": "::ffff:7f00:1"}
{"id": "zone", "ip": "fe80::1%eth0"}
{"id": "scoped answer", "url": "http://example.com/", "resolves_to": ["fe80::1%eth0"]}
{"id": "no answer", "url": "http://example.com/"}
{"id": "alias", "url": "http://example.com/", "resolves_to": ["93.184.216.34"], "cname": ["metadata.google.internal"]}
{"id": "redirect", "url": "http://example.com/", "resolves_to": ["93.184.216.34"], "redirects_to": "//127.0.0.1/"}
{"id": "redirect to a name", "url": "http://example.com/", "resolves_to": ["93.184.216.34"], "redirects_to": "http://b.example/", "redirect_resolves_to": ["10.0.0.1"]}
{"id": "redirect twice", "url": "http://example.com/", "resolves_to": ["93.184.216.34"], "redirects_to": ["/a", "/b"]}
{"id": "redirect to nonsense", "url": "http://example.com/", "resolves_to": ["93.184.216.34"], "redirects_to": "http://[::1"}
{"id": "rebound", "url": "http://example.com/", "resolves_to": ["93.184.216.34"], "redirects_to": "/a", "then_resolves_to": [["127.0.0.1"]]}
{"url": "http://8.8.8.8/"}
"#;

#[test]
fn a_batch_answers_one_line_a_case() {
    assert_snapshot!(show(&run_with_input(&["check", "--batch", "-"], BATCH)), @"");
}

#[test]
fn a_malformed_line_does_not_stop_a_batch() {
    let lines =
        "{\"url\": \"http://8.8.8.8/\"}\nnonsense\n{\"id\": 7, \"url\": \"http://8.8.8.8/\"}\n";
    assert_snapshot!(show(&run_with_input(&["check", "--batch", "-"], lines)), @"");
}

#[test]
fn ten_thousand_cases_are_judged_in_seconds() {
    use std::{
        fmt::Write,
        time::{Duration, Instant},
    };
    let mut lines = String::new();
    for number in 0..10_000 {
        let answer = if number % 2 == 0 {
            "93.184.216.34"
        } else {
            "10.0.0.1"
        };
        writeln!(
            lines,
            r#"{{"id": {number}, "url": "http://a.example/", "resolves_to": ["{answer}"]}}"#
        )
        .unwrap();
    }
    let start = Instant::now();
    let judged = json_lines(&run_with_input(&["check", "--batch", "-"], &lines));
    // An unoptimised build on a busy machine: generous, and still far below a second for a hundred.
    assert!(
        start.elapsed() < Duration::from_secs(60),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(judged.len(), 10_000);
    for (number, line) in judged.iter().enumerate() {
        assert_eq!(line["id"], number);
        assert_eq!(
            line["verdict"],
            if number % 2 == 0 { "allow" } else { "deny" }
        );
    }
}
