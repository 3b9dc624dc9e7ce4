//! What no guard can have recorded. An input that contradicts itself is refused when it is read.
//!
//! Whoever can write a log can forge it; but a forgery must at least be the record of a decision that could have
//! been made: addresses are what they are, the floor held, and the questions were asked in their order.

use std::net::{IpAddr, SocketAddr};

use ipnet::Ipv6Net;
use pinfold_addr::{Classifier, Embedded, Host, Reason};

use super::{Answered, Input};
use crate::{
    Denial, Grant, JudgedAddress,
    policy::{floor::Floor, oversized},
};

/// Refuses what no guard can have recorded.
pub(super) fn admit(input: &Input) -> Result<(), String> {
    sizes(input)?;
    lookup(input)?;
    for (judged, floor) in input.answers.iter().zip(&input.floor) {
        classes(input, judged, floor.as_ref())?;
    }
    host_came_first(input)?;
    targets_in_order(input)?;
    addresses_in_order(input)
}

/// A policy is not shown more than it takes, and so refuses nothing and allows nothing itself.
fn sizes(input: &Input) -> Result<(), String> {
    match oversized(&input.request) {
        Some(denial) if !input.answered.iter().all(Answered::is_refusal) => {
            Err(format!("`request`: {}", denial.detail()))
        }
        _ => Ok(()),
    }
}

/// A literal is its own, only answer; a name is looked up after all have allowed it, or their denial was told.
fn lookup(input: &Input) -> Result<(), String> {
    let addresses: Vec<_> = input.answers.iter().map(|judged| judged.address).collect();
    match input.request.target.host() {
        Host::Ip(literal) if addresses != [*literal] || !input.chain.is_empty() => Err(format!(
            "`answers`: the only answer of a literal is `{literal}`"
        )),
        Host::Domain(_) if addresses.is_empty() && !input.chain.is_empty() => {
            Err("`chain`: nothing was found, and so through no alias".into())
        }
        Host::Domain(_) if !addresses.is_empty() && !input.may_be_looked_up() => {
            Err("`answers`: a target that is refused is not looked up".into())
        }
        _ => Ok(()),
    }
}

/// Each address is what the classifier says of it, and what the floor says follows from that.
fn classes(input: &Input, judged: &JudgedAddress, floor: Option<&Denial>) -> Result<(), String> {
    let address = judged.address;
    let port = input.request.target.port();
    let peer = SocketAddr::new(address, port);
    let is_listener = floor.is_some_and(|denial| denial.reason() == Some(Reason::AddressOwn));
    let own = if is_listener { vec![peer] } else { Vec::new() };
    // What is granted shows in the record, not by which prefix; of what is never granted this is no grant.
    let grant: Vec<Grant> = match judged.granted {
        true => peer.to_string().parse().into_iter().collect(),
        false => Vec::new(),
    };
    let could_be = |classifier| {
        let found = Floor::new(grant.clone(), own.clone(), classifier).judge(address, port);
        let found = match input.request.target.host() {
            Host::Ip(_) => found,
            Host::Domain(_) => found.answered(),
        };
        (found.class, found.granted, found.denial.as_ref()) == (judged.class, judged.granted, floor)
            && is_same_set(&found.embedded, &judged.embedded)
    };
    match classifiers(address).any(could_be) {
        true => Ok(()),
        false => Err(format!(
            "`answers`: `{address}` is not what is written of it, or `floor` does not follow from it"
        )),
    }
}

/// In whatever order the operator wrote the prefixes.
fn is_same_set(one: &[Embedded], other: &[Embedded]) -> bool {
    let sorted = |all: &[Embedded]| {
        let mut all = all.to_vec();
        all.sort_by_key(|inner| (inner.form, inner.address, inner.class));
        all
    };
    sorted(one) == sorted(other)
}

/// The lengths that a prefix of NAT64 may have (RFC 6052, 2.2).
const NAT64_LENGTHS: [u8; 6] = [32, 40, 48, 56, 64, 96];

/// The classifiers of all operators there can be, as far as this address goes: what is inside it depends on
/// the lengths of those NAT64 prefixes of the operator that hold it, which are not in the record. The first knows
/// none.
fn classifiers(address: IpAddr) -> impl Iterator<Item = Classifier> {
    let sets: u8 = match address {
        IpAddr::V4(_) => 1,
        IpAddr::V6(_) => 1 << NAT64_LENGTHS.len(),
    };
    (0..sets).filter_map(move |set| {
        let lengths = NAT64_LENGTHS.iter().enumerate();
        let chosen = lengths.filter(|(at, _)| set >> at & 1 == 1);
        let prefixes = chosen.filter_map(|(_, length)| prefix(address, *length));
        Classifier::with_nat64(prefixes.collect()).ok()
    })
}

fn prefix(address: IpAddr, length: u8) -> Option<Ipv6Net> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(ip) => Some(Ipv6Net::new(ip, length).ok()?.trunc()),
    }
}

/// What host and floor refuse no policy is asked about.
fn host_came_first(input: &Input) -> Result<(), String> {
    match input.before_policies() {
        Err(denial) if input.was_asked() => Err(format!(
            "`answered`: the host refused this target before any policy was asked, with `{}`",
            denial.code()
        )),
        _ => Ok(()),
    }
}

/// Each policy answers once, and the first refusal ends the hop, unless it is only told.
fn targets_in_order(input: &Input) -> Result<(), String> {
    let all = &input.answered;
    let twice = |(at, answered): (usize, &Answered)| {
        let mut before = all.iter().take(at);
        before.any(|other| other.policy == answered.policy)
    };
    if all.iter().enumerate().any(twice) {
        return Err("`answered`: a policy answered twice".into());
    }
    let refused = all.iter().position(Answered::is_refusal);
    match refused {
        Some(at) if at + 1 < all.len() && !input.report.is_report() => {
            Err("`answered`: a policy was asked after another had refused".into())
        }
        _ => Ok(()),
    }
}

/// All policies judge the addresses of a target that all have allowed, or whose denial alone was told, until one fails;
/// or none does, when the caller gave up.
fn addresses_in_order(input: &Input) -> Result<(), String> {
    let judged = |answered: &&Answered| matches!(answered.addresses, Some(Ok(_)));
    let failed = |answered: &&Answered| matches!(answered.addresses, Some(Err(_)));
    let all = &input.answered;
    let well = all.iter().take_while(judged).count();
    let ill = usize::from(all.iter().skip(well).take(1).any(|next| failed(&next)));
    let wrong = match () {
        () if all
            .iter()
            .skip(well + ill)
            .any(|answered| answered.addresses.is_some()) =>
        {
            "judged after a policy before had failed, or had not been asked"
        }
        () if well > 0 && ill == 0 && well < all.len() => "not judged by all policies",
        () if well + ill > 0 && input.answers.is_empty() => "judged, and there are none",
        () if well + ill > 0 && input.admitted_to_policies(all).is_err() => {
            "judged of a refused target"
        }
        () => return Ok(()),
    };
    Err(format!("`answered.addresses`: {wrong}"))
}
