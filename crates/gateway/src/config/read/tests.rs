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
            "line 1, column 12: unclosed array table, expected `]`",
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
            r#"line 2, column 8: expected a time such as `"30s"`, found integer `5`"#,
        ),
        (
            "[tunnels]\nidle = \"5\"",
            "line 2, column 8: write a time such as `500ms`, `30s`, `5m` or `1h30m`",
        ),
        (
            "[tunnels]\nidle = \"-5s\"",
            "line 2, column 8: a time is not negative",
        ),
        (
            "[tunnels]\nidle = \"9000h\"",
            "line 2, column 8: a year is the most",
        ),
        (
            "[tunnels]\nsni = \"enforced\"",
            "line 2, column 7: `enforced` is none of `off`, `log`, `enforce` (did you mean `enforce`?)",
        ),
        (
            "[limits]\nhead = \"64KB\"",
            "line 2, column 8: write a size such as `512`, `64KiB` or `16MiB`",
        ),
        (
            "[limits]\nconnections = -1",
            "line 2, column 15: expected a number, 0 or more, found integer `-1`",
        ),
        (
            "[limits]\nconnections = \"many\"",
            r#"line 2, column 15: expected a number, 0 or more, found string "many""#,
        ),
        (
            "[policy]\nwatch = 1",
            "line 2, column 9: expected `true` or `false`, found integer `1`",
        ),
        (
            "[policy]\nfile = 1",
            "line 2, column 8: expected a path, found integer `1`",
        ),
        (
            "drain = \"5s\"\ndrain = \"6s\"",
            "line 2, column 1: duplicate key",
        ),
        (
            "[floor]\ngrants = [\n  \"10.0.0.1/8\",\n]",
            "line 3, column 3: `10.0.0.1/8` is not a grant: the address has bits beyond the length of the prefix",
        ),
        (
            "[floor]\ngrants = [\"169.254.169.254\"]",
            "line 2, column 11: `169.254.169.254` is not a grant: metadata endpoints are never granted",
        ),
        (
            "[floor]\ngrants = [\"::1:53\"]",
            "line 2, column 11: write `[::1]:53` for a port, `[::1:53]` for an address alone",
        ),
        (
            "[floor]\ngrants = \"::1\"",
            r#"line 2, column 10: expected a list, of which each is a network such as `"127.0.0.2/32:8080"`, found string "::1""#,
        ),
        (
            "[floor]\nnat64 = [\"64:ff9b::/95\"]",
            "line 2, column 10: write an IPv6 prefix of 32, 40, 48, 56, 64 or 96 bits, such as `64:ff9b::/96`",
        ),
        (
            "[floor]\nnat64 = [\"::/96\"]",
            "line 2, column 10: no translator may use this prefix (RFC 6052, section 3)",
        ),
        (
            "[dns]\nservers = [\"ns.example\"]",
            "line 2, column 12: write an address and a port, such as `192.0.2.53:53`",
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
            "line 2, column 8: write `127.0.0.1:4750`, `unix:/run/pinfold/proxy.sock` or `systemd:NAME`",
        ),
        (
            "[[listener]]\nbind = \"unix:\"",
            "line 2, column 8: after `unix:` comes the path of a socket",
        ),
        (
            "[[listener]]\nbind = \"systemd:a:b\"",
            "line 2, column 8: after `systemd:` comes the name of a socket (`FileDescriptorName=`)",
        ),
        (
            "[[listener]]\nunix_mode = \"0999\"",
            "line 2, column 13: write an octal mode of read and write, such as `0660`",
        ),
        (
            "[[listener]]\nunix_mode = 432",
            r#"line 2, column 13: expected an octal mode such as `"0660"`, found integer `432`"#,
        ),
        (
            "[[listener]]\ntls = {certificate = \"a\"}",
            "line 2, column 7: the key `key` is missing",
        ),
        (
            "[[listener]]\nprotocols = [\"htp\"]",
            "line 2, column 14: `htp` is none of `http`, `socks5` (did you mean `http`?)",
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
            "line 2, column 13: for everybody write `all = true`",
        ),
        (
            "[report]\nsubjects = [\"a*b\"]",
            "line 2, column 13: `*` stands at the end, and nowhere else",
        ),
        (
            "[records.log]\nto = \"syslog\"",
            "line 2, column 6: write `off`, `stdout`, `stderr` or `file:PATH`",
        ),
        (
            "[limits.subjects.\"a\\n\"]\nrate = 1",
            "line 1, column 18: the name of a subject holds a character that is not printed",
        ),
    ]);
}

