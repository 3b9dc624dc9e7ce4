//! The rules, ready to decide.

use std::sync::Arc;

use pinfold_policy::{
    Answer, Class, Denial, Embedded, Embedding, Host, Reason, Request, Resolution, Terms, Verdict,
    addr::names,
};

use crate::{
    hosts::{Effect, HostTable, Match},
    networks::{NetworkRule, NetworkTable},
    ports::Ports,
    schemes::Schemes,
    settings::{Literals, MixedAnswers, Scheme, Switch, Userinfo, Wrapped},
};

/// Everything that holds for one subject.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) schemes: Setting<Schemes>,
    pub(crate) ports: Setting<Ports>,
    pub(crate) userinfo: Setting<Userinfo>,
    pub(crate) literals: Setting<Literals>,
    pub(crate) ip_literals: Setting<Switch>,
    pub(crate) hosts: Setting<Arc<HostTable>>,
    pub(crate) names: Setting<Arc<HostTable>>,
    pub(crate) check_chain: Setting<bool>,
    pub(crate) networks: Setting<Arc<NetworkTable>>,
    pub(crate) wrapped: Setting<Wrapped>,
    pub(crate) special_global: Setting<Switch>,
    pub(crate) mixed_answers: Setting<MixedAnswers>,
    pub(crate) limits: Setting<Terms>,
}

/// A value, and whose it is: the document's, or that of a rule for subjects.
#[derive(Clone, Debug)]
pub(crate) struct Setting<T> {
    pub(crate) value: T,
    pub(crate) subject: Option<usize>,
}

impl<T> Setting<T> {
    /// How the operator finds it in the settings.
    fn name(&self, key: &str) -> String {
        self.subject
            .map_or_else(|| key.into(), |index| format!("subjects[{index}].{key}"))
    }
}

impl Rules {
    /// Stage one.
    pub(crate) fn check_target(&self, request: &Request) -> Result<Terms, Denial> {
        let target = &request.target;
        self.check_scheme(&target.scheme)?;
        self.check_port(target.port)?;
        if target.spelling.userinfo && self.userinfo.value == Userinfo::Deny {
            let rule = self.userinfo.name("userinfo");
            return Err(Denial::new(
                Reason::UserinfoDenied,
                format!("`{rule}` is `deny`"),
            ));
        }
        match &target.host {
            Host::Domain(name) => self.check_name(name, target.port)?,
            Host::Ip(_) => self.check_literal(request)?,
        }
        Ok(self.limits.value)
    }

    /// Stage two: one verdict an answer.
    pub(crate) fn check_addresses(
        &self,
        request: &Request,
        resolution: &Resolution,
    ) -> Vec<Verdict> {
        let port = request.target.port;
        let scheme = Scheme::from_name(&request.target.scheme);
        let chain = self.check_chain(&resolution.chain, port);
        let judge = |answer| {
            let scheme = scheme.ok_or_else(|| self.scheme_denied(&request.target.scheme))?;
            chain.clone()?;
            self.judge(answer, scheme, port)
        };
        let verdicts = resolution
            .answers
            .iter()
            .map(judge)
            .map(Verdict::from)
            .collect();
        self.unite(verdicts, resolution)
    }

    fn check_scheme(&self, name: &str) -> Result<(), Denial> {
        let scheme = Scheme::from_name(name).filter(|scheme| self.schemes.value.contains(*scheme));
        let scheme = scheme.ok_or_else(|| self.scheme_denied(name))?;
        if self.limits.value.https_only && !scheme.is_tls() {
            let rule = self.limits.name("limits.https_only");
            return Err(Denial::new(
                Reason::HttpsRequired,
                format!("`{rule}` refuses `{name}`"),
            ));
        }
        Ok(())
    }

    fn scheme_denied(&self, name: &str) -> Denial {
        let (rule, schemes) = (self.schemes.name("schemes"), self.schemes.value);
        Denial::new(
            Reason::SchemeDenied,
            format!("`{name}` is not in `{rule}` ({schemes})"),
        )
    }

    fn check_port(&self, port: u16) -> Result<(), Denial> {
        if self.ports.value.contains(port) {
            return Ok(());
        }
        let (rule, ports) = (self.ports.name("ports"), &self.ports.value);
        Err(Denial::new(
            Reason::PortDenied,
            format!("{port} is not in `{rule}` ({ports})"),
        ))
    }

