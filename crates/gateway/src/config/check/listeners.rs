//! Listeners, the one for operators included: names, binds, TLS, who asks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Bind, Config, Found, Key, is_local, twice};
use crate::config::{ClientAuth, Identity, Listener, Mode, Protocol, Way};

pub(super) fn check(config: &Config, found: &mut Found) {
    found.say_if(
        config.listener.is_empty(),
        Key::of("listener"),
        "there is no listener",
        "leave `listener` out for the default one, or write a `[[listener]]`",
    );
    for (at, listener) in config.listener.iter().enumerate() {
        let key = Key::of("listener").at(at);
        name(listener, &key, found);
        earlier(config, at, listener, &key, found);
        socket(listener, &key, found);
        protocols(listener, &key, found);
        tls(listener, &key, found);
        for_envoy(listener, &key, found);
        identity(listener, &key.then("identity"), found);
    }
    admin(config, found);
}

fn name(listener: &Listener, key: &Key, found: &mut Found) {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
    let name = &listener.name;
    if !(1..=64).contains(&name.len()) || !name.bytes().all(plain) {
        let message = format!("`{}` is no name of a listener", name.escape_debug());
        let hint = "use up to 64 of `a-z`, `0-9`, `-`, `.` and `_`";
        found.say(key.then("name"), message, hint);
    }
}

/// What a listener before it has taken.
fn earlier(config: &Config, at: usize, listener: &Listener, key: &Key, found: &mut Found) {
    let before = config.listener.iter().take(at);
    let name = &listener.name;
    if before.clone().any(|other| other.name == *name) {
        let message = format!("two listeners are named `{name}`");
        found.say(key.then("name"), message, "give each its own `name`");
    }
    if let Some(other) = before
        .clone()
        .find(|other| overlap(&other.bind, &listener.bind))
    {
        let message = format!(
            "the listeners `{}` and `{name}` are both at `{}`",
            other.name, listener.bind
        );
        found.say(key.then("bind"), message, "give each its own `bind`");
    }
}

fn socket(listener: &Listener, key: &Key, found: &mut Found) {
    let tcp = matches!(listener.bind, Bind::Tcp(_));
    let unix = matches!(listener.bind, Bind::Unix(_));
    found.say_if(
        !unix && listener.unix_mode != Mode::new(0o660),
        key.then("unix_mode"),
        "`unix_mode` is for a Unix socket that is made here",
        "leave it out, or bind to `unix:PATH`",
    );
    found.say_if(
        !tcp && listener.reuse_port,
        key.then("reuse_port"),
        "`reuse_port` is for an address of TCP",
        "leave it out, or bind to an address",
    );
    let Some(proxy) = &listener.proxy_protocol else {
        return;
    };
    let key = key.then("proxy_protocol");
    found.say_if(
        proxy.from.is_empty(),
        key.then("from"),
        "`proxy_protocol` is on, and nobody may send a PROXY header",
        "list the networks of your load balancers in `from`",
    );
    found.say_if(
        unix,
        key,
        "a PROXY header is believed by its network, and a Unix socket has none",
        "leave `proxy_protocol` out, or bind to an address",
    );
}

fn protocols(listener: &Listener, key: &Key, found: &mut Found) {
    let key = key.then("protocols");
    found.say_if(
        listener.protocols.is_empty(),
        key.clone(),
        "a listener that speaks nothing serves nobody",
        "leave `protocols` out for both, or list `http` or `socks5`",
    );
    found.say_if(
        twice(&listener.protocols).is_some(),
        key,
        "a protocol is listed twice",
        "list each once",
    );
}

