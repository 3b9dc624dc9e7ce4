mod doors;
mod rules;

use std::{fs, path::PathBuf};

use super::*;
use crate::config::{Bind, LogTo};

/// What is said of a text: problems with their places, each with its hint.
fn told(text: &str) -> String {
    let Err(error) = Config::parse(text, Path::new("")) else {
        return "good".into();
    };
    let problems = error.problems().iter().map(|problem| match problem.hint() {
        Some(hint) => format!("{problem} ({hint})"),
        None => problem.to_string(),
    });
    problems.collect::<Vec<_>>().join("\n")
}

fn check(rows: &[(&str, &str)]) {
    for (text, expected) in rows {
        assert_eq!(told(text), *expected, "{text}");
    }
}

#[test]
fn nothing_is_a_configuration() {
    check(&[
        ("", "good"),
        ("# nothing", "good"),
        ("drain = \"5s\"", "good"),
        ("[[listener]]", "good"),
    ]);
}

#[test]
fn what_is_no_key_or_no_value_has_its_place() {
    check(&[
        (
            "[[listener]\n",
            "line 1, column 12: unclosed array table, expected `]` (write TOML: text in quotes, a table as `[name]`, one of several as `[[name]]`)",
        ),
        (
            "lisener = []",
            "line 1, column 1: there is no key `lisener` here (did you mean `listener`?)",
        ),
        (
            "[tunnels]\nidel = \"5s\"",
            "line 2, column 1: there is no key `idel` here (did you mean `idle`?)",
        ),
        (
            "[tunnels]\nqqqqqqqqq = 1",
            "line 2, column 1: there is no key `qqqqqqqqq` here (the keys here are `sni`, `non_tls`, `connect`, `idle`, `lifetime`, `half_closed`, `response`, `revocation`)",
        ),
        (
            "[tunnels]\nidle = 5",
            r#"line 2, column 8: expected a time such as `"30s"`, found integer `5` (`idle`: A tunnel in which nothing moves for this time, in either direction, is closed. Default: 5 min.)"#,
        ),
        (
            "[tunnels]\nidle = \"5\"",
            "line 2, column 8: write a time such as `500ms`, `30s`, `5m` or `1h30m` (`idle`: A tunnel in which nothing moves for this time, in either direction, is closed. Default: 5 min.)",
        ),
        (
            "[tunnels]\nidle = \"-5s\"",
            "line 2, column 8: a time is not negative (`idle`: A tunnel in which nothing moves for this time, in either direction, is closed. Default: 5 min.)",
        ),
        (
            "[tunnels]\nidle = \"9000h\"",
            "line 2, column 8: a year is the most (`idle`: A tunnel in which nothing moves for this time, in either direction, is closed. Default: 5 min.)",
        ),
        (
            "[tunnels]\nsni = \"enforced\"",
            "line 2, column 7: `enforced` is none of `off`, `log`, `enforce` (did you mean `enforce`?)",
        ),
        (
            "[limits]\nhead = \"64KB\"",
            "line 2, column 8: write a size such as `512`, `64KiB` or `16MiB` (`head`: Bytes of a request head. Default: 64 KiB; at least 8 KiB.)",
        ),
        (
            "[limits]\nconnections = -1",
            "line 2, column 15: expected a number, 0 or more, found integer `-1` (`connections`: Connections of clients, on all listeners. Default: 10,000.)",
        ),
        (
            "[limits]\nconnections = \"many\"",
            r#"line 2, column 15: expected a number, 0 or more, found string "many" (`connections`: Connections of clients, on all listeners. Default: 10,000.)"#,
        ),
        (
            "[policy]\nwatch = 1",
            "line 2, column 9: expected `true` or `false`, found integer `1` (`watch`: Whether the files are watched. Default: yes.)",
        ),
        (
            "[policy]\nfile = 1",
            "line 2, column 8: expected a path, found integer `1` (`file`: The component. Default: the shipped policy.)",
        ),
        (
            "drain = \"5s\"\ndrain = \"6s\"",
            "line 2, column 1: duplicate key (write each key once)",
        ),
        (
            "[floor]\ngrants = [\n  \"10.0.0.1/8\",\n]",
            "line 3, column 3: `10.0.0.1/8` is not a grant: the address has bits beyond the length of the prefix (`grants`: Networks, with a port or without, that the policy may allow although the floor would refuse them: `127.0.0.2/32:8080`. Metadata endpoints cannot be granted. Default: none.)",
        ),
        (
            "[floor]\ngrants = [\"169.254.169.254\"]",
            "line 2, column 11: `169.254.169.254` is not a grant: metadata endpoints are never granted (`grants`: Networks, with a port or without, that the policy may allow although the floor would refuse them: `127.0.0.2/32:8080`. Metadata endpoints cannot be granted. Default: none.)",
        ),
        (
            "[floor]\ngrants = [\"::1:53\"]",
            "line 2, column 11: write `[::1]:53` for a port, `[::1:53]` for an address alone (`grants`: Networks, with a port or without, that the policy may allow although the floor would refuse them: `127.0.0.2/32:8080`. Metadata endpoints cannot be granted. Default: none.)",
        ),
        (
            "[floor]\ngrants = \"::1\"",
            r#"line 2, column 10: expected a list, of which each is a network such as `"127.0.0.2/32:8080"`, found string "::1" (`grants`: Networks, with a port or without, that the policy may allow although the floor would refuse them: `127.0.0.2/32:8080`. Metadata endpoints cannot be granted. Default: none.)"#,
        ),
        (
            "[floor]\nnat64 = [\"64:ff9b::/95\"]",
            "line 2, column 10: write an IPv6 prefix of 32, 40, 48, 56, 64 or 96 bits, such as `64:ff9b::/96` (`nat64`: NAT64 prefixes of this network (RFC 6052), beside the well-known ones. Default: none.)",
        ),
        (
            "[floor]\nnat64 = [\"::/96\"]",
            "line 2, column 10: no translator may use this prefix (RFC 6052, section 3) (`nat64`: NAT64 prefixes of this network (RFC 6052), beside the well-known ones. Default: none.)",
        ),
        (
            "[dns]\nservers = [\"ns.example\"]",
            "line 2, column 12: write an address and a port, such as `192.0.2.53:53` (`servers`: These servers; without a port it is 53. Default: none, those of the system's configuration.)",
        ),
        (
            "[dns]\nfixed = {\"a..b\" = []}",
            "line 2, column 10: host-invalid: name has an empty label: `a..b`",
        ),
        (
            "[dns.fixed]\n\"a.test\" = [\"1.2.3\"]",
            "line 2, column 13: invalid IP address syntax",
        ),
        (
            "[[listener]]\nbind = \"localhost:80\"",
            "line 2, column 8: write `127.0.0.1:4750`, `unix:/run/pinfold/proxy.sock` or `systemd:NAME` (`bind`: Where it listens. Default: `127.0.0.1:4750`.)",
        ),
        (
            "[[listener]]\nbind = \"unix:\"",
            "line 2, column 8: after `unix:` comes the path of a socket (`bind`: Where it listens. Default: `127.0.0.1:4750`.)",
        ),
        (
            "[[listener]]\nbind = \"systemd:a:b\"",
            "line 2, column 8: after `systemd:` comes the name of a socket (`FileDescriptorName=`) (`bind`: Where it listens. Default: `127.0.0.1:4750`.)",
        ),
        (
            "[[listener]]\nunix_mode = \"0999\"",
            "line 2, column 13: write an octal mode of read and write, such as `0660` (`unix_mode`: Mode of a Unix socket, octal. Default: `0660`.)",
        ),
        (
            "[[listener]]\nunix_mode = 432",
            r#"line 2, column 13: expected an octal mode such as `"0660"`, found integer `432` (`unix_mode`: Mode of a Unix socket, octal. Default: `0660`.)"#,
        ),
        (
            "[[listener]]\ntls = {certificate = \"a\"}",
            "line 2, column 7: the key `key` is missing (`key`: The private key, PEM.)",
        ),
        (
            "[[listener]]\nprotocols = [\"htp\"]",
            "line 2, column 14: `htp` is none of `http`, `socks5`, `envoy` (did you mean `http`?)",
        ),
        (
            "[[listener]]\nidentity = {networks = {\"10.0.0.0/40\" = \"a\"}}",
            "line 2, column 25: invalid IP address syntax",
        ),
        (
            "[[listener]]\nidentity = {networks = {\"10.0.0.0/8\" = \" a\"}}",
            "line 2, column 40: the name of a subject begins or ends with a space, or holds an unusual one",
        ),
        (
            "[report]\nsubjects = [\"*\"]",
            "line 2, column 13: for everybody write `all = true` (`subjects`: These subjects; `*` at the end stands for any rest. Default: none.)",
        ),
        (
            "[report]\nsubjects = [\"a*b\"]",
            "line 2, column 13: `*` stands at the end, and nowhere else (`subjects`: These subjects; `*` at the end stands for any rest. Default: none.)",
        ),
        (
            "[records.log]\nto = \"syslog\"",
            "line 2, column 6: write `off`, `stdout`, `stderr` or `file:PATH` (`to`: Where. Default: `stdout`.)",
        ),
        (
            "[limits.subjects.\"a\\n\"]\nrate = 1",
            "line 1, column 18: the name of a subject holds a character that is not printed",
        ),
    ]);
}

