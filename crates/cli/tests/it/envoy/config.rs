//! `pinfold envoy config`: what it writes is taken by the real Envoy without a warning, and what is wrong is said.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use insta::assert_snapshot;
use serde_json::Value;

use super::{
    certificates::Authority,
    support::{Envoy, binary},
};
use crate::{
    serve::write,
    support::{pinfold, show, told},
};

const MODES: [&str; 4] = ["forward", "tls", "sni", "connector"];

const GATEWAY: &str = "\
[[listener]]
name = 'envoy'
bind = '127.0.0.1:4752'
protocols = ['envoy']
[[listener]]
name = 'proxy'
bind = '127.0.0.1:4750'
protocols = ['http']
[admin]
enabled = false
[floor]
grants = ['127.0.0.2/32:8080']
";

/// A folder with the files that the words below name.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (path, authority) = (folder.path(), Authority::new());
        let server = authority.server();
        write(path, "gateway.toml", GATEWAY);
        write(path, "ca.pem", &authority.pem());
        write(path, "cert.pem", &server.certificate);
        write(path, "key.pem", &server.key);
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, words: &str) -> std::process::Output {
        let mut command = pinfold(["envoy", "config"]);
        let command = command.args(words.split(' ')).current_dir(self.path());
        command.output().unwrap()
    }

    fn generated(&self, words: &str) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words}: {}", show(&output));
        assert!(output.stderr.is_empty(), "{words}: {}", show(&output));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// Ways to use each mode; `--failover` is for the modes in which Envoy counts attempts.
fn ways(mode: &str) -> Vec<String> {
    let mut ways = vec![
        "--gateway gateway.toml",
        "--service 127.0.0.1:4752 --service [::1]:4752 --service 127.0.0.1:4762",
        "--service unix:/run/pinfold/envoy.sock",
        "--service 127.0.0.1:4752 --service-ca ca.pem --service-certificate cert.pem --service-key key.pem",
        "--service unix:/run/envoy.sock --service-ca ca.pem --service-name gateway.example.com",
        "--service 10.0.0.5:4752 --service [fd00::5]:4752 --service-ca ca.pem --service-certificate cert.pem --service-key key.pem",
    ];
    if mode != "sni" {
        ways.push("--gateway gateway.toml --certificate cert.pem --key key.pem --client-ca ca.pem");
    }
    if matches!(mode, "forward" | "tls") {
        ways.push("--gateway gateway.toml --failover");
        ways.push("--gateway gateway.toml --allow 10.20.0.0/16 --roots ca.pem --timeout 3s");
    }
    ways.into_iter()
        .map(|way| format!("{mode} {way}"))
        .collect()
}

#[test]
fn envoy_takes_all_of_it() {
    let folder = Folder::new();
    for words in MODES.iter().flat_map(|mode| ways(mode)) {
        let generated = folder.generated(&words);
        assert_eq!(
            generated,
            folder.generated(&words),
            "{words}: the same again"
        );
        assert!(!generated.contains(" @"), "{words}: a place is left");
        let parsed: Value = serde_saphyr::from_str(&generated).unwrap();
        assert!(parsed["static_resources"]["clusters"].is_array(), "{words}");
        let file = write(folder.path(), "envoy.yaml", &generated);
        let output = Command::new(binary())
            .args([
                "--mode",
                "validate",
                "-l",
                "warning",
                "--use-dynamic-base-id",
                "-c",
            ])
            .arg(file)
            .current_dir(folder.path())
            .env_clear()
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = show(&output);
        assert!(output.status.success(), "{words}: {said}");
        assert!(!said.contains("][warning]"), "{words}: {said}");
    }
}

/// Not only when it is read: a warning that is always there hides one that matters.
#[tokio::test(flavor = "multi_thread")]
async fn envoy_starts_without_a_warning() {
    let folder = Folder::new();
    for mode in MODES {
        let free = "--listen 127.0.0.1:0 --admin 127.0.0.1:0";
        let generated = folder.generated(&format!("{mode} --gateway gateway.toml {free}"));
        let envoy = Envoy::start(folder.path(), mode, &generated).await;
        let said = envoy.said();
        let warning = said
            .lines()
            .find(|line| line.contains("][warning]") || line.contains("][error]"));
        assert_eq!(warning, None, "{mode}");
    }
}

#[test]
fn all_of_it() {
    let folder = Folder::new();
    for (name, words) in [
        ("forward", "forward --gateway gateway.toml"),
        (
            "tls",
            "tls --gateway gateway.toml --failover --client-ca ca.pem --certificate cert.pem --key key.pem",
        ),
        (
            "sni",
            "sni --gateway gateway.toml --service unix:/run/pinfold/envoy.sock",
        ),
        (
            "connector",
            "connector --gateway gateway.toml --service-ca ca.pem",
        ),
    ] {
        let text = folder.generated(words);
        let text = text.replace(env!("CARGO_PKG_VERSION"), "[VERSION]");
        assert_snapshot!(name, text);
    }
}

