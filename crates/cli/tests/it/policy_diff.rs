//! `pinfold policy diff`.

use std::{fs, path::PathBuf, process::Output};

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::{
    guest::{Answer, Guest},
    support::{run, run_with_input, show, told, vectors},
};

/// A folder with two policies and vectors.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(old: &Guest, new: &Guest) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        old.write(&folder.file("old.wasm"));
        new.write(&folder.file("new.wasm"));
        folder.write("cases.toml", CASES);
        folder
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn path(&self, name: &str) -> String {
        self.file(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.file(name), text).unwrap();
    }

    /// Compares over the vectors of the folder.
    fn diff(&self, args: &[&str]) -> Output {
        let cases = self.path("cases.toml");
        self.compare(&[&["--vectors", &cases], args].concat())
    }

    fn compare(&self, args: &[&str]) -> Output {
        let (old, new) = (self.path("old.wasm"), self.path("new.wasm"));
        run(["policy", "diff", &old, &new].iter().chain(args))
    }

    fn json(&self, args: &[&str]) -> Value {
        let output = self.diff(&[&["--json"], args].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", show(&output)))
    }

    /// The whole output, without what differs from folder to folder.
    fn shown(&self, output: &Output) -> String {
        let text = show(output).replace(self.0.path().to_str().unwrap(), "[DIR]");
        // Digests and sizes are the encoder's.
        let shown = |line: &str| match line.split_whitespace().next() {
            Some(label @ ("digest" | "size")) => format!("{label} [...]\n"),
            _ => format!("{line}\n"),
        };
        text.lines().map(shown).collect()
    }
}

const CASES: &str = r#"
[[case]]
name = "https"
url = "https://a.example/"
resolves_to = ["93.184.216.34", "2606:2800::1"]

[[case]]
name = "alternative port"
url = "https://a.example:8443/"
resolves_to = ["93.184.216.34", "2606:2800::1"]

[[case]]
name = "http"
url = "http://a.example/"
resolves_to = ["93.184.216.34", "2606:2800::1"]

[[case]]
name = "unresolved"
url = "https://b.example:9443/"
"#;

const CLOSED: Answer = Answer::Deny("port-closed", "the port is closed");

fn answers(answers: &[(u16, Answer)]) -> Guest {
    Guest {
        answers: answers.to_vec(),
        ..Guest::default()
    }
}

