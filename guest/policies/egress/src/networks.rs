//! Allow and deny rules for networks.

use std::{cmp::Reverse, net::IpAddr};

use ipnet::IpNet;
use pinfold_addr::PrefixMap;

use crate::{hosts::Effect, order, ports::Ports, schemes::Schemes, settings::Scheme};

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
    pub(crate) fn applies(&self, scheme: Scheme, port: u16) -> bool {
        self.ports.as_ref().is_none_or(|ports| ports.contains(port))
            && self.schemes.is_none_or(|schemes| schemes.contains(scheme))
    }

    /// A rule for some ports or schemes is more specific than one for all.
    fn conditions(&self) -> usize {
        usize::from(self.ports.is_some()) + usize::from(self.schemes.is_some())
    }

    /// Whether both say the same.
    fn repeats(&self, other: &Self) -> bool {
        (self.network, self.effect) == (other.network, other.effect)
            && self.ports == other.ports
            && self.schemes == other.schemes
    }

    /// JSON Pointer inside the sections.
    pub(crate) fn path(&self) -> String {
        path(self.effect, self.index)
    }
}

/// JSON Pointer to a rule, inside the sections.
pub(crate) fn path(effect: Effect, index: usize) -> String {
    format!("/networks/{}/{index}", effect.key())
}

/// The most rules for one and the same network: a decision looks at each of them. One rule holds any number
/// of ports.
pub(crate) const MAX_RULES: usize = 16;

/// Rules by network.
#[derive(Debug, Default)]
pub(crate) struct NetworkTable {
    /// Where in `rules` those for a network begin.
    starts: PrefixMap<usize>,
    /// By network, a wider one before those inside it; for one network, what wins first.
    rules: Box<[NetworkRule]>,
}

impl NetworkTable {
    /// Sorts the rules. What is wrong is handed to `refuse` with its path inside the sections.
    pub(crate) fn new(rules: Vec<NetworkRule>, mut refuse: impl FnMut(String, String)) -> Self {
        let mut rules = sort(rules);
        rules.dedup_by(|one, other| one.repeats(other));
        let (mut starts, mut position) = (Vec::new(), 0);
        for same in by_network(&rules) {
            starts.extend(same.first().map(|first| (first.network, position)));
            position += same.len();
            if let Some(rule) = same.get(MAX_RULES) {
                let message = format!(
                    "more than {MAX_RULES} rules for {}: one rule holds any number of `ports`",
                    rule.network
                );
                refuse(rule.path(), message);
            }
        }
        let starts = PrefixMap::new(starts).unwrap_or_else(|duplicate| {
            refuse("/networks".into(), duplicate.to_string());
            PrefixMap::default()
        });
        Self {
            starts,
            rules: rules.into(),
        }
    }

    /// The rule that decides about an address: the longest prefix wins, then a rule for some ports or
    /// schemes, then deny.
    pub(crate) fn find(&self, address: IpAddr, scheme: Scheme, port: u16) -> Option<&NetworkRule> {
        self.starts.matches(address).find_map(|(network, start)| {
            let rules = self.rules.get(*start..)?.iter();
            let mut same = rules.take_while(|rule| rule.network == network);
            same.find(|rule| rule.applies(scheme, port))
        })
    }

    /// Every rule, by network.
    pub(crate) fn rules(&self) -> &[NetworkRule] {
        &self.rules
    }

    /// The rules for this network and for all networks inside it.
    pub(crate) fn inside(&self, network: IpNet) -> &[NetworkRule] {
        let start = self.rules.partition_point(|rule| rule.network < network);
        let rest = self.rules.get(start..).unwrap_or_default();
        let count = rest.partition_point(|rule| network.contains(&rule.network));
        rest.get(..count).unwrap_or_default()
    }
}

/// By network, a wider one before those inside it; for one network, what wins first.
fn sort(rules: Vec<NetworkRule>) -> Vec<NetworkRule> {
    let key = |at: usize| {
        let rule = rules.get(at)?;
        let strength = Reverse((rule.conditions(), rule.effect));
        Some((rule.network, strength, rule.index))
    };
    let order = order::sorted(rules.len(), &|one, other| key(one).cmp(&key(other)));
    let mut rules: Vec<_> = rules.into_iter().map(Some).collect();
    let take = |at| rules.get_mut(at).and_then(Option::take);
    order.into_iter().filter_map(take).collect()
}

/// The rules of each network, of rules that are sorted as in a table.
pub(crate) fn by_network(rules: &[NetworkRule]) -> impl Iterator<Item = &[NetworkRule]> {
    rules.chunk_by(|one, other| one.network == other.network)
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
            let table = NetworkTable::new(rules.clone(), |_, problem| panic!("{problem}"));
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