/// The line in the header makes the same again.
#[test]
fn the_header_has_the_command() {
    let folder = Folder::new();
    for words in [
        "forward --gateway gateway.toml",
        "forward --gateway gateway.toml --service 127.0.0.1:1 --service unix:/a --listen 127.0.0.1:2 --admin 127.0.0.1:3 \
         --allow 10.0.0.0/8 --failover --timeout 3s --roots ca.pem --certificate cert.pem --key key.pem --client-ca ca.pem \
         --service-ca ca.pem --service-certificate cert.pem --service-key key.pem --service-name gateway.example.com",
    ] {
        let line = format!("#   pinfold envoy config {words}");
        let generated = folder.generated(words);
        assert!(
            generated.lines().any(|of| of == line),
            "{line}\n{generated}"
        );
    }
}

#[test]
fn what_is_wrong_is_said() {
    let folder = Folder::new();
    let listener = |keys: &str| {
        format!("[[listener]]\nprotocols = ['envoy']\n{keys}\n[admin]\nenabled = false\n")
    };
    for (name, text) in [
        ("port.toml", listener("bind = '127.0.0.1:0'")),
        ("systemd.toml", listener("bind = 'systemd:envoy'")),
        (
            "one.toml",
            listener("bind = '127.0.0.1:4752'\n[envoy]\npins = 1"),
        ),
        (
            "slow.toml",
            listener("bind = '127.0.0.1:4752'\n[envoy]\ndeadline = '2s'"),
        ),
        ("none.toml", "[admin]\nenabled = false\n".to_owned()),
        (
            "socks.toml",
            "[[listener]]\nprotocols = ['socks5']\n[admin]\nenabled = false\n".to_owned(),
        ),
        ("broken.toml", "[envoy]\npin = 2".to_owned()),
        (
            "remote.toml",
            listener(
                "bind = '10.0.0.5:4752'\ntls = { certificate = 'cert.pem', key = 'key.pem', client_ca = ['ca.pem'] }",
            ),
        ),
        (
            "tls.toml",
            listener(
                "bind = '127.0.0.1:4752'\ntls = { certificate = 'cert.pem', key = 'key.pem', client_ca = ['ca.pem'] }",
            ),
        ),
    ] {
        write(folder.path(), name, &text);
    }
    for (words, parts) in [
        ("forward", ["not known which gateway", "`--gateway FILE`"]),
        (
            "forward --gateway nothing.toml",
            ["cannot be read", "name a file"],
        ),
        (
            "forward --gateway broken.toml",
            ["there is no key `pin`", "`pins`"],
        ),
        (
            "forward --gateway none.toml",
            ["has no listener for Envoys", "protocols = [\"envoy\"]"],
        ),
        (
            "connector --gateway socks.toml",
            ["has no listener for a proxy", "protocols = [\"http\"]"],
        ),
        (
            "sni --gateway port.toml",
            ["on a port that the system chooses", "`--service ADDR`"],
        ),
        (
            "sni --gateway systemd.toml",
            ["on a socket of the service manager", "`--service ADDR`"],
        ),
        (
            "forward --gateway one.toml --failover",
            ["`envoy.pins` is 1", "2 or more"],
        ),
        (
            "forward --gateway slow.toml",
            [
                "Envoy would wait 2s, and the gateway takes up to 2s",
                "`--timeout`",
            ],
        ),
        (
            "forward --gateway tls.toml",
            ["speaks TLS", "`--service-ca FILE`"],
        ),
        (
            "sni --gateway gateway.toml --failover",
            ["not for `sni`", "leave it out"],
        ),
        (
            "connector --gateway gateway.toml --failover",
            ["not for `connector`", "leave it out"],
        ),
        (
            "sni --gateway gateway.toml --allow 10.0.0.0/8",
            ["`--allow`", "leave it out"],
        ),
        (
            "sni --gateway gateway.toml --certificate cert.pem --key key.pem",
            ["passes TLS through", "`forward`"],
        ),
        (
            "forward --gateway gateway.toml --allow 169.254.169.254/32",
            ["has no effect", "metadata"],
        ),
        (
            "forward --gateway gateway.toml --allow 169.254.169.254",
            ["has no effect", "metadata"],
        ),
        (
            "forward --gateway gateway.toml --allow 127.0.0.9",
            ["no policy opens these", "`floor.grants`"],
        ),
        (
            "forward --gateway gateway.toml --allow fe80::/64",
            ["no policy opens these", "`floor.grants`"],
        ),
        (
            "forward --gateway gateway.toml --allow db.example.com",
            ["invalid value", "no name"],
        ),
        (
            "forward --gateway gateway.toml --allow 10.0.0.1:443",
            ["invalid value", "no port"],
        ),
        (
            "forward --gateway gateway.toml --allow ::ffff:0:0/96",
            ["has no effect", "carry IPv4"],
        ),
        (
            "forward --gateway gateway.toml --allow 0.0.0.0/0",
            ["every address", "name the networks"],
        ),
        (
            "forward --service unix:/a --service-ca ca.pem",
            ["is not known", "`--service-name NAME`"],
        ),
        (
            "forward --service gateway.example.com:4752",
            ["invalid value", "looks no name up"],
        ),
        ("forward --service 127.0.0.1:0", ["invalid value", "port 0"]),
        (
            "forward --service unix:envoy.sock",
            ["invalid value", "the whole path"],
        ),
        (
            "forward --service 127.0.0.1:4752 --service 10.0.0.6:4752",
            [
                "`10.0.0.6:4752` is on another machine",
                "--service-key FILE",
            ],
        ),
        (
            "sni --service [::ffff:127.0.0.1]:4752",
            ["would decide in its place", "--service-ca FILE"],
        ),
        (
            "tls --service 10.0.0.5:4752 --service-ca ca.pem",
            ["nobody without a certificate", "--service-certificate FILE"],
        ),
        (
            "connector --service 10.0.0.5:4750",
            ["would read what clients send", "--service-ca FILE"],
        ),
        (
            "forward --gateway remote.toml --service-ca ca.pem",
            [
                "`10.0.0.5:4752` is on another machine",
                "--service-key FILE",
            ],
        ),
        (
            "forward --gateway gateway.toml --listen localhost:1",
            ["invalid value", "--listen"],
        ),
        (
            "forward --gateway gateway.toml --client-ca ca.pem",
            ["required arguments", "--certificate"],
        ),
    ] {
        let output = folder.run(words);
        assert_eq!(output.status.code(), Some(2), "{words}: {}", show(&output));
        assert!(output.stdout.is_empty(), "{words}");
        let said = told(&output);
        for part in parts {
            assert!(said.contains(part), "{words}: `{part}` is not in\n{said}");
        }
    }
}

