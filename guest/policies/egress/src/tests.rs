//! The policy as a whole, native. Where a table has a row per rule, the row's name says which.

use std::net::IpAddr;

use pinfold_policy::{
    Answer, Decision, Denial, Host, Policy, Problem, Request, Resolution, Spelling, Target, Verdict,
};
use serde_json::{Value, json};

use crate::Egress;

const EXAMPLE: &str = include_str!("../settings.example.toml");

#[test]
fn defaults_of_stage_one() {
    let table = [
        ("http", "http", "example.com", 80, "allow"),
        ("https", "https", "example.com", 443, "allow"),
        ("any port", "http", "example.com", 22, "allow"),
        ("public literal", "http", "93.184.216.34", 80, "allow"),
        (
            "looks like an address",
            "http",
            "127.0.0.1.example.com",
            80,
            "allow",
        ),
        ("ws", "ws", "example.com", 80, "scheme-denied"),
        ("ftp", "ftp", "example.com", 21, "scheme-denied"),
        (
            "unknown scheme",
            "gopher",
            "example.com",
            70,
            "scheme-denied",
        ),
        ("localhost", "http", "localhost", 80, "name-special-use"),
        (
            "below localhost",
            "http",
            "foo.localhost",
            80,
            "name-special-use",
        ),
        (
            "internal",
            "http",
            "db.corp.internal",
            80,
            "name-special-use",
        ),
        ("single label", "http", "printer", 80, "name-single-label"),
        (
            "metadata",
            "http",
            "metadata.google.internal",
            80,
            "name-metadata",
        ),
        (
            "metadata in a public zone",
            "http",
            "metadata.goog",
            80,
            "name-metadata",
        ),
    ];
    let policy = policy(json!({}));
    for (name, scheme, host, port, expected) in table {
        assert_eq!(
            stage_one(&policy, &request(scheme, host, port)),
            expected,
            "{name}"
        );
    }
}

#[test]
fn unusual_spellings_are_refused_unless_permitted() {
    let table = [
        ("userinfo", json!({}), true, false, "userinfo-denied"),
        (
            "userinfo dropped",
            json!({ "userinfo": "drop" }),
            true,
            false,
            "allow",
        ),
        ("literal", json!({}), false, true, "literal-not-canonical"),
        (
            "literal normalised",
            json!({ "literals": "normalise" }),
            false,
            true,
            "allow",
        ),
        (
            "no literals",
            json!({ "ip_literals": "deny" }),
            false,
            false,
            "literal-denied",
        ),
    ];
    for (name, settings, userinfo, non_canonical_literal, expected) in table {
        let mut request = request("http", "93.184.216.34", 80);
        request.target.spelling = Spelling {
            userinfo,
            non_canonical_literal,
        };
        assert_eq!(stage_one(&policy(settings), &request), expected, "{name}");
    }
}

#[test]
fn defaults_of_stage_two() {
    let table = [
        ("public", "93.184.216.34", "allow"),
        ("public v6", "2606:4700::1111", "allow"),
        ("private", "10.0.0.1", "address-not-public"),
        ("shared", "100.64.0.1", "address-not-public"),
        ("loopback", "127.0.0.1", "address-not-public"),
        ("link-local", "169.254.1.1", "address-not-public"),
        ("unspecified", "0.0.0.0", "address-not-public"),
        ("multicast", "224.0.0.251", "address-not-public"),
        ("broadcast", "255.255.255.255", "address-not-public"),
        ("documentation", "192.0.2.1", "address-not-public"),
        ("benchmarking", "198.18.0.1", "address-not-public"),
        ("reserved", "240.0.0.1", "address-not-public"),
        ("special-global", "192.52.193.1", "address-not-public"),
        ("unique-local", "fd00::1", "address-not-public"),
        ("site-local", "fec0::1", "address-not-public"),
        ("outside 2000::/3", "4000::1", "address-not-public"),
        ("metadata", "169.254.169.254", "address-metadata"),
        (
            "metadata that looks public",
            "168.63.129.16",
            "address-metadata",
        ),
        ("metadata v6", "fd00:ec2::254", "address-metadata"),
        ("wrapped metadata", "64:ff9b::a9fe:a9fe", "address-metadata"),
        ("mapped private", "::ffff:10.0.0.1", "address-wrapped"),
        ("mapped public", "::ffff:8.8.8.8", "address-wrapped"),
        ("compatible", "::8.8.8.8", "address-wrapped"),
        ("siit", "::ffff:0:8.8.8.8", "address-wrapped"),
        ("nat64", "64:ff9b::808:808", "address-wrapped"),
        ("nat64 local", "64:ff9b:1::808:808", "address-wrapped"),
        ("6to4", "2002:808:808::1", "address-wrapped"),
        ("teredo", "2001:0:808:808::f7f7:f7f7", "address-wrapped"),
        (
            "isatap of a private address",
            "2001:4860::1:0:5efe:10.0.0.1",
            "address-wrapped",
        ),
        (
            "isatap of a public address",
            "2001:4860::1:0:5efe:8.8.8.8",
            "allow",
        ),
    ];
    let policy = policy(json!({}));
    for (name, address, expected) in table {
        assert_eq!(stage_two(&policy, &[address]), [expected], "{name}");
    }
}