#[test]
fn listeners_that_contradict_themselves() {
    check(&[
        (
            "listener = []",
            "line 1, column 1: there is no listener (leave `listener` out for the default one, or write a `[[listener]]`)",
        ),
        (
            "[[listener]]\n[[listener]]",
            "line 2, column 1: two listeners are named `proxy` (give each its own `name`)\nline 2, column 1: the listeners `proxy` and `proxy` are both at `127.0.0.1:4750` (give each its own `bind`)",
        ),
        (
            "[[listener]]\nname = \"a\"\n[[listener]]\nname = \"b\"",
            "line 3, column 1: the listeners `a` and `b` are both at `127.0.0.1:4750` (give each its own `bind`)",
        ),
        (
            "[[listener]]\nname = \"a\"\nbind = \"0.0.0.0:4000\"\n[[listener]]\nname = \"b\"\nbind = \"127.0.0.1:4000\"",
            "line 6, column 1: the listeners `a` and `b` are both at `127.0.0.1:4000` (give each its own `bind`)",
        ),
        (
            "[[listener]]\nname = \"a\"\nbind = \"127.0.0.1:0\"\n[[listener]]\nname = \"b\"\nbind = \"127.0.0.1:0\"",
            "good",
        ),
        (
            "[[listener]]\nname = \"a\"\nbind = \"unix:/tmp/a\"\n[[listener]]\nname = \"b\"\nbind = \"unix:/tmp/a\"",
            "line 6, column 1: the listeners `a` and `b` are both at `unix:/tmp/a` (give each its own `bind`)",
        ),
        (
            "[[listener]]\nname = \"A b\"",
            "line 2, column 1: `A b` is no name of a listener (use up to 64 of `a-z`, `0-9`, `-`, `.` and `_`)",
        ),
        (
            "[[listener]]\nname = \"\"",
            "line 2, column 1: `` is no name of a listener (use up to 64 of `a-z`, `0-9`, `-`, `.` and `_`)",
        ),
        (
            "[[listener]]\nunix_mode = \"0600\"",
            "line 2, column 1: `unix_mode` is for a Unix socket that is made here (leave it out, or bind to `unix:PATH`)",
        ),
        (
            "[[listener]]\nbind = \"unix:/tmp/a\"\nreuse_port = true",
            "line 3, column 1: `reuse_port` is for an address of TCP (leave it out, or bind to an address)",
        ),
        (
            "[[listener]]\nproxy_protocol = {from = []}",
            "line 2, column 19: `proxy_protocol` is on, and nobody may send a PROXY header (list the networks of your load balancers in `from`)",
        ),
        (
            "[[listener]]\nbind = \"unix:/tmp/a\"\nproxy_protocol = {from = [\"10.0.0.0/8\"]}",
            "line 3, column 1: a PROXY header is believed by its network, and a Unix socket has none (leave `proxy_protocol` out, or bind to an address)",
        ),
        (
            "[[listener]]\nprotocols = []",
            "line 2, column 1: a listener that speaks nothing serves nobody (leave `protocols` out for both, or list `http` or `socks5`)",
        ),
        (
            "[[listener]]\nprotocols = [\"http\", \"http\"]",
            "line 2, column 1: a protocol is listed twice (list each once)",
        ),
        (
            "[[listener]]\ntls = {certificate = \"Cargo.toml\", key = \"Cargo.toml\", client_crl = [\"Cargo.toml\"]}",
            "line 2, column 56: `client_crl` revokes certificates of a `client_ca`, and there is none (add `client_ca`, or leave `client_crl` out)",
        ),
        (
            "[[listener]]\ntls = {certificate = \"Cargo.toml\", key = \"Cargo.toml\", client_auth = \"optional\"}",
            "line 2, column 56: `client_auth` is about certificates of a `client_ca`, and there is none (add `client_ca`, or leave `client_auth` out)",
        ),
        (
            "[[listener]]\ntls = {certificate = \"Cargo.toml\", key = \"Cargo.toml\", client_ca = [\"Cargo.toml\"]}",
            "good",
        ),
    ]);
}

