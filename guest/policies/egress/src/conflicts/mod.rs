//! Settings that contradict themselves, or that promise what will not happen.
//!
//! Each is refused at load, because an operator who wrote it believes something about the policy that is
//! not so.

use ipnet::IpNet;
use pinfold_policy::{
    Class, Reason,
    addr::{Classifier, names},
};

use crate::{
    compile::Own,
    hosts::{Effect, HostTable, Match},
    networks::NetworkRule,
    pattern::Scope,
    ports::Ports,
    problems::Problems,
    rules::{Rules, refused_name},
    schemes::Schemes,
    settings::Scheme,
};

/// What is looked at: the rules that hold, and which parts of them were written here.
pub(crate) struct Scene<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) network_rules: &'a [NetworkRule],
    pub(crate) own: Own,
    /// JSON Pointer to the sections.
    pub(crate) prefix: String,
}

/// Adds every contradiction to the problems.
pub(crate) fn find(scene: &Scene<'_>, problems: &mut Problems) {
    if scene.own.hosts {
        scene.hosts(problems);
    }
    if scene.own.names {
        scene.names(problems);
    }
    if scene.own.limits {
        scene.limits(problems);
    }
    scene.networks(problems);
}

impl Scene<'_> {
    fn hosts(&self, problems: &mut Problems) {
        let hosts = &self.rules.hosts.value;
        for (allow, deny) in hosts.overruled() {
            let path = format!("{}/hosts/allow/{}", self.prefix, allow.index);
            problems.add(path, overruled_host(&allow, &deny));
        }
        for (found, name, scope, port) in hosts.patterns() {
            if found.effect == Effect::Allow
                && let Some(problem) = self.unreachable_host(name, scope, port)
            {
                problems.add(
                    format!("{}/hosts/allow/{}", self.prefix, found.index),
                    problem,
                );
            }
        }
    }

    fn unreachable_host(&self, name: &str, scope: Scope, port: Option<u16>) -> Option<String> {
        if let Some(port) = port.filter(|port| !self.rules.ports.value.contains(*port)) {
            return Some(format!("never applies: port {port} is not in `ports`"));
        }
        let names = &self.rules.names.value;
        let below = format!("x.{name}");
        let itself = scope.covers_itself().then(|| refused_name(names, name));
        let below = scope
            .covers_below()
            .then(|| refused_name(names, &below).filter(|_| !has_exception_below(names, name)));
        // What the pattern does not cover cannot save it.
        match (itself, below) {
            (Some(Some(refused)), None | Some(Some(_))) | (None, Some(Some(refused))) => {
                Some(never_asked(name, &refused))
            }
            _ => None,
        }
    }

    fn names(&self, problems: &mut Problems) {
        for (found, name, scope, port) in self.rules.names.value.patterns() {
            if let Some(problem) = self.pointless_name(name, scope, port) {
                problems.add(
                    format!("{}/names/allow/{}", self.prefix, found.index),
                    problem,
                );
            }
        }
    }

    fn pointless_name(&self, name: &str, scope: Scope, port: Option<u16>) -> Option<String> {
        if port.is_some() {
            return Some("a port belongs in `hosts` or `ports`".into());
        }
        if names::is_metadata(name) {
            return Some(format!(
                "`{name}` is a metadata endpoint, which is always refused"
            ));
        }
        let is_single = scope.covers_itself() && !name.contains('.');
        if names::special_use(name).is_none() && !is_single {
            return Some(format!("`{name}` is not special: `hosts` decides about it"));
        }
        let deny = self
            .rules
            .hosts
            .value
            .find(name, 0)
            .filter(|found| found.effect == Effect::Deny)?;
        (scope == Scope::Exact)
            .then(|| format!("contradicts `hosts.deny[{}]` {}", deny.index, deny.pattern))
    }

    fn limits(&self, problems: &mut Problems) {
        let limits = &self.rules.limits.value;
        let path = |member: &str| format!("{}/limits/{member}", self.prefix);
        let zeros = [
            ("connect_timeout_ms", limits.connect_timeout_ms),
            ("total_timeout_ms", limits.total_timeout_ms),
            ("response_kib", limits.response_kib),
        ];
        for (member, _) in zeros.iter().filter(|(_, value)| *value == Some(0)) {
            problems.add(
                path(member),
                "0 lets no request succeed; leave it out for the host's own limit",
            );
        }
        if let (Some(connect), Some(total)) = (limits.connect_timeout_ms, limits.total_timeout_ms)
            && connect > total
        {
            let message =
                format!("{connect} is more than `limits.total_timeout_ms`, which is {total}");
            problems.add(path("connect_timeout_ms"), message);
        }
        let tls = Schemes::new(&[Scheme::Https, Scheme::Wss]);
        if limits.https_only && !self.rules.schemes.value.overlaps(tls) {
            problems.add(
                path("https_only"),
                "`schemes` lists neither `https` nor `wss`",
            );
        }
    }

    fn networks(&self, problems: &mut Problems) {
        let allows = self
            .network_rules
            .iter()
            .filter(|rule| rule.effect == Effect::Allow);
        for rule in allows {
            self.unreachable_network(rule, problems);
        }
        if self.denies_everything() {
            let path = format!("{}/networks/deny", self.prefix);
            problems.add(
                path,
                "refuses every address and `networks.allow` makes no exception",
            );
        }
    }

    fn unreachable_network(&self, rule: &NetworkRule, problems: &mut Problems) {
        if let Some(deny) = self.rules.networks.value.overruling(rule) {
            let message = format!(
                "never applies: `networks.deny[{}]` {} wins",
                deny.index, deny.network
            );
            problems.add(self.network_path(rule), message);
        }
        let overlaps = |ports: &Ports| ports.overlaps(&self.rules.ports.value);
        if rule.ports.as_ref().is_some_and(|ports| !overlaps(ports)) {
            problems.add(
                self.network_path(rule) + "/ports",
                "never applies: none of them is in `ports`",
            );
        }
        let schemes = self.rules.schemes.value;
        if rule.schemes.is_some_and(|own| !own.overlaps(schemes)) {
            let message = "never applies: none of them is in `schemes`";
            problems.add(self.network_path(rule) + "/schemes", message);
        }
    }

    fn network_path(&self, rule: &NetworkRule) -> String {
        format!(
            "{}/networks/{}/{}",
            self.prefix,
            crate::compile::key(rule.effect),
            rule.index
        )
    }

    fn denies_everything(&self) -> bool {
        let has_allow = self
            .network_rules
            .iter()
            .any(|rule| rule.effect == Effect::Allow);
        let denies_all = |is_v4: bool| {
            self.network_rules.iter().any(|rule| {
                let NetworkRule {
                    network,
                    ports,
                    schemes,
                    ..
                } = rule;
                network.prefix_len() == 0
                    && network.addr().is_ipv4() == is_v4
                    && ports.is_none()
                    && schemes.is_none()
            })
        };
        !has_allow && denies_all(true) && denies_all(false)
    }
}

