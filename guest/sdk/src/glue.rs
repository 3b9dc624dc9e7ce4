//! Between the generated bindings and a [`Policy`]: conversions, and the one instance of a component.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::OnceLock,
};

use pinfold_addr::{Class, Embedded, Embedding, Reason};

use crate::{
    Answer, Decision, Denial, Description, Host, Policy, Problem, Request, Resolution, Spelling,
    Target, Terms, Verdict,
    bindings::{exports::pinfold::policy::settings as wit_settings, pinfold::policy::types as wit},
    settings,
};

/// Where a component keeps its configured policy. Filled once, by `configure`.
pub type Slot<P> = OnceLock<P>;

/// `describe` of the world.
pub fn describe<P: Policy>() -> wit_settings::Description {
    let Description {
        name,
        version,
        summary,
        settings_schema,
    } = P::describe();
    wit_settings::Description {
        name,
        version,
        summary,
        settings_schema,
    }
}

/// `configure` of the world.
pub fn configure<P: Policy>(
    slot: &Slot<P>,
    json: String,
) -> Result<(), Vec<wit_settings::Problem>> {
    let read = settings::read(&json);
    // First, so that what the policy builds finds its place where the document was.
    settings::scrub(json);
    let policy = crate::configure_from::<P>(read)
        .map_err(|problems| problems.into_iter().map(Into::into).collect::<Vec<_>>())?;
    slot.set(policy)
        .map_err(|_| vec![Problem::new("", "`configure` was called before").into()])
}

/// `check-target` of the world. Without settings everything is denied.
pub fn check_target<P: Policy>(slot: &Slot<P>, request: wit::Request) -> wit::Decision {
    let request = request.into();
    slot.get()
        .map_or_else(
            || Decision::Deny(unconfigured()),
            |policy| policy.check_target(&request),
        )
        .into()
}

/// `check-addresses` of the world. Without settings everything is denied.
pub fn check_addresses<P: Policy>(
    slot: &Slot<P>,
    request: wit::Request,
    resolution: wit::Resolution,
) -> Vec<wit::Verdict> {
    let (request, resolution) = (request.into(), Resolution::from(resolution));
    let verdicts = match slot.get() {
        Some(policy) => policy.check_addresses(&request, &resolution),
        None => resolution
            .answers
            .iter()
            .map(|_| Verdict::Deny(unconfigured()))
            .collect(),
    };
    verdicts.into_iter().map(Into::into).collect()
}

fn unconfigured() -> Denial {
    Denial::new(
        Reason::PolicyMissing,
        "the policy was asked before it was given its settings",
    )
}

impl From<Problem> for wit_settings::Problem {
    fn from(Problem { path, message }: Problem) -> Self {
        Self { path, message }
    }
}

impl From<wit::Request> for Request {
    fn from(
        wit::Request {
            target,
            method,
            subject,
            labels,
            hop,
            previous,
        }: wit::Request,
    ) -> Self {
        Self {
            target: target.into(),
            method,
            subject,
            labels,
            hop,
            previous: previous.map(Into::into),
        }
    }
}

impl From<wit::Target> for Target {
    fn from(
        wit::Target {
            scheme,
            host,
            port,
            path,
            query,
            spelling,
        }: wit::Target,
    ) -> Self {
        Self {
            scheme,
            host: host.into(),
            port,
            path,
            query,
            spelling: spelling.into(),
        }
    }
}

impl From<wit::TargetHost> for Host {
    fn from(host: wit::TargetHost) -> Self {
        match host {
            wit::TargetHost::Domain(name) => Self::Domain(name),
            wit::TargetHost::Ip(address) => Self::Ip(ip(address)),
        }
    }
}

impl From<wit::Spelling> for Spelling {
    fn from(spelling: wit::Spelling) -> Self {
        Self {
            userinfo: spelling.contains(wit::Spelling::USERINFO),
            non_canonical_literal: spelling.contains(wit::Spelling::NON_CANONICAL_LITERAL),
        }
    }
}

