//! From the settings as written to the rules that decide.

use std::sync::Arc;

use pinfold_policy::Terms;

use crate::{
    allowable, conflicts,
    hosts::{Effect, HostTable},
    networks::{self, NetworkRule, NetworkTable},
    ports::Ports,
    problems::Problems,
    rules::{Origin, Rules, Setting},
    schemes::Schemes,
    settings::{
        Hosts, Limits, Names, NetworkEntry, Networks, PortEntry, Scheme, Sections, Switch, TextList,
    },
};

/// What holds when the settings are silent.
pub(crate) fn defaults() -> Rules {
    Rules {
        schemes: default(Schemes::new(&[Scheme::Http, Scheme::Https])),
        ports: default(Ports::any()),
        userinfo: default(Default::default()),
        literals: default(Default::default()),
        ip_literals: default(Switch::Allow),
        hosts: default(Default::default()),
        names: default(Default::default()),
        check_chain: default(true),
        networks: default(Default::default()),
        wrapped: default(Default::default()),
        special_global: default(Switch::Deny),
        mixed_answers: default(Default::default()),
        limits: default(Terms::default()),
    }
}

fn default<T>(value: T) -> Setting<T> {
    Setting {
        value,
        origin: Origin::Default,
    }
}

/// Lays `sections` over `base`: a section that is present replaces the whole section of the base.
pub(crate) fn overlay(
    base: &Rules,
    sections: Sections,
    origin: Origin,
    problems: &mut Problems,
) -> Rules {
    let mut reader = Reader { origin, problems };
    let limits = sections.limits.map(terms);
    let rules = Rules {
        schemes: reader.or(sections.schemes, &base.schemes, Reader::schemes),
        ports: reader.or(sections.ports, &base.ports, |reader, ports| {
            reader.ports("/ports", &ports)
        }),
        userinfo: reader.or(sections.userinfo, &base.userinfo, same),
        literals: reader.or(sections.literals, &base.literals, same),
        ip_literals: reader.or(sections.ip_literals, &base.ip_literals, same),
        hosts: reader.or(sections.hosts, &base.hosts, Reader::hosts),
        names: reader.or(sections.names, &base.names, Reader::names),
        check_chain: reader.or(sections.check_chain, &base.check_chain, same),
        networks: reader.or(sections.networks, &base.networks, Reader::networks),
        wrapped: reader.or(sections.wrapped, &base.wrapped, same),
        special_global: reader.or(sections.special_global, &base.special_global, same),
        mixed_answers: reader.or(sections.mixed_answers, &base.mixed_answers, same),
        limits: reader.or(limits, &base.limits, same),
    };
    conflicts::find(&rules, origin, problems);
    rules
}

/// Reads sections and knows the path that leads to them.
struct Reader<'a> {
    origin: Origin,
    problems: &'a mut Problems,
}

impl Reader<'_> {
    fn refuse(&mut self, path: &str, problem: impl Into<String>) {
        self.problems.add(self.origin.pointer() + path, problem);
    }

    /// The section if it is given, else that of the base.
    fn or<T, U: Clone>(
        &mut self,
        section: Option<T>,
        base: &Setting<U>,
        read: impl FnOnce(&mut Self, T) -> U,
    ) -> Setting<U> {
        match section {
            Some(section) => Setting {
                value: read(self, section),
                origin: self.origin,
            },
            None => base.clone(),
        }
    }

    fn schemes(&mut self, schemes: Vec<Scheme>) -> Schemes {
        self.schemes_at("/schemes", &schemes)
    }

    fn schemes_at(&mut self, path: &str, schemes: &[Scheme]) -> Schemes {
        if schemes.is_empty() {
            self.refuse(
                path,
                "an empty list allows no scheme at all; leave it out for the default",
            );
            // No other rule is to blame.
            return Schemes::any();
        }
        Schemes::new(schemes)
    }

    fn ports(&mut self, path: &str, entries: &[PortEntry]) -> Ports {
        Ports::read(entries, |index, problem| {
            let at = index.map_or_else(|| path.to_owned(), |index| format!("{path}/{index}"));
            self.refuse(&at, problem);
        })
    }

    fn hosts(&mut self, hosts: Hosts) -> Arc<HostTable> {
        if hosts.allow.as_ref().is_some_and(TextList::is_empty) {
            self.refuse(
                "/hosts/allow",
                "an empty list allows no host at all; leave it out to allow any",
            );
        }
        Arc::new(HostTable::new(
            hosts.allow.unwrap_or_default(),
            hosts.deny,
            |effect, index, problem| {
                self.refuse(&format!("/hosts/{}/{index}", effect.key()), problem);
            },
        ))
    }

    fn names(&mut self, names: Names) -> Arc<HostTable> {
        Arc::new(HostTable::new(
            names.allow,
            TextList::default(),
            |_, index, problem| {
                self.refuse(&format!("/names/allow/{index}"), problem);
            },
        ))
    }

    fn networks(&mut self, networks: Networks) -> Arc<NetworkTable> {
        let mut rules = Vec::with_capacity(networks.allow.len() + networks.deny.len());
        for (effect, entries) in [
            (Effect::Allow, networks.allow),
            (Effect::Deny, networks.deny),
        ] {
            let read = |(index, entry)| self.network(effect, index, entry);
            rules.extend(entries.into_iter().enumerate().filter_map(read));
        }
        Arc::new(NetworkTable::new(rules, |path, problem| {
            self.refuse(&path, problem);
        }))
    }

    fn network(
        &mut self,
        effect: Effect,
        index: usize,
        entry: NetworkEntry,
    ) -> Option<NetworkRule> {
        let path = networks::path(effect, index);
        let ports = entry
            .ports
            .map(|ports| self.ports(&format!("{path}/ports"), &ports));
        let schemes = entry
            .schemes
            .map(|schemes| self.schemes_at(&format!("{path}/schemes"), &schemes));
        let network = networks::parse(&entry.cidr).and_then(|network| match effect {
            Effect::Allow => allowable::check(network),
            Effect::Deny => Ok(network),
        });
        match network {
            Ok(network) => Some(NetworkRule {
                effect,
                index,
                network,
                // Conditions that leave nothing out are none: they must not make a rule more specific.
                ports: ports.filter(|ports| !ports.is_any()),
                schemes: schemes.filter(|schemes| *schemes != Schemes::any()),
            }),
            Err(problem) => {
                let member = if entry.is_table { "/cidr" } else { "" };
                self.refuse(&(path + member), problem);
                None
            }
        }
    }
}

fn same<T>(_: &mut Reader<'_>, value: T) -> T {
    value
}

fn terms(limits: Limits) -> Terms {
    let Limits {
        connect_timeout_ms,
        total_timeout_ms,
        response_kib,
        redirects,
        https_only,
    } = limits;
    Terms {
        connect_timeout_ms,
        total_timeout_ms,
        response_kib,
        redirects,
        https_only,
    }
}
