//! The rules, ready to decide.

use std::{fmt, net::IpAddr, sync::Arc};

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

/// A value, and whose it is.
#[derive(Clone, Debug)]
pub(crate) struct Setting<T> {
    pub(crate) value: T,
    pub(crate) origin: Origin,
}

/// Who wrote a section.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Origin {
    /// Nobody: what holds when the settings are silent.
    Default,
    Document,
    /// The rule for subjects at this position.
    Subject(usize),
}

impl Origin {
    /// JSON Pointer to the sections.
    pub(crate) fn pointer(self) -> String {
        match self {
            Self::Default | Self::Document => String::new(),
            Self::Subject(index) => format!("/subjects/{index}"),
        }
    }
}

impl<T> Setting<T> {
    /// How the operator finds it in the settings.
    pub(crate) fn name(&self, key: &str) -> String {
        match self.origin {
            Origin::Default | Origin::Document => key.into(),
            Origin::Subject(index) => format!("subjects[{index}].{key}"),
        }
    }
}

/// What stage two is asked about all answers of a request.
#[derive(Clone, Copy, Debug)]
struct Asked {
    scheme: Scheme,
    port: u16,
    /// Whether the URL has an address in place of a name.
    is_literal: bool,
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
        let target = &request.target;
        let asked = Scheme::from_name(&target.scheme).map(|scheme| Asked {
            scheme,
            port: target.port,
            is_literal: matches!(target.host, Host::Ip(_)),
        });
        let chain = self.check_chain(&resolution.chain, target.port);
        let judge = |answer| {
            let asked = asked.ok_or_else(|| self.scheme_denied(&target.scheme))?;
            chain.clone()?;
            self.judge(answer, asked)
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
        if let Some(refused) = refused_name(&self.names.value, name) {
            return Err(Denial::new(refused.reason(), format!("`{name}` {refused}")));
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
        // Whether a list of allowed hosts lets it pass is known in stage two: by its network, or by a grant.
        Ok(())
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
    fn judge(&self, answer: &Answer, asked: Asked) -> Result<(), Denial> {
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
        let rule = self.network_rule(*address, asked);
        if let Some(rule) = rule.filter(|rule| rule.effect == Effect::Deny) {
            return Err(self.address_denied(rule, address));
        }
        self.judge_embedded(answer, asked)?;
        if *granted || rule.is_some() {
            return Ok(());
        }
        // With a list of allowed hosts, an address needs a rule of its own: it has no name.
        if asked.is_literal && self.hosts.value.is_exclusive() {
            return Err(self.host_not_allowed(&address.to_string()));
        }
        let is_unwrapped = is_wrapper(*class) && !embedded.is_empty();
        if is_unwrapped && self.wrapped.value == Wrapped::Judge {
            return Ok(());
        }
        self.judge_class(*class, address)
    }

    fn network_rule(&self, address: IpAddr, asked: Asked) -> Option<&NetworkRule> {
        let networks = &self.networks.value;
        networks.find(address, asked.scheme, asked.port)
    }

    /// An interface identifier of the ISATAP form may be chance, so there the address inside is always
    /// judged; every other form is refused unless the settings say to judge it.
    fn judge_embedded(&self, answer: &Answer, asked: Asked) -> Result<(), Denial> {
        let address = answer.address;
        for inner in &answer.embedded {
            if inner.form != Embedding::Isatap && self.wrapped.value == Wrapped::Deny {
                return Err(self.address_wrapped(&address, inner));
            }
            self.judge_inner(inner, asked).map_err(|denial| {
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

    fn judge_inner(&self, inner: &Embedded, asked: Asked) -> Result<(), Denial> {
        match self.network_rule(inner.address.into(), asked) {
            Some(rule) if rule.effect == Effect::Deny => {
                Err(self.address_denied(rule, &inner.address))
            }
            Some(_) => Ok(()),
            None => self.judge_class(inner.class, &inner.address),
        }
    }

    fn judge_class(&self, class: Class, address: &dyn fmt::Display) -> Result<(), Denial> {
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

    fn address_denied(&self, rule: &NetworkRule, address: &dyn fmt::Display) -> Denial {
        let NetworkRule { index, network, .. } = rule;
        let name = self.networks.name(&format!("networks.deny[{index}]"));
        Denial::new(
            Reason::AddressDenied,
            format!("`{name}` {network} holds `{address}`"),
        )
    }

    fn address_wrapped(&self, address: &dyn fmt::Display, inner: &Embedded) -> Denial {
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

/// Why a name is refused before any list is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RefusedName {
    Metadata,
    /// It is, or is below, this one.
    SpecialUse(&'static str),
    SingleLabel,
}

/// Whether a name is refused before any list is asked; `names` holds the exceptions.
pub(crate) fn refused_name(names: &HostTable, name: &str) -> Option<RefusedName> {
    let refused = match names::special_use(name) {
        // Metadata names are special-use names, too, so most names are looked up once.
        Some(_) if names::is_metadata(name) => return Some(RefusedName::Metadata),
        Some(special) => RefusedName::SpecialUse(special),
        None if name.contains('.') => return None,
        None => RefusedName::SingleLabel,
    };
    names.find(name, 0).is_none().then_some(refused)
}

impl RefusedName {
    pub(crate) fn reason(self) -> Reason {
        match self {
            Self::Metadata => Reason::NameMetadata,
            Self::SpecialUse(_) => Reason::NameSpecialUse,
            Self::SingleLabel => Reason::NameSingleLabel,
        }
    }
}

impl fmt::Display for RefusedName {
    /// What follows the name in a sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Metadata => f.write_str("is a metadata endpoint"),
            Self::SpecialUse(special) => write!(f, "is reserved for special use (`{special}`)"),
            Self::SingleLabel => f.write_str("has a single label, which search lists may expand"),
        }
    }
}
