//! `classify`: the one definition of "private" in this project.

use alloc::vec::Vec;
use core::net::IpAddr;

use ipnet::Ipv6Net;

use crate::{Class, Embedded};

/// An address with all that the registries say of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Classified {
    /// The address.
    pub address: IpAddr,
    /// Its class.
    pub class: Class,
    /// Every IPv4 address inside it.
    pub embedded: Vec<Embedded>,
}

/// Classifies addresses; knows the operator's NAT64 prefixes.
#[derive(Clone, Debug, Default)]
pub struct Classifier {
    nat64: Vec<Ipv6Net>,
}

/// A prefix whose length is none of RFC 6052's 32, 40, 48, 56, 64, 96.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InvalidNat64Prefix(pub Ipv6Net);

impl Classifier {
    /// A classifier that also unwraps the operator's NAT64 prefixes (RFC 6052).
    pub fn with_nat64(prefixes: Vec<Ipv6Net>) -> Result<Self, InvalidNat64Prefix> {
        Ok(Self { nat64: prefixes })
    }

    /// What this address is.
    pub fn classify(&self, address: IpAddr) -> Classified {
        let _ = (&self.nat64, address);
        todo!()
    }
}