#[test]
fn a_wrapper_is_judged_by_what_it_wraps() {
    let settings = json!({
        "wrapped": "judge",
        "networks": { "allow": ["10.1.0.0/16"], "deny": ["203.0.114.0/24"] },
    });
    let table = [
        ("mapped public", "::ffff:8.8.8.8", "allow"),
        ("nat64 public", "64:ff9b::808:808", "allow"),
        ("6to4 public", "2002:808:808::1", "allow"),
        ("teredo, both public", "2001:0:808:808::f7f7:f7f7", "allow"),
        (
            "teredo, client private",
            "2001:0:808:808::f5ff:fffe",
            "address-wrapped",
        ),
        ("mapped private", "::ffff:192.168.0.1", "address-wrapped"),
        ("mapped loopback", "::ffff:127.0.0.1", "address-wrapped"),
        (
            "mapped metadata",
            "::ffff:168.63.129.16",
            "address-metadata",
        ),
        ("mapped allowed", "::ffff:10.1.2.3", "allow"),
        ("mapped denied", "::ffff:203.0.114.1", "address-wrapped"),
        ("no wrapper", "10.2.0.1", "address-not-public"),
    ];
    let policy = policy(settings);
    for (name, address, expected) in table {
        assert_eq!(stage_two(&policy, &[address]), [expected], "{name}");
    }
}

#[test]
fn an_allowed_network_does_not_excuse_what_an_address_in_it_wraps() {
    let policy = policy(json!({ "networks": { "allow": ["fd00::/16"] } }));
    let table = [
        ("plain", "fd00::1", "allow"),
        ("isatap of a public address", "fd00::5efe:808:808", "allow"),
        (
            "isatap of a private address",
            "fd00::5efe:a00:1",
            "address-wrapped",
        ),
        (
            "isatap of a metadata endpoint",
            "fd00::5efe:a9fe:a9fe",
            "address-metadata",
        ),
        ("metadata", "fd00:ec2::254", "address-metadata"),
    ];
    for (name, address, expected) in table {
        assert_eq!(stage_two(&policy, &[address]), [expected], "{name}");
    }
}

#[test]
fn the_most_specific_host_pattern_decides() {
    let settings = json!({ "hosts": {
        "allow": ["**.example.com", "*.deep.example.net", "x.example.org", "port.example.com:8443", "tie.test.example:1"],
        "deny": [
            "*.bad.example.com", "example.net", "*.example.org", "port.example.com", "tie.test.example:2",
            "PART.Example.COM",
        ],
    } });
    let table = [
        ("apex of a tree", "example.com", 443, "allow"),
        ("below a tree", "a.b.example.com", 443, "allow"),
        ("longer deny", "x.bad.example.com", 443, "host-denied"),
        (
            "`*.` does not hold the name itself",
            "bad.example.com",
            443,
            "allow",
        ),
        ("exact deny", "example.net", 443, "host-denied"),
        (
            "below, not itself",
            "deep.example.net",
            443,
            "host-not-allowed",
        ),
        ("below", "a.deep.example.net", 443, "allow"),
        (
            "exact allow in a denied tree",
            "x.example.org",
            443,
            "allow",
        ),
        ("deny below", "y.example.org", 443, "host-denied"),
        ("port beats no port", "port.example.com", 8443, "allow"),
        ("no port", "port.example.com", 443, "host-denied"),
        (
            "pattern in upper case",
            "part.example.com",
            443,
            "host-denied",
        ),
        (
            "a suffix is not a label",
            "notexample.com",
            443,
            "host-not-allowed",
        ),
        ("named by none", "example.edu", 443, "host-not-allowed"),
        ("port of one", "tie.test.example", 1, "allow"),
        ("port of the other", "tie.test.example", 2, "host-denied"),
    ];
    let policy = policy(settings);
    for (name, host, port, expected) in table {
        assert_eq!(
            stage_one(&policy, &request("https", host, port)),
            expected,
            "{name}"
        );
    }
}

