//! What to do about a refusal, in the words of this command line: where an option is the answer, the
//! hint names it.

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
};

use pinfold::{Decision, Denial, JudgedAddress};
use pinfold_addr::{Class, Reason};

/// The hint for a denial of these addresses, judged for this port.
pub(crate) fn of(
    denial: &Denial,
    addresses: &[JudgedAddress],
    port: Option<u16>,
) -> Option<Cow<'static, str>> {
    let reason = denial.reason()?;
    let judged = addresses
        .iter()
        .find(|judged| judged.denial.as_ref() == Some(denial));
    let hint = match (reason, judged, port) {
        (Reason::AddressFloor | Reason::AddressNotPublic, Some(judged), Some(port)) => {
            of_address(judged, port)
        }
        _ => None,
    };
    hint.map(Cow::Owned).or_else(|| of_reason(reason))
}

/// The hint for how a hop ended.
pub(crate) fn of_decision(denial: &Denial, decision: &Decision) -> Option<Cow<'static, str>> {
    let port = decision.target.rsplit(':').next();
    let port = port.and_then(|port| port.parse().ok());
    of(denial, &decision.addresses, port)
}

/// What the floor holds is never opened by a policy, and what wraps it is never opened at all.
fn of_address(judged: &JudgedAddress, port: u16) -> Option<String> {
    match (judged.embedded.as_slice(), judged.class) {
        ([], class) if is_floor(class) => Some(grant(judged.address, port)),
        ([], _) => Some(format!("{LIST_NETWORK} {SETTINGS}")),
        ([inner, ..], _) => {
            let inner = SocketAddr::new(inner.address.into(), port);
            let address = inner.ip();
            Some(format!(
                "an address that wraps another is never granted: use and grant `{address}` itself (`--grant {inner}`)"
            ))
        }
    }
}

fn grant(address: IpAddr, port: u16) -> String {
    let peer = SocketAddr::new(address, port);
    format!("an operator may grant it (`--grant {peer}`)")
}

const fn is_floor(class: Class) -> bool {
    matches!(
        class,
        Class::Unspecified
            | Class::Loopback
            | Class::LinkLocal
            | Class::Multicast
            | Class::Broadcast
    )
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
            let shown = of(&denial, &[judged], Some(8080));
            assert_eq!(shown.as_deref(), Some(hint), "{row}");
        }
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
