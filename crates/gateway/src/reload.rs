//! What may change while a gateway runs. Each part is taken as a whole or stays as it was, and either is told.

use std::{future::Future, sync::Arc, time::SystemTime};

use serde_json::Value;

use crate::{
    Config,
    admin::Admin,
    config::{self, Listener},
    event::{Event, Reloaded},
    listen::{Entrance, Operators, tls::Files},
    policy::{ChangeError, Trigger},
    shared::Shared,
};

/// The parts of a gateway that read files, or the configuration.
pub(crate) struct Parts<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) entrances: &'a [Arc<Entrance>],
    pub(crate) operators: Option<&'a Operators>,
    pub(crate) admin: &'a Arc<Admin>,
}

impl Parts<'_> {
    /// Reads everything again, by this configuration. What takes its time, the log and the policies, is done when what
    /// is given back is.
    pub(crate) fn reload(&self, new: Config) -> impl Future<Output = ()> + Send + use<> {
        let old = self.shared.config.load_full();
        let (mut next, fixed) = adopted(&old, new);
        self.tell("configuration", changes_later(&fixed));
        self.credentials(&old, &mut next);
        self.certificates(&old, &mut next);
        self.token(&old, &mut next);
        self.shared.admission.reconfigure(&next.limits);
        self.withhold(&next);
        let next = Arc::new(next);
        self.shared.config.store(Arc::clone(&next));
        // What report mode has let pass is judged by what holds now.
        self.shared.live.look_again();
        let (shared, admin) = (Arc::clone(self.shared), Arc::clone(self.admin));
        async move {
            tokio::join!(log(&shared, &admin, &old, &next), policies(&shared, &next));
        }
    }

    /// Listeners and who may use them, which belong together: other ways to be identified need other credentials.
    fn credentials(&self, old: &Config, next: &mut Config) {
        let read = self.shared.identities.reload(next);
        match read {
            Ok(()) => self.adopt(next),
            Err(_) => next.listener.clone_from(&old.listener),
        }
        self.tell("credentials", read.map_err(|error| error.to_string()));
    }

    fn adopt(&self, next: &Config) {
        for entrance in self.entrances {
            entrance.adopt(&next.listener);
        }
    }

    /// One word about all of them: the next one that is good does not hide one that is not.
    fn certificates(&self, old: &Config, next: &mut Config) {
        let mut bad = Vec::new();
        let mut any = false;
        for entrance in self.entrances {
            let name = entrance.config.load().name.clone();
            let is_it = |listener: &&mut Listener| listener.name == name;
            let Some(listener) = next.listener.iter_mut().find(is_it) else {
                continue;
            };
            let files = listener.tls.as_ref().map(Files::of_listener);
            let read = reread(entrance.tls.as_deref(), files);
            any |= read.is_some();
            if let Some(Err(error)) = read {
                let before = old.listener.iter().find(|old| old.name == name);
                listener.tls = before.and_then(|old| old.tls.clone());
                bad.push(error);
            }
        }
        let files = next.admin.tls.as_ref().map(Files::of_admin);
        let tls = self
            .operators
            .and_then(|operators| operators.tls.as_deref());
        let read = reread(tls, files);
        any |= read.is_some();
        if let Some(Err(error)) = read {
            next.admin.tls.clone_from(&old.admin.tls);
            bad.push(error);
        }
        self.adopt(next);
        match bad.is_empty() {
            true if any => self.tell("certificates", Ok(())),
            true => {}
            false => self.tell("certificates", Err(bad.join("; "))),
        }
    }

    fn token(&self, old: &Config, next: &mut Config) {
        // Also without one: what was the token is none any more.
        let result = self.admin.reload(next);
        let had = old.admin.token_file.is_some();
        if had || next.admin.token_file.is_some() {
            self.tell("token", result.clone());
        }
        if result.is_err() {
            next.admin.token_file.clone_from(&old.admin.token_file);
        }
    }

    /// Where the log cannot follow, it is undone.
    fn withhold(&self, next: &Config) {
        withhold(self.shared, self.admin, next);
    }

    fn tell(&self, what: &'static str, read: Result<(), String>) {
        tell(self.shared, what, read);
    }
}

/// The lists of operators and the traces withhold what the log does.
fn withhold(shared: &Shared, admin: &Admin, config: &Config) {
    let withhold = &config.records.log.withhold;
    admin.withhold(withhold);
    shared.telemetry.withhold(withhold);
}

