//! What to do about a refusal, in the words of this command line: where an option is the answer, the
//! hint names it.
//!
//! The registry's hints name settings of the shipped policy. Another policy that answers with a code of the
//! registry has settings of its own, and none of those.

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
};

use pinfold::{Decision, Denial, JudgedAddress, PolicyRef, policy::floor::is_floor};
use pinfold_addr::Reason;

/// The hint for a denial of these addresses, judged for this port; without a policy, before one was asked.
pub(crate) fn of(
    denial: &Denial,
    addresses: &[JudgedAddress],
    port: Option<u16>,
    policy: Option<&PolicyRef>,
) -> Option<Cow<'static, str>> {
    let reason = denial.reason()?;
    let is_of_other = policy.is_some_and(|policy| policy.name != SHIPPED);
    let judged = addresses
        .iter()
        .find(|judged| judged.denial.as_ref() == Some(denial));
    let hint = match (reason, judged, port) {
        (Reason::AddressFloor | Reason::AddressNotPublic, Some(judged), Some(port)) => {
            Some(of_address(judged, port))
        }
        _ => None,
    };
    match hint {
        Some(OfAddress::Operator(hint)) => Some(hint.into()),
        _ if is_of_other && names_settings(reason) => Some(OF_OTHER.into()),
        Some(OfAddress::Settings(hint)) => Some(hint.into()),
        None => of_reason(reason),
    }
}

/// What is to be done about an address, and by whom.
enum OfAddress {
    /// By the operator, whatever the policy is.
    Operator(String),
    /// In the settings of the shipped policy.
    Settings(String),
}

/// Whether the registry's hint leads to settings of the shipped policy.
const fn names_settings(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::AddressDenied
            | Reason::AddressNotPublic
            | Reason::AnswersMixed
            | Reason::HostDenied
            | Reason::HostNotAllowed
            | Reason::NameSpecialUse
            | Reason::PortDenied
            | Reason::SchemeDenied
            | Reason::SubjectDenied
    )
}

/// The hint for how a hop ended.
pub(crate) fn of_decision(denial: &Denial, decision: &Decision) -> Option<Cow<'static, str>> {
    let port = decision.target.rsplit(':').next();
    let port = port.and_then(|port| port.parse().ok());
    of(denial, &decision.addresses, port, Some(&decision.policy))
}

/// What the floor holds is never opened by a policy, and what wraps it is never opened at all.
fn of_address(judged: &JudgedAddress, port: u16) -> OfAddress {
    match (judged.embedded.as_slice(), judged.class) {
        ([], class) if is_floor(class) => OfAddress::Operator(grant(judged.address, port)),
        ([], _) => OfAddress::Settings(format!("{LIST_NETWORK} {SETTINGS}")),
        ([inner, ..], _) => {
            let inner = SocketAddr::new(inner.address.into(), port);
            let address = inner.ip();
            OfAddress::Operator(format!(
                "an address that wraps another is never granted: use and grant `{address}` itself (`--grant {inner}`)"
            ))
        }
    }
}

fn grant(address: IpAddr, port: u16) -> String {
    let peer = SocketAddr::new(address, port);
    format!("an operator may grant it (`--grant {peer}`)")
}

/// The registry's hint, with the option that it means; or one that the registry cannot give.
fn of_reason(reason: Reason) -> Option<Cow<'static, str>> {
    let own = match reason {
        Reason::DeadlineExceeded => "raise `--max-time`",
        Reason::RedirectTooMany => "raise `--max-redirects`, or fetch the final URL",
        Reason::ResolveFailed | Reason::ResolveTimeout => {
            "check the DNS servers, or name one with `--dns`"
        }
        Reason::ResponseInflated => "the response is a decompression bomb, or raise `--max-bytes`",
        Reason::ResponseTooLarge => "raise `--max-bytes`",
        Reason::TlsFailed => {
            "check the server's certificate, or name the authorities to trust with `--cacert`"
        }
        Reason::AnswersMixed
        | Reason::HostDenied
        | Reason::HostNotAllowed
        | Reason::NameSpecialUse
        | Reason::PortDenied
        | Reason::SchemeDenied
        | Reason::SubjectDenied => return Some(format!("{} {SETTINGS}", reason.hint()).into()),
        _ => reason.hint(),
    };
    Some(own.into())
}

