//! What docs/envoy.md and examples/envoy show is what Envoy and the gateway take, and what they say.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use pinfold_lab::{Lab, tls::Authority};
use serde_json::{Value, json};

use super::support::{Envoy, binary};
use crate::{
    gateway_guide::{blocks, codes_that_exist, commands_understood},
    serve::{Served, write},
    support::{pinfold, repository, run, show},
};

/// Every block of TOML is a configuration that would start.
#[test]
fn its_configurations_would_start() {
    let folder = what_it_names();
    let guide = guide();
    let configurations = blocks(&guide, "toml");
    assert!(configurations.len() >= 4, "the guide shows too little");
    for configuration in configurations {
        let text = configuration.replace("/run/pinfold", folder.path().to_str().unwrap());
        would_start(&write(folder.path(), "gateway.toml", &text));
    }
}

/// Every block of YAML can be read; those that are to be put beside an Envoy make one together that Envoy takes.
#[test]
fn its_fragments_make_a_configuration() {
    let folder = what_it_names();
    let guide = guide();
    let fragments: Vec<_> = blocks(&guide, "yaml");
    assert!(fragments.len() >= 6, "the guide shows too little");
    for fragment in &fragments {
        yaml(fragment);
    }
    let part = |name: &str| {
        let starts = |text: &&&str| text.starts_with(&format!("# {name}"));
        yaml(fragments.iter().find(starts).unwrap())
    };
    let whole = assembled(&part);
    let file = write(folder.path(), "envoy.json", &whole.to_string());
    is_taken_by_envoy(folder.path(), &file);
    let output = run(["envoy", "check", file.to_str().unwrap()]);
    let said = show(&output);
    assert!(said.contains("\n0 holes, 2 weaknesses"), "{said}");
    for left in ["second-layer-missing", "scheme-not-routed"] {
        assert!(said.contains(left), "{said}");
    }
}

/// A fence and what follows it on a line of its own: a paragraph that was filled anew can swallow both.
#[test]
fn its_fences_stand_alone() {
    const LANGUAGES: [&str; 5] = ["", "console", "toml", "yaml", "text"];
    let guide = guide();
    let fences = guide.lines().filter(|line| line.contains("```"));
    let mut consoles = 0;
    for (at, line) in fences.enumerate() {
        let language = line.trim_start().strip_prefix("```");
        let is_known = language.is_some_and(|language| LANGUAGES.contains(&language));
        assert!(is_known, "no fence: {line}");
        // The second of each pair ends a block, and has no language.
        assert_eq!(language == Some(""), at % 2 == 1, "not in pairs: {line}");
        consoles += usize::from(language == Some("console"));
    }
    assert_eq!(consoles, CONSOLES, "one was lost, or is not counted yet");
}

/// Blocks of commands in the guide, those inside lists, too.
const CONSOLES: usize = 12;

/// What `examples/envoy` has. `UPDATE=1` writes `envoy.yaml` anew.
#[test]
fn the_examples_are_what_is_generated() {
    let folder = repository().join("examples/envoy");
    let gateway = folder.join("gateway.toml");
    would_start(&gateway);
    let mut command = pinfold(["envoy", "config", "forward", "--gateway", "gateway.toml"]);
    let output = command.current_dir(&folder).output().unwrap();
    assert!(output.status.success(), "{}", show(&output));
    let generated = String::from_utf8(output.stdout).unwrap();
    let file = folder.join("envoy.yaml");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, &generated).unwrap();
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    let how = "examples/envoy/envoy.yaml is not what is generated: UPDATE=1";
    assert!(kept == generated, "{how}");
    is_taken_by_envoy(&folder, &file);
    for document in fs::read_to_string(folder.join("pod.yaml"))
        .unwrap()
        .split("---\n")
    {
        yaml(document);
    }
}

#[test]
fn its_codes_exist() {
    assert!(codes_that_exist(&guide()) >= 7);
}

#[test]
fn its_commands_are_understood() {
    assert!(commands_understood(&guide()) >= 6);
}

