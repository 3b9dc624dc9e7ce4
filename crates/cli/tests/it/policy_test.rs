//! `pinfold policy test`.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    time::Duration,
};

use insta::assert_snapshot;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    guest::{Answer, Guest},
    support::{json_lines, pinfold, repository, run, show},
};

/// A folder with a policy and vectors.
struct Bench(TempDir);

impl Bench {
    fn new(guest: &Guest) -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        guest.write(&bench.at("guest.wasm"));
        bench
    }

    fn shipped() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> &Self {
        fs::create_dir_all(self.at(name).parent().unwrap()).unwrap();
        fs::write(self.at(name), text).unwrap();
        self
    }

    /// A project around the guest.
    fn project(&self, more: &str) -> &Self {
        let head = "[policy]\nname = \"guest\"\nlanguage = \"c\"\ncomponent = \"guest.wasm\"\n";
        self.write(
            "pinfold.toml",
            &format!("{head}vectors = [\"tests\"]\n{more}"),
        )
    }

    /// The verb, run in the folder.
    fn command(&self, path: &str, more: &[&str]) -> Command {
        let mut command = pinfold(["policy", "test", path]);
        command.args(more).current_dir(self.0.path());
        command
    }

    fn run(&self, path: &str, more: &[&str]) -> Output {
        self.command(path, more).output().unwrap()
    }

    fn shown(&self, path: &str, more: &[&str]) -> String {
        show(&self.run(path, more))
    }

    fn code(&self, path: &str, more: &[&str]) -> Option<i32> {
        self.run(path, more).status.code()
    }

    fn json(&self, path: &str, more: &[&str]) -> Vec<Value> {
        let more: Vec<_> = more.iter().copied().chain(["--json"]).collect();
        json_lines(&self.run(path, &more))
    }
}

/// Denies port 1 in its own words, port 2 in words of the registry; tightens on port 3.
fn guest() -> Guest {
    Guest {
        answers: vec![
            (1, Answer::Deny("tenant-suspended", "tenant 7 is suspended")),
            (2, Answer::Deny("port-denied", "port 2 is not served")),
            (
                3,
                Answer::Allow {
                    redirects: Some(2),
                    https_only: true,
                },
            ),
        ],
        denied: vec![1],
        ..Guest::default()
    }
}

const GOOD: &str = r#"
about = "each answer of the guest once"

[[case]]
name = "suspended"
url = "http://a.example:1/"
expect = { code = "tenant-suspended", message = "tenant 7 is suspended" }

[[case]]
name = "port"
url = "http://a.example:2/"
expect = { verdict = "deny", code = "port-denied", stage = "scheme" }

[[case]]
name = "terms"
url = "https://a.example:3/"
resolves_to = ["93.184.216.34", "93.184.216.35"]
expect = { verdict = "allow", terms = { redirects = 2, https_only = true }, addresses = ["allow", "address-denied"] }

[[case]]
name = "the floor"
url = "http://a.example/"
resolves_to = ["127.0.0.1"]
expect = { code = "address-floor" }

[[case]]
name = "a redirect to this host"
url = "http://a.example/"
resolves_to = ["93.184.216.34"]
redirects_to = "http://127.0.0.1/"
expect = { code = "address-floor", stage = "redirect" }

[[case]]
name = "no URL"
url = "http://a b/"
expect = "invalid"
"#;