/// Stage one cannot know of a grant, so a list of hosts is held against literals in stage two.
#[test]
fn a_literal_passes_a_list_of_hosts_by_its_network_or_by_a_grant() {
    let policy = policy(json!({
        "hosts": { "allow": ["example.com"] },
        "networks": { "allow": [{ "cidr": "93.184.216.0/24", "ports": [443] }], "deny": ["127.0.0.4"] },
        "wrapped": "judge",
    }));
    let table = [
        ("allowed network", "93.184.216.34", 443, false, "allow"),
        ("other port", "93.184.216.34", 80, false, "host-not-allowed"),
        ("public", "8.8.8.8", 443, false, "host-not-allowed"),
        ("private", "10.0.0.1", 443, false, "host-not-allowed"),
        (
            "wrapper of a public address",
            "64:ff9b::808:808",
            443,
            false,
            "host-not-allowed",
        ),
        ("granted", "127.0.0.2", 443, true, "allow"),
        (
            "granted and denied",
            "127.0.0.4",
            443,
            true,
            "address-denied",
        ),
        ("metadata", "169.254.169.254", 443, true, "address-metadata"),
    ];
    for (name, address, port, granted, expected) in table {
        let request = request("https", address, port);
        assert_eq!(stage_one(&policy, &request), "allow", "{name}");
        let mut answer = Answer::classify(ip(address));
        answer.granted = granted;
        let resolution = Resolution {
            chain: Vec::new(),
            answers: vec![answer],
        };
        assert_eq!(codes(&policy, &request, &resolution), [expected], "{name}");
    }
    let of_a_name = Resolution::of([ip("8.8.8.8")]);
    let request = request("https", "example.com", 443);
    assert_eq!(codes(&policy, &request, &of_a_name), ["allow"]);
}

#[test]
fn the_most_specific_network_decides() {
    let policy = policy(json!({ "networks": {
        "allow": [
            "10.0.0.0/8",
            "10.1.2.0/24",
            { "cidr": "10.3.0.0/16", "ports": [443, "8000-8999"], "schemes": ["https"] },
            "93.184.216.34",
        ],
        "deny": ["10.1.0.0/16", "10.3.0.0/16", "93.184.0.0/16", { "cidr": "8.8.8.0/24", "schemes": ["http"] }],
    } }));
    let table = [
        ("allowed", "https", 443, "10.200.0.1", "allow"),
        ("longer deny", "https", 443, "10.1.1.1", "address-denied"),
        ("longer allow", "https", 443, "10.1.2.1", "allow"),
        ("conditions beat none", "https", 8080, "10.3.0.1", "allow"),
        ("other port", "https", 80, "10.3.0.1", "address-denied"),
        ("other scheme", "http", 443, "10.3.0.1", "address-denied"),
        (
            "public, denied",
            "https",
            443,
            "93.184.1.1",
            "address-denied",
        ),
        (
            "address in a denied network",
            "https",
            443,
            "93.184.216.34",
            "allow",
        ),
        (
            "denied for one scheme",
            "http",
            80,
            "8.8.8.8",
            "address-denied",
        ),
        ("not for the other", "https", 443, "8.8.8.8", "allow"),
        (
            "another private network",
            "https",
            443,
            "192.168.0.1",
            "address-not-public",
        ),
    ];
    for (name, scheme, port, address, expected) in table {
        let request = request(scheme, "example.com", port);
        let found = codes(&policy, &request, &Resolution::of([ip(address)]));
        assert_eq!(found, [expected], "{name}");
    }
}

#[test]
fn an_operators_grant_counts_as_public() {
    let granted = |address| Answer::classify(ip(address)).granted();
    let table = [
        ("loopback", "127.0.0.2", "allow"),
        ("denied here", "127.0.0.3", "address-denied"),
        ("metadata", "169.254.169.254", "address-metadata"),
        ("wrapper", "::ffff:127.0.0.2", "address-wrapped"),
    ];
    let policy = policy(json!({ "networks": { "deny": ["127.0.0.3"] } }));
    for (name, address, expected) in table {
        let resolution = Resolution {
            chain: Vec::new(),
            answers: vec![granted(address)],
        };
        let request = request("http", "example.com", 80);
        assert_eq!(codes(&policy, &request, &resolution), [expected], "{name}");
    }
}