#[test]
fn ways_that_name_nobody() {
    check(&[
        (
            "[[listener]]\nidentity.required = true",
            "line 2, column 10: `required` asks for a subject, and no way finds one (list `ways`, or leave `required` out)",
        ),
        (
            "[[listener]]\nidentity.ways = [\"mtls\"]",
            "line 2, column 18: the way `mtls` needs certificates, and no `client_ca` says whose are good (add `tls.client_ca` to the listener, or take `mtls` out)",
        ),
        (
            "[[listener]]\ntls = {certificate = \"Cargo.toml\", key = \"Cargo.toml\", client_ca = [\"Cargo.toml\"]}\nidentity.ways = [\"mtls\"]",
            "good",
        ),
        (
            "[[listener]]\nidentity.ways = [\"basic\", \"basic\"]\nidentity.credentials = \"Cargo.toml\"",
            "line 2, column 27: a way is listed twice (list each once)",
        ),
        (
            "[[listener]]\nidentity.ways = [\"basic\"]",
            "line 2, column 18: the ways `basic` and `bearer` need `credentials`, and there are none (name the file that `pinfold credential` writes entries for)",
        ),
        (
            "[[listener]]\nprotocols = [\"socks5\"]\nidentity.ways = [\"bearer\"]\nidentity.credentials = \"Cargo.toml\"",
            "line 3, column 18: the way `bearer` needs `http`: SOCKS5 has user names and passwords alone (use `basic`, or add `http` to `protocols`)",
        ),
        (
            "[[listener]]\nidentity.ways = [\"unix\"]",
            "line 2, column 18: the way `unix` needs a Unix socket, and this listener is at an address (bind to `unix:PATH`, or take `unix` out)",
        ),
        (
            "[[listener]]\nbind = \"unix:/tmp/a\"\nidentity.ways = [\"unix\"]",
            "good",
        ),
        (
            "[[listener]]\nbind = \"systemd:a\"\nidentity.ways = [\"unix\"]",
            "good",
        ),
        (
            "[[listener]]\nbind = \"unix:/tmp/a\"\nidentity.ways = [\"source\"]\nidentity.networks = {\"10.0.0.0/8\" = \"a\"}",
            "line 3, column 18: the way `source` needs an address, and this listener is a Unix socket (use `unix`, or bind to an address)",
        ),
        (
            "[[listener]]\nidentity.ways = [\"source\"]",
            "line 2, column 18: the way `source` needs `networks`, and there are none (name subjects by network in `identity.networks`)",
        ),
        (
            "[[listener]]\nidentity.credentials = \"Cargo.toml\"",
            "line 2, column 10: there are `credentials`, and neither `basic` nor `bearer` is among the `ways` (add one of them to `ways`, or leave `credentials` out)",
        ),
        (
            "[[listener]]\nidentity.networks = {\"10.0.0.0/8\" = \"a\"}",
            "line 2, column 10: there are `networks`, and `source` is not among the `ways` (add it to `ways`, or leave `networks` out)",
        ),
        (
            "[[listener]]\nidentity.users = {root = \"a\"}",
            "line 2, column 10: there are `users`, and `unix` is not among the `ways` (add it to `ways`, or leave `users` out)",
        ),
        (
            "[[listener]]\nidentity.ways = [\"source\"]\nidentity.networks = {\"10.0.0.1/8\" = \"a\"}",
            "line 3, column 22: the network `10.0.0.1/8` has bits beyond the length of its prefix (write `10.0.0.0/8`)",
        ),
    ]);
}

#[test]
fn an_interface_for_operators_that_everybody_reaches() {
    check(&[
        (
            "[admin]\nbind = \"0.0.0.0:4751\"",
            "line 2, column 1: operators would be let in from everywhere, whoever they are (bind to loopback or a Unix socket, or add `token_file` or `tls` with a `client_ca`)",
        ),
        (
            "[admin]\nbind = \"[::ffff:127.0.0.1]:4751\"",
            "line 2, column 1: operators would be let in from everywhere, whoever they are (bind to loopback or a Unix socket, or add `token_file` or `tls` with a `client_ca`)",
        ),
        (
            "[admin]\nbind = \"0.0.0.0:4751\"\ntoken_file = \"Cargo.toml\"",
            "good",
        ),
        ("[admin]\nenabled = false\nbind = \"0.0.0.0:4751\"", "good"),
        (
            "[admin]\nbind = \"0.0.0.0:4751\"\ntls = {certificate = \"Cargo.toml\", key = \"Cargo.toml\"}",
            "line 2, column 1: operators would be let in from everywhere, whoever they are (bind to loopback or a Unix socket, or add `token_file` or `tls` with a `client_ca`)",
        ),
        (
            "[admin]\nbind = \"0.0.0.0:4751\"\ntls = {certificate = \"Cargo.toml\", key = \"Cargo.toml\", client_ca = [\"Cargo.toml\"]}",
            "good",
        ),
        (
            "[admin]\nbind = \"127.0.0.1:4750\"",
            "line 2, column 1: the listener `proxy` and the one for operators are both at `127.0.0.1:4750` (give each its own `bind`)",
        ),
        (
            "[admin]\nbind = \"unix:/tmp/a\"\ntls = {certificate = \"Cargo.toml\", key = \"Cargo.toml\"}",
            "line 3, column 1: a Unix socket needs no TLS: its mode says who may connect (leave `tls` out, or bind to an address)",
        ),
        (
            "[admin]\nunix_mode = \"0660\"",
            "line 2, column 1: `unix_mode` is for a Unix socket that is made here (leave it out, or bind to `unix:PATH`)",
        ),
        ("[admin]\nbind = \"systemd:admin\"", "good"),
    ]);
}

