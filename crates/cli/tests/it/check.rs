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
    assert_snapshot!(output, @r#"
    exit: 0
    --- stdout
    https://example.com/path?query#fragment
      parse    https, example.com, port 443
      target   allowed by policy `egress`
      resolve  2 addresses
      address  93.184.216.34         public  allowed
      address  2606:4700:4700::1111  public  allowed
      verdict  allowed
    "#);
}

#[test]
fn a_denied_literal_says_which_rule_and_what_to_do() {
    assert_snapshot!(shown(&["check", "http://169.254.169.254/latest/meta-data/"]), @r#"
    exit: 1
    --- stdout
    http://169.254.169.254/latest/meta-data/
      parse    http, 169.254.169.254, port 80
      address  169.254.169.254  metadata  denied by `address-metadata`: 169.254.169.254 is a metadata endpoint
      verdict  denied at stage `address` by `address-metadata`

    hint: metadata endpoints are never dialled on behalf of a URL
    "#);
}

#[test]
fn an_embedded_address_is_shown() {
    assert_snapshot!(shown(&["check", "http://[64:ff9b::7f00:1]/"]), @r#"
    exit: 1
    --- stdout
    http://[64:ff9b::7f00:1]/
      parse    http, [64:ff9b::7f00:1], port 80
      address  64:ff9b::7f00:1  translated, nat64 of 127.0.0.1 (loopback)  denied by `address-floor`: 64:ff9b::7f00:1 carries a loopback address
      verdict  denied at stage `address` by `address-floor`

    hint: an address that wraps another is never granted: use and grant `127.0.0.1` itself (`--grant 127.0.0.1:80`)
    "#);
}

#[test]
fn one_bad_answer_refuses_the_name() {
    let output = shown(&[
        "check",
        "--resolve",
        "mixed.example=93.184.216.34,10.0.0.7",
        "http://mixed.example/",
    ]);
    assert_snapshot!(output, @r#"
    exit: 1
    --- stdout
    http://mixed.example/
      parse    http, mixed.example, port 80
      target   allowed by policy `egress`
      resolve  2 addresses
      address  93.184.216.34  public   denied by `answers-mixed`: `10.0.0.7` is refused (address-not-public) and `mixed_answers` is `deny`
      address  10.0.0.7       private  denied by `address-not-public`: `10.0.0.7` is private and in no network of `networks.allow`
      verdict  denied at stage `resolve` by `answers-mixed`

    hint: every address of a name must be allowed, or set `mixed_answers` to `filter` (`--settings`)
    "#);
}

#[test]
fn a_name_is_refused_before_it_is_looked_up() {
    assert_snapshot!(shown(&["check", "--resolve", "db.internal=8.8.8.8", "http://db.internal/"]), @r#"
    exit: 1
    --- stdout
    http://db.internal/
      parse    http, db.internal, port 80
      verdict  denied at stage `name` by `name-special-use`: `db.internal` is reserved for special use (`internal`)

    hint: use a public name, or list the name in `names.allow` of the policy (`--settings`)
    "#);
}

#[test]
fn a_url_that_two_parsers_read_differently_is_refused() {
    assert_snapshot!(shown(&["check", "http://8.8.8.8\\@127.0.0.1/"]), @r#"
    exit: 1
    --- stdout
    http://8.8.8.8\@127.0.0.1/
      verdict  denied at stage `parse` by `url-backslash`: U+005C at octet 14

    hint: write `/`, or `%5C` inside a path
    "#);
}

#[test]
fn text_that_is_no_url_is_invalid_and_cannot_drive_the_terminal() {
    assert_snapshot!(shown(&["check", "http://1.2.3.4.5/\u{1b}[2J"]), @r#"
    exit: 1
    --- stdout
    http://1.2.3.4.5/\u{1b}[2J
      verdict  denied at stage `parse` by `url-invalid`: invalid IPv4 address

    hint: give an absolute URL such as `https://example.com/path`
    "#);
}

#[test]
fn of_several_urls_the_worst_exit_wins() {
    assert_snapshot!(shown(&["check", "http://8.8.8.8/", "http://127.0.0.1:8080/"]), @r#"
    exit: 1
    --- stdout
    http://8.8.8.8/
      parse    http, 8.8.8.8, port 80
      target   allowed by policy `egress`
      address  8.8.8.8  public  allowed
      verdict  allowed

    http://127.0.0.1:8080/
      parse    http, 127.0.0.1, port 8080
      address  127.0.0.1  loopback  denied by `address-floor`: 127.0.0.1 is a loopback address
      verdict  denied at stage `address` by `address-floor`

    hint: an operator may grant it (`--grant 127.0.0.1:8080`)
    "#);
}

#[test]
fn a_grant_opens_one_port_of_the_floor() {
    let granted = ["check", "--grant", "127.0.0.2:8080"];
    assert_snapshot!(shown(&[&granted[..], &["http://127.0.0.2:8080/"]].concat()), @r#"
    exit: 0
    --- stdout
    http://127.0.0.2:8080/
      parse    http, 127.0.0.2, port 8080
      target   allowed by policy `egress`
      address  127.0.0.2  loopback, granted  allowed
      verdict  allowed
    "#);
    for other in [
        "127.0.0.2:8081",
        "127.0.0.3:8080",
        "[::ffff:127.0.0.2]:8080",
    ] {
        let url = format!("http://{other}/");
        let output = run([&granted[..], &[&url]].concat());
        assert_eq!(output.status.code(), Some(1), "{}", show(&output));
    }
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
    let url = "http://[2001:4860:64::a9fe:a9fe]/";
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
    assert_snapshot!(serde_json::to_string_pretty(&report).unwrap(), @r#"
    {
      "addresses": [
        {
          "address": "::ffff:10.0.0.1",
          "class": "translated",
          "denial": {
            "code": "address-wrapped",
            "detail": "`::ffff:10.0.0.1` wraps `10.0.0.1` (mapped, private) and `wrapped` is `deny`",
            "stage": "address"
          },
          "embedded": [
            {
              "address": "10.0.0.1",
              "class": "private",
              "form": "mapped"
            }
          ],
          "granted": false
        }
      ],
      "code": "address-wrapped",
      "decision": {
        "addresses": [
          {
            "address": "::ffff:10.0.0.1",
            "class": "translated",
            "denial": {
              "code": "address-wrapped",
              "detail": "`::ffff:10.0.0.1` wraps `10.0.0.1` (mapped, private) and `wrapped` is `deny`",
              "stage": "address"
            },
            "embedded": [
              {
                "address": "10.0.0.1",
                "class": "private",
                "form": "mapped"
              }
            ],
            "granted": false
          }
        ],
        "chain": [],
        "code": "address-wrapped",
        "detail": "`::ffff:10.0.0.1` wraps `10.0.0.1` (mapped, private) and `wrapped` is `deny`",
        "hop": 0,
        "id": 1,
        "method": "GET",
        "policy": {
          "digest": "[DIGEST]",
          "generation": 1,
          "name": "egress",
          "settings_digest": "[DIGEST]"
        },
        "stage": "address",
        "subject": "tenant-7",
        "target": "http://[::ffff:10.0.0.1]:80",
        "terms": {
          "connect_timeout_ms": 10000,
          "https_only": false
        },
        "timings": "[TIMINGS]",
        "verdict": "deny"
      },
      "detail": "`::ffff:10.0.0.1` wraps `10.0.0.1` (mapped, private) and `wrapped` is `deny`",
      "hint": "use the IPv4 address itself",
      "stage": "address",
      "target": "http://[::ffff:10.0.0.1]/",
      "url": "http://[::ffff:10.0.0.1]/",
      "verdict": "deny"
    }
    "#);
}

#[test]
fn json_of_an_unreadable_url_has_no_record() {
    let output = run(["check", "--json", "http://[::1"]);
    assert_snapshot!(show(&output), @r#"
    exit: 1
    --- stdout
    {"url":"http://[::1","verdict":"invalid","stage":"parse","code":"url-invalid","detail":"invalid IPv6 address","hint":"give an absolute URL such as `https://example.com/path`","target":null,"addresses":[],"decision":null}
    "#);
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
    let output = shown(&[
        "check",
        "--settings",
        settings.to_str().unwrap(),
        "http://8.8.8.8/",
    ]);
    let output = output.replace(dir.path().to_str().unwrap(), "[DIR]");
    let begin = "exit: 2\n--- stderr\nerror: cannot use the settings in `[DIR]/settings.json`\n";
    assert!(output.starts_with(begin), "{output}");
    for path in ["/ports/0", "/no_such_setting"] {
        assert!(output.contains(&format!("\n  `{path}`: ")), "{output}");
    }
    let hint = "\n\nhint: `pinfold inspect` shows the schema of the settings\n";
    assert!(output.ends_with(hint), "{output}");
}

/// The last of two would win, and the first may be the list of what is denied.
#[test]
fn settings_that_say_the_same_twice_are_refused() {
    let settings = r#"{"hosts": {"deny": ["a.example.com"]}, "hosts": {"deny": []}}"#;
    let output = run_with_input(&["check", "--settings", "-", "http://8.8.8.8/"], settings);
    let error = show(&output);
    let begin =
        "exit: 2\n--- stderr\nerror: cannot use the settings in `-`\n  `/hosts`: written twice";
    assert!(error.starts_with(begin), "{error}");
}

#[test]
fn settings_that_do_not_parse_show_the_place() {
    let dir = tempfile::tempdir().unwrap();
    let settings = dir.path().join("settings.toml");
    std::fs::write(&settings, "ports = [443\nschemes = 1\n").unwrap();
    let output = shown(&[
        "check",
        "--settings",
        settings.to_str().unwrap(),
        "http://8.8.8.8/",
    ]);
    let output = output.replace(dir.path().to_str().unwrap(), "[DIR]");
    assert_snapshot!(output, @r#"
    exit: 2
    --- stderr
    error: `[DIR]/settings.toml` is not valid TOML
      caused by: TOML parse error at line 2, column 1
                   |
                 2 | schemes = 1
                   | ^
                 missing comma between array elements, expected `,`
    "#);
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    assert_snapshot!(shown(&["check", "--settings", "/nonexistent/settings.toml", "http://8.8.8.8/"]), @r#"
    exit: 2
    --- stderr
    error: cannot read `/nonexistent/settings.toml`
      caused by: No such file or directory (os error 2)
    "#);
    assert_snapshot!(shown(&["check", "--policy", "/nonexistent/policy.wasm", "http://8.8.8.8/"]), @r#"
    exit: 2
    --- stderr
    error: cannot read `/nonexistent/policy.wasm`: No such file or directory (os error 2)

    hint: check the path and its permissions
    "#);
    assert_snapshot!(shown(&["check", "--batch", "/nonexistent/cases.jsonl"]), @r#"
    exit: 2
    --- stderr
    error: cannot read `/nonexistent/cases.jsonl`
      caused by: No such file or directory (os error 2)
    "#);
    assert_snapshot!(shown(&["check", "--batch", "/"]), @r#"
    exit: 2
    --- stderr
    error: cannot read `/`
      caused by: Is a directory (os error 21)
    "#);
}

#[test]
fn credentials_are_not_repeated() {
    let url = "http://user:secret@8.8.8.8/";
    for args in [&["check", url][..], &["check", "--json", url]] {
        let text = shown(args);
        assert!(text.contains("http://***@8.8.8.8/"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}

#[test]
fn settings_come_from_standard_input_too() {
    let check = ["check", "--settings", "-", "http://8.8.8.8/"];
    for settings in ["ports = [443]", r#"{"ports": [443]}"#] {
        let text = show(&run_with_input(&check, settings));
        assert!(text.contains("`port-denied`"), "{text}");
    }
    let output = shown(&["check", "--settings", "-", "--batch", "-"]);
    assert_snapshot!(output, @r#"
    exit: 2
    --- stderr
    error: `--settings -` and `--batch -` both read standard input

    hint: give the settings as a file
    "#);
}

#[test]
fn a_policy_that_is_no_component_is_told_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("policy.wasm");
    std::fs::write(&file, "not wasm").unwrap();
    let file = file.to_str().unwrap();
    let told = shown(&["check", "--policy", file, "http://8.8.8.8/"]);
    let begin = format!(
        "exit: 2\n--- stderr\nerror: cannot use the policy `{file}`\n  caused by: not a component"
    );
    assert!(told.starts_with(&begin), "{told}");
    assert_eq!(told.lines().count(), 6, "{told}");
}

#[test]
fn a_cache_of_compiled_policies_changes_no_verdict() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let check = |url: &str| {
        let cache = cache.to_str().unwrap();
        show(&run(["check", "--cache", cache, url]))
    };
    for url in ["http://8.8.8.8/", "http://10.0.0.1/"] {
        let without = shown(&["check", url]);
        assert_eq!([check(url), check(url)], [without.clone(), without]);
    }
    assert!(std::fs::read_dir(&cache).unwrap().count() > 0);
    std::fs::remove_dir_all(&cache).unwrap();
    std::fs::write(&cache, "no directory").unwrap();
    let told = check("http://8.8.8.8/");
    assert!(told.starts_with("exit: 2\n--- stderr\nerror: "), "{told}");
    assert!(told.contains(cache.to_str().unwrap()), "{told}");
}

#[test]
fn wrong_usage_is_an_error_with_a_hint() {
    assert_snapshot!(shown(&["check"]), @r#"
    exit: 2
    --- stderr
    error: the following required arguments were not provided:
      <URL>...

    Usage: pinfold check <URL>...

    For more information, try '--help'.
    "#);
    assert_snapshot!(shown(&["check", "--resolve", "example.com", "http://example.com/"]), @r#"
    exit: 2
    --- stderr
    error: invalid value 'example.com' for '--resolve <NAME=IP[,IP...]>': write `NAME=IP`, for example `example.com=192.0.2.7`

    For more information, try '--help'.
    "#);
    assert_snapshot!(shown(&["check", "--nat64", "64:ff9b::/95", "http://8.8.8.8/"]), @r#"
    exit: 2
    --- stderr
    error: invalid value '64:ff9b::/95' for '--nat64 <PREFIX>': write an IPv6 prefix of 32, 40, 48, 56, 64 or 96 bits, such as `64:ff9b::/96`

    For more information, try '--help'.
    "#);
    for (option, value) in [
        ("--dns", "::1:53"),
        ("--grant", "fd00::1:8080"),
        ("--nat64", "::/96"),
        ("--nat64", "2001:4860:64::1/96"),
    ] {
        let output = run(["check", option, value, "http://8.8.8.8/"]);
        assert_eq!(output.status.code(), Some(2), "{option} {value}");
    }
    assert_snapshot!(shown(&["check", "--grant", "localhost", "http://localhost/"]), @r#"
    exit: 2
    --- stderr
    error: invalid value 'localhost' for '--grant <PREFIX[:PORT]>': `localhost` is not a grant: expected an IP address or a prefix

    For more information, try '--help'.
    "#);
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
{"id": "five redirects", "url": "http://example.com/", "resolves_to": ["93.184.216.34"], "redirects_to": ["/1", "/2", "/3", "/4", "/5"]}
{"id": "six redirects", "url": "http://example.com/", "resolves_to": ["93.184.216.34"], "redirects_to": ["/1", "/2", "/3", "/4", "/5", "/6"]}
{"id": "a name as address", "ip": "x"}
{"url": "http://8.8.8.8/"}
"#;

#[test]
fn a_batch_answers_one_line_a_case() {
    assert_snapshot!(show(&run_with_input(&["check", "--batch", "-"], BATCH)), @r#"
    exit: 2
    --- stdout
    {"id":"allowed","verdict":"allow","stage":null,"code":null,"addresses":[{"address":"93.184.216.34","class":"public","verdict":"allow","code":null}]}
    {"id":"denied","verdict":"deny","stage":"resolve","code":"answers-mixed","addresses":[{"address":"10.0.0.1","class":"private","verdict":"deny","code":"address-not-public"},{"address":"93.184.216.34","class":"public","verdict":"deny","code":"answers-mixed"}]}
    {"id":"invalid","verdict":"invalid","stage":"parse","code":"url-invalid","addresses":[]}
    {"id":"address","verdict":"deny","stage":"address","code":"address-floor","addresses":[{"address":"::ffff:127.0.0.1","class":"translated","verdict":"deny","code":"address-floor"}]}
    {"id":"zone","verdict":"deny","stage":"address","code":"address-scoped","addresses":[]}
    {"id":"scoped answer","verdict":"deny","stage":"resolve","code":"address-scoped","addresses":[]}
    {"id":"no answer","verdict":"deny","stage":"resolve","code":"resolve-no-answer","addresses":[]}
    {"id":"alias","verdict":"deny","stage":"resolve","code":"chain-name-denied","addresses":[{"address":"93.184.216.34","class":"public","verdict":"deny","code":"chain-name-denied"}]}
    {"id":"redirect","verdict":"deny","stage":"redirect","code":"address-floor","addresses":[{"address":"127.0.0.1","class":"loopback","verdict":"deny","code":"address-floor"}]}
    {"id":"redirect to a name","verdict":"deny","stage":"redirect","code":"address-not-public","addresses":[{"address":"10.0.0.1","class":"private","verdict":"deny","code":"address-not-public"}]}
    {"id":"redirect twice","verdict":"allow","stage":null,"code":null,"addresses":[{"address":"93.184.216.34","class":"public","verdict":"allow","code":null}]}
    {"id":"redirect to nonsense","verdict":"deny","stage":"redirect","code":"redirect-invalid","addresses":[]}
    {"id":"rebound","verdict":"deny","stage":"redirect","code":"address-not-public","addresses":[{"address":"127.0.0.1","class":"loopback","verdict":"deny","code":"address-not-public"}]}
    {"id":"five redirects","verdict":"allow","stage":null,"code":null,"addresses":[{"address":"93.184.216.34","class":"public","verdict":"allow","code":null}]}
    {"id":"six redirects","verdict":"deny","stage":"redirect","code":"redirect-too-many","addresses":[]}
    {"id":"a name as address","line":17,"error":"`x` is not an IP address"}
    {"id":18,"verdict":"allow","stage":null,"code":null,"addresses":[{"address":"8.8.8.8","class":"public","verdict":"allow","code":null}]}
    "#);
}

#[test]
fn a_malformed_line_does_not_stop_a_batch() {
    let lines = "{\"url\": \"http://8.8.8.8/\"}\nnonsense\n{\"id\": 7, \"url\": \"http://8.8.8.8/\"}\n{\"id\": \"empty\"}\n";
    assert_snapshot!(show(&run_with_input(&["check", "--batch", "-"], lines)), @r#"
    exit: 2
    --- stdout
    {"id":1,"verdict":"allow","stage":null,"code":null,"addresses":[{"address":"8.8.8.8","class":"public","verdict":"allow","code":null}]}
    {"id":2,"line":2,"error":"not JSON: expected ident at column 2"}
    {"id":7,"verdict":"allow","stage":null,"code":null,"addresses":[{"address":"8.8.8.8","class":"public","verdict":"allow","code":null}]}
    {"id":"empty","line":4,"error":"a case needs `url` or `ip`"}
    "#);
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