#[test]
fn one_bad_answer_refuses_all_unless_filtered() {
    let answers = ["93.184.216.34", "10.0.0.1", "2606:4700::1111"];
    let all = policy(json!({}));
    assert_eq!(
        stage_two(&all, &answers),
        ["answers-mixed", "address-not-public", "answers-mixed"]
    );
    let filter = policy(json!({ "mixed_answers": "filter" }));
    assert_eq!(
        stage_two(&filter, &answers),
        ["allow", "address-not-public", "allow"]
    );
    assert_eq!(
        stage_two(&all, &["93.184.216.34", "2606:4700::1111"]),
        ["allow", "allow"]
    );
}

#[test]
fn aliases_are_held_against_the_deny_list() {
    let settings =
        |check| json!({ "hosts": { "deny": ["**.evil.example"] }, "check_chain": check });
    let table = [
        (
            "denied alias",
            true,
            "cdn.evil.example",
            "chain-name-denied",
        ),
        (
            "metadata alias",
            true,
            "metadata.google.internal",
            "chain-name-denied",
        ),
        ("plain alias", true, "cdn.example.org", "allow"),
        ("not checked", false, "cdn.evil.example", "allow"),
    ];
    for (name, check, alias, expected) in table {
        let resolution = Resolution::of([ip("93.184.216.34")])
            .through("x.example")
            .through(alias);
        let request = request("http", "example.com", 80);
        assert_eq!(
            codes(&policy(settings(check)), &request, &resolution),
            [expected],
            "{name}"
        );
    }
}

#[test]
fn special_names_need_an_exception() {
    let policy = policy(json!({ "names": { "allow": ["**.corp.internal", "printer"] } }));
    let table = [
        ("db.corp.internal", "allow"),
        ("corp.internal", "allow"),
        ("printer", "allow"),
        ("db.other.internal", "name-special-use"),
        ("scanner", "name-single-label"),
        ("metadata.google.internal", "name-metadata"),
    ];
    for (host, expected) in table {
        assert_eq!(
            stage_one(&policy, &request("http", host, 80)),
            expected,
            "{host}"
        );
    }
}

#[test]
fn special_global_addresses_have_a_switch() {
    let policy = policy(json!({ "special_global": "allow" }));
    assert_eq!(stage_two(&policy, &["192.52.193.1"]), ["allow"]);
}

#[test]
fn limits_become_terms() {
    let policy = policy(json!({ "limits": {
        "connect_timeout_ms": 1000, "total_timeout_ms": 2000, "response_kib": 3, "redirects": 0,
        "https_only": true,
    } }));
    let Decision::Allow(terms) = policy.check_target(&request("https", "example.com", 443)) else {
        panic!("denied");
    };
    assert_eq!(
        (terms.connect_timeout_ms, terms.total_timeout_ms),
        (Some(1000), Some(2000))
    );
    assert_eq!(
        (terms.response_kib, terms.redirects, terms.https_only),
        (Some(3), Some(0), true)
    );
    assert_eq!(
        stage_one(&policy, &request("http", "example.com", 80)),
        "https-required"
    );
}