/// On a thread of its own: a disk can block.
async fn log(shared: &Arc<Shared>, admin: &Admin, old: &Config, next: &Config) {
    let (of, records) = (Arc::clone(shared), next.records.clone());
    let opening = tokio::task::spawn_blocking(move || of.telemetry.reload(&records));
    let opened = opening.await.unwrap_or_else(|error| Err(error.to_string()));
    if opened.is_err() {
        withhold(shared, admin, old);
        shared.config.rcu(|now| {
            let mut now = Config::clone(now);
            now.records.log.clone_from(&old.records.log);
            now
        });
    }
    tell(shared, "log", opened);
}

/// On a thread of their own, one change after the other; what is refused is an event of its own. The candidate comes
/// after them: its layer may be one that there was not before.
async fn policies(shared: &Arc<Shared>, next: &Config) {
    let following = async {
        let followed = shared
            .policies
            .follow(next.policy.clone(), Trigger::Signal)
            .await;
        match followed {
            Ok(_) => tell(shared, "policies", Ok(())),
            Err(ChangeError::Kept(_)) => {}
            Err(error) => tell(shared, "policies", Err(error.to_string())),
        }
        let (shadow, policies) = (next.shadow.as_ref(), &shared.policies);
        shared
            .shadow
            .follow(shadow, policies, Trigger::Signal)
            .await;
    };
    shared.cut.run_until_cancelled(following).await;
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
        log: config::DecisionLog {
            queue: old.records.log.queue,
            ..new.records.log.clone()
        },
        ..old.records.clone()
    };
    next.tunnels.connect = old.tunnels.connect;
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
        keys => Err(format!("{RESTART}: `{}`", keys.join("`, `"))),
    }
}

