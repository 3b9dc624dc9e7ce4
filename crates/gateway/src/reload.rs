//! What may change while a gateway runs. Each part is taken as a whole or stays as it was, and either is told.

use std::{sync::Arc, time::SystemTime};

use serde_json::Value;

use crate::{
    Config,
    admin::Admin,
    config::{self, Listener},
    event::{Event, Reloaded},
    listen::{Entrance, Operators, tls::Files},
    policy::Trigger,
    shared::Shared,
};

/// The parts of a gateway that read files, or the configuration.
pub(crate) struct Parts<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) entrances: &'a [Arc<Entrance>],
    pub(crate) operators: Option<&'a Operators>,
    pub(crate) admin: &'a Admin,
}

impl Parts<'_> {
    /// Reads everything again, by this configuration.
    pub(crate) fn reload(&self, new: Config) {
        let old = self.shared.config.load_full();
        let (next, fixed) = adopted(&old, new);
        self.tell("configuration", changes_later(&fixed));
        self.credentials(&next);
        self.certificates(&next);
        self.token(&next);
        self.log(&next);
        self.shared.admission.reconfigure(&next.limits);
        self.policies(&next);
        self.shared.config.store(Arc::new(next));
        // What report mode has let pass is judged by what holds now.
        self.shared.live.look_again();
    }

    /// Listeners and who may use them, which belong together: other ways to be identified need other credentials.
    fn credentials(&self, next: &Config) {
        let read = self.shared.identities.reload(next);
        if read.is_ok() {
            for entrance in self.entrances {
                entrance.adopt(&next.listener);
            }
        }
        self.tell("credentials", read.map_err(|error| error.to_string()));
    }

    fn certificates(&self, next: &Config) {
        let mut results = Vec::new();
        for entrance in self.entrances {
            let config = entrance.config.load();
            let files = config.tls.as_ref().map(Files::of_listener);
            results.extend(reread(entrance.tls.as_deref(), files));
        }
        let files = next.admin.tls.as_ref().map(Files::of_admin);
        let tls = self
            .operators
            .and_then(|operators| operators.tls.as_deref());
        results.extend(reread(tls, files));
        for result in results {
            self.tell("certificates", result);
        }
    }

    fn token(&self, next: &Config) {
        // Also without one: what was the token is none any more.
        let result = self.admin.reload(next);
        if next.admin.token_file.is_some() || result.is_err() {
            self.tell("token", result);
        }
    }

    /// On a thread of its own: a disk can block.
    fn log(&self, next: &Config) {
        let (shared, records) = (Arc::clone(self.shared), next.records.clone());
        tokio::task::spawn_blocking(move || {
            let opened = shared.telemetry.reload(&records);
            tell(&shared, "log", opened);
        });
    }

    /// On a thread of their own, one change after the other; the outcome is an event of its own.
    fn policies(&self, next: &Config) {
        let asked = self
            .shared
            .policies
            .reconfigure_soon(next.policy.clone(), Trigger::Signal);
        if let Err(error) = asked {
            self.tell("policies", Err(error.to_string()));
        }
        let (shared, shadow) = (Arc::clone(self.shared), next.shadow.clone());
        tokio::spawn(async move {
            let follow = shared
                .shadow
                .follow(shadow.as_ref(), &shared.policies, Trigger::Signal);
            shared.cut.run_until_cancelled(follow).await;
        });
    }

    fn tell(&self, what: &'static str, read: Result<(), String>) {
        tell(self.shared, what, read);
    }
}

fn tell(shared: &Shared, what: &'static str, read: Result<(), String>) {
    shared.bus.tell(&Event::Reloaded(Arc::new(Reloaded {
        at: SystemTime::now(),
        what,
        error: read.err(),
    })));
}

impl Entrance {
    fn adopt(&self, listeners: &[Listener]) {
        let name = &self.config.load().name;
        if let Some(new) = listeners.iter().find(|new| new.name == *name) {
            self.config.store(Arc::new(new.clone()));
        }
    }
}

fn reread(tls: Option<&crate::listen::Tls>, files: Option<Files>) -> Option<Result<(), String>> {
    let (tls, files) = (tls?, files?);
    Some(tls.reload(&files).map_err(|error| error.to_string()))
}

