//! `pinfold replay`, and `--record` of `check`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Output,
    time::{Duration, Instant},
};

use insta::assert_snapshot;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    guest::{Answer, Guest},
    support::{json_lines, pinfold, run_with_input, show, told, vectors},
};

/// A folder with a log of decisions.
struct Recorded {
    folder: TempDir,
}

impl Recorded {
    /// Judges the cases of a file, and records them.
    fn of(cases: &Path, more: &[&str]) -> Self {
        let recorded = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let log = recorded.log();
        let (cases, log) = (cases.to_str().unwrap(), log.to_str().unwrap());
        let mut args = vec!["check", "--batch", cases, "--record", log];
        args.extend(more);
        let output = pinfold(args).output().unwrap();
        assert!(output.status.code() < Some(2), "{}", show(&output));
        recorded
    }

    /// Judges cases that are written down here.
    fn cases(cases: &[Value], more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cases.jsonl");
        let lines: Vec<_> = cases.iter().map(Value::to_string).collect();
        fs::write(&file, lines.join("\n")).unwrap();
        Self::of(&file, more)
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("decisions.jsonl")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.log()).unwrap()
    }

    /// A file beside the log.
    fn file(&self, name: &str, text: &str) -> String {
        let file = self.folder.path().join(name);
        fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    }

    fn replay(&self, more: &[&str]) -> Output {
        let log = self.log();
        let mut args = vec!["replay", log.to_str().unwrap()];
        args.extend(more);
        pinfold(args).output().unwrap()
    }

    /// The last line of `--json`.
    fn summary(&self, more: &[&str]) -> Value {
        let output = self.replay(&[more, &["--json"]].concat());
        json_lines(&output).pop().unwrap()["summary"].take()
    }
}

#[test]
fn the_corpus_is_replayed_bit_for_bit() {
    for file in ["corpus.jsonl", "more.jsonl"] {
        for redact in [&[][..], &["--redact", "paths,queries"]] {
            let recorded = Recorded::of(&vectors(file), redact);
            let output = recorded.replay(&["--json"]);
            assert_eq!(output.status.code(), Some(0), "{file}: {}", show(&output));
            let summary = recorded.summary(&[]);
            let unasked = summary["not_replayed"]["not-asked"].as_u64().unwrap();
            let (records, identical) = (&summary["records"], &summary["identical"]);
            assert_eq!(
                records.as_u64().unwrap(),
                identical.as_u64().unwrap() + unasked,
                "{file}"
            );
            assert!(identical.as_u64().unwrap() > 100, "{file}: {summary}");
            assert_eq!(
                summary["not_replayed"].as_object().unwrap().len(),
                1,
                "{file}: {summary}"
            );
        }
    }
}

/// 10,000 decisions: of each, what it is and what becomes of it is known from its number.
fn ten_thousand() -> Vec<Value> {
    let case = |number: u32| {
        let (port, private) = (8_000 + number % 10, number.is_multiple_of(7));
        let address = match private {
            true => format!("10.0.{}.{}", number / 256 % 256, number % 256),
            false => format!("93.184.{}.{}", number / 256 % 256, number % 256),
        };
        json!({
            "id": number,
            "url": format!("http://h{number}.example:{port}/path/{number}?q={number}"),
            "resolves_to": [address],
        })
    };
    (1..=10_000).map(case).collect()
}

