//! What is withheld.

use std::net::{IpAddr, SocketAddr};

use pinfold::{
    Decision,
    record::{Mark, Redaction, Written},
};
use pinfold_addr::{Class, Classifier};
use serde_json::Value;

use crate::{
    client::ClientAddress,
    config::{DecisionLog, Withhold},
    telemetry::Aliases,
};

/// What is withheld, by the configuration.
#[derive(Clone)]
pub(super) struct Mask {
    redaction: Redaction,
    internal: bool,
    subjects: bool,
    clients: bool,
    replayable: bool,
    aliases: Aliases,
    classifier: Classifier,
}

impl Mask {
    pub(super) fn new(config: &DecisionLog, aliases: Aliases) -> Self {
        let mut mask = Self {
            redaction: Redaction::NONE,
            internal: false,
            subjects: false,
            clients: false,
            replayable: false,
            aliases,
            classifier: Classifier::default(),
        };
        mask.reload(config);
        mask
    }

    /// Takes another configuration; hashes stay the same.
    pub(super) fn reload(&mut self, config: &DecisionLog) {
        let withheld = |what| config.withhold.contains(&what);
        self.redaction.paths = withheld(Withhold::Paths);
        self.redaction.queries = withheld(Withhold::Queries);
        self.internal = withheld(Withhold::InternalAddresses);
        self.subjects = withheld(Withhold::Subjects);
        self.clients = withheld(Withhold::Clients);
        self.replayable = config.replayable;
    }

    /// A decision as the log may hold it.
    pub(super) fn decision(&self, decision: &Decision) -> Written {
        if self.replayable {
            let written = Written::of(decision, self.redaction);
            return match self.hides_input(decision) {
                true => written.without_input(Some(Mark::DependsOnRedacted)),
                false => written,
            };
        }
        if has_denial(decision) {
            // Whether a detail quotes what is withheld is found out by asking again; the input serves only that.
            return Written::of(decision, self.redaction).without_input(None);
        }
        let mut plain = decision.clone();
        plain.input = None;
        Written::of(&plain, Redaction::NONE)
    }

    /// Whether what the policy was asked holds something that is withheld otherwise.
    fn hides_input(&self, decision: &Decision) -> bool {
        let internal = |address| self.is_internal(address);
        let answers = || decision.addresses.iter().map(|judged| judged.address);
        (self.subjects && decision.subject.is_some())
            || (self.internal && (answers().any(internal) || self.has_internal(&decision.target)))
    }

    /// Whether details that a policy wrote may be in the log without a proof that they quote nothing.
    pub(super) fn takes_details(&self) -> bool {
        self.redaction == Redaction::NONE
    }

    /// The name of a subject, or what stands for it.
    pub(super) fn subject(&self, name: &str) -> String {
        match self.subjects {
            true => self.aliases.subject(name),
            false => name.to_owned(),
        }
    }

    /// Where a client is, or what stands for it.
    pub(super) fn client(&self, address: &ClientAddress) -> String {
        match self.clients {
            true => self.aliases.client(address),
            false => address.to_string(),
        }
    }

    /// Text that may quote a URL of a client, such as the words of a parser.
    pub(super) fn quoting(&self, text: &str) -> String {
        match self.takes_details() {
            true => text.to_owned(),
            false => without_paths(text),
        }
    }

    /// Withholds from a whole line what may stand anywhere in it. None when there is nothing to do.
    pub(super) fn whole(&self, line: &mut Value, subject: Option<&str>) {
        if self.subjects
            && let Some(name) = subject
        {
            let hash = self.subject(name);
            each_text(line, &mut |key, text| match key {
                "subject" if text == name => hash.clone_into(text),
                "detail" | "error" if text.contains(name) => WITHHELD.clone_into(text),
                _ => {}
            });
        }
        if self.internal {
            drop_addresses(line, &|text| self.has_internal(text));
            each_text(line, &mut |key, text| {
                if key != "client" && self.has_internal(text) {
                    *text = self.without_internal(text);
                }
            });
        }
    }

    pub(super) fn is_whole_needed(&self) -> bool {
        self.internal || self.subjects
    }

    fn has_internal(&self, text: &str) -> bool {
        words(text).any(|word| address(word).is_some_and(|address| self.is_internal(address)))
    }

    fn without_internal(&self, text: &str) -> String {
        let mut masked = text.to_owned();
        for word in words(text) {
            if address(word).is_some_and(|address| self.is_internal(address)) {
                masked = masked.replace(word, WITHHELD);
            }
        }
        masked
    }

    fn is_internal(&self, address: IpAddr) -> bool {
        self.classifier.classify(address).class != Class::Public
    }
}

fn has_denial(decision: &Decision) -> bool {
    decision.outcome.denial().is_some()
        || decision.would_deny.is_some()
        || decision
            .addresses
            .iter()
            .any(|judged| judged.denial.is_some())
}

/// Addresses are data: one that is withheld is left out, since nothing else can stand in its place.
fn drop_addresses(line: &mut Value, is_withheld: &dyn Fn(&str) -> bool) {
    let Some(Value::Array(addresses)) = line.pointer_mut("/decision/addresses") else {
        return;
    };
    addresses.retain(|judged| {
        let address = judged.get("address").and_then(Value::as_str);
        !address.is_some_and(is_withheld)
    });
}

/// Calls back for each text with the name of its field. As deep as our own lines are.
fn each_text(value: &mut Value, change: &mut dyn FnMut(&str, &mut String)) {
    fn walk(name: &str, value: &mut Value, change: &mut dyn FnMut(&str, &mut String)) {
        match value {
            Value::String(text) => change(name, text),
            Value::Array(list) => list.iter_mut().for_each(|value| walk(name, value, change)),
            Value::Object(fields) => {
                fields
                    .iter_mut()
                    .for_each(|(name, value)| walk(name, value, change));
            }
            _ => {}
        }
    }
    walk("", value, change);
}

/// What may be an address: digits of 16, colons and dots.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_hexdigit() || c == ':' || c == '.'))
        .filter(|word| word.len() > 1)
}

/// An address, with a port or at the end of a sentence.
fn address(word: &str) -> Option<IpAddr> {
    let word = word.trim_end_matches('.');
    let socket = |word: &str| word.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    let whole = word.parse().ok().or_else(|| socket(word));
    whole.or_else(|| {
        let word = word.trim_matches(':');
        word.parse().ok().or_else(|| socket(word))
    })
}

/// URLs in a text lose what comes after their authority, and the credentials in it.
fn without_paths(text: &str) -> String {
    let mut left = String::with_capacity(text.len());
    for word in text.split_inclusive(is_end) {
        let (url, end) = word.split_at(word.trim_end_matches(is_end).len());
        left.push_str(&shortened(url));
        left.push_str(end);
    }
    left
}

fn is_end(c: char) -> bool {
    c.is_whitespace() || matches!(c, '`' | '"' | '\'' | '<' | '>' | '(' | ')')
}

fn shortened(word: &str) -> String {
    let (scheme, rest) = match word.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), word),
    };
    let end = rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = match (scheme.is_empty(), authority.rsplit_once('@')) {
        (false, Some((_, host))) => host,
        _ => authority,
    };
    let path = if path.is_empty() { "" } else { Redaction::PATH };
    format!("{scheme}{host}{path}")
}

/// What stands in the place of something.
const WITHHELD: &str = "withheld";