#[test]
fn policies_that_contradict_each_other() {
    check(&[
        (
            "[policy]\nfile = \"Cargo.toml\"\n[[policy.layer]]\nname = \"a\"",
            "line 2, column 1: `file` is of one policy, and there is a chain of `layer`s (make it one more `[[policy.layer]]`, or leave the layers out)",
        ),
        (
            "[policy]\nsettings = \"Cargo.toml\"\n[[policy.layer]]\nname = \"a\"",
            "line 2, column 1: `settings` is of one policy, and there is a chain of `layer`s (make it one more `[[policy.layer]]`, or leave the layers out)",
        ),
        (
            "[[policy.layer]]\nname = \"a\"\n[[policy.layer]]\nname = \"a\"",
            "line 4, column 1: two layers are named `a` (give each its own name)",
        ),
        (
            "[[policy.layer]]\nname = \"A\"",
            "line 2, column 1: `A` is no name of a layer (use lower-case words joined by `-`, such as `team`)",
        ),
        (
            "[[policy.layer]]\nname = \"a--b\"",
            "line 2, column 1: `a--b` is no name of a layer (use lower-case words joined by `-`, such as `team`)",
        ),
        (
            "[[policy.layer]]",
            "line 1, column 1: the key `name` is missing",
        ),
        (
            "[[policy.layer]]\nname = \"l0\"\n[[policy.layer]]\nname = \"l1\"\n[[policy.layer]]\nname = \"l2\"\n[[policy.layer]]\nname = \"l3\"\n[[policy.layer]]\nname = \"l4\"\n[[policy.layer]]\nname = \"l5\"\n[[policy.layer]]\nname = \"l6\"\n[[policy.layer]]\nname = \"l7\"\n[[policy.layer]]\nname = \"l8\"",
            "line 17, column 1: a chain has at most 8 layers (join layers into one policy)",
        ),
        (
            "[policy]\ninterval = \"0s\"",
            "line 2, column 1: files cannot be looked at all the time (write a time, or `watch = false`)",
        ),
        ("[policy]\ninterval = \"0s\"\nwatch = false", "good"),
        (
            "[policy]\nhistory = 65",
            "line 2, column 1: every generation that is kept takes memory (keep at most 64)",
        ),
        (
            "[shadow]",
            "line 1, column 2: the candidate is what is active: there is nothing to compare (name another `file`, or other `settings`)",
        ),
        ("[shadow]\nsettings = \"Cargo.toml\"", "good"),
        (
            "[shadow]\nlayer = \"team\"\nsettings = \"Cargo.toml\"",
            "line 2, column 1: there is no layer `team` that a candidate could replace (leave `layer` out: there is one policy)",
        ),
        (
            "[[policy.layer]]\nname = \"a\"\n[[policy.layer]]\nname = \"b\"\n[shadow]\nsettings = \"Cargo.toml\"",
            "line 5, column 2: the candidate does not say which layer it would replace (add `layer`, one of a, b)",
        ),
        (
            "[[policy.layer]]\nname = \"a\"\n[[policy.layer]]\nname = \"b\"\n[shadow]\nlayer = \"c\"\nsettings = \"Cargo.toml\"",
            "line 6, column 1: there is no layer `c` that a candidate could replace (the layers are a, b)",
        ),
        (
            "[[policy.layer]]\nname = \"a\"\n[[policy.layer]]\nname = \"b\"\n[shadow]\nlayer = \"b\"",
            "line 5, column 2: the candidate is what is active: there is nothing to compare (name another `file`, or other `settings`)",
        ),
        (
            "[report]\nall = true\nsubjects = [\"a\"]",
            "line 3, column 1: `all` reports for everybody: `subjects` adds nobody (leave one of them out)",
        ),
        (
            "[dns.fixed]\n\"a.test\" = []",
            "line 2, column 1: the fixed answer of `a.test` has no address (list addresses, or leave the name out)",
        ),
        (
            "[dns]\nservers = [\"127.0.0.1\", \"127.0.0.1:53\"]",
            "line 2, column 25: the server 127.0.0.1:53 is listed twice (list each once)",
        ),
    ]);
}