#[test]
fn nothing_is_different_from_itself() {
    let guest = answers(&[(80, CLOSED)]);
    let folder = Folder::new(&guest, &guest);
    let output = folder.diff(&["--max-loosening", "0"]);
    assert_snapshot!(folder.shown(&output), @r#"
    exit: 0
    --- stdout
                            old           new
    policy          guest 1.0.0   guest 1.0.0
    digest [...]
    size [...]
    fuel, all               550           550
    fuel, dearest           197           197
    memory              128 KiB       128 KiB
    imports   none
    exports   the same
    settings  the same

    4 questions: 0 looser, 0 tighter, 0 said otherwise, 4 the same
    "#);
    assert_eq!(output.stdout, folder.diff(&["--max-loosening", "0"]).stdout);
}

#[test]
fn every_kind_of_change_is_shown() {
    let https_only = Answer::Allow {
        redirects: Some(2),
        https_only: true,
    };
    let fewer = Answer::Allow {
        redirects: Some(1),
        https_only: false,
    };
    let old = answers(&[(80, CLOSED), (443, https_only), (9443, CLOSED)]);
    let new = Guest {
        version: "1.0.1",
        denied: vec![1],
        schema:
            r#"{"type": "object", "properties": {"limits": {"properties": {"a": {}, "b": {}}}}}"#
                .into(),
        ..answers(&[(443, fewer), (9443, Answer::Deny("port-denied-here", "no"))])
    };
    let folder = Folder::new(&old, &new);
    let output = folder.diff(&[]);
    assert_snapshot!(folder.shown(&output), @r#"
    exit: 0
    --- stdout
                            old           new
    policy          guest 1.0.0   guest 1.0.1
    digest [...]
    size [...]
    fuel, all               575           684      +109 (+19.0 %)
    fuel, dearest           207           202         -5 (-2.4 %)
    memory              128 KiB       128 KiB
    imports   none
    exports   the same
    settings
      + /limits

    looser
      https  (cases.toml, https://a.example:443)
        2606:2800::1: allow -> address-denied
        redirects 2 -> 1 (tighter)
        https_only true -> false (looser)
      http  (cases.toml, http://a.example:80)
        port-closed -> allow
        old: the port is closed

    tighter
      alternative port  (cases.toml, https://a.example:8443)
        2606:2800::1: allow -> address-denied

    said otherwise
      unresolved  (cases.toml, https://b.example:9443)
        port-closed -> port-denied-here
        old: the port is closed
        new: no

    4 questions: 2 looser, 1 tighter, 1 said otherwise, 0 the same
    version 1.0.0 -> 1.0.1 says a patch change, it is a major one: 2.0.0 would say so
    "#);
}

#[test]
fn a_loosening_above_the_limit_fails() {
    let old = answers(&[(80, CLOSED), (8443, CLOSED)]);
    let folder = Folder::new(&old, &answers(&[]));
    for (limit, code) in [("0", 1), ("1", 1), ("2", 0)] {
        let output = folder.diff(&["--max-loosening", limit]);
        assert_eq!(output.status.code(), Some(code), "{limit}");
    }
    assert_eq!(
        folder.diff(&[]).status.code(),
        Some(0),
        "it is shown, and fails nothing"
    );
    let report = folder.json(&["--max-loosening", "1"]);
    assert_eq!(
        (&report["exceeded"], &report["decisions"]["looser"]),
        (&json!(true), &json!(2))
    );
    // The way back is tighter.
    let back = Folder::new(&answers(&[]), &old);
    assert_eq!(back.diff(&["--max-loosening", "0"]).status.code(), Some(0));
}

#[test]
fn addresses_are_compared_one_by_one() {
    let denying = |denied: &[usize]| Guest {
        denied: denied.to_vec(),
        ..Guest::default()
    };
    for (row, old, new, looser, kinds) in [
        ("one more", &[1][..], &[][..], 3, json!({"address": 3})),
        ("one less", &[], &[1], 0, json!({"address": 3})),
        ("another", &[0], &[1], 3, json!({"address": 3})),
        (
            "the only one",
            &[0, 1],
            &[0],
            3,
            json!({"address": 3, "verdict": 3}),
        ),
        ("all", &[], &[0, 1], 0, json!({"address": 3, "verdict": 3})),
    ] {
        let decisions = &Folder::new(&denying(old), &denying(new)).json(&[])["decisions"];
        assert_eq!(decisions["looser"], looser, "{row}");
        assert_eq!(decisions["kinds"], kinds, "{row}");
    }
}

#[test]
fn the_version_is_compared_with_what_changed() {
    let version = |version, guest: Guest| Guest { version, ..guest };
    let closed = || answers(&[(80, CLOSED)]);
    let settings = |guest: Guest| Guest {
        schema: r#"{"type": "object", "properties": {"a": {}}}"#.into(),
        ..guest
    };
    for (row, new, changes, enough, least) in [
        (
            "looser",
            version("1.1.0", answers(&[])),
            "major",
            false,
            "2.0.0",
        ),
        (
            "looser, and said",
            version("2.0.0", answers(&[])),
            "major",
            true,
            "2.0.0",
        ),
        (
            "a setting",
            version("1.0.1", settings(closed())),
            "minor",
            false,
            "1.1.0",
        ),
        (
            "tighter",
            version("1.0.1", answers(&[(80, CLOSED), (443, CLOSED)])),
            "minor",
            false,
            "1.1.0",
        ),
        (
            "another code",
            version(
                "1.1.0",
                answers(&[(80, Answer::Deny("port-shut", "the port is closed"))]),
            ),
            "minor",
            true,
            "1.1.0",
        ),
        (
            "another message",
            version(
                "1.0.1",
                answers(&[(80, Answer::Deny("port-closed", "closed"))]),
            ),
            "patch",
            true,
            "1.0.1",
        ),
        (
            "slower",
            version(
                "1.0.1",
                Guest {
                    rounds: 9,
                    ..closed()
                },
            ),
            "patch",
            true,
            "1.0.1",
        ),
        (
            "not said",
            version(
                "1.0.0",
                Guest {
                    rounds: 9,
                    ..closed()
                },
            ),
            "patch",
            false,
            "1.0.1",
        ),
    ] {
        let advice = &Folder::new(&closed(), &new).json(&[])["version"];
        let found = (&advice["changes"], &advice["enough"], &advice["least"]);
        assert_eq!(
            found,
            (&json!(changes), &json!(enough), &json!(least)),
            "{row}"
        );
    }
}

#[test]
fn an_import_is_named_and_refused() {
    let importing = Guest {
        import: Some("log"),
        ..Guest::default()
    };
    let folder = Folder::new(&Guest::default(), &importing);
    let output = folder.diff(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert_snapshot!(folder.shown(&output), @r#"
    exit: 2
    --- stdout
                     old           new
    policy   guest 1.0.0       refused
    digest [...]
    size [...]
    imports
      + log
    exports   the same
    settings  not compared: what is refused is not asked for them

    no question was asked: nothing can be said of verdicts
    --- stderr
    error: cannot use the policy `[DIR]/new.wasm`
      caused by: the policy imports `log`

    hint: build for `wasm32-unknown-unknown` without WASI: a policy imports nothing
    "#);
    let back = Folder::new(&importing, &Guest::default());
    assert_eq!(back.diff(&[]).status.code(), Some(2));
}

#[test]
fn settings_that_the_new_policy_refuses_are_an_error_with_their_problems() {
    let new = Guest {
        version: "2.0.0",
        schema: r#"{"type": "object", "required": ["limit"], "properties": {"limit": {"type": "integer"}}}"#.into(),
        ..Guest::default()
    };
    let folder = Folder::new(&Guest::default(), &new);
    let output = folder.diff(&["--max-loosening", "0"]);
    assert_eq!(output.status.code(), Some(2));
    assert_snapshot!(folder.shown(&output), @r#"
    exit: 2
    --- stdout
                     old           new
    policy   guest 1.0.0   guest 2.0.0
    digest [...]
    size [...]
    imports   none
    exports   the same
    settings
      + /limit, required
      refused by the new policy: the settings of cases.toml
        the whole document: `limit` is missing

    no question was asked: nothing can be said of verdicts
    version 1.0.0 -> 2.0.0 says a major change, it is a major one
    --- stderr
    error: a policy refuses settings, so that nothing was asked under them

    hint: give the settings that each of both takes with `--old-settings` and `--new-settings`
    "#);

    // With settings of its own the new one can be asked; that it refuses those of the old one is said.
    folder.write("new.json", r#"{"limit": 3}"#);
    let report = folder.json(&["--new-settings", &folder.path("new.json")]);
    assert_eq!(report["decisions"]["same"], 4, "{report}");
    assert_eq!(report["refused"][0]["by"], "new");
    assert_eq!(
        report["version"],
        json!({"changes": "major", "stated": "major", "least": "2.0.0", "enough": true})
    );
}

#[test]
fn two_settings_of_one_policy_are_compared() {
    let folder = Folder::new(&Guest::default(), &Guest::default());
    folder.write("old.toml", "ports = [443]\n");
    folder.write("new.toml", "ports = [443, 8443]\n");
    let output = run([
        "policy",
        "diff",
        "shipped",
        "shipped",
        "--json",
        "--max-loosening",
        "0",
        "--vectors",
        &folder.path("cases.toml"),
        "--old-settings",
        &folder.path("old.toml"),
        "--new-settings",
        &folder.path("new.toml"),
    ]);
    assert_eq!(output.status.code(), Some(1), "{}", show(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let changes = report["decisions"]["changes"].as_array().unwrap();
    let looser = changes
        .iter()
        .filter(|change| change["direction"] == "looser");
    let named: Vec<_> = looser
        .map(|change| {
            (
                &change["name"],
                &change["old"]["code"],
                &change["new"]["verdict"],
            )
        })
        .collect();
    assert_eq!(
        named,
        [(
            &json!("alternative port"),
            &json!("port-denied"),
            &json!("allow")
        )]
    );
    assert_eq!(
        report["version"],
        Value::Null,
        "one component has one version"
    );
}

#[test]
fn recorded_decisions_are_asked_again() {
    let old = answers(&[(8443, CLOSED)]);
    let folder = Folder::new(&old, &answers(&[]));
    let record = |id: u32, port: u16| {
        json!({
            "id": id, "target": format!("https://a.example:{port}"), "verdict": "deny",
            "input": {
                "request": {
                    "target": {"scheme": "https", "host": "a.example", "port": port, "path": "/", "query": null, "spelling": []},
                    "method": "GET", "subject": null, "labels": [], "hop": 0, "previous": null,
                },
                "earlier": {"https_only": false}, "chain": [], "answers": [], "floor": [],
                "answered": [{
                    "policy": {"name": "guest", "digest": "", "settings_digest": "", "generation": 1},
                    "target": {"deny": {"stage": "scheme", "code": "port-closed", "detail": ""}},
                }],
            },
        })
    };
    let without = json!({"id": 3, "target": "https://a.example:443", "verdict": "allow"});
    let log = format!("{}\n\n{}\n{without}\n", record(1, 8443), record(2, 443));
    folder.write("log.jsonl", &log);
    let output = folder.compare(&[
        "--decisions",
        &folder.path("log.jsonl"),
        "--max-loosening",
        "0",
        "--json",
    ]);
    assert_eq!(output.status.code(), Some(1), "{}", show(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let changes = report["decisions"]["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0]["name"], "decision 1");
    assert_eq!(changes[0]["from"], "log.jsonl");
    assert_eq!(
        (&report["decisions"]["asked"], &report["skipped"]),
        (&json!(2), &json!(1))
    );

    let (old, new) = (folder.path("old.wasm"), folder.path("new.wasm"));
    let piped = run_with_input(&["policy", "diff", &old, &new, "--decisions", "-"], &log);
    assert!(piped.status.success(), "{}", show(&piped));

    folder.write("bad.jsonl", &format!("{without}\n{{\"id\": 1}}\n"));
    let output = folder.compare(&["--decisions", &folder.path("bad.jsonl")]);
    assert_eq!(output.status.code(), Some(2));
    assert_snapshot!(told(&output), @r#"
    error: `bad.jsonl`, line 2: missing field `target`

    hint: a log holds decisions as JSON, one a line
    "#);
}

#[test]
fn what_the_command_line_records_can_be_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    fs::write(file("new.toml"), "ports = [443]\n").unwrap();
    let log = file("log.jsonl");
    let resolve = "a.example=93.184.216.34";
    let urls = ["https://a.example/", "http://a.example:8080/"];
    let check = ["check", "--record", &log, "--resolve", resolve];
    assert!(run(check.iter().chain(&urls)).status.success());
    let compare = ["policy", "diff", "shipped", "shipped", "--json"];
    let with = ["--decisions", &log, "--new-settings", &file("new.toml")];
    let output = run(compare.iter().chain(&with));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let decisions = &report["decisions"];
    assert_eq!(
        (&decisions["same"], &decisions["tighter"]),
        (&json!(1), &json!(1)),
        "{report}"
    );
    assert_eq!(decisions["changes"][0]["target"], "http://a.example:8080");
}

/// A policy that is asked about `/withheld` may answer otherwise than about what was asked: old and new may deny it
/// both, and one of them let the real path through.
#[test]
fn a_gate_does_not_pass_what_it_was_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let log = file("log.jsonl");
    let urls = ["https://a.example/", "https://a.example/b"];
    let check = [
        "check",
        "--record",
        &log,
        "--resolve",
        "a.example=93.184.216.34",
    ];
    assert!(run(check.iter().chain(&urls)).status.success());
    let text = fs::read_to_string(&log).unwrap();
    let (first, second) = text.trim_end().split_once('\n').unwrap();
    let withheld = || ("redacted", json!(["target.path"]));
    for (row, fields, status, said) in [
        ("whole", vec![], 0, ""),
        (
            "withheld",
            vec![withheld()],
            1,
            "1 asked without what is withheld in them",
        ),
        (
            "marked",
            vec![withheld(), ("replay", json!("depends-on-redacted"))],
            1,
            "1 not asked: the answer depends on what is withheld",
        ),
        (
            "too large",
            vec![("input", Value::Null), ("replay", json!("too-large"))],
            1,
            "1 not asked: what was asked was too long to be recorded",
        ),
        (
            "without input",
            vec![("input", Value::Null)],
            1,
            "1 not asked: recorded without what was asked",
        ),
    ] {
        let mut line: Value = serde_json::from_str(second).unwrap();
        for (field, value) in fields {
            line[field] = value;
        }
        fs::write(&log, format!("{first}\n{line}\n")).unwrap();
        let diff = ["policy", "diff", "shipped", "shipped", "--decisions", &log];
        let gate = run(diff.iter().chain(&["--max-loosening", "0"]));
        assert_eq!(gate.status.code(), Some(status), "{row}: {}", show(&gate));
        assert!(show(&gate).contains(said), "{row}: {}", show(&gate));
        let is_said = told(&gate).contains("1 record could not be judged whole");
        assert_eq!(is_said, status == 1, "{row}: {}", told(&gate));
        let look = run(diff);
        assert_eq!(look.status.code(), Some(0), "{row}: {}", show(&look));
        let what_if = ["replay", &log, "--with", "shipped", "--max-loosening", "0"];
        let what_if = run(what_if);
        assert_eq!(
            what_if.status.code(),
            Some(status),
            "{row}: {}",
            show(&what_if)
        );
        let is_said = told(&what_if).contains("1 record could not be judged whole");
        assert_eq!(is_said, status == 1, "{row}: {}", told(&what_if));
    }
}

/// The version that would be enough depends on verdicts that nobody has seen.
#[test]
fn without_a_question_no_version_is_proposed() {
    let folder = Folder::new(&Guest::default(), &answers(&[(1, Answer::Deny("x", "y"))]));
    let json = folder.compare(&["--json"]);
    let report: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert!(report["version"].is_null(), "{report:#}");
    let said = show(&folder.compare(&[]));
    assert!(
        said.contains("no question was asked: nothing can be said of verdicts"),
        "{said}"
    );
}

#[test]
fn a_gate_that_asks_nothing_does_not_pass() {
    let guest = Guest::default();
    let folder = Folder::new(&guest, &guest);
    let output = folder.compare(&["--max-loosening", "0"]);
    assert_eq!(output.status.code(), Some(2));
    assert_snapshot!(told(&output), @r#"
    error: nothing was asked, so that nothing can be said of loosening

    hint: name vectors with `--vectors`, or recorded decisions with `--decisions`
    "#);
    assert!(
        folder.compare(&[]).status.success(),
        "what both are can be compared all the same"
    );
}

#[test]
fn long_lists_are_cut_and_counted() {
    let folder = Folder::new(&answers(&[(80, CLOSED), (8443, CLOSED)]), &answers(&[]));
    let text = folder.shown(&folder.diff(&["--show", "1"]));
    assert!(text.contains("  and 1 more: "), "{text}");
    assert!(text.contains("4 questions: 2 looser"), "{text}");
}

#[test]
fn the_shipped_policy_is_the_same_as_itself() {
    let corpus = vectors("corpus.jsonl");
    let args = [
        "policy",
        "diff",
        "shipped",
        "shipped",
        "--json",
        "--max-loosening",
        "0",
        "--vectors",
        corpus.to_str().unwrap(),
    ];
    let output = run(args);
    assert!(output.status.success(), "{}", show(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let decisions = &report["decisions"];
    assert!(decisions["asked"].as_u64().unwrap() > 200);
    assert_eq!(decisions["asked"], decisions["same"]);
    assert_eq!(decisions["fuel"]["old"], decisions["fuel"]["new"]);
}

#[test]
fn a_pack_is_asked_from_what_the_old_policy_allows() {
    let old = Guest {
        denied: (0..64).collect(),
        ..answers(&[])
    };
    let folder = Folder::new(&Guest::default(), &old);
    let cases = folder.path("cases.toml");
    let pack = |more: &[&str]| {
        let fixed = ["--vectors", &cases, "--pack", "ssrf", "--json"];
        folder.compare(&[&fixed[..], more].concat())
    };
    let report: Value = serde_json::from_slice(&pack(&[]).stdout).unwrap();
    let decisions = &report["decisions"];
    assert!(decisions["asked"].as_u64() > Some(1_000), "{decisions}");
    assert_eq!(decisions["looser"], 0);
    let of_pack = decisions["changes"].as_array().unwrap().iter();
    let of_pack = of_pack.filter(|change| change["from"] == "pack ssrf");
    let answers = of_pack.filter(|change| change["target"] == "https://a.example:443");
    assert!(answers.count() > 100, "the first URL of the vectors");

    let base =
        serde_json::from_slice::<Value>(&pack(&["--base", "https://b.example:9443/"]).stdout);
    let changes = base.unwrap()["decisions"]["changes"].take();
    let changes = changes.as_array().unwrap().iter();
    let of_base = changes.filter(|change| change["target"] == "https://b.example:9443");
    assert!(of_base.count() > 100);

    let back = [
        "policy",
        "diff",
        &folder.path("new.wasm"),
        &folder.path("old.wasm"),
    ];
    let output = run(back
        .iter()
        .chain(&["--pack", "ssrf", "--max-loosening", "0"]));
    assert_eq!(output.status.code(), Some(2), "{}", show(&output));
    assert!(
        told(&output).contains("the old policy refuses it"),
        "{}",
        told(&output)
    );
}

#[test]
fn settings_that_must_be_refused_are_compared() {
    let limit = |range: &str| Guest {
        schema: format!(
            r#"{{"type": "object", "properties": {{"limit": {{"type": "integer"{range}}}}}}}"#
        ),
        ..Guest::default()
    };
    let (strict, stricter, open) = (
        limit(r#", "maximum": 3"#),
        limit(r#", "maximum": 4"#),
        limit(""),
    );
    for (row, old, new, counts, code) in [
        ("taken now", &strict, &open, [1, 0, 0], 1),
        ("refused now", &open, &strict, [0, 1, 0], 0),
        (
            "refused for something else",
            &strict,
            &stricter,
            [0, 0, 1],
            0,
        ),
        ("refused by both", &strict, &strict, [0, 0, 0], 0),
    ] {
        let folder = Folder::new(old, new);
        folder.write(
            "cases.toml",
            "settings = { limit = 5 }\nproblems = [{ path = \"/limit\" }]\n",
        );
        let output = folder.diff(&["--max-loosening", "0"]);
        assert_eq!(output.status.code(), Some(code), "{row}: {}", show(&output));
        let report = folder.json(&[]);
        let decisions = &report["decisions"];
        let found = ["looser", "tighter", "other"].map(|way| decisions[way].as_u64().unwrap());
        assert_eq!((found, &decisions["asked"]), (counts, &json!(1)), "{row}");
        if row == "taken now" {
            assert_snapshot!(folder.shown(&output), @r#"
            exit: 1
            --- stdout
                             old           new
            policy   guest 1.0.0   guest 1.0.0
            digest [...]
            size [...]
            imports   none
            exports   the same
            settings
              ~ /limit: `maximum` 3 -> none

            looser
              the settings are refused  (cases.toml, settings)
                refused -> taken
                old: `/limit`: must be at most 3

            1 question: 1 looser, 0 tighter, 0 said otherwise, 0 the same
            version 1.0.0 -> 1.0.0 says no change, it is a major one: 2.0.0 would say so
            "#);
        }
    }
}