impl From<wit::Resolution> for Resolution {
    fn from(wit::Resolution { chain, answers }: wit::Resolution) -> Self {
        Self {
            chain,
            answers: answers.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<wit::Answer> for Answer {
    fn from(
        wit::Answer {
            address,
            class: known,
            embedded,
            granted,
        }: wit::Answer,
    ) -> Self {
        Self {
            address: ip(address),
            class: class(known),
            embedded: embedded.into_iter().map(embed).collect(),
            granted,
        }
    }
}

impl From<Decision> for wit::Decision {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Allow(terms) => Self::Allow(terms.into()),
            Decision::Deny(denial) => Self::Deny(denial.into()),
        }
    }
}

impl From<Verdict> for wit::Verdict {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Allow => Self::Allow,
            Verdict::Deny(denial) => Self::Deny(denial.into()),
        }
    }
}

impl From<Denial> for wit::Denial {
    fn from(denial: Denial) -> Self {
        let (code, message) = denial.into_parts();
        Self { code, message }
    }
}

impl From<Terms> for wit::Terms {
    fn from(
        Terms {
            connect_timeout_ms,
            total_timeout_ms,
            response_kib,
            redirects,
            https_only,
        }: Terms,
    ) -> Self {
        Self {
            connect_timeout_ms,
            total_timeout_ms,
            response_kib,
            redirects,
            https_only,
        }
    }
}

fn ip(address: wit::IpAddress) -> IpAddr {
    match address {
        wit::IpAddress::Ipv4((a, b, c, d)) => Ipv4Addr::new(a, b, c, d).into(),
        wit::IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => {
            Ipv6Addr::new(a, b, c, d, e, f, g, h).into()
        }
    }
}

fn embed(
    wit::Embedded {
        form,
        address: (a, b, c, d),
        class: known,
    }: wit::Embedded,
) -> Embedded {
    Embedded {
        form: embedding(form),
        address: Ipv4Addr::new(a, b, c, d),
        class: class(known),
    }
}

/// Case by case, so that a case that only one side has does not compile.
fn class(class: wit::AddressClass) -> Class {
    match class {
        wit::AddressClass::Public => Class::Public,
        wit::AddressClass::Unspecified => Class::Unspecified,
        wit::AddressClass::Loopback => Class::Loopback,
        wit::AddressClass::Private => Class::Private,
        wit::AddressClass::Shared => Class::Shared,
        wit::AddressClass::LinkLocal => Class::LinkLocal,
        wit::AddressClass::UniqueLocal => Class::UniqueLocal,
        wit::AddressClass::SiteLocal => Class::SiteLocal,
        wit::AddressClass::Multicast => Class::Multicast,
        wit::AddressClass::Broadcast => Class::Broadcast,
        wit::AddressClass::Documentation => Class::Documentation,
        wit::AddressClass::Benchmarking => Class::Benchmarking,
        wit::AddressClass::Protocol => Class::Protocol,
        wit::AddressClass::SpecialGlobal => Class::SpecialGlobal,
        wit::AddressClass::Translated => Class::Translated,
        wit::AddressClass::Tunnelled => Class::Tunnelled,
        wit::AddressClass::Reserved => Class::Reserved,
        wit::AddressClass::Metadata => Class::Metadata,
    }
}

/// Case by case, as above.
fn embedding(form: wit::Embedding) -> Embedding {
    match form {
        wit::Embedding::Mapped => Embedding::Mapped,
        wit::Embedding::Compatible => Embedding::Compatible,
        wit::Embedding::Siit => Embedding::Siit,
        wit::Embedding::Nat64 => Embedding::Nat64,
        wit::Embedding::SixToFour => Embedding::SixToFour,
        wit::Embedding::TeredoServer => Embedding::TeredoServer,
        wit::Embedding::TeredoClient => Embedding::TeredoClient,
        wit::Embedding::Isatap => Embedding::Isatap,
    }
}
