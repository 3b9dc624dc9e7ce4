//! `pinfold policy bench`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use insta::assert_snapshot;
use serde_json::Value;

use crate::{
    guest::{Answer, Guest},
    support::{filter, run, show, told},
};

/// A project with a guest and its vectors, in a folder of its own.
struct Project(tempfile::TempDir);

impl Project {
    fn new(guest: &Guest, budget: &str) -> Self {
        let project = Self(tempfile::tempdir().unwrap());
        guest.write(&project.file("guest.wasm"));
        project.write("pinfold.toml", &format!("{MANIFEST}{budget}"));
        fs::create_dir(project.file("tests")).unwrap();
        project.write("tests/cases.toml", CASES);
        project
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.file(name), text).unwrap();
    }

    /// Runs the verb in the folder; times are not measured unless the arguments say so.
    fn bench(&self, args: &[&str]) -> std::process::Output {
        let path = self.0.path().to_str().unwrap();
        run(["policy", "bench", "--samples", "0", path]
            .iter()
            .chain(args))
    }

    fn json(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = [&["--json"], args].concat();
        let output = self.bench(&args);
        assert!(output.status.success(), "{}", show(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The whole output, without what differs from folder to folder.
    fn shown(&self, output: &std::process::Output) -> String {
        show(output).replace(self.0.path().to_str().unwrap(), "[DIR]")
    }
}

const MANIFEST: &str = r#"
[policy]
name = "guest"
language = "c"
component = "guest.wasm"
vectors = ["tests"]
"#;

const CASES: &str = r#"
[[case]]
name = "allowed"
url = "https://a.example/"
resolves_to = ["93.184.216.34", "2606:2800::1"]

[[case]]
name = "denied"
url = "https://a.example:8443/"
resolves_to = ["93.184.216.34"]

[[case]]
name = "unresolved, and a redirect"
url = "https://b.example/"
redirects_to = "https://c.example/"

[[case]]
name = "no URL"
url = "https://a.example\\@b.example/"
"#;

fn guest() -> Guest {
    Guest {
        answers: vec![(8443, Answer::Deny("port-closed", "8443 is closed"))],
        rounds: 100,
        ..Guest::default()
    }
}

#[test]
fn fuel_memory_and_size_are_the_same_in_every_run() {
    let project = Project::new(&guest(), "");
    let output = project.bench(&[]);
    assert_snapshot!(project.shown(&output), @r#"
    exit: 0
    --- stdout
    policy    guest 1.0.0, 7 KiB
    digest    sha256:[DIGEST]
    vectors   4 questions; 1 not asked: the URL is refused before

    fuel
                     sum  median  dearest
      target       3,545     878      911
      addresses      119     119      119
      both stages  3,664     878      997

    dearest vectors
      allowed                                 997
      unresolved, and a redirect, redirect 1  911
      denied                                  878
      unresolved, and a redirect              878

    memory    128 KiB, with every vector
    "#);
    let again = project.bench(&[]);
    assert_eq!(output.stdout, again.stdout);
}

#[test]
fn a_round_more_costs_the_same_everywhere() {
    let sum = |rounds| {
        let guest = Guest { rounds, ..guest() };
        let report = Project::new(&guest, "").json(&[]);
        report["fuel"]["sum"].as_u64().unwrap()
    };
    let (none, one, ten) = (sum(0), sum(1), sum(10));
    // Four questions go round the loop.
    assert!(one > none && (one - none).is_multiple_of(4));
    assert_eq!(ten - none, 10 * (one - none));
}

#[test]
fn stage_two_costs_nothing_where_it_is_not_asked() {
    let report = Project::new(&guest(), "").json(&[]);
    let vectors = report["fuel"]["vectors"].as_array().unwrap();
    let asked: Vec<_> = vectors
        .iter()
        .map(|cost| {
            (
                cost["vector"].as_str().unwrap(),
                !cost["addresses"].is_null(),
            )
        })
        .collect();
    let expected = [
        ("allowed", true),
        ("denied", false),
        ("unresolved, and a redirect", false),
        ("unresolved, and a redirect, redirect 1", false),
    ];
    assert_eq!(asked, expected);
    assert_eq!(report["vectors"]["skipped"], 1);
}

#[test]
fn memory_is_that_at_the_start_and_after_the_dearest_vector() {
    let guest = Guest {
        pages: 3,
        ..guest()
    };
    let memory = &Project::new(&guest, "").json(&[])["memory"];
    assert_eq!(memory["start_bytes"], 2 * 65_536);
    assert_eq!(memory["most"]["value"], 5 * 65_536);
    assert_eq!(memory["most"]["vector"], "allowed");
}

#[test]
fn a_budget_that_is_exceeded_fails_and_names_the_vector() {
    let budget = "[budget]\nfuel = 100\nmemory_kib = 64\nsize_kib = 1000\n";
    let project = Project::new(&guest(), budget);
    let output = project.bench(&["--budget"]);
    let text = project.shown(&output);
    let (_, held) = text.split_once("budget\n").unwrap();
    assert_snapshot!(held, @r#"
    exceeded  `fuel` is 997 with `allowed`, the limit is 100
    exceeded  `memory_kib` is 128 with `allowed`, the limit is 64
    kept      `size_kib` is 7, the limit is 1,000
    "#);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        project.bench(&[]).status.success(),
        "without `--budget` it holds nothing"
    );
}

#[test]
fn a_budget_that_is_kept_succeeds() {
    let project = Project::new(&guest(), "[budget]\nfuel = 1000000\n");
    let report = project.json(&["--budget"]);
    assert_eq!(report["budget"][0]["what"], "fuel");
    assert_eq!(report["budget"][0]["kept"], true);
    assert_eq!(report["budget"].as_array().unwrap().len(), 1);
}

#[test]
fn a_budget_that_is_stated_nowhere_is_an_error_with_figures() {
    let project = Project::new(&guest(), "");
    let output = project.bench(&["--budget"]);
    assert_eq!(output.status.code(), Some(2));
    assert_snapshot!(told(&output), @r#"
    error: `pinfold.toml` states no `[budget]`

    hint: write what was measured and a fifth more, a line each: `[budget]`, `fuel = 1200`, `memory_kib = 192`, `size_kib = 9`
    "#);
    let component = project.file("guest.wasm");
    let output = run([
        "policy".as_ref(),
        "bench".as_ref(),
        "--budget".as_ref(),
        component.as_os_str(),
    ]);
    assert_eq!(output.status.code(), Some(2));
    assert_snapshot!(project.shown(&output), @r#"
    exit: 2
    --- stderr
    error: the policy `[DIR]/guest.wasm` has no budget

    hint: name the folder of its project: `pinfold.toml` states it
    "#);
}

#[test]
fn a_baseline_shows_every_change_of_fuel() {
    let before = Project::new(&guest(), "");
    let baseline = before.file("main.json");
    let baseline = baseline.to_str().unwrap();
    before.json(&["--save", baseline]);
    let same = before.json(&["--baseline", baseline]);
    assert_eq!(same["baseline"]["changed"], serde_json::json!([]));
    assert_eq!(same["baseline"]["same"], 4);

    let guest = Guest {
        rounds: 101,
        ..guest()
    };
    let after = Project::new(&guest, "");
    let output = after.bench(&["--baseline", baseline]);
    let text = after.shown(&output);
    let (_, compared) = text.split_once("baseline\n").unwrap();
    assert_snapshot!(compared, @r#"
    allowed                                 997  ->  1,005  +8 (+0.8 %)
    denied                                  878  ->    886  +8 (+0.9 %)
    unresolved, and a redirect              878  ->    886  +8 (+0.9 %)
    unresolved, and a redirect, redirect 1  911  ->    919  +8 (+0.9 %)
    4 changed, 0 the same, 0 new, 0 gone; together +32 (+0.9 %)
    "#);
    assert!(
        output.status.success(),
        "a change is shown, and fails nothing"
    );
}

#[test]
fn what_is_no_report_is_no_baseline() {
    let project = Project::new(&guest(), "");
    for (name, text) in [("empty.json", "{}"), ("wrong.json", "fuel")] {
        project.write(name, text);
        let file = project.file(name);
        let output = project.bench(&["--baseline", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2), "{name}");
        assert!(
            told(&output).contains("is no report of `pinfold policy bench`"),
            "{name}"
        );
    }
}

#[test]
fn times_are_measured_within_their_bounds() {
    let project = Project::new(&guest(), "");
    let picture = project.file("times.svg");
    let args = [
        "--samples",
        "50",
        "--json",
        "--plot",
        picture.to_str().unwrap(),
    ];
    let path = project.0.path().to_str().unwrap();
    let output = run(["policy", "bench", path].iter().chain(&args));
    assert!(output.status.success(), "{}", show(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    for step in [
        "instance_fresh",
        "instance_spare",
        "target",
        "addresses",
        "decision_fresh",
        "decision_spare",
    ] {
        let spread = &report["times"][step];
        let figure = |name: &str| spread[name].as_u64().unwrap();
        assert!(figure("least_ns") <= figure("median_ns"), "{step}");
        assert!(
            figure("median_ns") <= figure("p99_ns") && figure("p99_ns") <= figure("most_ns"),
            "{step}"
        );
    }
    assert_eq!(report["times"]["decision_fresh"]["samples"], 25);
    assert!(
        report["load"]["cold_ns"].is_u64(),
        "compiled in this run: {report}"
    );
    assert_eq!(report["load"]["cached"]["samples"], 5);
    assert!(fs::read_to_string(picture).unwrap().starts_with("<svg "));
}

#[test]
fn what_is_cached_was_not_compiled() {
    let project = Project::new(&guest(), "");
    let cache = project.file("cache");
    let args = [
        "--samples",
        "2",
        "--json",
        "--cache",
        cache.to_str().unwrap(),
    ];
    let path = project.0.path().to_str().unwrap();
    let cold = || {
        let output = run(["policy", "bench", path].iter().chain(&args));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        report["load"]["cold_ns"].is_u64()
    };
    assert!(cold());
    assert!(!cold());
}

#[test]
fn what_cannot_be_measured_is_an_error() {
    let project = Project::new(&guest(), "");
    project.write(
        "none.toml",
        "[policy]\nname = \"a\"\nlanguage = \"c\"\ncomponent = \"a.wasm\"\nvectors = [\"tests\"]\n",
    );
    let component = project.file("guest.wasm");
    let import = project.file("import.wasm");
    Guest {
        import: Some("log"),
        ..guest()
    }
    .write(&import);
    let vectors = project.file("tests");
    let none = project.file("none.toml");
    for (row, args, said) in [
        (
            "no vectors",
            vec![component.as_path()],
            "there is no vector to measure with",
        ),
        ("not built", vec![&none], "[DIR]/a.wasm`"),
        (
            "an import",
            vec![&import, Path::new("--vectors"), &vectors],
            "the policy imports `log`",
        ),
        (
            "an import that is not WASI, although that is granted",
            vec![
                Path::new("--inert-wasi"),
                &import,
                Path::new("--vectors"),
                &vectors,
            ],
            "the policy imports `log`",
        ),
        (
            "nothing to draw",
            vec![
                Path::new("--plot=a.svg"),
                Path::new("--samples=0"),
                &component,
            ],
            "measures none",
        ),
        (
            "no file",
            vec![&component, Path::new("--vectors=none.toml")],
            "cannot read `none.toml`",
        ),
    ] {
        let verb = [Path::new("policy"), Path::new("bench")];
        let output = run(verb.into_iter().chain(args));
        let text = filter(&project.shown(&output));
        assert_eq!(output.status.code(), Some(2), "{row}: {text}");
        assert!(output.stdout.is_empty(), "{row}: {text}");
        assert!(text.contains(said), "{row}: {text}");
    }
}

#[test]
fn the_shipped_policy_can_be_measured() {
    let vectors = crate::support::vectors("corpus.jsonl");
    let args = [
        "policy",
        "bench",
        "shipped",
        "--json",
        "--samples",
        "0",
        "--vectors",
        vectors.to_str().unwrap(),
    ];
    let (one, other) = (run(args), run(args));
    assert!(one.status.success(), "{}", show(&one));
    assert_eq!(one.stdout, other.stdout, "fuel is the same in every run");
    let report: Value = serde_json::from_slice(&one.stdout).unwrap();
    assert_eq!(report["policy"]["name"], "egress");
    assert!(report["fuel"]["sum"].as_u64().unwrap() > 100_000);
}
