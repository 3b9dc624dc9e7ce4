//! Settings that the schema accepts, and that are refused or not for what they mean.

use serde_json::{Value, json};

use crate::tests::{Dice, problems, schema};

/// Settings that the schema accepts and the policy refuses, with the path and a part of the message.
#[test]
fn settings_that_contradict_themselves_are_refused() {
    let table = [
        (
            json!({ "networks": { "deny": ["10.0.0.1/8"] } }),
            "/networks/deny/0",
            "write `10.0.0.0/8`",
        ),
        (
            json!({ "networks": { "deny": ["10.0.0.0"] , "allow": ["10.0.0.0/33"] } }),
            "/networks/allow/0",
            "no network",
        ),
        (
            json!({ "networks": { "deny": ["example.com"] } }),
            "/networks/deny/0",
            "`hosts`",
        ),
        (
            json!({ "networks": { "deny": ["fe80::1%eth0"] } }),
            "/networks/deny/0",
            "no zone",
        ),
        (
            json!({ "networks": { "deny": ["[2001:db8::]/32"] } }),
            "/networks/deny/0",
            "without brackets",
        ),
        (
            json!({ "networks": { "deny": [{ "cidr": "10.0.0.1/8" }] } }),
            "/networks/deny/0/cidr",
            "10.0.0.0/8",
        ),
        (
            json!({ "networks": { "allow": ["0.0.0.0/0"] } }),
            "/networks/allow/0",
            "every address",
        ),
        (
            json!({ "networks": { "allow": ["::/0"] } }),
            "/networks/allow/0",
            "every address",
        ),
        (
            json!({ "networks": { "allow": ["::/96"] } }),
            "/networks/allow/0",
            "wrap IPv4",
        ),
        (
            json!({ "networks": { "allow": ["::ffff:0:0/96"] } }),
            "/networks/allow/0",
            "wrap IPv4",
        ),
        (
            json!({ "networks": { "allow": ["::ffff:10.0.0.0/104"] } }),
            "/networks/allow/0",
            "wrap IPv4",
        ),
        (
            json!({ "networks": { "allow": ["64:ff9b::/96"] } }),
            "/networks/allow/0",
            "wrap IPv4",
        ),
        (
            json!({ "networks": { "allow": ["64:ff9b:1::/48"] } }),
            "/networks/allow/0",
            "wrap IPv4",
        ),
        (
            json!({ "networks": { "allow": ["2002::/16"] } }),
            "/networks/allow/0",
            "wrap IPv4",
        ),
        (
            json!({ "networks": { "allow": ["2001:0:5::/48"] } }),
            "/networks/allow/0",
            "wrap IPv4",
        ),
        (
            json!({ "networks": { "allow": ["127.0.0.1"] } }),
            "/networks/allow/0",
            "operator grants",
        ),
        (
            json!({ "networks": { "allow": ["::1"] } }),
            "/networks/allow/0",
            "loopback",
        ),
        (
            json!({ "networks": { "allow": ["126.0.0.0/7"] } }),
            "/networks/allow/0",
            "loopback",
        ),
        (
            json!({ "networks": { "allow": ["169.254.0.0/16"] } }),
            "/networks/allow/0",
            "link-local",
        ),
        (
            json!({ "networks": { "allow": ["fe80::/64"] } }),
            "/networks/allow/0",
            "link-local",
        ),
        (
            json!({ "networks": { "allow": ["168.63.129.16"] } }),
            "/networks/allow/0",
            "metadata",
        ),
        (
            json!({ "networks": { "allow": ["fd00:ec2::254"] } }),
            "/networks/allow/0",
            "metadata",
        ),
        (
            json!({ "networks": { "allow": ["10.0.0.0/8"], "deny": ["10.0.0.0/8"] } }),
            "/networks/allow/0",
            "`networks.deny[0]`",
        ),
        (
            json!({ "networks": { "allow": [{ "cidr": "10.0.0.0/8", "ports": [80] }], "deny": [{ "cidr": "10.0.0.0/8", "ports": ["1-99"] }] } }),
            "/networks/allow/0",
            "never applies",
        ),
        (
            json!({ "networks": { "deny": ["0.0.0.0/0", "::/0"] } }),
            "/networks/deny",
            "every address",
        ),
        (
            json!({ "ports": [80], "networks": { "allow": [{ "cidr": "10.0.0.0/8", "ports": [443] }] } }),
            "/networks/allow/0/ports",
            "`ports`",
        ),
        (
            json!({ "networks": { "allow": [{ "cidr": "10.0.0.0/8", "schemes": ["ftp"] }] } }),
            "/networks/allow/0/schemes",
            "`schemes`",
        ),
        (json!({ "ports": ["9-1"] }), "/ports/0", "reversed"),
        (json!({ "ports": ["1-99999"] }), "/ports/0", "65535"),
        (
            json!({ "hosts": { "allow": ["bücher.example"] } }),
            "/hosts/allow/0",
            "A-label",
        ),
        (
            json!({ "hosts": { "deny": ["a.*.example"] } }),
            "/hosts/deny/0",
            "`*`",
        ),
        (
            json!({ "hosts": { "allow": ["a.example"], "deny": ["b.example", "a.example"] } }),
            "/hosts/allow/0",
            "`hosts.deny[1]` too",
        ),
        (
            json!({ "hosts": { "allow": ["a.example"], "deny": ["**.a.example"] } }),
            "/hosts/allow/0",
            "`hosts.deny[0]` **.a.example wins",
        ),
        (
            json!({ "hosts": { "allow": ["*.a.example:80"], "deny": ["**.a.example:80"] } }),
            "/hosts/allow/0",
            "wins",
        ),
        (
            json!({ "ports": [443], "hosts": { "allow": ["a.example:80"] } }),
            "/hosts/allow/0",
            "port 80",
        ),
        (
            json!({ "hosts": { "allow": ["db.internal"] } }),
            "/hosts/allow/0",
            "`names.allow`",
        ),
        (
            json!({ "hosts": { "allow": ["*.internal"] } }),
            "/hosts/allow/0",
            "`names.allow`",
        ),
        (
            json!({ "hosts": { "allow": ["intranet"] } }),
            "/hosts/allow/0",
            "`names.allow`",
        ),
        (
            json!({ "hosts": { "allow": ["metadata.google.internal"] } }),
            "/hosts/allow/0",
            "always refused",
        ),
        (
            json!({ "names": { "allow": ["metadata.google.internal"] } }),
            "/names/allow/0",
            "always refused",
        ),
        (
            json!({ "names": { "allow": ["example.com"] } }),
            "/names/allow/0",
            "not special",
        ),
        (
            json!({ "names": { "allow": ["*.printer"] } }),
            "/names/allow/0",
            "not special",
        ),
        (
            json!({ "names": { "allow": ["db.internal:80"] } }),
            "/names/allow/0",
            "port",
        ),
        (
            json!({ "names": { "allow": ["db.internal"] }, "hosts": { "deny": ["*.internal"] } }),
            "/names/allow/0",
            "`hosts.deny[0]`",
        ),
        (
            json!({ "limits": { "connect_timeout_ms": 9, "total_timeout_ms": 5 } }),
            "/limits/connect_timeout_ms",
            "more than",
        ),
        (
            json!({ "schemes": ["http"], "limits": { "https_only": true } }),
            "/limits/https_only",
            "`schemes`",
        ),
        (
            json!({ "unknown_subject": "deny" }),
            "/unknown_subject",
            "everybody",
        ),
        (
            json!({ "subjects": [{ "match": ["a"] }, { "match": ["b", "a"] }] }),
            "/subjects/1/match/1",
            "`subjects[0].match`",
        ),
        (
            json!({ "subjects": [{ "match": ["a*b"] }] }),
            "/subjects/0/match/0",
            "at the end",
        ),
        (
            json!({ "subjects": [{ "match": ["a"], "networks": { "deny": ["1.1.1.1/8"] } }] }),
            "/subjects/0/networks/deny/0",
            "1.0.0.0/8",
        ),
        (
            json!({ "ports": [80], "subjects": [{ "match": ["a"], "hosts": { "allow": ["a.example:443"] } }] }),
            "/subjects/0/hosts/allow/0",
            "port 443",
        ),
    ];
    let schema = schema();
    for (settings, path, part) in table {
        assert!(schema.is_valid(&settings), "the schema refuses {settings}");
        let problems = problems(&settings);
        let found = problems
            .iter()
            .any(|problem| problem.path == path && problem.message.contains(part));
        assert!(found, "{settings}: {problems:?}");
    }
}