    /// Names that mean something else on this machine or in this network come before the lists.
    fn check_name(&self, name: &str, port: u16) -> Result<(), Denial> {
        if let Some((reason, why)) = refused_name(&self.names.value, name) {
            return Err(Denial::new(reason, format!("`{name}` {why}")));
        }
        match self.hosts.value.find(name, port) {
            Some(found) if found.effect == Effect::Deny => Err(self.host_denied(name, &found)),
            None if self.hosts.value.is_exclusive() => Err(self.host_not_allowed(name)),
            _ => Ok(()),
        }
    }

    fn host_denied(&self, name: &str, found: &Match<'_>) -> Denial {
        let rule = self.hosts.name(&format!("hosts.deny[{}]", found.index));
        Denial::new(
            Reason::HostDenied,
            format!("`{rule}` {} refuses `{name}`", found.pattern),
        )
    }

    fn host_not_allowed(&self, host: &str) -> Denial {
        let rule = self.hosts.name("hosts.allow");
        Denial::new(
            Reason::HostNotAllowed,
            format!("no pattern of `{rule}` matches `{host}`"),
        )
    }

    fn check_literal(&self, request: &Request) -> Result<(), Denial> {
        let target = &request.target;
        if target.spelling.non_canonical_literal && self.literals.value == Literals::Deny {
            let rule = self.literals.name("literals");
            let message = format!(
                "`{rule}` is `deny`; the canonical form is `{}`",
                target.host
            );
            return Err(Denial::new(Reason::LiteralNotCanonical, message));
        }
        if self.ip_literals.value == Switch::Deny {
            let rule = self.ip_literals.name("ip_literals");
            return Err(Denial::new(
                Reason::LiteralDenied,
                format!("`{rule}` is `deny`"),
            ));
        }
        if self.hosts.value.is_exclusive() && !self.is_listed(request) {
            return Err(self.host_not_allowed(&target.host.to_string()));
        }
        Ok(())
    }

    /// With a list of allowed hosts, an address literal needs an allowed network: it has no name.
    fn is_listed(&self, request: &Request) -> bool {
        let Host::Ip(address) = request.target.host else {
            return false;
        };
        Scheme::from_name(&request.target.scheme)
            .and_then(|scheme| {
                self.networks
                    .value
                    .find(address, scheme, request.target.port)
            })
            .is_some_and(|rule| rule.effect == Effect::Allow)
    }

    fn check_chain(&self, chain: &[String], port: u16) -> Result<(), Denial> {
        if !self.check_chain.value {
            return Ok(());
        }
        chain
            .iter()
            .try_for_each(|alias| self.check_alias(alias, port))
    }

    fn check_alias(&self, alias: &str, port: u16) -> Result<(), Denial> {
        let denied = |why: String| Err(Denial::new(Reason::ChainNameDenied, why));
        if names::is_metadata(alias) {
            return denied(format!("the alias `{alias}` is a metadata endpoint"));
        }
        match self.hosts.value.find(alias, port) {
            Some(found) if found.effect == Effect::Deny => denied(format!(
                "an alias: {}",
                self.host_denied(alias, &found).message()
            )),
            _ => Ok(()),
        }
    }

    /// Metadata endpoints, deny rules and what is wrapped come first: neither an allow rule nor a grant
    /// outweighs them.
    fn judge(&self, answer: &Answer, scheme: Scheme, port: u16) -> Result<(), Denial> {
        let Answer {
            address,
            class,
            embedded,
            granted,
        } = answer;
        if *class == Class::Metadata || embedded.iter().any(|inner| inner.class == Class::Metadata)
        {
            let message = format!("`{address}` is a metadata endpoint or wraps one");
            return Err(Denial::new(Reason::AddressMetadata, message));
        }
        let rule = self.networks.value.find(*address, scheme, port);
        if let Some(rule) = rule.filter(|rule| rule.effect == Effect::Deny) {
            return Err(self.address_denied(rule, address));
        }
        self.judge_embedded(answer, scheme, port)?;
        let is_unwrapped = is_wrapper(*class) && !embedded.is_empty();
        if *granted || rule.is_some() || is_unwrapped && self.wrapped.value == Wrapped::Judge {
            return Ok(());
        }
        self.judge_class(*class, address)
    }

