//! What the gateway says of itself when it starts, on standard error.

use pinfold_gateway::{
    Config, Descriptors, Gateway,
    config::{Bind, Listener, LogTo, Protocol, Way},
};

use super::Args;
use crate::output::{self, LABEL};

/// What it does, where, under which policy; how to try it, and how to change it.
pub(super) fn welcome(args: &Args, config: &Config, gateway: &Gateway) {
    output::note(format_args!(
        "Pinfold gateway {}",
        env!("CARGO_PKG_VERSION")
    ));
    for (listener, bound) in config.listener.iter().zip(gateway.listening()) {
        line("listener", &self::listener(listener, &bound.bind));
    }
    line("operators", &operators(config, gateway));
    line("policy", &gateway.policies().join(", then "));
    line("refused", refused(config));
    line("decisions", &decisions(&config.records.log.to));
    for fallback in gateway.fallbacks() {
        line("slower", &fallback);
    }
    warn(&bound(config, gateway));
    if args.config.is_none() {
        invite(gateway);
    }
}

/// Risky settings.
pub(super) fn warn(config: &Config) {
    for risk in config.risks() {
        warning(&risk);
    }
}

/// Folders that somebody has to make before the start.
pub(super) fn warn_of_unmade(config: &Config) {
    for problem in config.unmade() {
        warning(&format!(
            "{}: a start needs it; a unit makes it with `RuntimeDirectory=`, `CacheDirectory=` or `LogsDirectory=`",
            problem.message()
        ));
    }
}

/// Too few open files for the limits.
pub(super) fn warn_of_files(files: &Descriptors) {
    if let Some(allowed) = files.allowed.filter(|_| files.is_short()) {
        let needed = files.needed;
        warning(&format!(
            "the system allows {allowed} open files, and the limits need {needed}: raise it (`ulimit -n`, \
             `LimitNOFILE=`), or lower `limits.connections` and `limits.tunnels`"
        ));
    }
}

/// With the addresses that sockets of the service manager turned out to have.
fn bound(config: &Config, gateway: &Gateway) -> Config {
    let mut bound = config.clone();
    for (listener, found) in bound.listener.iter_mut().zip(gateway.listening()) {
        if let Ok(bind) = found.bind.parse() {
            listener.bind = bind;
        }
    }
    bound
}

/// Where a listener is, what it speaks, and whether it asks for a name.
pub(super) fn listener(listener: &Listener, bind: &str) -> String {
    let protocols: Vec<_> = listener.protocols.iter().map(protocol).collect();
    let tls = if listener.tls.is_some() {
        " under TLS"
    } else {
        ""
    };
    let ways: Vec<_> = listener.identity.ways.iter().map(way).collect();
    let who = match (ways.is_empty(), listener.identity.required) {
        (true, _) => "nobody is asked for a name".into(),
        (false, true) => format!("known by {}, nobody else", ways.join(" or ")),
        (false, false) => format!("known by {}, others too", ways.join(" or ")),
    };
    let name = &listener.name;
    format!("{bind} ({name}): {}{tls}; {who}", protocols.join(" and "))
}

fn operators(config: &Config, gateway: &Gateway) -> String {
    let admin = &config.admin;
    if !admin.enabled {
        return "none".into();
    }
    let scheme = if admin.tls.is_some() { "https" } else { "http" };
    match (&admin.bind, gateway.admin_address()) {
        (Bind::Unix(_), _) | (_, None) => format!("{} (pinfold gateway status)", admin.bind),
        (_, Some(address)) => format!("{scheme}://{address}/ (status page, /metrics)"),
    }
}

fn refused(config: &Config) -> &'static str {
    match config.policy.file.is_none() && config.policy.layer.is_empty() {
        true if config.policy.settings.is_none() => {
            "every address that is not public: loopback, private networks, link-local, cloud metadata"
        }
        _ => "what the policy denies; always loopback, link-local, cloud metadata",
    }
}

fn decisions(to: &LogTo) -> String {
    match to {
        LogTo::Off => "not logged".into(),
        LogTo::Stdout => "to standard output, a line of JSON for each".into(),
        LogTo::Stderr => "to standard error, a line of JSON for each".into(),
        other => format!("{other}, a line of JSON for each"),
    }
}

/// For who has just started it without a file.
fn invite(gateway: &Gateway) {
    let Some(address) = gateway.addresses().first().copied() else {
        return;
    };
    output::note(format_args!(
        "
Try it:
  curl -x http://{address} https://example.com/
  curl -x http://{address} http://169.254.169.254/      (refused: cloud metadata)
  export http_proxy=http://{address} https_proxy=http://{address}
  export HTTP_PROXY=$http_proxy HTTPS_PROXY=$https_proxy
Change it:
  pinfold serve --print-defaults > gateway.toml && pinfold serve gateway.toml
"
    ));
}

fn line(label: &str, text: &str) {
    output::note(format_args!("  {LABEL}{label:<10}{LABEL:#} {text}"));
}

fn warning(text: &str) {
    output::note(format_args!("{LABEL}warning{LABEL:#}: {text}"));
}

fn protocol(protocol: &Protocol) -> &'static str {
    match protocol {
        Protocol::Http => "HTTP",
        Protocol::Socks5 => "SOCKS5",
        Protocol::Envoy => "decisions for an Envoy",
        _ => "others",
    }
}

fn way(way: &Way) -> &'static str {
    match way {
        Way::Mtls => "certificate",
        Way::Basic => "password",
        Way::Bearer => "token",
        Way::Unix => "user",
        Way::Source => "network",
        Way::Envoy => "the certificate that Envoy saw",
        _ => "other ways",
    }
}