#[test]
fn an_exception_that_makes_sense_is_no_contradiction() {
    let table = [
        (
            "deny below, allow one",
            json!({ "hosts": { "allow": ["a.x.example"], "deny": ["*.x.example"] } }),
        ),
        (
            "allow tree, deny apex",
            json!({ "hosts": { "allow": ["**.x.example"], "deny": ["x.example"] } }),
        ),
        (
            "port beats any",
            json!({ "hosts": { "allow": ["x.example:443"], "deny": ["x.example"] } }),
        ),
        (
            "exception below",
            json!({ "hosts": { "allow": ["*.internal"] }, "names": { "allow": ["db.internal"] } }),
        ),
        (
            "tree of a single label",
            json!({ "hosts": { "allow": ["**.dev"] } }),
        ),
        (
            "network with endpoints in it",
            json!({ "networks": { "allow": ["fd00::/8", "100.64.0.0/10"] } }),
        ),
        (
            "only these networks",
            json!({ "networks": { "allow": ["10.0.0.0/8"], "deny": ["0.0.0.0/0", "::/0"] } }),
        ),
        (
            "same pattern twice",
            json!({ "hosts": { "deny": ["x.example", "x.example"] } }),
        ),
        (
            "subject narrows the document",
            json!({
                "schemes": ["http", "https"],
                "literals": "normalise",
                "hosts": { "allow": ["a.example:80", "b.example", "db.internal"] },
                "names": { "allow": ["db.internal"] },
                "networks": { "allow": [{ "cidr": "10.0.0.0/8", "ports": [80] }, "10.1.0.0/16"] },
                "subjects": [{
                    "match": ["a"], "ports": [443], "ip_literals": "deny", "limits": { "https_only": true },
                }],
            }),
        ),
        (
            "subject allows what the document denies but for a port",
            json!({
                "hosts": { "allow": ["a.example:443"], "deny": ["a.example"] },
                "subjects": [{ "match": ["a"], "ports": [443] }],
            }),
        ),
        (
            "deny without effect that does no harm",
            json!({
                "ports": [443],
                "hosts": { "deny": ["a.example:80", "db.internal", "*.b.example", "**.b.example"] },
                "networks": { "deny": ["10.0.0.0/8", "10.1.0.0/16", { "cidr": "9.0.0.0/8", "ports": [80] }] },
            }),
        ),
        (
            "one port is left",
            json!({
                "ports": [1, 2], "hosts": { "allow": ["a.example"], "deny": ["a.example:1"] },
                "networks": { "allow": ["10.0.0.0/8"], "deny": [{ "cidr": "10.0.0.0/8", "ports": [1] }] },
            }),
        ),
        (
            "half a network is left",
            json!({ "networks": { "allow": ["10.0.0.0/8"], "deny": ["10.0.0.0/9", "10.128.0.0/10"] } }),
        ),
        (
            "narrower networks on one port",
            json!({ "networks": {
                "allow": ["10.0.0.0/8"],
                "deny": [{ "cidr": "10.0.0.0/9", "ports": [80] }, "10.128.0.0/9"],
            } }),
        ),
        (
            "half of all addresses",
            json!({ "networks": { "deny": ["0.0.0.0/0", "2000::/4"] } }),
        ),
        (
            "all addresses on one port",
            json!({ "networks": { "deny": [{ "cidr": "0.0.0.0/0", "ports": [80] }, "::/0"] } }),
        ),
        (
            "exception for a host below",
            json!({ "hosts": { "allow": ["db.internal"] }, "names": { "allow": ["*.internal"] } }),
        ),
        (
            "exception on one port",
            json!({ "hosts": { "allow": ["intranet:80"], "deny": ["intranet"] }, "names": { "allow": ["intranet"] } }),
        ),
        (
            "default schemes under `https_only`",
            json!({ "limits": { "https_only": true } }),
        ),
    ];
    for (name, settings) in table {
        assert_eq!(problems(&settings), [], "{name}");
    }
}

