//! What is done about how a client opens. No I/O.

use std::net::Ipv4Addr;

use super::hello::Opening;
use crate::{
    Config,
    config::{NonTls, Sni},
};

/// What is looked for at the beginning of a tunnel.
///
/// The first row that applies, where *demanded* means that the terms say `https_only`, and 443 that the port is 443:
///
/// | opening | when | code | enforced |
/// |---|---|---|---|
/// | not TLS | demanded, or 443 with `non_tls = "deny"` | `tunnel-not-tls` | yes |
/// | not TLS | 443 with `non_tls = "log"`, or demanded in report mode | `tunnel-not-tls` | no |
/// | unreadable | `sni = "enforce"`, demanded, or 443 with `non_tls = "deny"` | `sni-unreadable` | yes |
/// | unreadable | otherwise | `sni-unreadable` | no |
/// | TLS, no name | asked for a name, `sni = "enforce"` or `"log"` | `sni-missing` | as `sni` says |
/// | TLS, another name | `sni = "enforce"` or `"log"` | `sni-mismatch` | as `sni` says |
///
/// A missing name is a mismatch: the server chooses another one than was judged. So is a name where an address was
/// asked for: the rules about names did not see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) sni: Sni,
    pub(super) non_tls: NonTls,
}

/// Whether the terms demand TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Demand {
    No,
    /// They do, for somebody for whom the policy only reports.
    Reported,
    Yes,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Place<'a> {
    /// The name; none when it was an address.
    pub(super) name: Option<&'a str>,
    pub(super) https_port: bool,
}

/// Something that operators want to know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Finding {
    pub(super) code: &'static str,
    pub(super) seen: Option<String>,
    /// Whether the tunnel is closed for it.
    pub(super) enforced: bool,
}

impl Rules {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            sni: config.tunnels.sni,
            non_tls: config.tunnels.non_tls,
        }
    }

    /// Whether anything depends on the opening.
    pub(super) fn look(self, place: Place<'_>, demand: Demand) -> bool {
        let non_tls = place.https_port && self.non_tls != NonTls::Allow;
        self.sni != Sni::Off || non_tls || demand != Demand::No
    }

    /// What there is to say about an opening.
    pub(super) fn find(
        self,
        opening: Opening,
        place: Place<'_>,
        demand: Demand,
    ) -> Option<Finding> {
        match opening {
            Opening::NotTls => self.not_tls(place, demand),
            Opening::Unreadable(why) => Some(Finding {
                code: "sni-unreadable",
                seen: Some(why.into()),
                enforced: self.sni == Sni::Enforce || self.demands_tls(place, demand),
            }),
            Opening::Tls(_) if self.sni == Sni::Off => None,
            Opening::Tls(seen) if seen.as_deref() == place.name => None,
            Opening::Tls(seen) => Some(Finding {
                code: match seen {
                    None => "sni-missing",
                    Some(_) => "sni-mismatch",
                },
                seen,
                enforced: self.sni == Sni::Enforce,
            }),
        }
    }

    fn not_tls(self, place: Place<'_>, demand: Demand) -> Option<Finding> {
        let enforced = self.demands_tls(place, demand);
        let logged = place.https_port && self.non_tls == NonTls::Log;
        let told = enforced || logged || demand == Demand::Reported;
        told.then_some(Finding {
            code: "tunnel-not-tls",
            seen: None,
            enforced,
        })
    }

    fn demands_tls(self, place: Place<'_>, demand: Demand) -> bool {
        demand == Demand::Yes || (place.https_port && self.non_tls == NonTls::Deny)
    }
}