/// Each test that it names as the one that shows something is one, and each code is one of `check`.
#[test]
fn its_tests_and_findings_exist() {
    let guide = guide();
    let traps = guide.split("\n## The traps\n").nth(1).unwrap();
    let traps = traps.split("\n## ").next().unwrap();
    let checks = fs::read_to_string(repository().join("docs/envoy-check.md")).unwrap();
    let shown = traps.lines().filter(|line| line.starts_with("*Found as*"));
    let mut seen = 0;
    for line in shown {
        let (codes, tests) = line.split_once("*Shown by*").unwrap();
        for code in codes.split('`').skip(1).step_by(2) {
            assert!(checks.contains(&format!("`{code}`")), "no `{code}`");
        }
        for test in tests.split('`').skip(1).step_by(2) {
            is_a_test(test);
        }
        seen += 1;
    }
    assert_eq!(seen, 8, "a trap without a test");
}

/// `file.rs::name`, beside this one.
fn is_a_test(named: &str) {
    let (file, test) = named.split_once("::").unwrap();
    let folder = repository().join("crates/cli/tests/it/envoy");
    let text = fs::read_to_string(folder.join(file)).unwrap();
    assert!(text.contains(&format!("fn {test}(")), "no test `{named}`");
}

/// The five minutes, word by word: only ports are others, and the lab is the internet.
#[tokio::test(flavor = "multi_thread")]
async fn its_five_minutes_are_that() {
    let lab = Lab::start().await.unwrap();
    let guide = guide();
    let section = guide.split("\n## Five minutes\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let mut minutes = Minutes::of(blocks(section, "toml")[0], lab);
    for block in blocks(section, "console") {
        let mut shown = block.split("$ ").skip(1);
        while let Some((command, output)) = shown.next().and_then(|text| text.split_once('\n')) {
            minutes.run(command, output).await;
        }
    }
    assert_eq!(minutes.lab.leaks().await.unwrap(), 0);
}

/// What runs while the guide is followed.
struct Minutes {
    folder: tempfile::TempDir,
    lab: Lab,
    served: Option<Served>,
    admin: Option<SocketAddr>,
    envoy: Option<Envoy>,
}

impl Minutes {
    fn of(configuration: &str, lab: Lab) -> Self {
        let folder = what_it_names();
        let log = folder.path().join("decisions.jsonl");
        let (log, server) = (log.display(), lab.public().addr().ip());
        let text = configuration
            .replace("127.0.0.1:4752", "127.0.0.1:0")
            .replace("127.0.0.1:4751", "127.0.0.1:0")
            .replace("file:decisions.jsonl", &format!("file:{log}"));
        let over = format!(
            "[floor]\ngrants = ['{server}/32']\n[dns.fixed]\n'example.com' = ['{server}']\n"
        );
        write(folder.path(), "gateway.toml", &(text + &over));
        Self {
            folder,
            lab,
            served: None,
            admin: None,
            envoy: None,
        }
    }

    async fn run(&mut self, command: &str, shown: &str) {
        let words: Vec<_> = command.split_whitespace().collect();
        match words[..] {
            ["pinfold", "serve", file, "&"] => self.serve(file),
            ["pinfold", "envoy", "config", .., ">", to] => {
                self.config(&words[1..words.len() - 2], to);
            }
            ["envoy", "-c", file, "&"] => {
                let yaml = fs::read_to_string(self.file(file)).unwrap();
                self.envoy = Some(Envoy::start(self.folder.path(), "running", &yaml).await);
            }
            ["curl", ..] => self.curl(&words[1..], shown),
            ["pinfold", "gateway", ..] => self.operate(&words[1..], shown),
            ["pinfold", "envoy", "check", file] => {
                let output = run(["envoy", "check", self.file(file).to_str().unwrap()]);
                assert_eq!(output.status.code(), Some(0), "{}", show(&output));
            }
            _ => panic!("nobody knows how to run `{command}`"),
        }
    }

    /// With the ports that were chosen in the file: the next command reads it.
    fn serve(&mut self, file: &str) {
        let file = self.file(file);
        let mut served = Served::start(&[file.to_str().unwrap()]);
        let listener = served.address();
        let told = served.wait_for("operators ");
        let admin = told.split("http://").nth(1).unwrap();
        let admin: SocketAddr = admin.split('/').next().unwrap().parse().unwrap();
        let text = fs::read_to_string(&file).unwrap();
        let text = text.replacen("127.0.0.1:0", &listener.to_string(), 1);
        fs::write(&file, text.replacen("127.0.0.1:0", &admin.to_string(), 1)).unwrap();
        (self.served, self.admin) = (Some(served), Some(admin));
    }

    fn config(&self, words: &[&str], to: &str) {
        let mut command = pinfold(words);
        command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        let output = command.current_dir(self.folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", show(&output));
        fs::write(self.file(to), output.stdout).unwrap();
    }

    fn curl(&self, words: &[&str], shown: &str) {
        let envoy = self.envoy.as_ref().unwrap().listeners[0].to_string();
        let server = format!("http://example.com:{}/", self.lab.public().addr().port());
        let words = words.iter().map(|word| {
            word.replace("127.0.0.1:15001", &envoy)
                .replace("http://example.com/", &server)
        });
        let mut command = Command::new("curl");
        command.args(["-sS", "--fail-with-body"]).args(words);
        let output = command.env_clear().output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        let refused = shown.starts_with("HTTP/1.1 403 ");
        assert_eq!(output.status.success(), !refused, "{said}{errors}");
        if refused {
            assert_eq!(comparable(&said), comparable(shown));
        }
    }

    fn operate(&self, words: &[&str], shown: &str) {
        let admin = self.admin.unwrap().to_string();
        let output = pinfold(words).args(["--admin", &admin]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.starts_with(shown.trim_end()), "{said}");
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Without what differs each time, and what Envoy says of itself.
fn comparable(answer: &str) -> Vec<&str> {
    const OTHERS: [&str; 3] = ["date:", "server:", "pinfold-request-id:"];
    let lines = answer.lines().map(str::trim_end);
    let lines = lines.filter(|line| !OTHERS.iter().any(|other| line.starts_with(other)));
    lines.filter(|line| !line.is_empty()).collect()
}

/// The fragments of the guide in the places that it says, in an Envoy that has a route of its own.
fn assembled(part: &dyn Fn(&str) -> Value) -> Value {
    let mut filters = part("http_filters");
    let router = typed("envoy.extensions.filters.http.router.v3.Router", json!({}));
    let router = json!({"name": "envoy.filters.http.router", "typed_config": router});
    filters.as_array_mut().unwrap().push(router);
    let mut clusters = part("clusters");
    let own = json!({"name": "own", "type": "STATIC", "load_assignment": {"cluster_name": "own"}});
    clusters.as_array_mut().unwrap().push(own);
    let routes = json!([{"name": "all", "domains": ["*"], "routes": part("routes")}]);
    let manager = typed(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        json!({"stat_prefix": "egress", "http_filters": filters, "route_config": {"virtual_hosts": routes}}),
    );
    let chain = json!({
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}],
        "transport_socket": part("transport_socket"),
    });
    let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": 0}});
    let listener = json!({"name": "egress", "address": address, "filter_chains": [chain]});
    json!({"static_resources": {"listeners": [listener], "clusters": clusters}})
}

fn typed(name: &str, mut value: Value) -> Value {
    value["@type"] = json!(format!("type.googleapis.com/{name}"));
    value
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn is_taken_by_envoy(folder: &Path, file: &Path) {
    let mut command = Command::new(binary());
    command.args(["--mode", "validate", "-c"]).arg(file);
    let output = command.current_dir(folder).env_clear().output().unwrap();
    assert!(output.status.success(), "{}", show(&output));
}

fn would_start(file: &Path) {
    let output = run(["serve", "--check", file.to_str().unwrap()]);
    let text = fs::read_to_string(file).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}\n{}", show(&output));
}

/// A folder with the files that the configurations name.
fn what_it_names() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new().unwrap();
    let (chain, key) = authority.issue_pem(["localhost", "127.0.0.1"]).unwrap();
    for (name, text) in [
        ("proxy.pem", &*chain),
        ("proxy.key", &key),
        ("clients-ca.pem", &authority.pem()),
        ("envoys-ca.pem", &authority.pem()),
        ("next.toml", "ports = [443]\n"),
    ] {
        write(folder.path(), name, text);
    }
    folder
}

fn guide() -> String {
    fs::read_to_string(repository().join("docs/envoy.md")).unwrap()
}