fn overruled_host(allow: &Match<'_>, deny: &Match<'_>) -> String {
    if allow.pattern == deny.pattern {
        return format!("`{}` is in `hosts.deny[{}]` too", allow.pattern, deny.index);
    }
    format!(
        "never applies: `hosts.deny[{}]` {} wins",
        deny.index, deny.pattern
    )
}

fn never_asked(name: &str, (reason, why): &(Reason, String)) -> String {
    let remedy = match reason {
        Reason::NameMetadata => "which is always refused",
        _ => "list it in `names.allow` too if it is meant",
    };
    format!("never applies: `{name}` {why}; {remedy}")
}

/// Whether `names.allow` makes an exception for some name below this one.
fn has_exception_below(names: &HostTable, name: &str) -> bool {
    names.patterns().any(|(_, exception, ..)| {
        exception
            .strip_suffix(name)
            .is_some_and(|front| front.ends_with('.'))
    })
}

/// Refuses networks that no policy can allow, or that would allow what nobody means.
pub(crate) fn allowable(network: IpNet) -> Result<IpNet, String> {
    if network.prefix_len() == 0 {
        return Err(format!(
            "`{network}` would allow every address and so the network behind this host; name the networks \
             that are meant"
        ));
    }
    if let Some(wrapper) = WRAPPERS.iter().find(|wrapper| is_inside(network, wrapper)) {
        return Err(format!(
            "`{network}` is inside {wrapper}, whose addresses wrap IPv4; allow the IPv4 network, and set \
             `wrapped` to `judge` if wrapped addresses are meant to be dialled"
        ));
    }
    if let Some((floor, what)) = FLOOR.iter().find(|(floor, _)| is_related(network, floor)) {
        return Err(format!(
            "`{network}` holds {what} addresses ({floor}), which the host dials only when its operator grants \
             them by prefix and port; no policy can"
        ));
    }
    if is_metadata(network) {
        return Err(format!(
            "`{network}` is a metadata endpoint, which is always refused"
        ));
    }
    Ok(network)
}

/// Networks whose addresses carry IPv4.
const WRAPPERS: &[&str] = &[
    "::ffff:0:0/96",
    "::ffff:0:0:0/96",
    "::/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "2002::/16",
    "2001::/32",
];

/// Networks that the host never dials of its own accord.
const FLOOR: &[(&str, &str)] = &[
    ("0.0.0.0/8", "unspecified"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("224.0.0.0/4", "multicast"),
    ("255.255.255.255/32", "broadcast"),
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("fe80::/10", "link-local"),
    ("ff00::/8", "multicast"),
];

fn is_inside(network: IpNet, outer: &str) -> bool {
    // `::` and `::1` are in ::/96, yet wrap nothing.
    let is_own = network.network() == network.broadcast() && is_related(network, "::/127");
    !is_own
        && outer
            .parse::<IpNet>()
            .is_ok_and(|outer| outer.contains(&network))
}

/// Whether one holds the other.
fn is_related(network: IpNet, other: &str) -> bool {
    other
        .parse::<IpNet>()
        .is_ok_and(|other| other.contains(&network) || network.contains(&other))
}

/// A wider network that merely holds an endpoint is fine: the endpoint stays refused.
fn is_metadata(network: IpNet) -> bool {
    let classifier = Classifier::default();
    let ends = [network.network(), network.broadcast()];
    ends.iter()
        .all(|end| classifier.classify(*end).class == Class::Metadata)
}
