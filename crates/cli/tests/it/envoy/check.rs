//! `pinfold envoy check`: each trap is found where it is, and nothing is found where there is none.
//!
//! The traps are data (`tests/vectors/envoy/check/traps.yaml`): what is laid over a configuration without any, and what
//! is then found.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::support::binary;
use crate::support::{run, run_with_input, show, vectors};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    #[serde(default = "http")]
    ground: String,
    #[serde(default)]
    set: Map<String, Value>,
    #[serde(default)]
    insert: Map<String, Value>,
    #[serde(default)]
    finds: Vec<String>,
    #[serde(default)]
    unjudged: Vec<String>,
    #[serde(default)]
    allow: Vec<String>,
    #[serde(default = "yes")]
    envoy: bool,
}

fn http() -> String {
    "http".to_owned()
}

const fn yes() -> bool {
    true
}

fn rows() -> Vec<Row> {
    let text = fs::read_to_string(vectors("envoy/check/traps.yaml")).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

impl Row {
    fn config(&self) -> Value {
        let file = vectors(&format!("envoy/check/{}.yaml", self.ground));
        let text = fs::read_to_string(file).unwrap();
        let mut config: Value = serde_saphyr::from_str(&text).unwrap();
        for (place, value) in &self.insert {
            let pointer = self.pointer(place);
            let (list, at) = pointer.rsplit_once('/').unwrap();
            let list = config.pointer_mut(list).unwrap().as_array_mut();
            list.unwrap().insert(at.parse().unwrap(), value.clone());
        }
        for (place, value) in &self.set {
            let pointer = self.pointer(place);
            let (holder, key) = pointer.rsplit_once('/').unwrap();
            match config.pointer_mut(holder).unwrap() {
                Value::Array(all) => all[key.parse::<usize>().unwrap()] = value.clone(),
                Value::Object(all) => drop(all.insert(key.to_owned(), value.clone())),
                _ => panic!("{place}"),
            }
        }
        pruned(config)
    }

    /// A place, with the short words at its beginning written out.
    fn pointer(&self, place: &str) -> String {
        let (word, rest) = place.split_once('/').unwrap_or((place, ""));
        let l4 = self.ground == "l4";
        let start = match word {
            "" => return place.to_owned(),
            "listener" => LISTENER.to_owned(),
            "manager" => format!("{LISTENER}{CHAIN}/0/typed_config"),
            "filters" if l4 => format!("{LISTENER}{CHAIN}"),
            "filters" => self.pointer("manager/http_filters"),
            "authz" => self.pointer("filters/0/typed_config"),
            "proxy" => self.pointer("filters/1/typed_config"),
            "host" => self.pointer("manager/route_config/virtual_hosts/0"),
            "routes" => self.pointer("host/routes"),
            "pinned" => format!("{CLUSTERS}/0"),
            "tls" => format!("{CLUSTERS}/1"),
            "service" => format!("{CLUSTERS}/{}", if l4 { 1 } else { 2 }),
            "layer" => format!("{CLUSTERS}/0/{OPTIONS}/http_filters"),
            "rules" => self.pointer("layer/0/typed_config/rules"),
            "permissions" | "ranges" => self.pointer("rules/policies/not-public/permissions"),
            _ => panic!("{place}"),
        };
        match rest {
            "" => start,
            rest => format!("{start}/{rest}"),
        }
    }

    /// A code and a path, as they are shown.
    fn expected(&self) -> Vec<String> {
        let shown = |find: &String| {
            let (code, place) = find.split_once(' ').unwrap();
            format!("{code} {}", path(&self.pointer(place)))
        };
        let mut all: Vec<_> = self.finds.iter().map(shown).collect();
        all.sort();
        all
    }
}

const LISTENER: &str = "/static_resources/listeners/0";
const CHAIN: &str = "/filter_chains/0/filters";
const CLUSTERS: &str = "/static_resources/clusters";
const OPTIONS: &str =
    "typed_extension_protocol_options/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// Without nulls.
fn pruned(value: Value) -> Value {
    match value {
        Value::Array(all) => all
            .into_iter()
            .filter(|one| !one.is_null())
            .map(pruned)
            .collect(),
        Value::Object(all) => {
            let some = all.into_iter().filter(|(_, one)| !one.is_null());
            Value::Object(some.map(|(key, one)| (key, pruned(one))).collect())
        }
        value => value,
    }
}

/// A pointer in the way in which paths are shown.
fn path(pointer: &str) -> String {
    let mut path = String::new();
    for key in pointer.split('/').skip(1) {
        if key.parse::<usize>().is_ok() {
            path.push_str(&format!("[{key}]"));
        } else if key.contains('.') {
            path.push_str(&format!("[\"{key}\"]"));
        } else {
            let dot = if path.is_empty() { "" } else { "." };
            path.push_str(&format!("{dot}{key}"));
        }
    }
    path
}

/// What is said of a text: the exit code, and the report.
fn checked(text: &str, allow: &[String]) -> (i32, Value) {
    let mut words = vec!["envoy", "check", "--json", "-"];
    for network in allow {
        words.extend(["--allow", network]);
    }
    let output = run_with_input(&words, text);
    let report =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", show(&output)));
    (output.status.code().unwrap(), report)
}

/// Codes and places.
fn found(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().unwrap().iter();
    let word = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
    let mut all: Vec<_> = findings
        .map(|finding| format!("{} {}", word(finding, "code"), word(finding, "at")))
        .collect();
    all.sort();
    all
}

/// Codes and names of resources.
fn named(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().unwrap().iter();
    let mut all: Vec<_> = findings
        .map(|finding| format!("{} {}", finding["code"], finding["name"]))
        .collect();
    all.sort();
    all
}

#[test]
fn each_trap_is_found_and_nothing_else() {
    for row in rows() {
        let (code, report) = checked(&row.config().to_string(), &row.allow);
        assert_eq!(found(&report), row.expected(), "{}", row.name);
        assert_eq!(report["unjudged"], json!(row.unjudged), "{}", row.name);
        let findings = report["findings"].as_array().unwrap().iter();
        let weighs = findings
            .clone()
            .any(|finding| finding["severity"] != "note");
        assert_eq!(code, i32::from(weighs), "{}", row.name);
    }
}

/// No code without a row of its own.
#[test]
fn each_code_is_tried() {
    let rows = rows();
    let tried: Vec<_> = rows.iter().flat_map(|row| &row.finds).collect();
    let page =
        fs::read_to_string(crate::support::repository().join("docs/envoy-check.md")).unwrap();
    let codes = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    for code in codes {
        let is_tried = tried
            .iter()
            .any(|find| find.starts_with(&format!("{code} ")));
        assert!(is_tried, "{code}");
    }
}

/// The traps are real ones: Envoy takes the configurations that have them.
#[test]
fn envoy_takes_what_has_a_trap() {
    let folder = tempfile::tempdir().unwrap();
    let mut rows: Vec<_> = rows().into_iter().filter(|row| row.envoy).collect();
    rows.retain(|row| !row.finds.is_empty() || row.set.is_empty());
    // Two at a time: most of it is waiting.
    let half = rows.len() / 2;
    std::thread::scope(|scope| {
        for (at, rows) in [&rows[..half], &rows[half..]].into_iter().enumerate() {
            let file = folder.path().join(format!("{at}.json"));
            scope.spawn(move || rows.iter().for_each(|row| validate(row, &file)));
        }
    });
}

fn validate(row: &Row, file: &Path) {
    fs::write(file, row.config().to_string()).unwrap();
    let output = Command::new(binary())
        .args([
            "--mode",
            "validate",
            "-l",
            "error",
            "-c",
            file.to_str().unwrap(),
        ])
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}: {}", row.name, show(&output));
}