#[test]
fn ten_thousand_decisions_are_identical_and_one_loosened_rule_changes_exactly_its_own() {
    let settings = tempfile::tempdir().unwrap();
    let strict = settings.path().join("strict.toml");
    fs::write(
        &strict,
        "ports = [8000, 8001, 8002, 8003, 8004, 8005, 8006, 8007, 8008]\n",
    )
    .unwrap();
    let strict = strict.to_str().unwrap();
    let recorded = Recorded::cases(&ten_thousand(), &["--settings", strict]);

    let begun = Instant::now();
    let summary = recorded.summary(&["--settings", strict]);
    assert_eq!(
        (&summary["records"], &summary["identical"]),
        (&json!(10_000), &json!(10_000))
    );
    // Optimised it takes less than two seconds; what this bounds is a load or a compilation for each record.
    assert!(
        begun.elapsed() < Duration::from_secs(60),
        "{:?}",
        begun.elapsed()
    );

    // Port 8009 is allowed too. What was refused for it was not looked up: whatever it resolves to.
    let loose = recorded.file(
        "loose.toml",
        "ports = [8000, 8001, 8002, 8003, 8004, 8005, 8006, 8007, 8008, 8009]\n",
    );
    let output = recorded.replay(&["--with-settings", &loose, "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    let mut lines = json_lines(&output);
    let summary = lines.pop().unwrap();
    let expected: BTreeSet<u64> = (1..=10_000).filter(|number| number % 10 == 9).collect();
    let changed: BTreeSet<u64> = lines
        .iter()
        .map(|line| line["line"].as_u64().unwrap())
        .collect();
    assert_eq!(changed, expected);
    assert_eq!(lines.len(), expected.len());
    assert!(
        lines
            .iter()
            .all(|line| line["loosening"] == true && line["was"]["code"] == "port-denied")
    );
    assert_eq!(summary["summary"]["loosened"], 1_000);

    // The inner network is allowed: of the others, every seventh.
    let open = "ports = [8000, 8001, 8002, 8003, 8004, 8005, 8006, 8007, 8008]\n[networks]\nallow = [\"10.0.0.0/8\"]\n";
    let open = recorded.file("open.toml", open);
    let mut lines = json_lines(&recorded.replay(&["--with-settings", &open, "--json"]));
    lines.pop();
    let changed: BTreeSet<u64> = lines
        .iter()
        .map(|line| line["line"].as_u64().unwrap())
        .collect();
    let expected: BTreeSet<u64> = (1..=10_000)
        .filter(|number| number % 7 == 0 && number % 10 != 9)
        .collect();
    assert_eq!(changed, expected);
}

fn three_cases() -> [Value; 3] {
    [
        json!({"url": "http://a.example:8080/", "resolves_to": ["93.184.216.34"]}),
        json!({"url": "http://b.example/", "resolves_to": ["10.0.0.7"]}),
        json!({"url": "http://127.0.0.1/"}),
    ]
}

#[test]
fn what_differs_is_shown_field_by_field() {
    let recorded = Recorded::cases(&three_cases(), &[]);
    let forged = recorded
        .text()
        .replace(
            r#""target":{"allow":{"https_only":false}}"#,
            r#""target":{"allow":{"redirects":3,"https_only":false}}"#,
        )
        .replace("`10.0.0.7` is private", "`10.0.0.7` is public");
    fs::write(recorded.log(), forged).unwrap();
    assert_snapshot!(show(&recorded.replay(&[])), @r#"
    exit: 1
    --- stdout
    line 1: http://a.example:8080 differs
      target.allow.redirects  recorded 3, now null
    line 2: http://b.example:80 differs
      addresses[0].detail  recorded "`10.0.0.7` is public and in no network of `networks.allow`", now "`10.0.0.7` is private and in no network of `networks.allow`"
      target.allow.redirects  recorded 3, now null
    3 records: 0 identical, 2 differ
      1 not replayed: refused before a policy was asked
    "#);
    assert_snapshot!(show(&recorded.replay(&["--json"])), @r#"
    exit: 1
    --- stdout
    {"line":1,"id":1,"target":"http://a.example:8080","layer":null,"differences":[{"field":"target.allow.redirects","recorded":3,"now":null}]}
    {"line":2,"id":2,"target":"http://b.example:80","layer":null,"differences":[{"field":"addresses[0].detail","recorded":"`10.0.0.7` is public and in no network of `networks.allow`","now":"`10.0.0.7` is private and in no network of `networks.allow`"},{"field":"target.allow.redirects","recorded":3,"now":null}]}
    {"summary":{"records":3,"identical":0,"differing":2,"contradicting":0,"changed":0,"loosened":0,"other_reason":0,"no_effect":0,"redacted":0,"not_replayed":{"not-asked":1},"missing":0,"malformed":0}}
    "#);
}

#[test]
fn verdicts_that_would_change_are_listed() {
    let recorded = Recorded::cases(&three_cases(), &[]);
    let settings = recorded.file(
        "other.toml",
        "ports = [80]\n[networks]\nallow = [\"10.0.0.0/8\"]\n",
    );
    assert_snapshot!(show(&recorded.replay(&["--with-settings", &settings])), @r#"
    exit: 1
    --- stdout
    line 1: http://a.example:8080 tightening
      was  allowed
      now  denied at stage `scheme` by `port-denied`: 8080 is not in `ports` (80)
    line 2: http://b.example:80 loosening
      was  denied at stage `resolve` by `address-not-public`: `10.0.0.7` is private and in no network of `networks.allow`
      now  allowed
      10.0.0.7: address-not-public -> allow
    3 records: 2 would change, 1 of them loosened; 0 identical
      1 not replayed: refused before a policy was asked
    "#);
}

#[test]
fn policies_and_settings_that_nobody_gave_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("settings.toml");
    fs::write(&settings, "ports = [80]\n").unwrap();
    let recorded = Recorded::cases(&three_cases(), &["--settings", settings.to_str().unwrap()]);
    assert_snapshot!(show(&recorded.replay(&[])), @r#"
    exit: 2
    --- stdout
    3 records: 0 identical, 0 differ
      1 not replayed: refused before a policy was asked
      2 not replayed: their policy, settings or layer is not there
    --- stderr
    error: line 1: settings of `egress` with digest `[DIGEST]` are not there

    hint: give the settings that were in force with `--settings FILE`
    "#);
    let given = recorded.replay(&["--settings", settings.to_str().unwrap()]);
    assert_eq!(given.status.code(), Some(0), "{}", show(&given));

    let digest = json_line(&recorded.text())["policy"]["digest"]
        .as_str()
        .unwrap()
        .to_owned();
    let other = recorded.text().replace(&digest, &"0".repeat(64));
    fs::write(recorded.log(), other).unwrap();
    assert_snapshot!(show(&recorded.replay(&[])), @r#"
    exit: 2
    --- stdout
    3 records: 0 identical, 0 differ
      1 not replayed: refused before a policy was asked
      2 not replayed: their policy, settings or layer is not there
    --- stderr
    error: line 1: the policy `egress` with digest `[DIGEST]` is not there

    hint: give the component that judged with `--policy FILE`; `pinfold inspect FILE` shows a digest
    "#);
}

fn json_line(text: &str) -> Value {
    serde_json::from_str(text.lines().next().unwrap()).unwrap()
}

#[test]
fn a_line_that_is_no_record_does_not_stop_the_others() {
    let recorded = Recorded::cases(&three_cases(), &[]);
    let text = recorded.text();
    let good: Vec<_> = text.lines().collect();
    let forged = |from: &str, to: &str| {
        assert!(good[0].contains(from), "{from}");
        good[0].replace(from, to)
    };
    let input = [
        "not json".to_owned(),
        "{}".to_owned(),
        forged(r#""host":"a.example""#, r#""host":"A.example""#),
        forged(r#""hop":0,"previous":null"#, r#""hop":1,"previous":null"#),
        forged(r#""floor":[null]"#, r#""floor":[null,null]"#),
        good[1].to_owned(),
    ];
    let output = run_with_input(&["replay", "-"], &input.join("\n"));
    assert_snapshot!(show(&output), @r#"
    exit: 2
    --- stdout
    6 records: 1 identical, 0 differ
      5 no records
    --- stderr
    error: line 1 is no record: expected ident, at column 2
    error: line 2 is no record: missing field `id`
    error: line 3 is no record: `target`: url-invalid: these parts are not those of a canonical URL
    error: line 4 is no record: `previous` belongs to each hop but the first
    error: line 5 is no record: `floor` has 2 entries for 1 addresses
    "#);
}

#[test]
fn the_log_of_a_gateway_is_replayed_as_it_is() {
    let recorded = Recorded::cases(&three_cases(), &[]);
    let (lines, plain) = (recorded.text(), recorded.summary(&[]));
    let mut gateway = String::from("{\"event\":\"phase\",\"phase\":\"ready\"}\n");
    for line in lines.lines() {
        let decision: Value = serde_json::from_str(line).unwrap();
        let line = json!({"event": "decision", "request_id": "5ed3d66d-1", "decision": decision});
        gateway += &format!("{line}\n{}\n", json!({"event": "end", "bytes_up": 1}));
    }
    fs::write(recorded.log(), gateway).unwrap();
    assert_eq!(recorded.summary(&[]), plain);

    // A line that says that it holds a decision, and holds none, is not passed over.
    fs::write(recorded.log(), "{\"event\":\"decision\"}\n").unwrap();
    let output = recorded.replay(&[]);
    assert_eq!(output.status.code(), Some(2), "{}", show(&output));
    assert!(
        told(&output).contains("missing field `decision`"),
        "{}",
        show(&output)
    );
}

#[test]
fn records_without_what_was_asked_are_counted() {
    let recorded = Recorded::cases(&three_cases(), &[]);
    let text = recorded.text();
    let bare = text.lines().map(|line| {
        let mut record = serde_json::from_str::<Value>(line).unwrap();
        record.as_object_mut().unwrap().remove("input");
        format!("{record}\n")
    });
    let bare: String = bare.collect();
    fs::write(recorded.log(), bare).unwrap();
    assert_snapshot!(show(&recorded.replay(&[])), @r#"
    exit: 2
    --- stdout
    3 records: 0 identical, 0 differ
      3 not replayed: recorded without what was asked
    --- stderr
    error: nothing to replay

    hint: records hold what was asked when they are made with `--record FILE`, or with `GuardBuilder::record_inputs`
    "#);
}

#[test]
fn a_chain_is_replayed_and_one_layer_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let team = folder.path().join("team.toml");
    fs::write(&team, "ports = [80]\n").unwrap();
    let layer = format!("team=,{}", team.display());
    let recorded = Recorded::cases(
        &three_cases(),
        &["--layer", "organisation=", "--layer", &layer],
    );
    let team = team.to_str().unwrap();
    let same = recorded.replay(&["--settings", team]);
    assert_eq!(same.status.code(), Some(0), "{}", show(&same));
    let loose = recorded.file("loose.toml", "ports = [80, 8080]\n");
    let replaced = [
        "--settings",
        team,
        "--with-settings",
        &loose,
        "--layer",
        "team",
    ];
    assert_snapshot!(show(&recorded.replay(&replaced)), @r#"
    exit: 1
    --- stdout
    line 1: http://a.example:8080 loosening
      was  denied at stage `scheme` by `port-denied`: 8080 is not in `ports` (80)
      now  target allowed; no addresses are recorded
    3 records: 1 would change, 1 of them loosened; 1 identical
      1 not replayed: refused before a policy was asked
    "#);
    assert_snapshot!(show(&recorded.replay(&replaced[..4])), @r#"
    exit: 2
    --- stdout
    3 records: 0 would change, 0 of them loosened; 0 identical
      1 not replayed: refused before a policy was asked
      2 not replayed: their policy, settings or layer is not there
    --- stderr
    error: line 1: no layer is called `policy`; there are `organisation`, `team`

    hint: name the layer to replace with `--layer NAME`
    "#);
}

/// Changes one field of the first record.
fn forge(recorded: &Recorded, place: &str, value: Value) {
    let text = recorded.text();
    let (first, rest) = text.split_once('\n').unwrap();
    let mut line: Value = serde_json::from_str(first).unwrap();
    *line.pointer_mut(place).unwrap() = value;
    fs::write(recorded.log(), format!("{line}\n{rest}")).unwrap();
}

#[test]
fn a_line_that_its_input_belies_contradicts_itself() {
    let case = json!({"url": "https://a.example/", "resolves_to": ["10.0.0.7"]});
    for (place, value) in [
        ("/verdict", json!("allow")),
        ("/code", json!("host-denied")),
        ("/target", json!("https://other.example:443")),
        ("/addresses/0/denial", Value::Null),
        ("/policy/generation", json!(7)),
        ("/input/answered/0/addresses/0", Value::Null),
    ] {
        let recorded = Recorded::cases(std::slice::from_ref(&case), &[]);
        assert_eq!(recorded.replay(&[]).status.code(), Some(0));
        forge(&recorded, place, value);
        for more in [&[][..], &["--with", "shipped", "--max-loosening", "9"]] {
            let output = recorded.replay(more);
            assert_eq!(output.status.code(), Some(1), "{place}: {}", show(&output));
            assert!(show(&output).contains("contradicts itself"), "{place}");
        }
        let summary = recorded.summary(&[]);
        let counts = [
            &summary["identical"],
            &summary["differing"],
            &summary["contradicting"],
        ];
        assert_eq!(counts, [&json!(0), &json!(1), &json!(1)], "{place}");
    }
}

/// Two layers with one component under the same settings: the second answer is compared too.
#[test]
fn each_layer_is_compared_with_its_own_answer() {
    let case = json!({"url": "https://a.example/", "resolves_to": ["93.184.216.34"]});
    let recorded = Recorded::cases(&[case], &["--layer", "organisation=", "--layer", "team="]);
    assert_eq!(recorded.replay(&[]).status.code(), Some(0));
    forge(
        &recorded,
        "/input/answered/1/target/allow/https_only",
        json!(true),
    );
    let output = recorded.replay(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        show(&output).contains("differs in layer `team`"),
        "{}",
        show(&output)
    );
}

#[test]
fn a_log_does_not_steer_the_terminal() {
    let case = json!({"url": "https://a.example/", "resolves_to": ["93.184.216.34"]});
    let steer = json!("\u{1b}[2Jteam");
    for place in [
        "/layers/1/layer",
        "/input/answered/1/policy/layer",
        "/policy/layer",
        "/policy/name",
        "/policy/digest",
        "/subject",
        "/method",
        "/target",
        "/verdict",
        "/code",
        "/input/answered/1/policy/name",
        "/input/answered/1/policy/digest",
        "/input/answered/1/policy/settings_digest",
    ] {
        let layers = ["--layer", "organisation=", "--layer", "team="];
        let recorded = Recorded::cases(std::slice::from_ref(&case), &layers);
        forge_or_add(&recorded, place, &steer);
        for more in [&[][..], &["--json"]] {
            let output = recorded.replay(more);
            assert_ne!(output.status.code(), Some(0), "{place}: {}", show(&output));
            let bytes = [output.stdout, output.stderr].concat();
            assert!(
                !bytes.contains(&0x1b),
                "{place} {more:?}: {}",
                String::from_utf8_lossy(&bytes)
            );
        }
    }
}

/// As [`forge`], also of a field that is not there.
fn forge_or_add(recorded: &Recorded, place: &str, value: &Value) {
    let (parent, field) = place.rsplit_once('/').unwrap();
    let text = recorded.text();
    let mut line: Value = serde_json::from_str(text.trim_end()).unwrap();
    line.pointer_mut(parent).unwrap()[field] = value.clone();
    fs::write(recorded.log(), format!("{line}\n")).unwrap();
}

#[cfg(unix)]
#[test]
fn a_new_file_is_for_its_owner_alone_and_grows() {
    use std::os::unix::fs::PermissionsExt;

    let recorded = Recorded::cases(&three_cases(), &[]);
    let mode = fs::metadata(recorded.log()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let log = recorded.log();
    let more = [
        "check",
        "--record",
        log.to_str().unwrap(),
        "http://10.0.0.7/?secret",
    ];
    pinfold(more).output().unwrap();
    assert_eq!(recorded.text().lines().count(), 4);
    assert!(recorded.text().contains("secret"));
}

#[test]
fn what_cannot_be_done_is_said() {
    let recorded = Recorded::cases(&three_cases(), &[]);
    let outputs = [
        recorded.replay(&["--settings", "/nowhere.toml"]),
        recorded.replay(&["--policy", "/nowhere.wasm"]),
        pinfold(["replay", "/nowhere.jsonl"]).output().unwrap(),
        pinfold(["replay", "-", "--with-settings", "-"])
            .output()
            .unwrap(),
        pinfold(["check", "--record", "-", "http://10.0.0.7/"])
            .output()
            .unwrap(),
        pinfold(["check", "--record", "/nowhere/log", "http://10.0.0.7/"])
            .output()
            .unwrap(),
    ];
    let shown: Vec<_> = outputs.iter().map(show).collect();
    assert_snapshot!(shown.join("\n"), @r#"
    exit: 2
    --- stderr
    error: cannot read `/nowhere.toml`
      caused by: No such file or directory (os error 2)

    exit: 2
    --- stderr
    error: cannot use the policy `/nowhere.wasm`
      caused by: cannot read `/nowhere.wasm`: No such file or directory (os error 2)

    hint: check the path and its permissions

    exit: 2
    --- stderr
    error: cannot read `/nowhere.jsonl`
      caused by: No such file or directory (os error 2)

    exit: 2
    --- stderr
    error: standard input is to be read twice

    hint: give the settings as a file

    exit: 2
    --- stderr
    error: `--record -` is no file

    hint: give a file; standard output holds the answers

    exit: 2
    --- stderr
    error: cannot write `/nowhere/log`
      caused by: No such file or directory (os error 2)
    "#);
}

const CLOSED: Answer = Answer::Deny("port-closed", "the port is closed");

/// Cases for policies that look at the port; two addresses each.
fn by_port() -> Vec<Value> {
    let case = |port: u16| {
        json!({
            "url": format!("https://a.example:{port}/secret?token=1"),
            "resolves_to": ["93.184.216.34", "93.184.216.35"],
        })
    };
    [443, 8443].map(case).into()
}

/// The guest as a file in a folder of its own.
fn written(guest: &Guest) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("guest.wasm");
    guest.write(&file);
    let file = file.to_str().unwrap().to_owned();
    (folder, file)
}

fn bound(redirects: u8) -> Guest {
    let terms = Answer::Allow {
        redirects: Some(redirects),
        https_only: false,
    };
    Guest {
        answers: vec![(443, terms), (8443, CLOSED)],
        denied: vec![1],
        ..Guest::default()
    }
}

#[test]
fn a_component_is_found_by_its_digest_and_another_one_put_in_its_place() {
    let (_old, old) = written(&bound(2));
    let recorded = Recorded::cases(&by_port(), &["--policy", &old]);
    assert_eq!(recorded.replay(&[]).status.code(), Some(2));
    let same = recorded.replay(&["--policy", &old]);
    assert_eq!(same.status.code(), Some(0), "{}", show(&same));

    let open = Guest {
        answers: Vec::new(),
        ..bound(2)
    };
    let (_new, new) = written(&open);
    assert_snapshot!(show(&recorded.replay(&["--with", &new])), @r#"
    exit: 1
    --- stdout
    line 1: https://a.example:443 loosening
      was  allowed
      now  allowed
      redirects 2 -> none (looser)
    line 2: https://a.example:8443 loosening
      was  denied at stage `name` by `port-closed`: the port is closed
      now  target allowed; no addresses are recorded
    2 records: 2 would change, 2 of them loosened; 0 identical
    "#);
    let same = recorded.replay(&["--with", &old]);
    assert_eq!(same.status.code(), Some(0), "{}", show(&same));
}

#[test]
fn an_address_more_and_terms_that_bind_less_are_loosenings() {
    let (_old, old) = written(&bound(2));
    let recorded = Recorded::cases(&by_port()[..1], &["--policy", &old]);
    let every = Guest {
        denied: Vec::new(),
        ..bound(2)
    };
    let none_of_the_second = Guest {
        denied: vec![0],
        ..bound(1)
    };
    for (row, new, loosening, kinds) in [
        ("an address more", every, true, json!(["address"])),
        ("looser terms", bound(3), true, json!(["terms"])),
        ("tighter terms", bound(1), false, json!(["terms"])),
        (
            "another address, tighter terms",
            none_of_the_second,
            true,
            json!(["address", "terms"]),
        ),
    ] {
        let (_new, new) = written(&new);
        let output = recorded.replay(&["--with", &new, "--json"]);
        let [line, summary] = &json_lines(&output)[..] else {
            panic!("{row}: {}", show(&output))
        };
        assert_eq!(
            (&line["loosening"], &line["kinds"]),
            (&json!(loosening), &kinds),
            "{row}"
        );
        assert_eq!(
            summary["summary"]["loosened"],
            u64::from(loosening),
            "{row}"
        );
        let gate = |most: &str| {
            let with = ["--with", &new, "--max-loosening", most];
            recorded.replay(&with).status.code()
        };
        let expected = (Some(i32::from(loosening)), Some(0));
        assert_eq!((gate("0"), gate("1")), expected, "{row}");
    }
}

#[test]
fn a_verdict_without_what_is_withheld_says_so_in_its_line() {
    let (_old, old) = written(&bound(2));
    let redact = ["--policy", &old, "--redact", "paths,queries"];
    let recorded = Recorded::cases(&by_port()[..1], &redact);
    let (_new, new) = written(&bound(3));
    assert_snapshot!(show(&recorded.replay(&["--with", &new])), @r#"
    exit: 1
    --- stdout
    line 1: https://a.example:443 loosening
      was  allowed
      now  allowed
      redirects 2 -> 3 (looser)
      withheld  target.path, target.query: what was asked may be judged otherwise
    1 record: 1 would change, 1 of them loosened; 0 identical
      1 judged without what is withheld in them
    "#);
    let lines = json_lines(&recorded.replay(&["--with", &new, "--json"]));
    assert_eq!(lines[0]["without"], json!(["target.path", "target.query"]));
}

#[test]
fn what_was_decided_with_inert_wasi_is_replayed_where_that_is_granted() {
    let recorded = Recorded::cases(&three_cases(), &[]);
    let text = recorded.text();
    let granted = text.replace(r#""generation":1"#, r#""generation":1,"inert_wasi":true"#);
    assert_ne!(text, granted);
    fs::write(recorded.log(), granted).unwrap();
    assert_snapshot!(show(&recorded.replay(&[])), @r#"
    exit: 2
    --- stdout
    3 records: 0 identical, 0 differ
      1 not replayed: refused before a policy was asked
      2 not replayed: their policy, settings or layer is not there
    --- stderr
    error: line 1: the policy `egress` judged with inert WASI

    hint: grant it with `--inert-wasi`
    "#);
    let given = recorded.replay(&["--inert-wasi"]);
    assert_eq!(given.status.code(), Some(0), "{}", show(&given));
}

#[test]
fn options_of_a_what_if_need_one() {
    let recorded = Recorded::cases(&three_cases(), &[]);
    for option in [["--max-loosening", "0"], ["--layer", "team"]] {
        let output = recorded.replay(&option);
        assert_eq!(output.status.code(), Some(2), "{}", show(&output));
        assert!(told(&output).contains("--with"), "{}", told(&output));
    }
}
