//! Listeners, and the one for operators.

use super::check;

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
fn listeners_where_an_envoy_asks() {
    let tls = "certificate = \"Cargo.toml\", key = \"Cargo.toml\", client_ca = [\"Cargo.toml\"]";
    let exposed =
        format!("[[listener]]\nprotocols = [\"envoy\"]\nbind = \"0.0.0.0:4000\"\ntls = {{{tls}}}");
    let optional = exposed.replace("{certificate", "{client_auth = \"optional\", certificate");
    check(&[
        ("[[listener]]\nprotocols = [\"envoy\"]", "good"),
        (
            "[[listener]]\nprotocols = [\"envoy\"]\nbind = \"unix:/tmp/a\"",
            "good",
        ),
        (
            "[[listener]]\nprotocols = [\"envoy\"]\nbind = \"systemd:a\"",
            "good",
        ),
        (
            "[[listener]]\nprotocols = [\"envoy\"]\nidentity = {ways = [\"envoy\"], required = true}",
            "good",
        ),
        (&exposed, "good"),
        (
            &optional,
            "line 3, column 1: whoever reaches this listener could ask as if it were an Envoy (bind to loopback or a Unix socket, or add `tls` with a `client_ca`, and certificates `required`)",
        ),
        (
            "[[listener]]\nprotocols = [\"envoy\"]\nbind = \"0.0.0.0:4000\"",
            "line 3, column 1: whoever reaches this listener could ask as if it were an Envoy (bind to loopback or a Unix socket, or add `tls` with a `client_ca`, and certificates `required`)",
        ),
        (
            "[[listener]]\nprotocols = [\"envoy\", \"http\"]",
            "line 2, column 1: an Envoy asks on a listener of its own (write a `[[listener]]` with `protocols = [\"envoy\"]` alone)",
        ),
        (
            "[[listener]]\nprotocols = [\"envoy\"]\nproxy_protocol = {from = [\"10.0.0.0/8\"]}",
            "line 3, column 1: who connects here is an Envoy, which says itself for whom it asks (leave `proxy_protocol` out)",
        ),
        (
            "[[listener]]\nidentity.ways = [\"envoy\"]",
            "line 2, column 18: the way `envoy` needs an Envoy that asks, and this listener does not speak `envoy` (use `mtls`, or add `protocols = [\"envoy\"]`)",
        ),
        (
            "[[listener]]\nprotocols = [\"envoy\"]\nidentity.ways = [\"source\"]\nidentity.networks = {\"10.0.0.0/8\" = \"a\"}",
            "line 3, column 18: who connects here is an Envoy: only it knows its clients (use the way `envoy`)",
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