/// A rule that never gets its way, in the document or in a subject: at which path, and what is said.
#[test]
fn every_rule_gets_its_way_somewhere() {
    let table: [(&str, Value, &str, &str); 34] = [
        (
            "deny against all ports of an allow",
            json!({ "networks": { "allow": [{ "cidr": "10.0.0.0/8", "ports": ["1-65535"] }], "deny": ["10.0.0.0/8"] } }),
            "/networks/allow/0",
            "`networks.deny[0]` 10.0.0.0/8 wins",
        ),
        (
            "deny against all schemes of an allow",
            json!({ "networks": { "allow": [{ "cidr": "10.0.0.0/8", "schemes": ["http", "https"] }], "deny": ["10.0.0.0/8"] } }),
            "/networks/deny/0",
            "`networks.allow[0]` 10.0.0.0/8 wins",
        ),
        (
            "deny against the only port",
            json!({ "ports": [443], "hosts": { "allow": ["a.example:443"], "deny": ["a.example"] } }),
            "/hosts/deny/0",
            "`hosts.allow[0]` a.example:443 wins on every port of `ports`",
        ),
        (
            "deny of a host against a longer list of ports",
            json!({ "ports": [1, 2], "hosts": { "allow": ["a.example:1", "a.example:2"], "deny": ["a.example"] } }),
            "/hosts/deny/0",
            "`hosts.allow[0]`",
        ),
        (
            "allow against the only port",
            json!({ "ports": [1], "hosts": { "allow": ["a.example"], "deny": ["a.example:1"] } }),
            "/hosts/allow/0",
            "`hosts.deny[0]` a.example:1 wins on every port of `ports`",
        ),
        (
            "allow against all ports in two ranges",
            json!({ "networks": { "allow": ["10.0.0.0/8"], "deny": [{ "cidr": "10.0.0.0/8", "ports": ["1-442"] }, { "cidr": "10.0.0.0/8", "ports": ["443-65535"] }] } }),
            "/networks/allow/0",
            "`networks.deny[0]`",
        ),
        (
            "allow against both halves",
            json!({ "networks": { "allow": ["10.0.0.0/8"], "deny": ["10.0.0.0/9", "10.128.0.0/9"] } }),
            "/networks/allow/0",
            "`networks.deny[0]` 10.0.0.0/9 wins",
        ),
        (
            "allow against both halves, one of them by port",
            json!({ "networks": { "allow": ["10.0.0.0/8"], "deny": [{ "cidr": "10.0.0.0/9", "ports": ["1-9"] }, { "cidr": "10.0.0.0/9", "ports": ["10-65535"] }, "10.128.0.0/9"] } }),
            "/networks/allow/0",
            "10.0.0.0/9 wins",
        ),
        (
            "deny against both halves",
            json!({ "networks": { "allow": ["10.0.0.0/9", "10.128.0.0/9"], "deny": ["10.0.0.0/8"] } }),
            "/networks/deny/0",
            "`networks.allow[0]` 10.0.0.0/9 wins",
        ),
        (
            "last address of all",
            json!({ "networks": { "allow": ["fc00::/7"], "deny": ["fc00::/8", "fd00::/8"] } }),
            "/networks/allow/0",
            "`networks.deny[0]` fc00::/8 wins",
        ),
        (
            "everything in halves",
            json!({ "networks": { "deny": ["0.0.0.0/1", "128.0.0.0/1", "::/0"] } }),
            "/networks/deny",
            "every address",
        ),
        (
            "everything public",
            json!({ "networks": { "deny": ["0.0.0.0/0", "2000::/3"] } }),
            "/networks/deny",
            "every address",
        ),
        (
            "everything by port",
            json!({ "ports": [80, 443], "networks": { "deny": [{ "cidr": "0.0.0.0/0", "ports": [80] }, { "cidr": "0.0.0.0/0", "ports": ["443-444"] }, "::/0"] } }),
            "/networks/deny",
            "every address",
        ),
        (
            "scheme that is never fetched",
            json!({ "schemes": ["http", "https"], "limits": { "https_only": true } }),
            "/schemes",
            "`limits.https_only` refuses http",
        ),
        (
            "network for a scheme that is never fetched",
            json!({ "networks": { "allow": [{ "cidr": "10.0.0.0/8", "schemes": ["http"] }] }, "limits": { "https_only": true } }),
            "/networks/allow/0/schemes",
            "`limits.https_only`",
        ),
        (
            "exception that no host follows",
            json!({ "hosts": { "allow": ["a.example"] }, "names": { "allow": ["intranet"] } }),
            "/names/allow/0",
            "no pattern of `hosts.allow`",
        ),
        (
            "exception for names below that no host follows",
            json!({ "hosts": { "allow": ["a.example"] }, "names": { "allow": ["*.internal"] } }),
            "/names/allow/0",
            "no pattern of `hosts.allow`",
        ),
        (
            "exception that is denied as a tree",
            json!({ "hosts": { "deny": ["**.internal"] }, "names": { "allow": ["**.internal"] } }),
            "/names/allow/0",
            "`hosts.deny[0]` **.internal",
        ),
        (
            "literals normalised and denied",
            json!({ "ip_literals": "deny", "literals": "normalise" }),
            "/literals",
            "`ip_literals` is `deny`",
        ),
        (
            "what to write for the names below",
            json!({ "hosts": { "allow": ["example.com"], "deny": ["**.example.com"] } }),
            "/hosts/allow/0",
            "write `*.example.com` there for the names below",
        ),
        (
            "network with a wrapper in it",
            json!({ "networks": { "allow": ["64:ff9b::/32"] } }),
            "/networks/allow/0",
            "wrap IPv4",
        ),
        (
            "nearly everything",
            json!({ "networks": { "allow": ["2000::/3"] } }),
            "/networks/allow/0",
            "wrap IPv4",
        ),
        (
            "subject: own rule",
            json!({ "subjects": [{ "match": ["a"], "hosts": { "allow": ["a.example"], "deny": ["a.example"] } }] }),
            "/subjects/0/hosts/allow/0",
            "`subjects[0].hosts.deny[0]` too",
        ),
        (
            "subject: own network",
            json!({ "subjects": [{ "match": ["a"], "networks": { "allow": ["10.0.0.0/8"], "deny": ["10.0.0.0/8"] } }] }),
            "/subjects/0/networks/allow/0",
            "`subjects[0].networks.deny[0]`",
        ),
        (
            "subject: own host, ports of the document",
            json!({ "ports": [80], "subjects": [{ "match": ["a"], "hosts": { "allow": ["a.example:443"] } }] }),
            "/subjects/0/hosts/allow/0",
            "not in `ports`",
        ),
        (
            "subject: own schemes, limits of the document",
            json!({ "limits": { "https_only": true }, "subjects": [{ "match": ["a"], "schemes": ["http"] }] }),
            "/subjects/0/schemes",
            "`limits.https_only` refuses every scheme of `subjects[0].schemes` (http)",
        ),
        (
            "subject: own schemes in part",
            json!({ "limits": { "https_only": true }, "subjects": [{ "match": ["a"], "schemes": ["http", "https"] }] }),
            "/subjects/0/schemes",
            "refuses http",
        ),
        (
            "subject: own limits, schemes of the document",
            json!({ "schemes": ["http"], "subjects": [{ "match": ["a"], "limits": { "https_only": true } }] }),
            "/subjects/0/limits/https_only",
            "`subjects[0].limits.https_only` refuses every scheme of `schemes` (http)",
        ),
        (
            "subject: own ports, hosts of the document",
            json!({ "hosts": { "allow": ["a.example:8443"] }, "subjects": [{ "match": ["a"], "ports": [443] }] }),
            "/subjects/0/ports",
            "leaves nothing of `hosts.allow`: a.example:8443 never applies: port 8443 is not in `subjects[0].ports`",
        ),
        (
            "subject: own names, hosts of the document",
            json!({ "hosts": { "allow": ["db.internal"] }, "names": { "allow": ["db.internal"] }, "subjects": [{ "match": ["a"], "names": { "allow": [] } }] }),
            "/subjects/0/names",
            "leaves nothing of `hosts.allow`",
        ),
        (
            "subject: own ports, networks of the document",
            json!({ "networks": { "allow": [{ "cidr": "10.0.0.0/8", "ports": [80] }] }, "subjects": [{ "match": ["a"], "ports": [443] }] }),
            "/subjects/0/ports",
            "leaves nothing of `networks.allow`: 10.0.0.0/8 never applies: none of them is in `subjects[0].ports`",
        ),
        (
            "subject: own limits, networks of the document",
            json!({ "networks": { "allow": [{ "cidr": "10.0.0.0/8", "schemes": ["http"] }] }, "subjects": [{ "match": ["a"], "limits": { "https_only": true } }] }),
            "/subjects/0/limits/https_only",
            "leaves nothing of `networks.allow`",
        ),
        (
            "subject: own ports, everything denied there",
            json!({ "networks": { "deny": [{ "cidr": "0.0.0.0/0", "ports": [443] }, { "cidr": "::/0", "ports": [443] }] }, "subjects": [{ "match": ["a"], "ports": [443] }] }),
            "/subjects/0/ports",
            "`networks.deny` refuses every address",
        ),
        (
            "subject: own literals, switch of the document",
            json!({ "ip_literals": "deny", "subjects": [{ "match": ["a"], "literals": "normalise" }] }),
            "/subjects/0/literals",
            "`ip_literals` is `deny`",
        ),
    ];
    let schema = schema();
    for (name, settings, path, part) in table {
        assert!(schema.is_valid(&settings), "{name}: the schema refuses it");
        let found = problems(&settings);
        let [problem] = found.as_slice() else {
            panic!("{name}: {found:?}");
        };
        assert_eq!(problem.path, path, "{name}: {}", problem.message);
        assert!(
            problem.message.contains(part),
            "{name}: {}",
            problem.message
        );
    }
}

