//! Allow and deny rules for networks.

use std::net::IpAddr;

use ipnet::IpNet;
use pinfold_addr::{DuplicatePrefix, PrefixMap};

use crate::{
    hosts::Effect,
    ports::Ports,
    schemes::Schemes,
    settings::Scheme,
    slots::{Hash, Slots},
};

/// A network rule as it was read.
#[derive(Clone, Debug)]
pub(crate) struct NetworkRule {
    pub(crate) effect: Effect,
    /// Position in its list.
    pub(crate) index: usize,
    pub(crate) network: IpNet,
    /// `None` for any.
    pub(crate) ports: Option<Ports>,
    /// `None` for any.
    pub(crate) schemes: Option<Schemes>,
}

impl NetworkRule {
    fn applies(&self, scheme: Scheme, port: u16) -> bool {
        self.ports.as_ref().is_none_or(|ports| ports.contains(port))
            && self.schemes.is_none_or(|schemes| schemes.contains(scheme))
    }

    /// A rule for some ports or schemes is more specific than one for all.
    fn conditions(&self) -> usize {
        usize::from(self.ports.is_some()) + usize::from(self.schemes.is_some())
    }

    /// Whether this rule decides in every case that `other`, for the same network, is about.
    fn overrules(&self, other: &Self) -> bool {
        let ports = match (&self.ports, &other.ports) {
            (None, _) => true,
            (Some(own), None) => own.includes(&Ports::any()),
            (Some(own), Some(others)) => own.includes(others),
        };
        let schemes = |rule: &Self| rule.schemes.unwrap_or_else(Schemes::any);
        self.conditions() >= other.conditions() && ports && schemes(self).includes(schemes(other))
    }
}

/// Rules by network.
#[derive(Debug, Default)]
pub(crate) struct NetworkTable(PrefixMap<Box<[NetworkRule]>>);

impl NetworkTable {
    /// Groups the rules by network.
    pub(crate) fn new(rules: &[NetworkRule]) -> Result<Self, DuplicatePrefix> {
        let mut slots = Slots::with_room(rules.len());
        let mut groups: Vec<(IpNet, Vec<NetworkRule>)> = Vec::new();
        for rule in rules {
            let hash = hash(rule.network);
            let is_group =
                |at: &usize| groups.get(*at).is_some_and(|group| group.0 == rule.network);
            let known = slots.probe(hash).find(is_group);
            if let Some((_, group)) = known.and_then(|at| groups.get_mut(at)) {
                group.push(rule.clone());
            } else {
                slots.insert(hash, groups.len());
                groups.push((rule.network, vec![rule.clone()]));
            }
        }
        let entries = groups
            .into_iter()
            .map(|(network, group)| (network, group.into()));
        PrefixMap::new(entries).map(Self)
    }

    /// The deny rule that wins over an allow rule in every case, if there is one.
    pub(crate) fn overruling(&self, allow: &NetworkRule) -> Option<&NetworkRule> {
        let mut groups = self.0.matches(allow.network.addr());
        let (_, rules) = groups.find(|(network, _)| *network == allow.network)?;
        rules
            .iter()
            .find(|rule| rule.effect == Effect::Deny && rule.overrules(allow))
    }

    /// The rule that decides about an address: the longest prefix wins, then a rule for some ports or
    /// schemes, then deny.
    pub(crate) fn find(&self, address: IpAddr, scheme: Scheme, port: u16) -> Option<&NetworkRule> {
        self.0.matches(address).find_map(|(_, rules)| {
            rules
                .iter()
                .filter(|rule| rule.applies(scheme, port))
                .max_by_key(|rule| (rule.conditions(), rule.effect))
        })
    }
}

fn hash(network: IpNet) -> u32 {
    let octets = match network.addr() {
        IpAddr::V4(address) => address.to_ipv6_compatible().octets(),
        IpAddr::V6(address) => address.octets(),
    };
    Hash::of(octets.into_iter().chain([network.prefix_len()]))
}

/// Reads a network, or an address as the network that holds it alone.
pub(crate) fn parse(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.into());
    }
    let network: IpNet = text.parse().map_err(|_| not_a_network(text))?;
    if network != network.trunc() {
        return Err(format!(
            "`{text}` has bits beyond its prefix: write `{}`",
            network.trunc()
        ));
    }
    Ok(network)
}

fn not_a_network(text: &str) -> String {
    let hint = match text {
        _ if text.contains('%') => "an address has no zone here",
        _ if text.contains('[') => "write IPv6 without brackets",
        _ if text.bytes().any(|octet| octet.is_ascii_alphabetic()) && !text.contains(':') => {
            "names belong in `hosts`"
        }
        _ => "write an address, `/` and a prefix length, such as `10.0.0.0/8` or `2001:db8::/32`",
    };
    format!("`{text}` is no network: {hint}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{settings::PortEntry, tests::Dice};

    fn rule(dice: &mut Dice, index: usize) -> NetworkRule {
        let network = [
            "10.0.0.0/8",
            "10.0.0.0/9",
            "10.1.0.0/16",
            "10.1.1.1/32",
            "0.0.0.0/0",
        ][dice.below(5)];
        let ports =
            |port| Ports::read(&[PortEntry::Number(port)], |_, problem| panic!("{problem}"));
        NetworkRule {
            effect: [Effect::Allow, Effect::Deny][dice.below(2)],
            index,
            network: parse(network).unwrap(),
            ports: [None, Some(ports(1)), Some(ports(2))][dice.below(3)].clone(),
            schemes: [None, Some(Schemes::new(&[Scheme::Http]))][dice.below(2)],
        }
    }

    /// What the documentation says, rule by rule.
    fn by_hand(
        rules: &[NetworkRule],
        address: IpAddr,
        scheme: Scheme,
        port: u16,
    ) -> Option<Effect> {
        let matching = rules
            .iter()
            .filter(|rule| rule.network.contains(&address) && rule.applies(scheme, port));
        let best = matching.map(|rule| (rule.network.prefix_len(), rule.conditions(), rule.effect));
        best.max().map(|(_, _, effect)| effect)
    }

    #[test]
    fn a_look_up_finds_what_a_search_finds() {
        let mut dice = Dice::new(3);
        for _ in 0..1_000 {
            let rules: Vec<_> = (0..dice.below(8))
                .map(|index| rule(&mut dice, index))
                .collect();
            let table = NetworkTable::new(&rules).unwrap();
            for text in [
                "10.1.1.1",
                "10.1.2.3",
                "10.2.0.0",
                "10.200.0.0",
                "11.0.0.0",
                "::1",
            ] {
                let address = text.parse().unwrap();
                let (scheme, port) = (
                    [Scheme::Http, Scheme::Https][dice.below(2)],
                    [1, 2, 3][dice.below(3)],
                );
                let found = table.find(address, scheme, port).map(|rule| rule.effect);
                assert_eq!(
                    found,
                    by_hand(&rules, address, scheme, port),
                    "{text} in {rules:?}"
                );
            }
        }
    }

    #[test]
    fn an_address_is_a_network_of_its_own() {
        assert_eq!(parse("10.0.0.1"), parse("10.0.0.1/32"));
        assert_eq!(parse("2001:db8::1"), parse("2001:db8::1/128"));
    }
}