/// Bootstrap files, answers of a control plane, dumps and patches are read alike.
#[test]
fn every_form_of_a_configuration_is_read_alike() {
    let rows = rows();
    for row in rows
        .iter()
        .filter(|row| row.finds.iter().any(|find| !find.contains("/admin")))
    {
        let config = row.config();
        let (_, plain) = checked(&config.to_string(), &row.allow);
        for (form, text) in forms(&config) {
            let (_, report) = checked(&text, &row.allow);
            assert_eq!(named(&report), named(&plain), "{} as {form}", row.name);
        }
    }
}

fn forms(config: &Value) -> Vec<(&'static str, String)> {
    let resources = &config["static_resources"];
    let (listeners, clusters) = (&resources["listeners"], &resources["clusters"]);
    let typed = |kind: &str, of: &Value| {
        let mut of = of.clone();
        of["@type"] = format!("type.googleapis.com/envoy.config.{kind}").into();
        of
    };
    let all = |kind: &str, list: &Value| -> Vec<Value> {
        list.as_array()
            .unwrap()
            .iter()
            .map(|of| typed(kind, of))
            .collect()
    };
    let listeners_of = all("listener.v3.Listener", listeners);
    let clusters_of = all("cluster.v3.Cluster", clusters);
    let dump = json!({"configs": [
        {"@type": "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump", "bootstrap": config},
        {"@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump",
         "static_clusters": clusters_of.iter().map(|cluster| json!({"cluster": cluster})).collect::<Vec<_>>()},
        {"@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump", "dynamic_listeners":
         listeners_of.iter().map(|one| json!({"name": "egress", "active_state": {"listener": one}})).collect::<Vec<_>>()},
    ]});
    let discovered = format!(
        "---\n{}\n---\n{}\n---\n{}\n",
        json!({"resources": listeners_of}),
        json!({"resources": clusters_of}),
        json!({"admin": config["admin"]}),
    );
    let patches: Vec<_> = listeners_of
        .iter()
        .chain(&clusters_of)
        .map(|of| json!({"type": of["@type"], "operation": {"op": "add", "path": "", "value": of}}))
        .collect();
    let patch = json!({"kind": "EnvoyPatchPolicy", "spec": {"jsonPatches": patches}, "admin": config["admin"]});
    vec![
        ("names of JSON", camel(config).to_string()),
        ("a dump", dump.to_string()),
        ("documents of a control plane", discovered),
        ("a patch", patch.to_string()),
    ]
}

