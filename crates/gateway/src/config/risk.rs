//! What a configuration allows that its operator should know of. None of it is an error.

use super::{Bind, Config, Listener, Protocol, Report, ReportAddresses, Sni, Way, check::is_local};

impl Config {
    /// Risky settings, each in a sentence.
    pub fn risks(&self) -> Vec<String> {
        let mut risks: Vec<_> = self.listener.iter().flat_map(of_listener).collect();
        risks.extend(self.report.risk());
        for grant in &self.floor.grants {
            risks.push(format!(
                "the floor is open towards {grant}: only the policy keeps clients away"
            ));
        }
        risks.extend(self.of_tunnels());
        if self.policy.inert_wasi {
            risks.push("policies may import WASI: they are given one that does nothing".into());
        }
        risks
    }

    fn of_tunnels(&self) -> Option<String> {
        let sni = match self.tunnels.sni {
            Sni::Enforce => return None,
            Sni::Log => {
                "a tunnel may carry TLS for another name than was asked for: it is only logged"
            }
            Sni::Off => "a tunnel may carry TLS for another name than was asked for: nobody looks",
        };
        Some(sni.into())
    }
}

impl Report {
    fn risk(&self) -> Option<String> {
        let (what, denied) = match self.addresses {
            ReportAddresses::Report => ("reports", "what it denies"),
            ReportAddresses::Enforce => ("reports names", "a name that it denies"),
        };
        if self.all {
            let all = format!("the policy only {what}: {denied} is let through, for everybody");
            return Some(all);
        }
        let subjects: Vec<_> = self.subjects.iter().map(|s| format!("`{s}`")).collect();
        let some = !subjects.is_empty();
        some.then(|| {
            let subjects = subjects.join(", ");
            format!("the policy only {what} for {subjects}: {denied} is let through")
        })
    }
}

fn of_listener(listener: &Listener) -> Vec<String> {
    let (name, bind, identity) = (&listener.name, &listener.bind, &listener.identity);
    let local = is_local(bind);
    let mut risks = of_envoy(listener);
    let asks = listener.protocols.contains(&Protocol::Envoy);
    if !local && !identity.required && !asks {
        let unless = unless_local(bind);
        risks.push(format!(
            "the listener `{name}` at {bind} serves whoever reaches it: an open proxy{unless}"
        ));
    }
    let secret = |way: &Way| matches!(way, Way::Basic | Way::Bearer);
    if !local && listener.tls.is_none() && identity.ways.iter().any(secret) {
        let unless = unless_local(bind);
        risks.push(format!(
            "the listener `{name}` at {bind} takes passwords and tokens in clear text{unless}"
        ));
    }
    if matches!(bind, Bind::Unix(_)) && listener.unix_mode.get() & OTHERS != 0 {
        let mode = listener.unix_mode;
        risks.push(format!(
            "every user may connect to {bind}: its mode is {mode}"
        ));
    }
    if let Some(proxy) = &listener.proxy_protocol
        && let Some(all) = proxy.from.iter().find(|net| net.prefix_len() == 0)
    {
        risks.push(format!(
            "the listener `{name}` believes the PROXY header of anybody in {all}"
        ));
    }
    risks
}

/// Of a listener where an Envoy asks.
fn of_envoy(listener: &Listener) -> Vec<String> {
    let (name, bind) = (&listener.name, &listener.bind);
    let mut risks = Vec::new();
    if !listener.protocols.contains(&Protocol::Envoy) {
        return risks;
    }
    if !is_local(bind) && !listener.proves() {
        let unless = unless_local(bind);
        risks.push(format!(
            "the listener `{name}` at {bind} answers whoever reaches it as if it were an Envoy{unless}"
        ));
    }
    if listener.identity.ways.contains(&Way::Envoy) {
        risks.push(format!(
            "the listener `{name}` takes the names of clients from Envoy, which has them from any certificate that it \
             accepts: let it verify them"
        ));
    }
    risks
}

/// Of a socket that the service manager opens, only it knows.
fn unless_local(bind: &Bind) -> &'static str {
    match bind {
        Bind::Inherited(_) => ", unless that is on loopback",
        Bind::Tcp(_) | Bind::Unix(_) => "",
    }
}

/// Whoever is neither the owner nor of the group.
const OTHERS: u32 = 0o007;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_is_risky_is_said() {
        let identity = "identity = {ways = ['basic'], credentials = 'Cargo.toml', required = true}";
        let open = |bind: &str| format!("[[listener]]\nbind = '{bind}'\n");
        for (text, said) in [
            (String::new(), &[][..]),
            (
                open("0.0.0.0:4000"),
                &["the listener `proxy` at 0.0.0.0:4000 serves whoever reaches it: an open proxy"],
            ),
            (
                open("0.0.0.0:4000") + identity,
                &["the listener `proxy` at 0.0.0.0:4000 takes passwords and tokens in clear text"],
            ),
            (open("127.0.0.1:4000") + identity, &[]),
            (
                open("systemd:a"),
                &[
                    "the listener `proxy` at systemd:a serves whoever reaches it: an open proxy, unless that is on loopback",
                ],
            ),
            (open("unix:/tmp/a"), &[]),
            (
                open("unix:/tmp/a") + "unix_mode = '0666'",
                &["every user may connect to unix:/tmp/a: its mode is 0666"],
            ),
            (open("127.0.0.1:4000") + "protocols = ['envoy']", &[]),
            (
                open("systemd:a") + "protocols = ['envoy']",
                &[
                    "the listener `proxy` at systemd:a answers whoever reaches it as if it were an Envoy, unless that is on loopback",
                ],
            ),
            (
                open("127.0.0.1:4000") + "protocols = ['envoy']\nidentity.ways = ['envoy']",
                &[
                    "the listener `proxy` takes the names of clients from Envoy, which has them from any certificate that it accepts: let it verify them",
                ],
            ),
            (
                "[[listener]]\nproxy_protocol = {from = ['10.0.0.0/8', '::/0']}".into(),
                &["the listener `proxy` believes the PROXY header of anybody in ::/0"],
            ),
            (
                "[report]\nall = true".into(),
                &["the policy only reports: what it denies is let through, for everybody"],
            ),
            (
                "[report]\nsubjects = ['a', 'b-*']".into(),
                &["the policy only reports for `a`, `b-*`: what it denies is let through"],
            ),
            (
                "[report]\nsubjects = ['a']\naddresses = 'enforce'".into(),
                &["the policy only reports names for `a`: a name that it denies is let through"],
            ),
            (
                "[floor]\ngrants = ['127.0.0.2:80']".into(),
                &["the floor is open towards 127.0.0.2:80: only the policy keeps clients away"],
            ),
            (
                "[tunnels]\nsni = 'off'".into(),
                &["a tunnel may carry TLS for another name than was asked for: nobody looks"],
            ),
            (
                "[tunnels]\nsni = 'log'".into(),
                &["a tunnel may carry TLS for another name than was asked for: it is only logged"],
            ),
            (
                "[policy]\ninert_wasi = true".into(),
                &["policies may import WASI: they are given one that does nothing"],
            ),
        ] {
            let config = Config::parse(&text, Path::new("")).unwrap();
            assert_eq!(config.risks(), said, "{text}");
        }
    }
}