#[test]
fn what_is_as_expected_passes() {
    let bench = Bench::new(&guest());
    bench.project("").write("tests/good.toml", GOOD);
    assert_snapshot!(bench.shown(".", &[]), @r"
    exit: 0
    --- stdout
    the policy `./guest.wasm`

    suite            cases  failed
    tests/good.toml      6       0

    6 cases: 6 as expected
    ");
}

#[test]
fn a_component_alone_is_tested_with_vectors_that_are_named() {
    let bench = Bench::new(&guest());
    bench.write("v/good.toml", GOOD);
    assert_eq!(bench.code("guest.wasm", &["--vectors", "v"]), Some(0));
    assert_eq!(
        bench.code("guest.wasm", &["--vectors", "v/good.toml"]),
        Some(0)
    );
}

#[test]
fn each_difference_is_said_field_by_field() {
    let bench = Bench::new(&guest());
    bench.project("").write(
        "tests/bad.toml",
        r#"
[[case]]
name = "verdict, too strict"
url = "http://a.example:1/"
expect = "allow"

[[case]]
name = "verdict, too loose"
url = "http://a.example/"
resolves_to = ["93.184.216.34"]
expect = { code = "tenant-suspended" }

[[case]]
name = "code, stage, message"
url = "http://a.example:1/"
expect = { code = "tenant-suspende", stage = "scheme", message = "tenant 8 is suspended" }

[[case]]
name = "terms and addresses"
url = "https://a.example:3/"
resolves_to = ["93.184.216.34", "93.184.216.35"]
expect = { verdict = "allow", terms = { redirects = 1, response_bytes = 5 }, addresses = ["deny", "address-denied", "allow"] }

[[case]]
name = "no answer"
url = "http://a.example/"
expect = "allow"

[[case]]
name = "no URL"
url = "http://a b/"
expect = "deny"
"#,
    );
    assert_snapshot!(bench.shown(".", &[]), @r"
    exit: 1
    --- stdout
    the policy `./guest.wasm`

    suite           cases  failed
    tests/bad.toml      6       6

    failed tests/bad.toml:2: verdict, too strict
      asked    http://a.example:1/
      verdict  expected allow  got deny
      rule     refused at stage `name` by `tenant-suspended`: tenant 7 is suspended
      hint: the policy is stricter than the vector: see which rule refused, and what it refused

    failed tests/bad.toml:7: verdict, too loose
      asked    http://a.example/
      verdict  expected deny              got allow
      code     expected tenant-suspended  got nothing
      hint: the policy is looser than the vector: no rule refuses this, or a setting permits it

    failed tests/bad.toml:13: code, stage, message
      asked    http://a.example:1/
      stage    expected scheme                 got name
      code     expected tenant-suspende        got tenant-suspended
      message  expected tenant 8 is suspended  got tenant 7 is suspended
      rule     refused at stage `name` by `tenant-suspended`: tenant 7 is suspended
      hint: did you mean `tenant-suspended`?

    failed tests/bad.toml:18: terms and addresses
      asked    https://a.example:3/
      terms.response_bytes  expected 5      got nothing
      terms.redirects       expected 1      got 2
      addresses[0]          expected deny   got allow (93.184.216.34)
      addresses[2]          expected allow  got no address
      hint: terms only tighten: the strictest of policy, earlier hops and host counts

    failed tests/bad.toml:24: no answer
      asked    http://a.example/
      verdict  expected allow  got deny
      rule     refused at stage `resolve` by `resolve-no-answer`: the case gives no address for this name
      hint: give the case `resolves_to`: the addresses that its name has

    failed tests/bad.toml:29: no URL
      asked    http://a b/
      verdict  expected deny  got invalid
      rule     refused at stage `parse` by `url-invalid`: invalid international domain name
      hint: this is no URL: correct the case

    6 cases: 0 as expected, 6 failed
    ");
}

#[test]
fn a_line_of_json_holds_what_a_program_needs() {
    let bench = Bench::new(&guest());
    let cases = r#"
{"name": "one", "url": "http://a.example:1/", "expect": "allow", "mine": 1}
{"id": 2, "url": "http://a.example:2/", "expect": {"code": "port-denied"}}
"#;
    bench.write("v.jsonl", cases);
    let lines = bench.json("guest.wasm", &["--vectors", "v.jsonl"]);
    assert_eq!(lines.len(), 3);
    let one = &lines[0];
    assert_eq!(
        (
            one["case"].as_str(),
            one["line"].as_u64(),
            one["passed"].as_bool()
        ),
        (Some("one"), Some(2), Some(false))
    );
    assert_eq!(
        one["differences"],
        serde_json::json!([{"field": "verdict", "expected": "allow", "got": "deny"}])
    );
    assert_eq!(one["expected"], serde_json::json!({"verdict": "allow"}));
    assert_eq!(one["got"]["denial"]["code"], "tenant-suspended");
    assert!(one["hint"].is_string());
    assert_eq!(
        (&lines[1]["case"], &lines[1]["passed"]),
        (&"2".into(), &true.into())
    );
    assert_eq!(
        lines[2],
        serde_json::json!({"cases": 2, "passed": 1, "failed": 1, "skipped": 0})
    );
}

#[test]
fn settings_of_a_line_are_its_own() {
    let bench = Bench::shipped();
    bench.write(
        "v.jsonl",
        r#"
{"name": "a", "url": "https://a.example:8443/", "resolves_to": ["93.184.216.34"], "expect": "allow"}
{"name": "b", "url": "https://a.example:8443/", "resolves_to": ["93.184.216.34"], "expect": {"code": "port-denied"}, "settings": {"ports": [443]}}
"#,
    );
    let lines = bench.json("shipped", &["--vectors", "v.jsonl"]);
    assert_eq!(lines.last().unwrap()["failed"], 0, "{lines:#?}");
}

#[test]
fn nothing_passes_silently() {
    for (row, file, text, more, said) in [
        (
            "no cases",
            "v.toml",
            "case = []",
            &[][..],
            "it holds no cases",
        ),
        ("nothing", "v.toml", "", &[], "it holds no cases"),
        ("no lines", "v.jsonl", "\n", &[], "it holds no cases"),
        (
            "no format",
            "v.txt",
            "",
            &[],
            "its name says nothing of its format",
        ),
        (
            "a filter that matches nothing",
            "v.toml",
            GOOD,
            &["--filter", "x*"],
            "no case is called like `x*`",
        ),
        (
            "no expectation",
            "v.toml",
            "[[case]]\nname = \"a\"\nurl = \"http://a.example/\"",
            &[],
            "v.toml`:1: the case `a` expects nothing",
        ),
        (
            "one name twice",
            "v.toml",
            "[[case]]\nurl = \"http://a/\"\n[[case]]\nurl = \"http://a/\"",
            &[],
            "two cases are called `http://a/`",
        ),
        (
            "a misspelt key of a case",
            "v.toml",
            "[[case]]\nurl = \"http://a/\"\nresolve_to = []",
            &[],
            "did you mean `resolves_to`?",
        ),
        (
            "a misspelt key of a suite",
            "v.json",
            r#"{"cases": [], "grant": []}"#,
            &[],
            "did you mean `grants`?",
        ),
        (
            "a misspelt key of an expectation",
            "v.toml",
            "[[case]]\nurl = \"http://a/\"\nexpect = { verdict = \"deny\", cod = \"a\" }",
            &[],
            "did you mean `code`?",
        ),
        (
            "a misspelt verdict",
            "v.toml",
            "[[case]]\nurl = \"http://a/\"\nexpect = \"denny\"",
            &[],
            "did you mean `deny`?",
        ),
        (
            "a member twice",
            "v.json",
            r#"{"settings": {"a": 1, "a": 2}, "case": [{"url": "http://a/"}]}"#,
            &[],
            "/settings/a",
        ),
        (
            "a code of what is allowed",
            "v.toml",
            "[[case]]\nurl = \"http://a/\"\nexpect = { verdict = \"allow\", code = \"a\" }",
            &[],
            "those of a refusal",
        ),
        (
            "neither URL nor address",
            "v.toml",
            "\n[[case]]\nname = \"x\"",
            &[],
            "the case in line 2: a case needs `url` or `ip`",
        ),
        (
            "a line that is no case",
            "v.jsonl",
            "\n{\"url\": 5}",
            &[],
            "line 2: invalid type",
        ),
        (
            "problems of no settings",
            "v.toml",
            "problems = [{ path = \"/a\" }]",
            &[],
            "`problems` without `settings`",
        ),
        (
            "a grant that is none",
            "v.toml",
            "grants = [\"169.254.169.254\"]\n[[case]]\nurl = \"http://a/\"",
            &[],
            "/grants/0",
        ),
        ("no such file", "other.toml", "", &[], "cannot read"),
    ] {
        let bench = Bench::new(&guest());
        let named = if row == "no such file" {
            "v.toml"
        } else {
            file
        };
        bench.write(file, text);
        let vectors = named.to_owned();
        let more: Vec<_> = ["--vectors", &vectors]
            .into_iter()
            .chain(more.iter().copied())
            .collect();
        let shown = bench.shown("guest.wasm", &more);
        assert!(
            shown.starts_with("exit: 2\n--- stderr\nerror: "),
            "{row}: {shown}"
        );
        assert!(shown.contains(said), "{row}: {shown}");
    }
    let bench = Bench::new(&guest());
    let shown = bench.shown("guest.wasm", &[]);
    assert!(
        shown.contains("there are no vectors: nothing would be tested"),
        "{shown}"
    );
}

#[test]
fn settings_that_must_be_refused_are_compared_too() {
    let bench = Bench::shipped();
    let settings = r#"{"ports": ["x"], "prots": {}}"#;
    let with = |problems: &str| format!(r#"{{"settings": {settings}, "problems": {problems}}}"#);
    bench.write(
        "good.json",
        &with(r#"[{"path": "/ports/0"}, {"path": "/prots"}]"#),
    );
    let good = bench.shown("shipped", &["--vectors", "good.json"]);
    assert!(good.starts_with("exit: 0"), "{good}");
    bench.write(
        "bad.json",
        &with(r#"[{"path": "/ports/0", "message": "no"}, {"path": "/hosts"}]"#),
    );
    assert_snapshot!(bench.shown("shipped", &["--vectors", "bad.json"]), @r"
    exit: 1
    --- stdout
    the shipped policy

    suite     cases  failed
    bad.json      1       1

    failed bad.json: the settings are refused
      asked    settings
      problems at `/ports/0`  expected no                got `x` is no range: write two ports from 1 to 65535, such as `8000-8999`
      problems at `/hosts`    expected a problem         got no problem there
      problems at `/prots`    expected no problem there  got unknown field `prots`, expected one of `subjects`, `unknown_subject`, `schemes`, `ports`, `userinfo`, `literals`, `ip_literals`, `hosts`, `names`, `check_chain`, `networks`, `wrapped`, `special_global`, `mixed_answers`, `limits`: did you mean `ports`?
      hint: list every problem that the policy reports, each with its `path` (and, if it matters, its `message`)

    1 case: 0 as expected, 1 failed
    ");
    bench.write(
        "taken.json",
        r#"{"settings": {}, "problems": [{"path": "/x"}]}"#,
    );
    let taken = bench.shown("shipped", &["--vectors", "taken.json"]);
    assert!(
        taken.starts_with("exit: 1") && taken.contains("the policy took the settings"),
        "{taken}"
    );
}

#[test]
fn a_filter_leaves_what_it_takes() {
    let bench = Bench::new(&guest());
    bench.project("").write("tests/good.toml", GOOD);
    for (filter, names) in [
        (
            "o",
            &["port", "the floor", "a redirect to this host", "no URL"][..],
        ),
        ("po*", &["port"]),
        ("*r", &["the floor"]),
    ] {
        let lines = bench.json(".", &["--filter", filter]);
        let (total, cases) = lines.split_last().unwrap();
        let found: Vec<_> = cases
            .iter()
            .map(|line| line["case"].as_str().unwrap())
            .collect();
        assert_eq!(
            (found.as_slice(), total["failed"].as_u64()),
            (names, Some(0)),
            "{filter}"
        );
    }
}

#[test]
fn the_policy_alone_has_no_floor() {
    let bench = Bench::new(&guest());
    bench.write(
        "v.toml",
        "[[case]]\nurl = \"http://a.example/\"\nresolves_to = [\"127.0.0.1\"]\nexpect = \"allow\"",
    );
    let vectors = ["--vectors", "v.toml"];
    assert_eq!(bench.code("guest.wasm", &vectors), Some(1));
    assert_eq!(
        bench.code("guest.wasm", &[&vectors[..], &["--policy-only"]].concat()),
        Some(0)
    );
}

#[test]
fn long_lists_of_failures_are_cut_and_counted() {
    let bench = Bench::new(&guest());
    let line = |number| {
        format!(
            "{{\"name\": \"{number}\", \"url\": \"http://a.example:1/\", \"expect\": \"allow\"}}\n"
        )
    };
    bench.write("v.jsonl", &(0..25).map(line).collect::<String>());
    for (more, shown) in [
        (&[][..], 20),
        (&["--show", "3"], 3),
        (&["--show", "99"], 25),
    ] {
        let text = bench.shown("guest.wasm", &[&["--vectors", "v.jsonl"], more].concat());
        assert_eq!(text.matches("\nfailed v.jsonl").count(), shown, "{text}");
        let left = format!("and {} more that failed", 25 - shown);
        assert_eq!(text.contains(&left), shown < 25, "{text}");
    }
}

#[test]
fn a_component_that_is_older_than_a_source_is_named_and_gates_nothing() {
    let bench = Bench::new(&guest());
    bench.project("").write("tests/good.toml", GOOD);
    let ends = ["lib.rs", "policy.c", "policy.js", "policy.py"];
    for name in ends {
        bench.write(name, "");
        let file = fs::File::options().write(true).open(bench.at(name));
        let later = std::time::SystemTime::now() + Duration::from_secs(60);
        file.unwrap().set_modified(later).unwrap();
    }
    let output = bench.run(".", &[]);
    assert_eq!(output.status.code(), Some(0), "a person reads it");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        told.contains("is newer than `guest.wasm`: run `pinfold policy build`"),
        "{told}"
    );
    for gate in [
        &["policy", "bench", ".", "--budget"][..],
        &["policy", "diff", "guest.wasm", ".", "--max-loosening", "0"],
    ] {
        let output = pinfold(gate).current_dir(bench.at(".")).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", show(&output));
        assert!(show(&output).contains("is newer than"), "{}", show(&output));
    }
}

#[test]
fn the_first_failure_can_end_it() {
    let bench = Bench::new(&guest());
    bench.write(
        "v.jsonl",
        r#"
{"name": "a", "url": "http://a.example:1/", "expect": "deny"}
{"name": "b", "url": "http://a.example:1/", "expect": "allow"}
{"name": "c", "url": "http://a.example:1/", "expect": "deny"}
"#,
    );
    let lines = bench.json("guest.wasm", &["--vectors", "v.jsonl", "--fail-fast"]);
    assert_eq!(
        lines.last().unwrap(),
        &serde_json::json!({"cases": 2, "passed": 1, "failed": 1, "skipped": 1})
    );
}

#[test]
fn an_import_is_named_and_nothing_is_judged() {
    let bench = Bench::new(&Guest {
        import: Some("log"),
        ..guest()
    });
    bench.project("").write("tests/good.toml", GOOD);
    assert_snapshot!(bench.shown(".", &[]), @r"
    exit: 2
    --- stderr
    error: cannot use the policy `./guest.wasm`
      caused by: the policy imports `log`

    hint: build for `wasm32-unknown-unknown` without WASI: a policy imports nothing
    ");
}

#[test]
fn a_project_that_was_not_built_says_how_to() {
    let bench = Bench::new(&guest());
    bench.project("").write("tests/good.toml", GOOD);
    fs::remove_file(bench.at("guest.wasm")).unwrap();
    let shown = bench.shown(".", &[]);
    assert!(
        shown.starts_with("exit: 2") && shown.contains("`pinfold policy build`"),
        "{shown}"
    );
}

#[test]
fn settings_that_a_suite_is_judged_with_must_be_good() {
    let bench = Bench::shipped();
    bench.write(
        "v.toml",
        "settings = { prots = 1 }\n[[case]]\nurl = \"http://a.example/\"\nexpect = \"deny\"",
    );
    let shown = bench.shown("shipped", &["--vectors", "v.toml"]);
    assert!(
        shown.starts_with("exit: 2")
            && shown.contains("settings in `v.toml`")
            && shown.contains("/prots"),
        "{shown}"
    );
}

#[test]
fn junit_is_xml_with_each_failure() {
    let bench = Bench::new(&guest());
    let name = "a < b & \\\"c\\\"";
    let case = format!("[[case]]\nname = \"{name}\"\nurl = \"http://a.example:1/\"\n");
    let bad = "expect = { code = \"x\" }";
    let good = case.replace("a < b", "good") + "expect = \"deny\"\n";
    bench
        .project("")
        .write("tests/v.toml", &format!("{good}{case}{bad}"));
    assert_eq!(bench.code(".", &["--junit", "junit.xml"]), Some(1));
    let xml = fs::read_to_string(bench.at("junit.xml")).unwrap();
    for part in [
        "<testsuites name=\"pinfold policy test\" tests=\"2\" failures=\"1\" errors=\"0\"",
        "<testsuite name=\"tests/v.toml\" tests=\"2\" disabled=\"0\" errors=\"0\" failures=\"1\"",
        "name=\"a &lt; b &amp; &quot;c&quot;\" classname=\"tests/v.toml\"",
        "<failure message=\"code: expected x, got tenant-suspended\">",
        "asked: http://a.example:1/",
        "refused at stage `name` by `tenant-suspended`: tenant 7 is suspended",
    ] {
        assert!(xml.contains(part), "{part}: {xml}");
    }
    assert_elements_close(&xml);
    let shown = bench.shown(".", &["--junit", "none/junit.xml"]);
    assert!(
        shown.starts_with("exit: 2") && shown.contains("cannot write"),
        "{shown}"
    );
}

/// Well-formed as far as elements go.
fn assert_elements_close(xml: &str) {
    let mut open = Vec::new();
    for element in xml.split('<').skip(1) {
        let tag = element.split('>').next().unwrap();
        let name = tag.split_whitespace().next().unwrap();
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "{xml}"),
            None if name.starts_with('?') || tag.ends_with('/') => {}
            None => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?}: {xml}");
}

#[test]
fn coverage_holds_the_policy_to_its_codes() {
    let bench = Bench::new(&guest());
    bench.write("tests/good.toml", GOOD);
    bench.project("codes = [\"tenant-suspended\", \"port-denied\", \"address-denied\"]");
    assert_snapshot!(bench.shown(".", &["--coverage"]), @r"
    exit: 0
    --- stdout
    the policy `./guest.wasm`

    suite            cases  failed
    tests/good.toml      6       0

    denial codes: 3 of 3 that are listed were answered
      answered by the policy: `address-denied`, `port-denied`, `tenant-suspended`
      refused by the host alone: `address-floor`, `url-invalid`

    6 cases: 6 as expected
    ");
    bench.project("codes = [\"tenant-suspended\", \"port-denied\", \"never-answered\"]");
    assert_snapshot!(bench.shown(".", &["--coverage"]), @r"
    exit: 1
    --- stdout
    the policy `./guest.wasm`

    suite            cases  failed
    tests/good.toml      6       0

    denial codes: 2 of 3 that are listed were answered
      failed: `address-denied` is answered and not listed in `codes` of the project file
      failed: `never-answered` is listed in `codes` of the project file and no vector meets it
      answered by the policy: `address-denied`, `port-denied`, `tenant-suspended`
      refused by the host alone: `address-floor`, `url-invalid`

    6 cases: 6 as expected
    ");
    assert_eq!(
        bench.code(".", &[]),
        Some(0),
        "only coverage looks at codes"
    );
}

#[test]
fn coverage_names_the_settings_that_nothing_depends_on() {
    let bench = Bench::shipped();
    bench.write(
        "v.toml",
        r#"
settings = { hosts = { deny = ["bad.example", "worse.example"] }, schemes = ["https", "http"] }
[[case]]
name = "denied"
url = "https://bad.example/"
expect = { code = "host-denied" }
[[case]]
name = "http"
url = "http://good.example/"
resolves_to = ["93.184.216.34"]
expect = "allow"
[[case]]
name = "https"
url = "https://good.example/"
resolves_to = ["93.184.216.34"]
expect = "allow"
"#,
    );
    let lines = bench.json("shipped", &["--vectors", "v.toml", "--coverage"]);
    let coverage = &lines.last().unwrap()["coverage"];
    assert_eq!(
        coverage["rules"][0]["uncovered"],
        serde_json::json!(["/hosts/deny/1"]),
        "{coverage:#}"
    );
    assert_eq!(
        coverage["codes"]["answered"],
        serde_json::json!(["host-denied"])
    );
}

#[test]
fn the_shipped_policy_withstands_the_pack() {
    let shown = Bench::shipped().shown("shipped", &["--pack", "ssrf"]);
    assert_snapshot!(shown, @r"
    exit: 0
    --- stdout
    the shipped policy

    suite            cases  failed
    ssrf/answers       175       0
    ssrf/mixed         110       0
    ssrf/rebinding     135       0
    ssrf/redirects     148       0
    ssrf/aliases        20       0
    ssrf/literals      211       0
    ssrf/names         114       0
    ssrf/userinfo       27       0
    ssrf/delimiters     29       0
    ssrf/ports          31       0
    ssrf/schemes        44       0

    1044 cases: 1044 as expected
    from https://example.com/
    held by the floor alone: 0
    ");
}

#[test]
fn a_policy_that_allows_everything_fails_the_pack() {
    let bench = Bench::new(&Guest::default());
    let lines = bench.json("guest.wasm", &["--pack", "ssrf"]);
    let (total, cases) = lines.split_last().unwrap();
    let failed = |group: &str| {
        let suite = format!("ssrf/{group}");
        let of_group = cases.iter().filter(|line| line["suite"] == *suite);
        of_group.filter(|line| line["passed"] == false).count()
    };
    for group in [
        "answers",
        "mixed",
        "rebinding",
        "redirects",
        "aliases",
        "literals",
        "names",
        "ports",
    ] {
        assert!(failed(group) > 0, "{group}");
    }
    assert!(
        total["pack"]["held_by_floor"]["answers"].as_u64() > Some(0),
        "{total:#}"
    );
    assert_eq!(total["pack"]["vacuous"], Value::Null);
    assert_eq!(bench.code("guest.wasm", &["--pack", "ssrf"]), Some(1));
}

#[test]
fn a_pack_that_proves_nothing_has_not_passed() {
    let bench = Bench::new(&guest());
    let base = ["--pack", "ssrf", "--base", "http://a.example:1/"];
    let shown = bench.shown("guest.wasm", &base);
    assert!(shown.starts_with("exit: 1"), "{shown}");
    assert!(
        shown.contains(
            "this proves little, the policy refuses the base itself by `tenant-suspended`"
        ),
        "{shown}"
    );
    for (row, base) in [
        ("no URL", "http://a b/"),
        ("an address", "http://93.184.216.34/"),
    ] {
        let shown = bench.shown("guest.wasm", &["--pack", "ssrf", "--base", base]);
        assert!(
            shown.starts_with("exit: 2") && shown.contains("cannot be a base"),
            "{row}: {shown}"
        );
    }
}

/// The first vector that is allowed says who asks.
#[test]
fn a_pack_begins_with_what_a_vector_says_is_allowed() {
    let bench = Bench::new(&guest());
    bench.project("").write("tests/good.toml", GOOD);
    let lines = bench.json(".", &["--pack", "ssrf", "--filter", "mixed*"]);
    let pack = &lines.last().unwrap()["pack"];
    assert_eq!(pack["base"], "https://a.example:3/");
}

#[test]
fn the_vectors_of_partners_are_vectors() {
    let partners = repository().join("tests/vectors/partners");
    for file in [
        "targets",
        "addresses",
        "hours-deny",
        "hours-allow",
        "settings-covered",
        "settings-schema",
    ] {
        let file = partners.join(format!("{file}.json"));
        // The shipped policy knows none of these settings, and says so: the file itself was read.
        let output = run([
            "policy",
            "test",
            "shipped",
            "--vectors",
            file.to_str().unwrap(),
        ]);
        let shown = show(&output);
        assert!(!shown.contains("cannot be used"), "{shown}");
    }
}

/// Waits for lines of a child, each time for no longer than this.
const PATIENCE: Duration = Duration::from_secs(60);

/// A run that watches.
struct Watching {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Watching {
    fn begin(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || {
            stdout
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| send.send(line))
        });
        Self { child, lines }
    }

    /// The summary of the next run.
    fn summary(&self) -> Value {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap();
            let line: Value = serde_json::from_str(&line).unwrap();
            if line.get("cases").is_some() {
                return line;
            }
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_change_is_one_more_run() {
    let bench = Bench::new(&guest());
    bench.project("").write("tests/good.toml", GOOD);
    let watching = Watching::begin(bench.command(".", &["--watch", "--json"]));
    assert_eq!(watching.summary()["cases"], 6);
    // Vectors, then the component, then a vector that comes.
    bench.write(
        "tests/good.toml",
        &GOOD.replacen("port-denied", "port-allowed", 1),
    );
    assert_eq!(watching.summary()["failed"], 1);
    Guest::default().write(&bench.at("guest.wasm"));
    assert_eq!(watching.summary()["failed"], 3);
    bench.write(
        "tests/more.toml",
        "[[case]]\nurl = \"http://b b/\"\nexpect = \"invalid\"",
    );
    assert_eq!(watching.summary()["cases"], 7);
    // Nothing changes: nothing runs.
    let quiet = watching.lines.recv_timeout(Duration::from_secs(1));
    assert!(quiet.is_err(), "{quiet:?}");
}

#[test]
fn a_mistake_does_not_end_the_watch() {
    let bench = Bench::new(&guest());
    bench.project("").write("tests/good.toml", "[[case]]");
    let watching = Watching::begin(bench.command(".", &["--watch", "--json"]));
    std::thread::sleep(Duration::from_millis(500));
    bench.write("tests/good.toml", GOOD);
    assert_eq!(watching.summary()["failed"], 0);
}
