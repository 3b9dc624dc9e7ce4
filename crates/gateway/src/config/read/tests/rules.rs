//! Policies, bounds, records.

use super::check;

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
            "line 1, column 1: the key `name` is missing (`name`: Its name: lower case, words joined by `-`.)",
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
fn answers_for_an_envoy() {
    check(&[
        (
            "[envoy]\ndeadline = \"2s\"\npins = 8\ntls_port = 8443",
            "good",
        ),
        (
            "[envoy]\ndeadline = \"0s\"",
            "line 2, column 1: `envoy.deadline` is no time: everything would be too late (write a time such as `10s`)",
        ),
        (
            "[envoy]\ndeadline = \"11s\"",
            "line 2, column 1: an Envoy waits for a decision, and its client for it: seconds at most (write at most `10s`, and less than the `timeout` of the filter in Envoy)",
        ),
        (
            "[envoy]\npins = 0",
            "line 2, column 1: an answer holds one address or more, and at most eight (write a number from 1 to 8)",
        ),
        (
            "[envoy]\npins = 9",
            "line 2, column 1: an answer holds one address or more, and at most eight (write a number from 1 to 8)",
        ),
        (
            "[envoy]\ntls_port = 0",
            "line 2, column 1: no server listens on port 0 (write a port, or leave it out for 443)",
        ),
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
            "line 1, column 1: the key `endpoint` is missing (`endpoint`: The collector: `http://127.0.0.1:4318/v1/traces`.)",
        ),
    ]);
}