#[test]
fn everything_that_is_wrong_is_said_in_the_order_of_the_file() {
    let text =
        "[limits]\nstreams = 0\n\n[tunnels]\nidle = \"48h\"\n\n[[listener]]\nprotocols = []\n";
    insta::assert_snapshot!(told(text), @r"
    line 2, column 1: with `streams = 0` nobody is served (leave it out for its default, or write a number)
    line 5, column 1: `idle` is longer than `lifetime`, so that it never counts (make `idle` shorter, or `lifetime` longer)
    line 8, column 1: a listener that speaks nothing serves nobody (leave `protocols` out for both, or list `http` or `socks5`)
    ");
}

#[test]
fn paths_are_relative_to_the_folder_and_absolute_ones_stay() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("sub")).unwrap();
    for file in ["sub/policy.wasm", "settings.toml", "gateway.toml"] {
        fs::write(folder.path().join(file), "").unwrap();
    }
    let config = r#"
        policy = {file = "sub/policy.wasm", settings = "settings.toml", vectors = ["sub"], cache = "cache"}
        records = {log = {to = "file:/tmp/log.jsonl"}}
        [[listener]]
        bind = "unix:proxy.sock"
    "#;
    let file = folder.path().join("gateway.toml");
    fs::write(&file, config).unwrap();
    let config = Config::read(&file).unwrap();
    let inside = |name: &str| folder.path().join(name);
    assert_eq!(config.policy.file, Some(inside("sub/policy.wasm")));
    assert_eq!(config.policy.settings, Some(inside("settings.toml")));
    assert_eq!(config.policy.vectors, [inside("sub")]);
    assert_eq!(config.policy.cache, Some(inside("cache")));
    assert_eq!(config.listener[0].bind, Bind::Unix(inside("proxy.sock")));
    let log = LogTo::File(PathBuf::from("/tmp/log.jsonl"));
    assert_eq!(config.records.log.to, log);
}