    /// An interface identifier of the ISATAP form may be chance, so there the address inside is always
    /// judged; every other form is refused unless the settings say to judge it.
    fn judge_embedded(&self, answer: &Answer, scheme: Scheme, port: u16) -> Result<(), Denial> {
        let address = answer.address;
        for inner in &answer.embedded {
            if inner.form != Embedding::Isatap && self.wrapped.value == Wrapped::Deny {
                return Err(self.address_wrapped(&address, inner));
            }
            self.judge_inner(inner, scheme, port).map_err(|denial| {
                let message = format!(
                    "`{address}` wraps `{}`: {}",
                    inner.address,
                    denial.message()
                );
                Denial::new(Reason::AddressWrapped, message)
            })?;
        }
        Ok(())
    }

    fn judge_inner(&self, inner: &Embedded, scheme: Scheme, port: u16) -> Result<(), Denial> {
        match self.networks.value.find(inner.address.into(), scheme, port) {
            Some(rule) if rule.effect == Effect::Deny => {
                Err(self.address_denied(rule, &inner.address))
            }
            Some(_) => Ok(()),
            None => self.judge_class(inner.class, &inner.address),
        }
    }

    fn judge_class(&self, class: Class, address: &dyn std::fmt::Display) -> Result<(), Denial> {
        let message = match class {
            Class::Public => return Ok(()),
            Class::SpecialGlobal if self.special_global.value == Switch::Allow => return Ok(()),
            Class::SpecialGlobal => {
                let rule = self.special_global.name("special_global");
                format!("`{address}` is {class} and `{rule}` is `deny`")
            }
            _ => format!(
                "`{address}` is {class} and in no network of `{}`",
                self.networks.name("networks.allow")
            ),
        };
        let reason = if is_wrapper(class) {
            Reason::AddressWrapped
        } else {
            Reason::AddressNotPublic
        };
        Err(Denial::new(reason, message))
    }

    fn address_denied(&self, rule: &NetworkRule, address: &dyn std::fmt::Display) -> Denial {
        let NetworkRule { index, network, .. } = rule;
        let name = self.networks.name(&format!("networks.deny[{index}]"));
        Denial::new(
            Reason::AddressDenied,
            format!("`{name}` {network} holds `{address}`"),
        )
    }

    fn address_wrapped(&self, address: &dyn std::fmt::Display, inner: &Embedded) -> Denial {
        let rule = self.wrapped.name("wrapped");
        let message = format!(
            "`{address}` wraps `{}` ({}, {}) and `{rule}` is `deny`",
            inner.address, inner.form, inner.class
        );
        Denial::new(Reason::AddressWrapped, message)
    }

    /// One refused answer refuses all, unless the settings say to filter.
    fn unite(&self, mut verdicts: Vec<Verdict>, resolution: &Resolution) -> Vec<Verdict> {
        if self.mixed_answers.value == MixedAnswers::Filter {
            return verdicts;
        }
        let refused = verdicts
            .iter()
            .zip(&resolution.answers)
            .find_map(|(verdict, answer)| match verdict {
                Verdict::Deny(denial) => Some((answer.address, denial.code().to_owned())),
                Verdict::Allow => None,
            });
        let Some((address, code)) = refused else {
            return verdicts;
        };
        let rule = self.mixed_answers.name("mixed_answers");
        let message = format!("`{address}` is refused ({code}) and `{rule}` is `deny`");
        for verdict in &mut verdicts {
            if *verdict == Verdict::Allow {
                *verdict = Verdict::Deny(Denial::new(Reason::AnswersMixed, message.clone()));
            }
        }
        verdicts
    }
}

fn is_wrapper(class: Class) -> bool {
    matches!(class, Class::Translated | Class::Tunnelled)
}

/// Why a name is refused before any list is asked; `names` holds the exceptions.
pub(crate) fn refused_name(names: &HostTable, name: &str) -> Option<(Reason, String)> {
    // Metadata names are special-use names, too, so most names are looked up once.
    let special = names::special_use(name);
    if special.is_some() && names::is_metadata(name) {
        return Some((Reason::NameMetadata, "is a metadata endpoint".into()));
    }
    let (reason, why) = match special {
        Some(special) => (
            Reason::NameSpecialUse,
            format!("is reserved for special use (`{special}`)"),
        ),
        None if name.contains('.') => return None,
        None => {
            let why = "has a single label, which search lists may expand";
            (Reason::NameSingleLabel, why.into())
        }
    };
    names.find(name, 0).is_none().then_some((reason, why))
}