const LIST_NETWORK: &str = "list the network in `networks.allow` of the policy if this is meant";
const SETTINGS: &str = "(`--settings`)";

/// The name of the policy inside this binary.
const SHIPPED: &str = "egress";

/// What can be said of a rule that only its author knows.
const OF_OTHER: &str = "a rule of this policy refuses it: `pinfold inspect` shows the settings that it takes (`--settings`)";

#[cfg(test)]
mod tests {
    use pinfold_addr::Classifier;

    use super::*;

    #[test]
    fn a_hint_never_leads_to_what_is_refused() {
        for (row, address, reason, hint) in [
            (
                "loopback, refused by the floor",
                "127.0.0.1",
                Reason::AddressFloor,
                "an operator may grant it (`--grant 127.0.0.1:8080`)",
            ),
            (
                "loopback, refused by the policy",
                "::1",
                Reason::AddressNotPublic,
                "an operator may grant it (`--grant [::1]:8080`)",
            ),
            (
                "private",
                "10.0.0.1",
                Reason::AddressNotPublic,
                "list the network in `networks.allow` of the policy if this is meant (`--settings`)",
            ),
            (
                "wrapped",
                "64:ff9b::7f00:1",
                Reason::AddressFloor,
                "an address that wraps another is never granted: use and grant `127.0.0.1` itself (`--grant 127.0.0.1:8080`)",
            ),
            (
                "metadata",
                "169.254.169.254",
                Reason::AddressMetadata,
                Reason::AddressMetadata.hint(),
            ),
        ] {
            let denial = Denial::new(reason, "");
            let found = Classifier::default().classify(address.parse().unwrap());
            let judged = JudgedAddress {
                address: found.address,
                class: found.class,
                embedded: found.embedded,
                granted: false,
                denial: Some(denial.clone()),
            };
            let shown = of(&denial, &[judged], Some(8080), None);
            assert_eq!(shown.as_deref(), Some(hint), "{row}");
        }
    }

    #[test]
    fn another_policy_has_settings_of_its_own() {
        for reason in Reason::ALL {
            let [shipped, other] = [SHIPPED, "partners"].map(|name| {
                let policy = policy(name);
                let hint = of(&Denial::new(*reason, ""), &[], None, Some(&policy)).unwrap();
                hint.into_owned()
            });
            let setting = ["schemes", "ports", ".allow", ".deny", "subjects", "mixed_"];
            let names = |hint: &str| setting.iter().any(|name| hint.contains(name));
            assert!(!names(&other), "{reason}: {other}");
            assert_eq!(names(&shipped), shipped != other, "{reason}: {shipped}");
        }
    }

    fn policy(name: &str) -> PolicyRef {
        serde_json::from_value(serde_json::json!({
            "name": name, "digest": "", "settings_digest": "", "generation": 1,
        }))
        .unwrap()
    }

    /// The name by which the shipped policy is known here is its own.
    #[test]
    fn the_shipped_policy_is_known_by_its_name() {
        let looked = pinfold::policy::inspect(&pinfold::policy::Source::Shipped).unwrap();
        assert_eq!(looked.description.unwrap().name, SHIPPED);
    }

    /// Every option that a hint names is one of the command line.
    #[test]
    fn the_options_of_hints_exist() {
        use clap::CommandFactory;

        let mut fetch = crate::Cli::command()
            .find_subcommand("fetch")
            .unwrap()
            .clone();
        let help = fetch.render_long_help().to_string();
        for reason in Reason::ALL {
            let hint = of_reason(*reason).unwrap();
            for option in hint.split('`').filter(|part| part.starts_with("--")) {
                assert!(help.contains(option), "{reason}: {hint}");
            }
        }
    }
}