/// Networks of 20.0.0.0/30 by first address and length, few ports and schemes: every case can be looked at.
#[derive(Clone, Debug, PartialEq)]
struct Rule {
    is_deny: bool,
    first: u8,
    length: u8,
    ports: Option<Vec<u16>>,
    schemes: Option<Vec<&'static str>>,
}

const PORTS: [u16; 3] = [1, 2, 3];
const SCHEMES: [&str; 2] = ["http", "https"];

impl Rule {
    fn throw(dice: &mut Dice) -> Self {
        let (first, length) = [
            (0, 30),
            (0, 31),
            (2, 31),
            (0, 32),
            (1, 32),
            (2, 32),
            (3, 32),
        ][dice.below(7)];
        let ports = [
            None,
            None,
            Some(vec![1]),
            Some(vec![2, 3]),
            Some(vec![1, 2, 3]),
        ];
        let schemes = [None, None, Some(vec!["http"]), Some(vec!["http", "https"])];
        Self {
            is_deny: dice.below(2) == 0,
            first,
            length,
            ports: ports[dice.below(5)].clone(),
            schemes: schemes[dice.below(4)].clone(),
        }
    }

    fn json(&self) -> Value {
        let mut rule = json!({ "cidr": format!("20.0.0.{}/{}", self.first, self.length) });
        if let Some(ports) = &self.ports {
            rule["ports"] = json!(ports);
        }
        if let Some(schemes) = &self.schemes {
            rule["schemes"] = json!(schemes);
        }
        rule
    }