#[test]
fn where_the_layers_may_differ_is_said() {
    let folder = Folder::new();
    for (name, more, part) in [
        (
            "policy.toml",
            "[policy]\nfile = 'gateway.toml'",
            "is not the shipped one",
        ),
        ("report.toml", "[report]\nall = true", "only reports"),
    ] {
        write(folder.path(), name, &format!("{GATEWAY}{more}\n"));
        let output = folder.run(&format!("forward --gateway {name}"));
        assert!(output.status.success(), "{}", show(&output));
        let said = told(&output);
        assert!(said.contains(part) && said.contains("`--allow`"), "{said}");
    }
}

/// Grants are in that file: one of something else would make a second layer that refuses what is approved.
#[test]
fn a_file_without_the_listener_is_said() {
    let folder = Folder::new();
    write(folder.path(), "empty.toml", "");
    for (mode, what) in [("forward", "for Envoys"), ("connector", "for a proxy")] {
        let file = match mode {
            "connector" => write(
                folder.path(),
                "socks.toml",
                "[[listener]]\nprotocols = ['socks5']",
            ),
            _ => folder.path().join("empty.toml"),
        };
        let file = file.display();
        let output = folder.run(&format!("{mode} --gateway {file} --service 127.0.0.1:4752"));
        assert!(output.status.success(), "{}", show(&output));
        let said = told(&output);
        assert!(
            said.contains("has no listener") && said.contains(what),
            "{said}"
        );
    }
}

/// An address alone is a network of one.
#[test]
fn an_address_is_a_network() {
    let folder = Folder::new();
    let one = folder.generated("forward --gateway gateway.toml --allow 10.9.8.7");
    assert!(one.contains("address_prefix: \"10.9.8.7\", prefix_len: 32"));
    assert!(
        one.contains("--allow 10.9.8.7/32"),
        "the line that makes it again"
    );
}

/// A listener that wants a PROXY header gets one, inside TLS where it speaks that.
#[test]
fn a_connector_says_whose_connection_it_is() {
    let folder = Folder::new();
    let gateway = "[[listener]]\nbind = '127.0.0.1:4750'\nprotocols = ['http']\nproxy_protocol = { from = ['127.0.0.1/32'] }\n\
                   [admin]\nenabled = false\n";
    write(folder.path(), "proxy.toml", gateway);
    for (words, inner) in [
        (
            "connector --gateway proxy.toml",
            "envoy.transport_sockets.raw_buffer",
        ),
        (
            "connector --gateway proxy.toml --service-ca ca.pem",
            "envoy.transport_sockets.tls",
        ),
    ] {
        let config: Value = serde_saphyr::from_str(&folder.generated(words)).unwrap();
        let socket = &config["static_resources"]["clusters"][0]["transport_socket"];
        assert_eq!(
            socket["name"],
            "envoy.transport_sockets.upstream_proxy_protocol"
        );
        assert_eq!(
            socket["typed_config"]["transport_socket"]["name"], inner,
            "{words}"
        );
    }
}
