//! Rules of `networks` that never get their way.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Scene;
use crate::{
    hosts::Effect,
    networks::{NetworkRule, NetworkTable, by_network},
    ports::Ports,
    rules::Rules,
    schemes::Schemes,
    settings::Scheme,
};

/// Each rule that was written here.
pub(super) fn rules(scene: &mut Scene<'_>) {
    let rules = scene.rules;
    if !scene.is_own(&rules.networks) {
        return;
    }
    let view = View::new(scene);
    for rule in rules.networks.value.rules() {
        if let Some((member, problem)) = view.problem(rule) {
            scene.refuse(&(rule.path() + member), problem);
        }
    }
}

/// Allowed networks that are inherited, and of which the subject's sections leave nothing.
pub(super) fn nothing_left(scene: &mut Scene<'_>) {
    let networks = &scene.rules.networks;
    if scene.is_own(networks) || !is_narrowed(scene) {
        return;
    }
    let view = View::new(scene);
    let mut allows = networks.value.rules().iter().filter(|rule| is_allow(rule));
    let Some(first) = allows.next() else { return };
    if let Some((_, problem)) = view.problem(first)
        && allows.all(|rule| view.problem(rule).is_some())
    {
        let (list, network) = (networks.name("networks.allow"), first.network);
        let message = format!("leaves nothing of `{list}`: {network} {problem}");
        scene.refuse_at_first(&conditions(scene.rules), message);
    }
}

/// No address is left that could be dialled.
pub(super) fn everything_denied(scene: &mut Scene<'_>) {
    let networks = &scene.rules.networks;
    if !scene.is_own(networks) && !is_narrowed(scene) {
        return;
    }
    if View::new(scene).denies_everything() {
        let message = format!(
            "`{}` refuses every address and `networks.allow` makes no exception",
            networks.name("networks.deny")
        );
        let [schemes, ports, limits] = conditions(scene.rules);
        let at = (networks.origin, "networks/deny");
        scene.refuse_at_first(&[at, schemes, ports, limits], message);
    }
}

/// The sections that decide which schemes and ports can be asked for.
fn conditions(rules: &Rules) -> [super::Section; 3] {
    [
        (rules.schemes.origin, "schemes"),
        (rules.ports.origin, "ports"),
        (rules.limits.origin, "limits/https_only"),
    ]
}

fn is_narrowed(scene: &Scene<'_>) -> bool {
    let mut sections = conditions(scene.rules).into_iter();
    sections.any(|(origin, _)| origin == scene.origin)
}

fn is_allow(rule: &NetworkRule) -> bool {
    rule.effect == Effect::Allow
}

/// The rules, for the schemes and ports that can be asked for.
struct View<'a> {
    rules: &'a Rules,
    table: &'a NetworkTable,
    schemes: Schemes,
    ports: &'a Ports,
}

/// One scheme and one port.
type Case = (Scheme, u16);

impl<'a> View<'a> {
    fn new(scene: &Scene<'a>) -> Self {
        Self {
            rules: scene.rules,
            table: &scene.rules.networks.value,
            schemes: scene.schemes,
            ports: scene.ports(),
        }
    }

    /// What is wrong with a rule, and the member of it that is.
    fn problem(&self, rule: &NetworkRule) -> Option<(&'static str, String)> {
        let (schemes, ports) = self.conditions(rule);
        if ports.is_empty() || schemes.is_empty() {
            // Nobody asks for it: harmless for a deny rule.
            return is_allow(rule).then(|| self.never_asked(&ports));
        }
        let inside = self.table.inside(rule.network);
        let has_way = |case| self.is_somewhere(rule.effect, inside, case);
        let mut cases = cases(schemes, &ports, inside);
        (!cases.any(has_way)).then(|| ("", self.overruled(rule, schemes, &ports)))
    }

    /// The schemes and ports that the rule is about and that can be asked for.
    fn conditions(&self, rule: &NetworkRule) -> (Schemes, Ports) {
        let schemes = rule.schemes.unwrap_or_else(Schemes::any);
        let ports = match &rule.ports {
            Some(ports) => ports.common(self.ports),
            None => self.ports.clone(),
        };
        (schemes.common(self.schemes), ports)
    }