    fn applies(&self, (address, port, scheme): (u8, u16, &str)) -> bool {
        (self.first..self.first + (1 << (32 - self.length))).contains(&address)
            && self
                .ports
                .as_ref()
                .is_none_or(|ports| ports.contains(&port))
            && self
                .schemes
                .as_ref()
                .is_none_or(|schemes| schemes.contains(&scheme))
    }

    /// What makes it win.
    fn weight(&self) -> (u8, usize, bool) {
        let conditions = usize::from(self.ports.is_some()) + usize::from(self.schemes.is_some());
        (self.length, conditions, self.is_deny)
    }

    /// Whether the decision is as it says in some case that it is about.
    fn has_way(&self, all: &[Self]) -> bool {
        let cases = (0..4).flat_map(|address| {
            let with_port = move |port| SCHEMES.map(|scheme| (address, port, scheme));
            PORTS.into_iter().flat_map(with_port)
        });
        cases.filter(|case| self.applies(*case)).any(|case| {
            let winner = all.iter().filter(|rule| rule.applies(case));
            let winner = winner.max_by_key(|rule| rule.weight());
            winner.is_some_and(|winner| winner.is_deny == self.is_deny)
        })
    }
}

#[test]
fn networks_that_never_get_their_way_are_those_of_a_search() {
    let mut dice = Dice::new(5);
    let mut seen = [0, 0];
    for _ in 0..5_000 {
        let mut rules: Vec<Rule> = Vec::new();
        for _ in 0..dice.below(7) {
            let rule = Rule::throw(&mut dice);
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
        let (deny, allow): (Vec<_>, Vec<_>) = rules.iter().partition(|rule| rule.is_deny);
        let lists = [("allow", &allow), ("deny", &deny)];
        let mut expected: Vec<_> = lists
            .iter()
            .flat_map(|(list, own)| own.iter().enumerate().map(move |own| (list, own)))
            .filter(|(_, (_, rule))| !rule.has_way(&rules))
            .map(|(list, (index, _))| format!("/networks/{list}/{index}"))
            .collect();
        let [allow, deny] =
            [&allow, &deny].map(|own| -> Value { own.iter().map(|rule| rule.json()).collect() });
        let settings = json!({ "ports": PORTS, "networks": { "allow": allow, "deny": deny } });
        let mut found: Vec<_> = problems(&settings)
            .into_iter()
            .map(|problem| problem.path)
            .collect();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{settings}");
        seen[usize::from(found.is_empty())] += 1;
    }
    assert!(seen.iter().all(|seen| *seen > 500), "{seen:?}");
}