#[test]
fn subjects_have_their_own_sections() {
    let policy = policy(json!({
        "schemes": ["https"],
        "hosts": { "deny": ["example.net"] },
        "networks": { "allow": ["10.0.0.0/8"] },
        "subjects": [
            { "match": ["tenant-a/*"], "hosts": { "allow": ["a.example"] } },
            { "match": ["tenant-a/admin", "ops"], "schemes": ["http", "https"], "ports": [80] },
            { "match": ["tenant-*"], "ports": [8443] },
        ],
        "unknown_subject": "deny",
    }));
    let table = [
        (
            "prefix",
            Some("tenant-a/x"),
            "https",
            "a.example",
            443,
            "allow",
        ),
        (
            "replaced whole",
            Some("tenant-a/x"),
            "https",
            "example.net",
            443,
            "host-not-allowed",
        ),
        (
            "base holds on",
            Some("tenant-a/x"),
            "http",
            "a.example",
            80,
            "scheme-denied",
        ),
        (
            "exact beats prefix",
            Some("tenant-a/admin"),
            "http",
            "b.example",
            80,
            "allow",
        ),
        (
            "base hosts",
            Some("ops"),
            "http",
            "example.net",
            80,
            "host-denied",
        ),
        (
            "own ports",
            Some("ops"),
            "http",
            "b.example",
            443,
            "port-denied",
        ),
        (
            "shorter prefix",
            Some("tenant-b"),
            "https",
            "b.example",
            8443,
            "allow",
        ),
        (
            "unknown",
            Some("guest"),
            "https",
            "b.example",
            443,
            "subject-denied",
        ),
        ("none", None, "https", "b.example", 443, "subject-denied"),
    ];
    for (name, subject, scheme, host, port, expected) in table {
        let mut request = request(scheme, host, port);
        request.subject = subject.map(Into::into);
        assert_eq!(stage_one(&policy, &request), expected, "{name}");
    }
    let known = request("https", "a.example", 443).subject("tenant-a/x");
    let answers = Resolution::of([ip("10.0.0.1")]);
    assert_eq!(codes(&policy, &known, &answers), ["allow"]);
    assert_eq!(
        codes(&policy, &request("https", "a.example", 443), &answers),
        ["subject-denied"]
    );
}

#[test]
fn a_denial_names_its_rule() {
    let policy = policy(json!({
        "ports": [443],
        "hosts": { "deny": ["a.example", "*.example.net"] },
        "networks": { "deny": ["192.0.2.0/24", "198.51.100.0/24", "10.0.0.0/8"] },
        "subjects": [{ "match": ["x"], "networks": { "deny": ["9.0.0.0/8"] } }],
    }));
    let denied = |request: &Request| match policy.check_target(request) {
        Decision::Deny(denial) => denial.message().to_owned(),
        Decision::Allow(_) => panic!("allowed"),
    };
    assert_eq!(
        denied(&request("https", "example.com", 80)),
        "80 is not in `ports` (443)"
    );
    assert_eq!(
        denied(&request("https", "w.example.net", 443)),
        "`hosts.deny[1]` *.example.net refuses `w.example.net`"
    );
    let address = |request: &Request, address| {
        let verdicts = policy.check_addresses(request, &Resolution::of([ip(address)]));
        message(&verdicts[0])
    };
    assert_eq!(
        address(&request("https", "example.com", 443), "10.1.2.3"),
        "`networks.deny[2]` 10.0.0.0/8 holds `10.1.2.3`"
    );
    assert_eq!(
        address(
            &request("https", "example.com", 443).subject("x"),
            "9.9.9.9"
        ),
        "`subjects[0].networks.deny[0]` 9.0.0.0/8 holds `9.9.9.9`"
    );
}