impl<'a> Place<'a> {
    /// Of a canonical `host:port`.
    pub(super) fn of(authority: &'a str) -> Self {
        let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
        let address = host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok();
        Self {
            name: (!address).then_some(host),
            https_port: port == "443",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(code: &'static str, seen: Option<&str>, enforced: bool) -> Option<Finding> {
        Some(Finding {
            code,
            seen: seen.map(Into::into),
            enforced,
        })
    }

    fn tls(name: &str) -> Opening {
        Opening::Tls(Some(name.into()))
    }

    #[test]
    fn a_place_is_a_name_or_an_address() {
        let rows = [
            ("example.com:443", Some("example.com"), true),
            ("example.com:8443", Some("example.com"), false),
            ("192.0.2.1:443", None, true),
            ("[2001:db8::1]:443", None, true),
            ("[2001:db8::443]:80", None, false),
        ];
        for (authority, name, https_port) in rows {
            assert_eq!(
                Place::of(authority),
                Place { name, https_port },
                "{authority}"
            );
        }
    }

    #[test]
    fn the_server_name_is_the_host_or_something_is_said() {
        let (name, address) = ("example.com:8443", "192.0.2.1:443");
        let rows = [
            ("the same", name, tls("example.com"), None),
            ("another", name, tls("evil.example"), Some("sni-mismatch")),
            ("below", name, tls("www.example.com"), Some("sni-mismatch")),
            ("above", name, tls("com"), Some("sni-mismatch")),
            ("none", name, Opening::Tls(None), Some("sni-missing")),
            ("none, for an address", address, Opening::Tls(None), None),
            (
                "one, for an address",
                address,
                tls("evil.example"),
                Some("sni-mismatch"),
            ),
            (
                "unreadable",
                name,
                Opening::Unreadable("why"),
                Some("sni-unreadable"),
            ),
            ("not TLS", name, Opening::NotTls, None),
        ];
        for (row, place, opening, code) in rows {
            let place = Place::of(place);
            for (sni, enforced) in [(Sni::Enforce, true), (Sni::Log, false)] {
                let rules = Rules {
                    sni,
                    non_tls: NonTls::Allow,
                };
                let found = rules.find(opening.clone(), place, Demand::No);
                let found = found.map(|found| (found.code, found.enforced));
                assert_eq!(found, code.map(|code| (code, enforced)), "{row}, {sni:?}");
            }
            let off = Rules {
                sni: Sni::Off,
                non_tls: NonTls::Allow,
            };
            assert!(!off.look(place, Demand::No), "{row}");
        }
    }

    #[test]
    fn what_is_not_tls_is_closed_where_tls_is_demanded() {
        use {Demand::*, NonTls::*};
        let not_tls = |enforced| finding("tunnel-not-tls", None, enforced);
        let rows = [
            ("443, allow", "a.example:443", Allow, No, None),
            ("443, log", "a.example:443", Log, No, not_tls(false)),
            ("443, deny", "a.example:443", Deny, No, not_tls(true)),
            ("22, deny", "a.example:22", Deny, No, None),
            ("22, demanded", "a.example:22", Allow, Yes, not_tls(true)),
            (
                "22, reported",
                "a.example:22",
                Allow,
                Reported,
                not_tls(false),
            ),
            (
                "443, log, demanded",
                "a.example:443",
                Log,
                Yes,
                not_tls(true),
            ),
            (
                "443, deny, reported",
                "a.example:443",
                Deny,
                Reported,
                not_tls(true),
            ),
        ];
        for (row, authority, non_tls, demand, expected) in rows {
            for sni in [Sni::Off, Sni::Log, Sni::Enforce] {
                let rules = Rules { sni, non_tls };
                let place = Place::of(authority);
                assert_eq!(
                    rules.find(Opening::NotTls, place, demand),
                    expected,
                    "{row}, {sni:?}"
                );
                assert!(
                    expected.is_none() || rules.look(place, demand),
                    "{row}, {sni:?}"
                );
            }
        }
    }

    #[test]
    fn what_is_unreadable_is_closed_when_anything_is_demanded_of_it() {
        use {Demand::*, NonTls::*};
        let rows = [
            (Sni::Off, Deny, No, true),
            (Sni::Off, Log, No, false),
            (Sni::Off, Allow, Yes, true),
            (Sni::Log, Allow, No, false),
            (Sni::Log, Allow, Reported, false),
            (Sni::Enforce, Allow, No, true),
        ];
        for (sni, non_tls, demand, enforced) in rows {
            let rules = Rules { sni, non_tls };
            let found = rules.find(
                Opening::Unreadable("why"),
                Place::of("a.example:443"),
                demand,
            );
            let expected = finding("sni-unreadable", Some("why"), enforced);
            assert_eq!(found, expected, "{sni:?}, {non_tls:?}, {demand:?}");
        }
    }
}