/// With the names of fields as JSON has them.
fn camel(value: &Value) -> Value {
    // Names of filters are no names of fields.
    let name = |key: &String| {
        if key.contains('.') {
            return key.clone();
        }
        let mut words = key.split('_');
        let first = words.next().unwrap().to_owned();
        words.fold(first, |all, word| {
            all + &word[..1].to_uppercase() + &word[1..]
        })
    };
    match value {
        Value::Array(all) => all.iter().map(camel).collect(),
        Value::Object(all) => all
            .iter()
            .map(|(key, one)| (name(key), camel(one)))
            .collect(),
        value => value.clone(),
    }
}

/// A patch of a mesh has a filter alone.
#[test]
fn a_filter_alone_is_judged() {
    let patch = "\
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
spec:
  configPatches:
  - applyTo: HTTP_FILTER
    patch:
      operation: INSERT_BEFORE
      value:
        name: ask
        typed_config:
          '@type': type.googleapis.com/udpa.type.v1.TypedStruct
          type_url: type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
          value:
            failureModeAllow: true
            statusOnError: {code: ServiceUnavailable}
            grpcService: {envoyGrpc: {clusterName: pinfold}, timeout: 1.5s}
";
    let (code, report) = checked(patch, &[]);
    let at = "fail-open spec.configPatches[0].patch.value";
    assert_eq!((code, found(&report)), (1, vec![at.to_owned()]));
}

/// No hole, no weakness, no note, and nothing that cannot be judged.
#[test]
fn what_is_generated_has_no_trap() {
    let one: &[_] = &["--service", "127.0.0.1:4752"];
    let two: &[_] = &["--service", "127.0.0.1:4752", "--service", "[::1]:4752"];
    let socket: &[_] = &["--service", "unix:/run/pinfold/envoy.sock"];
    let apart: &[_] = &[
        "--service",
        "192.0.2.5:4752",
        "--service-ca",
        "/etc/pinfold/ca.pem",
        "--service-certificate",
        "/etc/pinfold/envoy.pem",
        "--service-key",
        "/etc/pinfold/envoy.key",
    ];
    let allow = ["10.1.0.0/16".to_owned()];
    let all = ["forward", "tls", "sni", "connector"];
    let of_all = [one, two, socket, apart]
        .into_iter()
        .flat_map(|more| all.map(|mode| (mode, more, &[][..])));
    let more: [(_, _, &[_]); 2] = [
        ("forward", two, &["--failover", "--allow", &allow[0]]),
        ("tls", two, &["--failover"]),
    ];
    for (mode, more, words) in of_all.chain(more) {
        let base = ["envoy", "config", mode];
        let words: Vec<_> = base.iter().chain(more).chain(words).collect();
        let output = run(&words);
        assert!(output.status.success(), "{}", show(&output));
        let text = String::from_utf8(output.stdout).unwrap();
        let (code, report) = checked(&text, &allow);
        let none = json!([]);
        let said = (&report["findings"], &report["unjudged"]);
        assert_eq!((code, said), (0, (&none, &none)), "{words:?}");
    }
}

/// Each mend is about what was found, and names it.
#[test]
fn mends_name_what_was_found() {
    for (row, place, mend) in [
        (
            "the server hears of the client",
            "headers-leaked",
            "skip_xff_append: true",
        ),
        (
            "the server hears of Envoy",
            "headers-leaked",
            "request_headers_to_remove: [x-forwarded-proto]",
        ),
        (
            "a decision service by name",
            "cluster-by-name",
            "type: STATIC with addresses, or TLS that is verified",
        ),
        (
            "the address of a header field, which is taken from clients too late",
            "header-not-stripped",
            "nothing more once `header-mode` is mended; else early_header_mutation_extensions with mutations: [{remove: x-to}]",
        ),
    ] {
        let row = rows().into_iter().find(|one| one.name == row).unwrap();
        let (_, report) = checked(&row.config().to_string(), &[]);
        let findings = report["findings"].as_array().unwrap();
        let found = findings.iter().find(|one| one["code"] == place).unwrap();
        assert_eq!(found["hint"], mend, "{}", row.name);
    }
    let row = rows().into_iter().find(|row| row.name == RESOLVES).unwrap();
    let (_, report) = checked(&row.config().to_string(), &[]);
    let findings = report["findings"].as_array().unwrap().iter();
    let filter = findings.clone().find(|one| one["name"] == "look-up");
    let hint = filter.unwrap()["hint"].as_str().unwrap();
    assert!(hint.starts_with("remove this filter"), "{hint}");
}