/// How it begins what is said of keys that need one.
pub(crate) const RESTART: &str = "changes with a restart only";

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

    /// Every table that there may be.
    const ALL: &str = "
        [[listener]]
        tls = {certificate = 'a', key = 'b', client_ca = ['c']}
        proxy_protocol = {from = ['192.0.2.0/24']}
        [[policy.layer]]
        name = 'team'
        [shadow]
        layer = 'team'
        [limits.subjects.a]
        rate = 1
        [admin.tls]
        certificate = 'a'
        key = 'b'
        [records.tracing]
        endpoint = 'http://127.0.0.1:4318/'
    ";

    /// Each key with another value, and whether a reload takes it.
    const KEYS: &[(&str, &str, bool)] = &[
        ("drain", "'1s'", true),
        ("envoy.deadline", "'1s'", true),
        ("envoy.pins", "2", true),
        ("envoy.tls_port", "8443", true),
        ("admin.bind", "'127.0.0.1:1'", false),
        ("admin.enabled", "false", false),
        ("admin.names", "['a.example']", false),
        ("admin.tls.certificate", "'x'", true),
        ("admin.tls.client_ca", "['x']", true),
        ("admin.tls.key", "'x'", true),
        ("admin.token_file", "'x'", true),
        ("admin.unix_mode", "'0640'", false),
        ("dns.fixed", "{'a.example' = ['192.0.2.1']}", false),
        ("dns.servers", "['192.0.2.1']", false),
        ("dns.timeout", "'1s'", false),
        ("floor.grants", "['192.0.2.0/24']", false),
        ("floor.nat64", "['64:ff9b:1::/96']", false),
        ("limits.backlog", "5", false),
        ("limits.burst", "5", true),
        ("limits.connections", "5", true),
        ("limits.connections_per_source", "5", true),
        ("limits.head", "'4KiB'", true),
        ("limits.head_time", "'1s'", true),
        ("limits.headers", "5", true),
        ("limits.keep_alive", "'1s'", true),
        ("limits.policy_instances", "5", false),
        ("limits.rate", "5", true),
        ("limits.streams", "5", true),
        ("limits.subject.burst", "5", true),
        ("limits.subject.rate", "5", true),
        ("limits.subject.tunnels", "5", true),
        ("limits.subjects.NAME.burst", "5", true),
        ("limits.subjects.NAME.rate", "5", true),
        ("limits.subjects.NAME.tunnels", "5", true),
        ("limits.tunnels", "5", true),
        ("listener.bind", "'127.0.0.1:1'", false),
        ("listener.identity.credentials", "'x'", true),
        ("listener.identity.networks", "{'192.0.2.0/24' = 'a'}", true),
        ("listener.identity.required", "true", true),
        ("listener.identity.users", "{'1' = 'a'}", true),
        ("listener.identity.ways", "['basic']", true),
        ("listener.name", "'other'", false),
        ("listener.protocols", "['http']", true),
        ("listener.proxy_protocol.from", "['192.0.2.1/32']", true),
        ("listener.reuse_port", "true", false),
        ("listener.tls.certificate", "'x'", true),
        ("listener.tls.client_auth", "'optional'", true),
        ("listener.tls.client_ca", "['x']", true),
        ("listener.tls.client_crl", "['x']", true),
        ("listener.tls.key", "'x'", true),
        ("listener.unix_mode", "'0640'", false),
        ("policy.cache", "'x'", false),
        ("policy.file", "'x'", true),
        ("policy.history", "1", true),
        ("policy.inert_wasi", "true", false),
        ("policy.interval", "'5s'", true),
        ("policy.layer.file", "'x'", true),
        ("policy.layer.name", "'x'", true),
        ("policy.layer.settings", "'x'", true),
        ("policy.settings", "'x'", true),
        ("policy.vectors", "['x']", true),
        ("policy.watch", "false", true),
        ("records.log.queue", "5", false),
        ("records.log.replayable", "true", true),
        ("records.log.sample", "5", true),
        ("records.log.to", "'off'", true),
        ("records.log.withhold", "[]", true),
        ("records.metrics.codes", "5", false),
        ("records.metrics.subjects", "5", false),
        ("records.tracing.endpoint", "'http://127.0.0.1:1/'", false),
        ("records.tracing.headers", "{a = 'b'}", false),
        ("records.tracing.interval", "'1s'", false),
        ("records.tracing.sample", "5", false),
        ("report.addresses", "'enforce'", true),
        ("report.all", "true", true),
        ("report.subjects", "['a']", true),
        ("shadow.file", "'x'", true),
        ("shadow.layer", "'x'", true),
        ("shadow.settings", "'x'", true),
        ("tunnels.connect", "'1s'", false),
        ("tunnels.half_closed", "'1s'", true),
        ("tunnels.idle", "'1s'", true),
        ("tunnels.lifetime", "'1s'", true),
        ("tunnels.non_tls", "'deny'", true),
        ("tunnels.response", "'1s'", true),
        ("tunnels.revocation", "'1s'", true),
        ("tunnels.sni", "'off'", true),
    ];

    /// [`ALL`] with this key changed.
    fn with(key: &str, value: &str) -> Config {
        let mut document: toml::Value = toml::from_str(ALL).unwrap();
        let value: toml::Table = toml::from_str(&format!("value = {value}")).unwrap();
        let mut at = &mut document;
        for part in key.split('.') {
            let table = match at {
                toml::Value::Array(several) => &mut several[0],
                one => one,
            };
            let part = if part.chars().all(char::is_uppercase) {
                "a"
            } else {
                part
            };
            let empty = || toml::Value::Table(toml::Table::new());
            at = table
                .as_table_mut()
                .unwrap()
                .entry(part)
                .or_insert_with(empty);
        }
        *at = value["value"].clone();
        document.try_into().unwrap()
    }

    #[test]
    fn every_key_is_taken_or_said_to_need_a_restart() {
        let known: Vec<_> = KEYS.iter().map(|(key, ..)| *key).collect();
        let mut there = config::keys();
        there.sort();
        let mut sorted = known.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, there, "a new key: does a reload take it?");
        let old = config(ALL);
        for (key, value, taken) in KEYS {
            let new = with(key, value);
            assert_ne!(plain(&new), plain(&old), "{key}");
            let (next, fixed) = adopted(&old, new.clone());
            let kept = if *taken { &new } else { &old };
            assert_eq!(plain(&next), plain(kept), "{key}");
            // Lists are named as wholes, and of tables of names each name.
            let is_it = |fixed: &String| key.starts_with(fixed) || fixed.starts_with(key);
            assert_eq!(fixed.iter().any(is_it), !taken, "{key}: {fixed:?}");
            assert_eq!(fixed.len(), usize::from(!taken), "{key}: {fixed:?}");
        }
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