/// The new configuration as far as it can be taken, and the keys that need a restart.
fn adopted(old: &Config, new: Config) -> (Config, Vec<String>) {
    let mut next = new.clone();
    next.dns = old.dns.clone();
    next.floor = old.floor.clone();
    next.records = config::Records {
        log: new.records.log.clone(),
        ..old.records.clone()
    };
    next.limits.backlog = old.limits.backlog;
    next.limits.policy_instances = old.limits.policy_instances;
    next.policy.cache.clone_from(&old.policy.cache);
    next.policy.inert_wasi = old.policy.inert_wasi;
    next.admin = config::Admin {
        token_file: new.admin.token_file.clone(),
        tls: secured_as(&old.admin.tls, &new.admin.tls),
        ..old.admin.clone()
    };
    next.listener = listeners(&old.listener, &new.listener);
    let fixed = differing(&plain(&next), &plain(&new), String::new());
    (next, fixed)
}

/// As many listeners as there are, in their order; of each what needs no new socket.
fn listeners(old: &[Listener], new: &[Listener]) -> Vec<Listener> {
    let keep = |old: &Listener| {
        let found = new.iter().find(|new| new.name == old.name);
        let new = found.unwrap_or(old);
        Listener {
            bind: old.bind.clone(),
            unix_mode: old.unix_mode,
            reuse_port: old.reuse_port,
            tls: secured_as(&old.tls, &new.tls),
            ..new.clone()
        }
    };
    old.iter().map(keep).collect()
}

/// Whether there is TLS is a matter of the listener; by which files, is not.
fn secured_as<T: Clone>(old: &Option<T>, new: &Option<T>) -> Option<T> {
    match (old, new) {
        (Some(_), Some(new)) => Some(new.clone()),
        _ => old.clone(),
    }
}

fn changes_later(fixed: &[String]) -> Result<(), String> {
    match fixed {
        [] => Ok(()),
        keys => Err(format!(
            "changes with a restart only: `{}`",
            keys.join("`, `")
        )),
    }
}

fn plain(config: &Config) -> Value {
    serde_json::to_value(config).unwrap_or_default()
}

/// The keys under which two documents differ. Lists differ as wholes.
fn differing(left: &Value, right: &Value, at: String) -> Vec<String> {
    let (Value::Object(left), Value::Object(right)) = (left, right) else {
        return if left == right { Vec::new() } else { vec![at] };
    };
    let keys: std::collections::BTreeSet<_> = left.keys().chain(right.keys()).collect();
    let below = |key: &String| {
        let at = match at.is_empty() {
            true => key.clone(),
            false => format!("{at}.{key}"),
        };
        let of = |side: &serde_json::Map<String, Value>| side.get(key).cloned().unwrap_or_default();
        differing(&of(left), &of(right), at)
    };
    keys.into_iter().flat_map(below).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn what_needs_a_restart_is_named_and_stays() {
        let table = [
            ("", "", ""),
            ("", "drain = '1s'", ""),
            ("", "[limits]\nconnections = 5", ""),
            ("", "[limits]\nbacklog = 5", "limits.backlog"),
            ("", "[tunnels]\nidle = '1s'", ""),
            ("", "[report]\nall = true", ""),
            ("", "[policy]\nwatch = false", ""),
            ("", "[policy]\ninert_wasi = true", "policy.inert_wasi"),
            ("", "[dns]\ntimeout = '1s'", "dns.timeout"),
            ("", "[floor]\ngrants = ['127.0.0.2/32']", "floor.grants"),
            ("", "[admin]\nenabled = false", "admin.enabled"),
            ("", "[admin]\ntoken_file = 'token'", ""),
            (
                "",
                "[records.metrics]\nsubjects = 1",
                "records.metrics.subjects",
            ),
            ("", "[[listener]]\nprotocols = ['http']", ""),
            ("", "[[listener]]\nbind = '127.0.0.1:1'", "listener"),
            (
                "",
                "[[listener]]\n[[listener]]\nname = 'b'\nbind = '127.0.0.1:1'",
                "listener",
            ),
            ("", "[[listener]]\nname = 'b'", "listener"),
            (
                "[[listener]]\ntls = {certificate = 'a', key = 'b'}",
                "[[listener]]\ntls = {certificate = 'c', key = 'd'}",
                "",
            ),
            (
                "",
                "[[listener]]\ntls = {certificate = 'a', key = 'b'}",
                "listener",
            ),
            (
                "[[listener]]\ntls = {certificate = 'a', key = 'b'}",
                "[[listener]]",
                "listener",
            ),
        ];
        for (old, new, expected) in table {
            let (old, new) = (config(old), config(new));
            let (next, fixed) = adopted(&old, new.clone());
            assert_eq!(fixed.join(" "), expected, "{new:?}");
            match expected {
                "" => assert_eq!(plain(&next), plain(&new)),
                _ => assert_eq!(plain(&next), plain(&old), "nothing else was changed"),
            }
        }
    }
}