/// Whoever asks in the name of an Envoy names whom it likes, and learns what names resolve to.
fn for_envoy(listener: &Listener, key: &Key, found: &mut Found) {
    if !listener.protocols.contains(&Protocol::Envoy) {
        return;
    }
    found.say_if(
        listener.protocols.len() > 1,
        key.then("protocols"),
        "an Envoy asks on a listener of its own",
        "write a `[[listener]]` with `protocols = [\"envoy\"]` alone",
    );
    found.say_if(
        matches!(listener.bind, Bind::Tcp(_)) && !is_local(&listener.bind) && !listener.proves(),
        key.then("bind"),
        "whoever reaches this listener could ask as if it were an Envoy",
        "bind to loopback or a Unix socket, or add `tls` with a `client_ca`, and certificates `required`",
    );
    found.say_if(
        listener.proxy_protocol.is_some(),
        key.then("proxy_protocol"),
        "who connects here is an Envoy, which says itself for whom it asks",
        "leave `proxy_protocol` out",
    );
}

fn tls(listener: &Listener, key: &Key, found: &mut Found) {
    let Some(tls) = listener.tls.as_ref().filter(|tls| tls.client_ca.is_empty()) else {
        return;
    };
    let key = key.then("tls");
    found.say_if(
        !tls.client_crl.is_empty(),
        key.then("client_crl"),
        "`client_crl` revokes certificates of a `client_ca`, and there is none",
        "add `client_ca`, or leave `client_crl` out",
    );
    found.say_if(
        tls.client_auth != ClientAuth::Required,
        key.then("client_auth"),
        "`client_auth` is about certificates of a `client_ca`, and there is none",
        "add `client_ca`, or leave `client_auth` out",
    );
}

fn identity(listener: &Listener, key: &Key, found: &mut Found) {
    let identity = &listener.identity;
    let ways = key.then("ways");
    if let Some((at, _)) = twice(&identity.ways) {
        found.say(ways.at(at), "a way is listed twice", "list each once");
    }
    found.say_if(
        identity.required && identity.ways.is_empty(),
        key.then("required"),
        "`required` asks for a subject, and no way finds one",
        "list `ways`, or leave `required` out",
    );
    for (at, way) in identity.ways.iter().enumerate() {
        if let Some((message, hint)) = hopeless(listener, *way) {
            found.say(ways.at(at), message, hint);
        }
    }
    unused(identity, key, found);
}

/// A way that can never name anybody on this listener.
fn hopeless(listener: &Listener, way: Way) -> Option<(&'static str, &'static str)> {
    let has_ca = has_ca(listener);
    let speaks = |protocol| listener.protocols.contains(&protocol);
    let identity = &listener.identity;
    let wrong = match way {
        Way::Envoy if !speaks(Protocol::Envoy) => (
            "the way `envoy` needs an Envoy that asks, and this listener does not speak `envoy`",
            "use `mtls`, or add `protocols = [\"envoy\"]`",
        ),
        Way::Envoy => return None,
        _ if speaks(Protocol::Envoy) => (
            "who connects here is an Envoy: only it knows its clients",
            "use the way `envoy`",
        ),
        Way::Mtls if !has_ca => (
            "the way `mtls` needs certificates, and no `client_ca` says whose are good",
            "add `tls.client_ca` to the listener, or take `mtls` out",
        ),
        Way::Basic | Way::Bearer if identity.credentials.is_none() => (
            "the ways `basic` and `bearer` need `credentials`, and there are none",
            "name the file that `pinfold credential` writes entries for",
        ),
        Way::Bearer if !speaks(Protocol::Http) => (
            "the way `bearer` needs `http`: SOCKS5 has user names and passwords alone",
            "use `basic`, or add `http` to `protocols`",
        ),
        Way::Unix if matches!(listener.bind, Bind::Tcp(_)) => (
            "the way `unix` needs a Unix socket, and this listener is at an address",
            "bind to `unix:PATH`, or take `unix` out",
        ),
        Way::Source if matches!(listener.bind, Bind::Unix(_)) => (
            "the way `source` needs an address, and this listener is a Unix socket",
            "use `unix`, or bind to an address",
        ),
        Way::Source if identity.networks.is_empty() => (
            "the way `source` needs `networks`, and there are none",
            "name subjects by network in `identity.networks`",
        ),
        _ => return None,
    };
    Some(wrong)
}