#[test]
fn files_that_are_not_there_are_named_with_their_place() {
    check(&[
        (
            "[policy]\nfile = \"nowhere.wasm\"",
            "line 2, column 1: `nowhere.wasm` cannot be read: No such file or directory (os error 2) (paths are relative to the folder of the configuration)",
        ),
        (
            "[policy]\nsettings = \"src\"",
            "line 2, column 1: `src` is not a regular file (name a file: nothing else is read here)",
        ),
        (
            "[policy]\nvectors = [\"src\", \"nowhere\"]",
            "line 2, column 19: `nowhere` cannot be read: No such file or directory (os error 2) (paths are relative to the folder of the configuration)",
        ),
        (
            "[policy]\ncache = \"nowhere/cache\"",
            "line 2, column 1: the folder of `nowhere/cache` is not there (make it: nothing else is made here)",
        ),
        (
            "[[listener]]\ntls = {certificate = \"nowhere.pem\", key = \"Cargo.toml\"}",
            "line 2, column 8: `nowhere.pem` cannot be read: No such file or directory (os error 2) (paths are relative to the folder of the configuration)",
        ),
        (
            "[[listener]]\nbind = \"unix:nowhere/a.sock\"",
            "line 2, column 1: the folder of `nowhere/a.sock` is not there (make it: nothing else is made here)",
        ),
        (
            "[records.log]\nto = \"file:nowhere/a.log\"",
            "line 2, column 1: the folder of `nowhere/a.log` is not there (make it: nothing else is made here)",
        ),
        (
            "[admin]\ntoken_file = \"nowhere\"",
            "line 2, column 1: `nowhere` cannot be read: No such file or directory (os error 2) (paths are relative to the folder of the configuration)",
        ),
        ("[admin]\nenabled = false\ntoken_file = \"nowhere\"", "good"),
    ]);
}

#[test]
fn a_file_is_regular_and_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    let said = || {
        let error = Config::read(&file).unwrap_err().to_string();
        error.replace(&format!("{}", folder.path().display()), "DIR")
    };
    assert_eq!(
        said(),
        "`DIR/gateway.toml`: the file cannot be read: No such file or directory (os error 2)"
    );
    fs::write(&file, "#".repeat(1 + (1 << 20))).unwrap();
    assert_eq!(
        said(),
        "`DIR/gateway.toml`: the file cannot be read: it is longer than 1 MiB"
    );
    fs::write(&file, b"\xff").unwrap();
    assert_eq!(
        said(),
        "`DIR/gateway.toml`: the file cannot be read: it is not UTF-8"
    );
    fs::write(&file, "drian = \"5s\"").unwrap();
    assert_eq!(
        said(),
        "`DIR/gateway.toml`, line 1, column 1: there is no key `drian` here"
    );
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert_eq!(
        said(),
        "`DIR/gateway.toml`: the file cannot be read: it is not a regular file"
    );
}

#[test]
fn the_defaults_are_sound() {
    assert!(Config::default().sound().is_ok());
}