#[test]
fn bounds_that_serve_nobody() {
    check(&[
        (
            "[limits]\nconnections = 0",
            "line 2, column 1: with `connections = 0` nobody is served (leave it out for its default, or write a number)",
        ),
        (
            "[limits]\nconnections_per_source = 0",
            "line 2, column 1: with `connections_per_source = 0` nobody is served (leave it out for its default, or write a number)",
        ),
        (
            "[limits]\ntunnels = 0",
            "line 2, column 1: with `tunnels = 0` nobody is served (leave it out for its default, or write a number)",
        ),
        (
            "[limits]\nheaders = 0",
            "line 2, column 1: with `headers = 0` nobody is served (leave it out for its default, or write a number)",
        ),
        (
            "[limits]\nstreams = 0",
            "line 2, column 1: with `streams = 0` nobody is served (leave it out for its default, or write a number)",
        ),
        (
            "[limits]\nbacklog = 0",
            "line 2, column 1: with `backlog = 0` nobody is served (leave it out for its default, or write a number)",
        ),
        (
            "[limits]\npolicy_instances = 0",
            "line 2, column 1: with `policy_instances = 0` nobody is served (leave it out for its default, or write a number)",
        ),
        (
            "[limits]\nhead_time = \"0s\"",
            "line 2, column 1: `limits.head_time` is no time: everything would be too late (write a time such as `10s`)",
        ),
        (
            "[limits]\nkeep_alive = \"0s\"",
            "line 2, column 1: `limits.keep_alive` is no time: everything would be too late (write a time such as `10s`)",
        ),
        (
            "[limits]\nconnections = 10\nconnections_per_source = 11",
            "line 3, column 1: one source may have more connections than all together (make it at most `connections`)",
        ),
        ("[limits]\nconnections = 10", "good"),
        (
            "[limits]\nhead = \"4KiB\"",
            "line 2, column 1: a request head of 4KiB is too small or too large (write a size from `8KiB` to `1MiB`)",
        ),
        (
            "[limits]\nhead = \"2MiB\"",
            "line 2, column 1: a request head of 2MiB is too small or too large (write a size from `8KiB` to `1MiB`)",
        ),
        (
            "[limits]\nheaders = 1001",
            "line 2, column 1: so many header fields are an attack (write at most 1000)",
        ),
        (
            "[limits]\npolicy_instances = 10001",
            "line 2, column 1: so many instances of a policy do not fit into the memory of a process (write at most 10000)",
        ),
        (
            "[limits]\nburst = 5",
            "line 2, column 1: `burst` goes beyond a `rate`, and there is none (add `rate`, or leave `burst` out)",
        ),
        (
            "[limits.subject]\nburst = 5",
            "line 2, column 1: `burst` goes beyond a `rate`, and there is none (add `rate`, or leave `burst` out)",
        ),
        (
            "[limits.subjects.web]\nburst = 5",
            "line 2, column 1: `burst` goes beyond a `rate`, and there is none (add `rate`, or leave `burst` out)",
        ),
        ("[limits]\nrate = 5\nburst = 5", "good"),
        (
            "[limits]\nrate = 5\nsubject.rate = 6",
            "line 3, column 9: one subject may ask more often than all together (make it at most `limits.rate`)",
        ),
        (
            "[limits]\ntunnels = 5\nsubjects.web.tunnels = 6",
            "line 3, column 14: one subject may have more tunnels than all together (make it at most `limits.tunnels`)",
        ),
        (
            "[tunnels]\nconnect = \"0s\"",
            "line 2, column 1: `tunnels.connect` is no time: everything would be too late (write a time such as `10s`)",
        ),
        (
            "[tunnels]\nidle = \"0s\"",
            "line 2, column 1: `tunnels.idle` is no time: everything would be too late (write a time such as `10s`)",
        ),
        (
            "[tunnels]\nlifetime = \"0s\"",
            "line 2, column 1: `tunnels.lifetime` is no time: everything would be too late (write a time such as `10s`)",
        ),
        (
            "[tunnels]\nhalf_closed = \"0s\"",
            "line 2, column 1: `tunnels.half_closed` is no time: everything would be too late (write a time such as `10s`)",
        ),
        (
            "[tunnels]\nresponse = \"0s\"",
            "line 2, column 1: `tunnels.response` is no time: everything would be too late (write a time such as `10s`)",
        ),
        (
            "[tunnels]\nrevocation = \"0s\"",
            "line 2, column 1: `tunnels.revocation` is no time: everything would be too late (write a time such as `10s`)",
        ),
        (
            "[tunnels]\nidle = \"25h\"",
            "line 2, column 1: `idle` is longer than `lifetime`, so that it never counts (make `idle` shorter, or `lifetime` longer)",
        ),
        ("[tunnels]\nlifetime = \"1m\"", "good"),
        (
            "[tunnels]\nrevocation = \"11m\"",
            "line 2, column 1: what a new policy refuses must not stay open for long (write at most `10m`)",
        ),
        (
            "[dns]\ntimeout = \"0s\"",
            "line 2, column 1: `dns.timeout` is no time: everything would be too late (write a time such as `10s`)",
        ),
        (
            r#"drain = "25h""#,
            "line 1, column 1: a drain of more than a day is no drain (write at most `24h`)",
        ),
        (r#"drain = "0s""#, "good"),
    ]);
}

#[test]
fn records_that_nobody_reads() {
    check(&[
        (
            "[records.log]\nsample = 0",
            r#"line 2, column 1: of no decisions none is written (write 1 for all, or `to = "off"` for none)"#,
        ),
        (
            "[records.log]\nqueue = 0",
            r#"line 2, column 1: every record would be dropped: none may wait (leave it out for its default, or write `to = "off"`)"#,
        ),
        (
            "[records.log]\nqueue = 1000001",
            "line 2, column 1: so many records that wait take the memory of the gateway (write at most 1000000)",
        ),
        (
            "[records.log]\nwithhold = [\"paths\", \"paths\"]",
            "line 2, column 22: it is withheld twice (list each once)",
        ),
        (
            "[records.metrics]\nsubjects = 10001",
            "line 2, column 1: so many series are more than a collector takes (write at most 10000)",
        ),
        (
            "[records.metrics]\ncodes = 10001",
            "line 2, column 1: so many series are more than a collector takes (write at most 10000)",
        ),
        (
            "[records.tracing]\nendpoint = \"127.0.0.1:4318\"",
            "line 2, column 1: `endpoint` is no URL of a collector (write it such as `http://127.0.0.1:4318/v1/traces`)",
        ),
        (
            "[records.tracing]\nendpoint = \"http://u:p@127.0.0.1/\"",
            "line 2, column 1: `endpoint` is no URL of a collector (write it such as `http://127.0.0.1:4318/v1/traces`)",
        ),
        (
            "[records.tracing]\nendpoint = \"http://127.0.0.1:4318/v1/traces\"",
            "good",
        ),
        (
            "[records.tracing]\nendpoint = \"http://127.0.0.1/\"\nheaders = {\"a b\" = \"c\"}",
            "line 3, column 12: `a b` is no header that can be sent (a name is one word, a value is printable: it is not shown here)",
        ),
        (
            "[records.tracing]\nendpoint = \"http://127.0.0.1/\"\nheaders = {a = \"secret\\n\"}",
            "line 3, column 12: `a` is no header that can be sent (a name is one word, a value is printable: it is not shown here)",
        ),
        (
            "[records.tracing]\nendpoint = \"http://127.0.0.1/\"\nsample = 0",
            "line 3, column 1: of no requests none is traced (write 1 for all, or leave `tracing` out)",
        ),
        (
            "[records.tracing]\nendpoint = \"http://127.0.0.1/\"\ninterval = \"0s\"",
            "line 3, column 1: spans cannot be sent all the time (write a time such as `5s`)",
        ),
        (
            "[records.tracing]",
            "line 1, column 1: the key `endpoint` is missing",
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
        "`DIR/gateway.toml`: the file cannot be read: stream did not contain valid UTF-8"
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