fn has_ca(listener: &Listener) -> bool {
    let tls = listener.tls.as_ref();
    tls.is_some_and(|tls| !tls.client_ca.is_empty())
}

/// What is given for a way that is not tried: the operator believes it counts.
fn unused(identity: &Identity, key: &Key, found: &mut Found) {
    let tries = |way| identity.ways.contains(&way);
    found.say_if(
        identity.credentials.is_some() && !tries(Way::Basic) && !tries(Way::Bearer),
        key.then("credentials"),
        "there are `credentials`, and neither `basic` nor `bearer` is among the `ways`",
        "add one of them to `ways`, or leave `credentials` out",
    );
    found.say_if(
        !identity.networks.is_empty() && !tries(Way::Source),
        key.then("networks"),
        "there are `networks`, and `source` is not among the `ways`",
        "add it to `ways`, or leave `networks` out",
    );
    found.say_if(
        !identity.users.is_empty() && !tries(Way::Unix),
        key.then("users"),
        "there are `users`, and `unix` is not among the `ways`",
        "add it to `ways`, or leave `users` out",
    );
    for network in identity.networks.keys() {
        if network.addr() != network.network() {
            let message =
                format!("the network `{network}` has bits beyond the length of its prefix");
            let hint = format!("write `{}`", network.trunc());
            found.say(key.then("networks").named(network), message, hint);
        }
    }
}

fn admin(config: &Config, found: &mut Found) {
    let (admin, key) = (&config.admin, Key::of("admin"));
    if !admin.enabled {
        return;
    }
    if let Some(other) = config
        .listener
        .iter()
        .find(|other| overlap(&other.bind, &admin.bind))
    {
        let message = format!(
            "the listener `{}` and the one for operators are both at `{}`",
            other.name, admin.bind
        );
        found.say(key.then("bind"), message, "give each its own `bind`");
    }
    let has_ca = admin
        .tls
        .as_ref()
        .is_some_and(|tls| !tls.client_ca.is_empty());
    found.say_if(
        // Where an inherited socket is turns out at start; beyond loopback nothing but health is answered then.
        matches!(admin.bind, Bind::Tcp(_))
            && !is_local(&admin.bind)
            && admin.token_file.is_none()
            && !has_ca,
        key.then("bind"),
        "operators would be let in from everywhere, whoever they are",
        "bind to loopback or a Unix socket, or add `token_file` or `tls` with a `client_ca`",
    );
    found.say_if(
        admin.tls.is_some() && matches!(admin.bind, Bind::Unix(_)),
        key.then("tls"),
        "a Unix socket needs no TLS: its mode says who may connect",
        "leave `tls` out, or bind to an address",
    );
    found.say_if(
        !matches!(admin.bind, Bind::Unix(_)) && admin.unix_mode != Mode::new(0o600),
        key.then("unix_mode"),
        "`unix_mode` is for a Unix socket that is made here",
        "leave it out, or bind to `unix:PATH`",
    );
}

/// Whether one socket would stand in the way of the other. Port 0 never does.
fn overlap(one: &Bind, other: &Bind) -> bool {
    let (Bind::Tcp(one), Bind::Tcp(other)) = (one, other) else {
        return one == other;
    };
    // Any address of IPv6 takes IPv4 as well, where the system says so.
    let all = |ip: IpAddr, of: IpAddr| match ip {
        IpAddr::V4(ip) => ip == Ipv4Addr::UNSPECIFIED && of.is_ipv4(),
        IpAddr::V6(ip) => ip == Ipv6Addr::UNSPECIFIED && of.is_ipv6(),
    };
    let (a, b) = (one.ip(), other.ip());
    one.port() != 0 && one.port() == other.port() && (a == b || all(a, b) || all(b, a))
}