/// What is wrong by its shape: schema and policy refuse the same.
#[test]
fn schema_and_policy_agree_on_shapes() {
    let refused = [
        (json!([]), ""),
        (json!(null), ""),
        (json!({ "hosts": [] }), "/hosts"),
        (json!({ "limits": [1] }), "/limits"),
        (json!({ "subjects": [[["a"]]] }), "/subjects/0"),
        (
            json!({ "networks": { "deny": [["10.0.0.0/8"]] } }),
            "/networks/deny/0/0",
        ),
        (json!({ "prots": [] }), "/prots"),
        (json!({ "hosts": { "alow": [] } }), "/hosts/alow"),
        (json!({ "schemes": [] }), "/schemes"),
        (json!({ "schemes": ["gopher"] }), "/schemes/0"),
        (json!({ "schemes": ["HTTP"] }), "/schemes/0"),
        (json!({ "schemes": null }), "/schemes"),
        (json!({ "ports": [] }), "/ports"),
        (json!({ "ports": [0] }), "/ports/0"),
        (json!({ "ports": [65536] }), "/ports/0"),
        (json!({ "ports": [-1] }), "/ports/0"),
        (json!({ "ports": ["443"] }), "/ports/0"),
        (json!({ "ports": ["0-9"] }), "/ports/0"),
        (json!({ "ports": [true] }), "/ports/0"),
        (json!({ "ports": 443 }), "/ports"),
        (json!({ "userinfo": "allow" }), "/userinfo"),
        (json!({ "literals": "drop" }), "/literals"),
        (json!({ "ip_literals": true }), "/ip_literals"),
        (json!({ "wrapped": "allow" }), "/wrapped"),
        (json!({ "mixed_answers": "allow" }), "/mixed_answers"),
        (json!({ "check_chain": "yes" }), "/check_chain"),
        (json!({ "hosts": { "allow": [] } }), "/hosts/allow"),
        (json!({ "hosts": { "deny": [7] } }), "/hosts/deny/0"),
        (json!({ "hosts": { "deny": [""] } }), "/hosts/deny/0"),
        (json!({ "hosts": { "deny": "a.example" } }), "/hosts/deny"),
        (json!({ "names": { "deny": [] } }), "/names/deny"),
        (json!({ "networks": { "deny": [{}] } }), "/networks/deny/0"),
        (
            json!({ "networks": { "deny": [{ "cidr": "10.0.0.0/8", "port": 1 }] } }),
            "/networks/deny/0/port",
        ),
        (json!({ "networks": { "deny": [7] } }), "/networks/deny/0"),
        (
            json!({ "networks": { "deny": [{ "cidr": "10.0.0.0/8", "schemes": [] }] } }),
            "/networks/deny/0/schemes",
        ),
        (
            json!({ "limits": { "connect_timeout_ms": 0 } }),
            "/limits/connect_timeout_ms",
        ),
        (
            json!({ "limits": { "total_timeout_ms": 4_294_967_296_u64 } }),
            "/limits/total_timeout_ms",
        ),
        (
            json!({ "limits": { "response_kib": 0 } }),
            "/limits/response_kib",
        ),
        (
            json!({ "limits": { "redirects": 256 } }),
            "/limits/redirects",
        ),
        (
            json!({ "limits": { "redirects": 1.5 } }),
            "/limits/redirects",
        ),
        (json!({ "subjects": [{}] }), "/subjects/0"),
        (
            json!({ "subjects": [{ "match": [] }] }),
            "/subjects/0/match",
        ),
        (
            json!({ "subjects": [{ "match": [""] }] }),
            "/subjects/0/match/0",
        ),
        (
            json!({ "subjects": [{ "match": ["a"], "subjects": [] }] }),
            "/subjects/0/subjects",
        ),
        (
            json!({ "subjects": [{ "match": ["a"], "unknown_subject": "deny" }] }),
            "/subjects/0/unknown_subject",
        ),
    ];
    let accepted = [
        json!({}),
        json!({ "schemes": ["http", "https", "ws", "wss", "ftp"], "ports": [1, 65535, "1-65535"] }),
        json!({ "hosts": {}, "names": {}, "networks": {}, "limits": {} }),
        json!({ "hosts": { "deny": [] }, "names": { "allow": [] }, "networks": { "allow": [], "deny": [] } }),
        json!({ "subjects": [] }),
        json!({ "limits": { "redirects": 0, "total_timeout_ms": 4_294_967_295_u32, "https_only": false } }),
        json!({ "subjects": [{ "match": ["a", "b*"], "special_global": "allow", "check_chain": false }] }),
    ];
    let schema = schema();
    for (settings, path) in refused {
        assert!(!schema.is_valid(&settings), "the schema accepts {settings}");
        let problems = problems(&settings);
        assert!(
            problems.iter().any(|problem| problem.path == path),
            "{settings}: {problems:?}"
        );
    }
    for settings in accepted {
        assert!(schema.is_valid(&settings), "the schema refuses {settings}");
        assert_eq!(problems(&settings), [], "{settings}");
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    let settings = json!({
        "prots": [80],
        "userinfo": "maybe",
        "ports": [0, 443, "9-1"],
        "hosts": { "deny": ["*", "ok.example", "a..example"] },
        "networks": { "allow": ["127.0.0.0/8"], "deny": ["10.0.0.1/8"] },
        "limits": { "redirects": -1, "response_kib": 0 },
    });
    let problems = problems(&settings);
    let mut paths: Vec<_> = problems
        .iter()
        .map(|problem| problem.path.as_str())
        .collect();
    paths.sort_unstable();
    let expected = [
        "/hosts/deny/0",
        "/hosts/deny/2",
        "/limits/redirects",
        "/limits/response_kib",
        "/networks/allow/0",
        "/networks/deny/0",
        "/ports/0",
        "/ports/2",
        "/prots",
        "/userinfo",
    ];
    assert_eq!(paths, expected, "{problems:?}");
    let unknown = problems
        .iter()
        .find(|problem| problem.path == "/prots")
        .unwrap();
    assert!(
        unknown.message.contains("did you mean `ports`?"),
        "{unknown:?}"
    );
}

/// What cannot be read is not held against other rules.
#[test]
fn a_problem_has_no_echo() {
    let rules = json!({
        "ports": [0],
        "hosts": { "allow": ["a.example:443", "b.example"] },
        "networks": { "allow": ["10.0.0.0/8", { "cidr": "10.1.0.0/16", "ports": [443] }] },
        "subjects": [{ "match": ["a"], "ports": [80] }],
    });
    let found = problems(&rules);
    assert!(found.len() == 1 && found[0].path == "/ports/0", "{found:?}");
}

#[test]
fn problems_are_bounded() {
    let patterns: Vec<_> = (0..1000).map(|n| format!("-{n}")).collect();
    let problems = problems(&json!({ "hosts": { "deny": patterns } }));
    assert_eq!(problems.len(), Problem::MAX_COUNT);
}

#[test]
fn the_example_loads_and_the_schema_accepts_it() {
    let settings: Value = toml::from_str(EXAMPLE).unwrap();
    assert!(schema().is_valid(&settings));
    let policy = policy(settings.clone());
    let table = [
        (None, "https", "api.example.com", 443, "allow"),
        (None, "https", "tracker.example.org", 443, "host-denied"),
        (None, "http", "wiki.corp.internal", 80, "allow"),
        (Some("billing"), "https", "pay.example.com", 443, "allow"),
        (
            Some("tenant-a/7"),
            "https",
            "api.example.com",
            443,
            "host-not-allowed",
        ),
    ];
    for (subject, scheme, host, port, expected) in table {
        let mut request = request(scheme, host, port);
        request.subject = subject.map(Into::into);
        assert_eq!(stage_one(&policy, &request), expected, "{host}");
    }
    let described = schema_value()["properties"].as_object().unwrap().clone();
    for key in described.keys() {
        assert!(
            settings.get(key).is_some(),
            "the example leaves out `{key}`"
        );
    }
}

/// A default that the schema states is what an empty document means.
#[test]
fn defaults_of_the_schema_change_nothing() {
    let schema = schema_value();
    let defaults: serde_json::Map<_, _> = schema["properties"]
        .as_object()
        .unwrap()
        .iter()
        .filter_map(|(key, value)| Some((key.clone(), value.get("default")?.clone())))
        .collect();
    assert!(defaults.len() >= 9, "{defaults:?}");
    let (stated, silent) = (policy(Value::Object(defaults)), policy(json!({})));
    let stated = format!("{stated:?}").replace("Document", "Default");
    assert_eq!(stated, format!("{silent:?}"));
}

#[test]
fn the_number_of_patterns_does_not_matter() {
    let patterns = |count: u32| -> Vec<String> {
        (0..count)
            .map(|n| format!("*.customer-{n}.hosting-{}.example", n % 97))
            .collect()
    };
    let large = policy(json!({ "hosts": { "deny": patterns(100_000) } }));
    for n in [0, 1, 4_711, 99_999] {
        let below = format!("www.customer-{n}.hosting-{}.example", n % 97);
        assert_eq!(
            stage_one(&large, &request("https", &below, 443)),
            "host-denied",
            "{below}"
        );
        let other = format!("www.customer-{n}.hosting-{}.example", (n + 1) % 97);
        assert_eq!(
            stage_one(&large, &request("https", &other, 443)),
            "allow",
            "{other}"
        );
    }
    let longest = |count| policy(json!({ "hosts": { "deny": patterns(count) } })).longest_probe();
    assert!(longest(100_000) <= 48, "{} probes", longest(100_000));
}

/// Lists that other tools wrote repeat themselves, and an operator may write many rules.
#[test]
fn large_settings_load_in_time_that_grows_with_their_size() {
    let same = vec!["same.example"; 200_000];
    assert_eq!(problems(&json!({ "hosts": { "deny": same } })), []);
    let networks = |third: u32| -> Vec<String> {
        (0..20_000)
            .map(|n| format!("10.{third}.{}.{}", n / 250, n % 250))
            .collect()
    };
    assert_eq!(
        problems(&json!({ "networks": { "allow": networks(1), "deny": networks(2) } })),
        []
    );
}

/// One name on many ports is no more work than one port, neither to load nor to decide.
#[test]
fn the_number_of_ports_of_one_name_does_not_matter() {
    let ports = |effect: &str, range: std::ops::RangeInclusive<u16>| {
        let patterns: Vec<_> = range
            .map(|port| format!("{effect}a.example:{port}"))
            .collect();
        patterns
    };
    let policy = policy(json!({ "hosts": {
        "allow": ports("", 30_001..=60_000), "deny": ports("**.", 1..=30_000),
    } }));
    let table = [
        ("a.example", 1, "host-denied"),
        ("x.a.example", 30_000, "host-denied"),
        ("a.example", 30_001, "allow"),
        ("a.example", 60_000, "allow"),
        ("x.a.example", 60_000, "host-not-allowed"),
        ("a.example", 60_001, "host-not-allowed"),
    ];
    for (host, port, expected) in table {
        let found = stage_one(&policy, &request("https", host, port));
        assert_eq!(found, expected, "{host}:{port}");
    }
}

#[test]
fn the_rules_for_one_network_are_few() {
    let rule = |port| json!({ "cidr": "10.0.0.0/8", "ports": [port] });
    let rules = |count: u16| -> Vec<_> { (1..=count).map(rule).collect() };
    assert_eq!(problems(&json!({ "networks": { "allow": rules(16) } })), []);
    let found = problems(&json!({ "networks": { "allow": rules(17) } }));
    assert_eq!(found[0].path, "/networks/allow/16");
    let same = vec!["10.0.0.0/8"; 100];
    assert_eq!(problems(&json!({ "networks": { "allow": same } })), []);
}

/// Exceptions and hosts in the same tree: each is looked for in the others, which must not take a walk.
#[test]
fn many_exceptions_and_many_hosts_load() {
    let names: Vec<_> = (0..10_000).map(|n| format!("**.h{n}.internal")).collect();
    let settings = json!({ "hosts": { "allow": names.clone() }, "names": { "allow": names } });
    let started = std::time::Instant::now();
    assert_eq!(problems(&settings), []);
    assert!(
        started.elapsed() < std::time::Duration::from_secs(5),
        "a walk takes minutes"
    );
}

impl Egress {
    fn longest_probe(&self) -> usize {
        self.base.hosts.value.longest_probe()
    }
}

fn policy(settings: Value) -> Egress {
    pinfold_policy::configure(&settings.to_string())
        .unwrap_or_else(|problems| panic!("{problems:#?}"))
}

pub(crate) fn problems(settings: &Value) -> Vec<Problem> {
    pinfold_policy::configure::<Egress>(&settings.to_string())
        .err()
        .unwrap_or_default()
}

fn schema_value() -> Value {
    serde_json::from_str(Egress::SCHEMA).unwrap()
}

pub(crate) fn schema() -> jsonschema::Validator {
    jsonschema::draft202012::new(&schema_value()).unwrap()
}

fn request(scheme: &str, host: &str, port: u16) -> Request {
    Request::new(Target::new(scheme, Host::from(host), port)).method("GET")
}

fn ip(address: &str) -> IpAddr {
    address.parse().unwrap()
}

fn stage_one(policy: &Egress, request: &Request) -> String {
    match policy.check_target(request) {
        Decision::Allow(_) => "allow".into(),
        Decision::Deny(denial) => known_code(&denial),
    }
}

fn stage_two(policy: &Egress, addresses: &[&str]) -> Vec<String> {
    let resolution = Resolution::of(addresses.iter().map(|address| ip(address)));
    codes(policy, &request("http", "example.com", 80), &resolution)
}

fn codes(policy: &Egress, request: &Request, resolution: &Resolution) -> Vec<String> {
    let verdicts = policy.check_addresses(request, resolution);
    assert_eq!(verdicts.len(), resolution.answers.len());
    let code = |verdict: &Verdict| match verdict {
        Verdict::Allow => "allow".into(),
        Verdict::Deny(denial) => known_code(denial),
    };
    verdicts.iter().map(code).collect()
}

/// Every code of this policy is registered.
fn known_code(denial: &Denial) -> String {
    assert!(
        pinfold_policy::Reason::from_code(denial.code()).is_some(),
        "{denial:?}"
    );
    denial.code().into()
}

fn message(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Allow => panic!("allowed"),
        Verdict::Deny(denial) => denial.message().into(),
    }
}

/// A small generator of numbers, the same in every run.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }
}
