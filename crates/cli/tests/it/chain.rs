//! `--layer`: several policies in a chain.

use std::path::PathBuf;

use insta::assert_snapshot;

use crate::{
    guest::Guest,
    support::{json_lines, run, run_with_input, show},
};

/// Files of settings, one a layer.
struct Files(tempfile::TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `LAYER=,FILE`: the shipped policy with these settings.
    fn layer(&self, name: &str) -> String {
        format!("{name}=,{}", self.path(&format!("{name}.toml")).display())
    }

    /// What was said, without the folder.
    fn shown(&self, args: &[&str]) -> String {
        show(&run(args)).replace(&self.0.path().display().to_string(), "DIR")
    }
}

fn two() -> Files {
    Files::new(&[
        ("organisation.toml", "ports = [443]"),
        ("team.toml", "[hosts]\ndeny = [\"bad.example.com\"]"),
    ])
}

const FIXED: &str = "--resolve=a.example.com=93.184.216.34";

#[test]
fn the_layer_that_denied_is_named() {
    let files = two();
    let (organisation, team) = (files.layer("organisation"), files.layer("team"));
    let check = |url| {
        let layers = ["--layer", &organisation, "--layer", &team];
        files.shown(&[&["check", FIXED], &layers[..], &[url]].concat())
    };
    assert_snapshot!(check("https://a.example.com/"), @r#"
    exit: 0
    --- stdout
    https://a.example.com/
      parse    https, a.example.com, port 443
      target   allowed by layers `organisation`, `team`
      resolve  1 address
      address  93.184.216.34  public  allowed
      verdict  allowed
    "#);
    assert_snapshot!(check("https://bad.example.com/"), @r#"
    exit: 1
    --- stdout
    https://bad.example.com/
      parse    https, bad.example.com, port 443
      policy   denied by layer `team`, policy `egress`
      verdict  denied at stage `name` by `host-denied`: `hosts.deny[0]` bad.example.com refuses `bad.example.com`

    hint: the policy's `hosts.deny` names this host (`--settings`)
    "#);
    assert_snapshot!(check("http://bad.example.com/"), @r#"
    exit: 1
    --- stdout
    http://bad.example.com/
      parse    http, bad.example.com, port 80
      policy   denied by layer `organisation`, policy `egress`
      verdict  denied at stage `scheme` by `port-denied`: 80 is not in `ports` (443)

    hint: use a port from the policy's `ports` (`--settings`)
    "#);
    // The floor is none of the layers.
    assert_snapshot!(check("https://127.0.0.1/"), @r#"
    exit: 1
    --- stdout
    https://127.0.0.1/
      parse    https, 127.0.0.1, port 443
      address  127.0.0.1  loopback  denied by `address-floor`: 127.0.0.1 is a loopback address
      verdict  denied at stage `address` by `address-floor`

    hint: an operator may grant it (`--grant 127.0.0.1:443`)
    "#);
    assert_snapshot!(check("https://10.0.0.1/"), @r#"
    exit: 1
    --- stdout
    https://10.0.0.1/
      parse    https, 10.0.0.1, port 443
      target   allowed by layers `organisation`, `team`
      address  10.0.0.1  private  denied by `address-not-public`: `10.0.0.1` is private and in no network of `networks.allow`
      policy   denied by layer `organisation`, policy `egress`
      verdict  denied at stage `address` by `address-not-public`

    hint: list the network in `networks.allow` of the policy if this is meant (`--settings`)
    "#);
}

#[test]
fn the_record_names_all_layers_and_the_one_that_denied() {
    let files = two();
    let (organisation, team) = (files.layer("organisation"), files.layer("team"));
    let layers = ["--json", "--layer", &organisation, "--layer", &team];
    let output = run([&["check"], &layers[..], &["https://bad.example.com/"]].concat());
    let decision = &json_lines(&output)[0]["decision"];
    assert_eq!(decision["denied_by"], "team");
    assert_eq!(decision["policy"]["layer"], "team");
    let layers = decision["layers"].as_array().unwrap();
    let names: Vec<_> = layers.iter().map(|policy| &policy["layer"]).collect();
    assert_eq!(names, ["organisation", "team"]);
}

#[test]
fn policy_and_settings_are_the_first_layer() {
    let files = two();
    let (organisation, team) = (files.path("organisation.toml"), files.layer("team"));
    let organisation = organisation.to_str().unwrap();
    let chain = ["--settings", organisation, "--layer", &team];
    let check = |url| run([&["check", "--json"], &chain[..], &[url]].concat());
    for (url, layer) in [
        ("http://a.example.com/", "policy"),
        ("https://bad.example.com/", "team"),
    ] {
        let decision = &json_lines(&check(url))[0]["decision"];
        assert_eq!(decision["denied_by"], layer, "{url}");
    }
}

#[test]
fn layers_alone_are_all_that_is_asked() {
    let files = Files::new(&[("team.toml", "# none")]);
    let guest = files.path("allows.wasm");
    Guest::default().write(&guest);
    let layer = format!("team={}", guest.display());
    let output = run(["check", "--json", "--layer", &layer, "http://10.0.0.1:99/"]);
    let record = &json_lines(&output)[0];
    assert_eq!(record["verdict"], "allow", "{record}");
}

#[test]
fn what_is_wrong_with_a_layer_says_which_and_what_to_do() {
    let files = Files::new(&[("team.toml", "port = [443]"), ("bad.wasm", "no component")]);
    let team = files.layer("team");
    let bad = format!("service={}", files.path("bad.wasm").display());
    let nine: Vec<_> = (0..9).map(|n| format!("--layer=l{n}=")).collect();
    let nine: Vec<_> = nine.iter().map(String::as_str).collect();
    let mut said = String::new();
    for (name, layers) in [
        ("settings", vec!["--layer", &team]),
        ("policy", vec!["--layer", &bad]),
        ("name", vec!["--layer", "Team="]),
        ("twice", vec!["--layer", "team=", "--layer", "team="]),
        ("form", vec!["--layer", "team"]),
        ("many", nine),
    ] {
        let args = [&["check"], &layers[..], &["https://a.example.com/"]].concat();
        said.push_str(&format!("## {name}\n{}", files.shown(&args)));
    }
    assert_snapshot!(said, @r#"
    ## settings
    exit: 2
    --- stderr
    error: cannot use the settings in `DIR/team.toml`
      caused by: layer `team`: settings refused: `/port`: unknown field `port`, expected one of `subjects`, `unknown_subject`, `schemes`, `ports`, `userinfo`, `literals`, `ip_literals`, `hosts`, `names`, `check_chain`, `networks`, `wrapped`, `special_global`, `mixed_answers`, `limits`: did you mean `ports`?

    hint: `pinfold inspect` shows the schema of the settings
    ## policy
    exit: 2
    --- stderr
    error: cannot use the policy `DIR/bad.wasm`
      caused by: layer `service`: not a component: WebAssembly begins with `\0asm`, these bytes do not

    hint: give a WebAssembly component, for example made by `wasm-tools component new`
    ## name
    exit: 2
    --- stderr
    error: `Team` is no name for a layer

    hint: write words in lower case joined by `-`, beginning with a letter, at most 64 octets: `data-protection`
    ## twice
    exit: 2
    --- stderr
    error: two layers are named `team`

    hint: give each layer a name of its own
    ## form
    exit: 2
    --- stderr
    error: invalid value 'team' for '--layer <NAME=[FILE][,SETTINGS]>': write `NAME=FILE` or `NAME=FILE,SETTINGS`, for example `team=team.wasm,team.toml`

    For more information, try '--help'.
    ## many
    exit: 2
    --- stderr
    error: 9 layers, the limit is 8

    hint: merge layers: one policy can take the rules of two as its settings
    "#);
}

#[test]
fn settings_are_read_from_standard_input_once() {
    let twice = [
        "check",
        "--layer",
        "a=,-",
        "--layer",
        "b=,-",
        "https://a.example.com/",
    ];
    assert_snapshot!(show(&run_with_input(&twice, "")), @r#"
    exit: 2
    --- stderr
    error: the settings of several layers are read from standard input

    hint: give the settings as files, all but one
    "#);
    let batch = ["check", "--layer", "a=,-", "--batch", "-"];
    assert_eq!(run_with_input(&batch, "").status.code(), Some(2));
}