    fn never_asked(&self, ports: &Ports) -> (&'static str, String) {
        if ports.is_empty() {
            let list = self.rules.ports.name("ports");
            return (
                "/ports",
                format!("never applies: none of them is in `{list}`"),
            );
        }
        let list = self.rules.schemes.name("schemes");
        let mut message = format!("never applies: none of them is in `{list}`");
        if self.rules.limits.value.https_only {
            let limit = self.rules.limits.name("limits.https_only");
            message += &format!(" that `{limit}` leaves");
        }
        ("/schemes", message)
    }

    fn overruled(&self, rule: &NetworkRule, schemes: Schemes, ports: &Ports) -> String {
        let inside = self.table.inside(rule.network);
        let winner = cases(schemes, ports, inside).find_map(|(scheme, port)| {
            let mut others = inside.iter().filter(|other| other.applies(scheme, port));
            others.find(|other| other.effect != rule.effect)
        });
        winner.map_or_else(
            || "never applies".into(),
            |winner| {
                let list = format!("networks.{}[{}]", winner.effect.key(), winner.index);
                let name = self.rules.networks.name(&list);
                format!("never applies: `{name}` {} wins", winner.network)
            },
        )
    }

    /// Whether the decision has this effect for some address of these networks.
    fn is_somewhere(&self, effect: Effect, inside: &[NetworkRule], (scheme, port): Case) -> bool {
        by_network(inside).any(|rules| {
            let winner = rules.iter().find(|rule| rule.applies(scheme, port));
            winner.is_some_and(|winner| {
                winner.effect == effect && !self.is_covered(winner.network, (scheme, port))
            })
        })
    }

    /// Whether narrower networks decide about every address of this one.
    fn is_covered(&self, network: IpNet, (scheme, port): Case) -> bool {
        // The first address that is not covered yet; `None` after the last of all.
        let mut open = Some(key(network.network()));
        let inside = self.table.inside(network).iter();
        let narrower = inside.filter(|rule| rule.network != network && rule.applies(scheme, port));
        for rule in narrower {
            let Some(next) = open else { break };
            if next < key(rule.network.network()) {
                return false;
            }
            let after = key(rule.network.broadcast()).checked_add(1);
            open = after.map(|after| after.max(next));
        }
        open.is_none_or(|open| open > key(network.broadcast()))
    }

    /// Public addresses are IPv4 or in 2000::/3; without allowed networks they are all there is.
    fn denies_everything(&self) -> bool {
        let all = self.table.rules();
        if all.is_empty() || all.iter().any(is_allow) {
            return false;
        }
        let public = ["0.0.0.0/0", "2000::/3"];
        let mut networks = public.iter().filter_map(|text| text.parse().ok());
        networks.all(|network| {
            cases(self.schemes, self.ports, all).all(|case| self.is_denied(network, case))
        })
    }

    /// Whether every address of the network is denied, when there is no allow rule.
    fn is_denied(&self, network: IpNet, (scheme, port): Case) -> bool {
        let holds =
            |rule: &NetworkRule| rule.network.contains(&network) && rule.applies(scheme, port);
        self.table.rules().iter().any(holds) || self.is_covered(network, (scheme, port))
    }
}

/// Every scheme, with each port at which one of the rules begins or ceases to apply.
fn cases<'a>(
    schemes: Schemes,
    ports: &'a Ports,
    rules: &'a [NetworkRule],
) -> impl Iterator<Item = Case> + use<'a> {
    schemes.iter().flat_map(move |scheme| {
        let edges = rules.iter().filter_map(|rule| rule.ports.as_ref());
        let edges = edges.flat_map(Ports::edges);
        let inner = edges.filter(|port| ports.contains(*port));
        ports.starts().chain(inner).map(move |port| (scheme, port))
    })
}

/// Addresses of one family as numbers.
fn key(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}
