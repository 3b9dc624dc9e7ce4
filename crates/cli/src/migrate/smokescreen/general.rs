//! What is different whatever the files say.

use super::super::difference::{Differences, Kind};

/// What every client and operator will notice.
pub(super) fn add(differences: &mut Differences) {
    for (kind, about, was, now) in GENERAL {
        differences.add(*kind, about, *was, *now);
    }
}

const GENERAL: &[(Kind, &str, &str, &str)] = &[
    (
        Kind::Changed,
        "status of a denial",
        "407, without `Proxy-Authenticate`",
        "403; 407 only where credentials are missing or wrong",
    ),
    (
        Kind::Changed,
        "reason of a denial",
        "a sentence in the body and in `X-Smokescreen-Error`",
        "`Pinfold-Reason`, a stable code; never an address. The operator's log holds the whole decision",
    ),
    (
        Kind::Stricter,
        "classes of addresses",
        "private, loopback, link-local, CGNAT and three wrappers of IPv4 are refused",
        "so is every address that the IANA registries do not call globally reachable, and IPv4 in any wrapper",
    ),
    (
        Kind::Stricter,
        "special-use names and names of one label",
        "looked up like any other",
        "refused before the lookup, but for those in `names.allow`",
    ),
    (
        Kind::Stricter,
        "server name of TLS in a tunnel",
        "not looked at",
        "must be the host of the request (`tunnels.sni`)",
    ),
    (
        Kind::Stricter,
        "`https://` in absolute form",
        "fetched",
        "refused: clients use `CONNECT` for it",
    ),
    (
        Kind::Stricter,
        "deadlines",
        "idle tunnels stay open unless `idle_timeout` is set",
        "5 minutes of silence, 24 hours in all (`tunnels.idle`, `tunnels.lifetime`)",
    ),
    (
        Kind::Stricter,
        "environment",
        "`http_proxy`, `https_proxy` and `no_proxy` choose a further proxy",
        "not read: whoever dials for the gateway resolves for it",
    ),
    (
        Kind::Changed,
        "role of a client certificate",
        "its common name",
        "its SPIFFE identifier, else its first DNS name, else its common name",
    ),
    (
        Kind::Changed,
        "changed files",
        "read at the next start",
        "watched: tested, swapped while running, and what is open is judged again",
    ),
    (
        Kind::Changed,
        "several addresses of a name",
        "the first allowed one is tried",
        "all allowed ones are raced (RFC 8305)",
    ),
    (
        Kind::Changed,
        "decision log",
        "`CANONICAL-PROXY-DECISION` and `CANONICAL-PROXY-CN-CLOSE`",
        "`event` is `decision` and `end`; paths and queries are withheld",
    ),
];
