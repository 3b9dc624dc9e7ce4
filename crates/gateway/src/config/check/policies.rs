//! The active chain, the candidate, for whom it only reports, and names.

use super::{Config, Found, Key, twice};
use crate::config::{LayerConfig, PolicyConfig, Shadow};

pub(super) fn check(config: &Config, found: &mut Found) {
    let key = Key::of("policy");
    chain(&config.policy, &key, found);
    found.say_if(
        config.policy.watch && config.policy.interval.get().is_zero(),
        key.then("interval"),
        "files cannot be looked at all the time",
        "write a time, or `watch = false`",
    );
    found.say_if(
        config.policy.history > MAX_HISTORY,
        key.then("history"),
        "every generation that is kept takes memory",
        "keep at most 64",
    );
    if let Some(shadow) = &config.shadow {
        candidate(&config.policy, shadow, found);
    }
    found.say_if(
        config.report.all && !config.report.subjects.is_empty(),
        Key::of("report.subjects"),
        "`all` reports for everybody: `subjects` adds nobody",
        "leave one of them out",
    );
    for (name, addresses) in &config.dns.fixed {
        if addresses.is_empty() {
            let message = format!("the fixed answer of `{name}` has no address");
            found.say(
                Key::of("dns.fixed").named(name),
                message,
                "list addresses, or leave the name out",
            );
        }
    }
    if let Some((at, server)) = twice(&config.dns.servers) {
        let message = format!("the server {server} is listed twice");
        found.say(Key::of("dns.servers").at(at), message, "list each once");
    }
}

fn chain(policy: &PolicyConfig, key: &Key, found: &mut Found) {
    let alone = match (&policy.file, &policy.settings) {
        (Some(_), _) => "file",
        (None, Some(_)) => "settings",
        (None, None) => "",
    };
    if !alone.is_empty() && !policy.layer.is_empty() {
        let message = format!("`{alone}` is of one policy, and there is a chain of `layer`s");
        let hint = "make it one more `[[policy.layer]]`, or leave the layers out";
        found.say(key.then(alone), message, hint);
    }
    if policy.layer.len() > MAX_LAYERS {
        let message = format!("a chain has at most {MAX_LAYERS} layers");
        found.say(
            key.then("layer").at(MAX_LAYERS),
            message,
            "join layers into one policy",
        );
    }
    let names: Vec<_> = policy.layer.iter().map(|layer| &layer.name).collect();
    if let Some((at, name)) = twice(&names) {
        let message = format!("two layers are named `{name}`");
        found.say(
            key.then("layer").at(at).then("name"),
            message,
            "give each its own name",
        );
    }
    for (at, layer) in policy.layer.iter().enumerate() {
        name(layer, &key.then("layer").at(at).then("name"), found);
    }
}

fn name(layer: &LayerConfig, key: &Key, found: &mut Found) {
    let name = &layer.name;
    let is_word = |word: &str| {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        !word.is_empty() && word.bytes().all(plain)
    };
    let begins = name.starts_with(|first: char| first.is_ascii_lowercase());
    if !begins || name.len() > MAX_NAME || !name.split('-').all(is_word) {
        let message = format!("`{}` is no name of a layer", name.escape_debug());
        let hint = "use lower-case words joined by `-`, such as `team`";
        found.say(key.clone(), message, hint);
    }
}

fn candidate(policy: &PolicyConfig, shadow: &Shadow, found: &mut Found) {
    let key = Key::of("shadow");
    let names: Vec<_> = policy.layer.iter().map(|layer| &*layer.name).collect();
    let active = match &shadow.layer {
        None if policy.layer.len() > 1 => {
            let hint = format!("add `layer`, one of {}", names.join(", "));
            found.say(
                key,
                "the candidate does not say which layer it would replace",
                hint,
            );
            return;
        }
        None => policy.layer.first(),
        Some(name) => {
            let layer = policy.layer.iter().find(|layer| layer.name == *name);
            if layer.is_none() && !(names.is_empty() && name == "policy") {
                let message = format!("there is no layer `{name}` that a candidate could replace");
                let hint = match names.is_empty() {
                    true => "leave `layer` out: there is one policy".into(),
                    false => format!("the layers are {}", names.join(", ")),
                };
                found.say(key.then("layer"), message, hint);
                return;
            }
            layer
        }
    };
    let same = match active {
        Some(layer) => (&layer.file, &layer.settings) == (&shadow.file, &shadow.settings),
        None => (&policy.file, &policy.settings) == (&shadow.file, &shadow.settings),
    };
    found.say_if(
        same,
        key,
        "the candidate is what is active: there is nothing to compare",
        "name another `file`, or other `settings`",
    );
}

/// Layers of one chain, as the runtime takes them, and the bytes of a name.
const MAX_LAYERS: usize = 8;
const MAX_NAME: usize = 64;

/// Generations that can be gone back to.
const MAX_HISTORY: usize = 64;