const RESOLVES: &str = "a proxy that looks up what clients name";

/// What is opened for single ports is shown with them, and each once.
#[test]
fn what_is_opened_is_shown_with_its_ports() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    let text = "\
[[listener]]
bind = '127.0.0.1:4752'
protocols = ['envoy']

[floor]
grants = ['127.0.0.2/32:443', '127.0.0.4/32', '127.0.0.2/32:443', '127.0.0.2/32:8000']
";
    fs::write(&file, text).unwrap();
    let output = run([
        "envoy",
        "config",
        "forward",
        "--gateway",
        file.to_str().unwrap(),
    ]);
    assert!(output.status.success(), "{}", show(&output));
    let (code, report) = checked(&String::from_utf8(output.stdout).unwrap(), &[]);
    assert_eq!(code, 0, "{report:#}");
    let meaning = report["findings"][0]["meaning"].as_str().unwrap();
    let opened = "127.0.0.2/32 port 443, 127.0.0.2/32 port 8000, 127.0.0.4/32";
    assert!(meaning.ends_with(opened), "{meaning}");
}

#[test]
fn a_person_reads_code_place_meaning_and_mend() {
    let row = rows()
        .into_iter()
        .find(|row| row.name == "connections without an end")
        .unwrap();
    let output = run_with_input(&["envoy", "check", "-"], &row.config().to_string());
    insta::assert_snapshot!(show(&output), @r"
    exit: 1
    --- stdout
    weakness tunnel-unbounded  static_resources.listeners[0].filter_chains[0].filters[1] `envoy.filters.network.tcp_proxy`
      a tunnel outlives every change of policy: nothing ends it
      hint: route: {max_stream_duration: {max_stream_duration: 3600s}}; tcp_proxy: max_downstream_connection_duration: 3600s
    --- stderr
    0 holes, 1 weakness, 0 notes in `-`: 1 listener, 0 routes, 2 clusters, 3 extensions checked
    ");
    let row = rows()
        .into_iter()
        .find(|row| row.name == "as it is")
        .unwrap();
    let output = run_with_input(&["envoy", "check", "-"], &row.config().to_string());
    insta::assert_snapshot!(show(&output), @r"
    exit: 0
    --- stderr
    no trap in `-`: 1 listener, 3 routes, 3 clusters, 52 extensions checked
    ");
}

#[test]
fn what_cannot_be_read_is_said() {
    let deep = "[".repeat(100_000);
    let nested = "a:\n".to_owned()
        + &(1..5_000)
            .map(|n| " ".repeat(n) + "a:\n")
            .collect::<String>();
    let mut laughs = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for n in 1..12 {
        let before = vec![format!("*a{}", n - 1); 9].join(", ");
        laughs.push_str(&format!("a{n}: &a{n} [{before}]\n"));
    }
    for (name, text) in [
        ("nothing", ""),
        ("nothing of Envoy", "services: {web: {image: nginx}}\n"),
        ("a word", "envoy\n"),
        ("deep JSON", &deep),
        ("deep YAML", &nested),
        ("many laughs", &laughs),
        ("a key twice", "{\"admin\": {}, \"admin\": {}}"),
        ("half of it", "{\"static_resources\": {\"clusters\": ["),
    ] {
        let output = run_with_input(&["envoy", "check", "-"], text);
        assert_eq!(output.status.code(), Some(2), "{name}: {}", show(&output));
        assert!(
            output.stdout.is_empty() && !output.stderr.is_empty(),
            "{name}"
        );
    }
}

#[test]
fn a_file_that_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let file = folder.path().join(name);
        fs::write(&file, bytes).unwrap();
        file
    };
    let large = file("large.yaml", &vec![b'#'; 100_000_000]);
    let other = file("latin.yaml", b"admin: {address: \xe4}\n");
    for (file, message) in [
        (large, "is larger than 16 MiB"),
        (other, "is not UTF-8"),
        (folder.path().to_owned(), "is not a regular file"),
        (folder.path().join("gone.yaml"), "cannot read"),
    ] {
        let output = run(["envoy", "check", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2), "{}", show(&output));
        assert!(show(&output).contains(message), "{}", show(&output));
    }
}
