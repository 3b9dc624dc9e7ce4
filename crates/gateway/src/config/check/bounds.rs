//! Deadlines and limits: none of them nothing, none of them beyond what it bounds.

use super::{Config, Found, Key};
use crate::config::{Envoy, Limits, Size, Span, SubjectLimits, Tunnels};

pub(super) fn check(config: &Config, found: &mut Found) {
    tunnels(&config.tunnels, found);
    zeros(&config.limits, found);
    order(&config.limits, found);
    rates(&config.limits, found);
    time("dns.timeout", config.dns.timeout, found);
    envoy(&config.envoy, found);
    let year = Key::of("drain");
    found.say_if(
        config.drain > MAX_DRAIN,
        year,
        "a drain of more than a day is no drain",
        "write at most `24h`",
    );
}

fn tunnels(tunnels: &Tunnels, found: &mut Found) {
    for (key, span) in [
        ("tunnels.connect", tunnels.connect),
        ("tunnels.idle", tunnels.idle),
        ("tunnels.lifetime", tunnels.lifetime),
        ("tunnels.half_closed", tunnels.half_closed),
        ("tunnels.response", tunnels.response),
        ("tunnels.revocation", tunnels.revocation),
    ] {
        time(key, span, found);
    }
    // The default gives way to a short life.
    let explicit = tunnels.idle != Tunnels::default().idle;
    found.say_if(
        explicit && tunnels.idle > tunnels.lifetime,
        Key::of("tunnels.idle"),
        "`idle` is longer than `lifetime`, so that it never counts",
        "make `idle` shorter, or `lifetime` longer",
    );
    found.say_if(
        tunnels.revocation > MAX_REVOCATION,
        Key::of("tunnels.revocation"),
        "what a new policy refuses must not stay open for long",
        "write at most `10m`",
    );
}

fn envoy(envoy: &Envoy, found: &mut Found) {
    let key = Key::of("envoy");
    time("envoy.deadline", envoy.deadline, found);
    found.say_if(
        envoy.deadline > MAX_DEADLINE,
        key.then("deadline"),
        "an Envoy waits for a decision, and its client for it: seconds at most",
        "write at most `10s`, and less than the `timeout` of the filter in Envoy",
    );
    found.say_if(
        !(1..=Envoy::MOST_PINS).contains(&envoy.pins),
        key.then("pins"),
        "an answer holds one address or more, and at most eight",
        "write a number from 1 to 8",
    );
    found.say_if(
        envoy.tls_port == 0,
        key.then("tls_port"),
        "no server listens on port 0",
        "write a port, or leave it out for 443",
    );
}

fn time(key: &str, span: Span, found: &mut Found) {
    if span.get().is_zero() {
        let message = format!("`{key}` is no time: everything would be too late");
        found.say(
            Key::default().then(key),
            message,
            "write a time such as `10s`",
        );
    }
}

fn zeros(limits: &Limits, found: &mut Found) {
    let key = Key::of("limits");
    for (name, zero) in [
        ("connections", limits.connections == 0),
        ("connections_per_source", limits.connections_per_source == 0),
        ("tunnels", limits.tunnels == 0),
        ("headers", limits.headers == 0),
        ("streams", limits.streams == 0),
        ("backlog", limits.backlog == 0),
        ("policy_instances", limits.policy_instances == 0),
    ] {
        if zero {
            let message = format!("with `{name} = 0` nobody is served");
            found.say(
                key.then(name),
                message,
                "leave it out for its default, or write a number",
            );
        }
    }
    time("limits.head_time", limits.head_time, found);
    time("limits.keep_alive", limits.keep_alive, found);
}

fn order(limits: &Limits, found: &mut Found) {
    let key = Key::of("limits");
    let explicit = limits.connections_per_source != Limits::default().connections_per_source;
    found.say_if(
        explicit && limits.connections_per_source > limits.connections,
        key.then("connections_per_source"),
        "one source may have more connections than all together",
        "make it at most `connections`",
    );
    if !(MIN_HEAD..=MAX_HEAD).contains(&limits.head) {
        let message = format!(
            "a request head of {} is too small or too large",
            limits.head
        );
        found.say(
            key.then("head"),
            message,
            "write a size from `8KiB` to `1MiB`",
        );
    }
    found.say_if(
        limits.headers > MAX_HEADERS,
        key.then("headers"),
        "so many header fields are an attack",
        "write at most 1000",
    );
    found.say_if(
        limits.policy_instances > MAX_INSTANCES,
        key.then("policy_instances"),
        "so many instances of a policy do not fit into the memory of a process",
        "write at most 10000",
    );
}

fn rates(limits: &Limits, found: &mut Found) {
    let key = Key::of("limits");
    burst(limits.rate, limits.burst, &key, found);
    subject(limits, &limits.subject, &key.then("subject"), found);
    for (name, own) in &limits.subjects {
        subject(limits, own, &key.then("subjects").named(name), found);
    }
}

fn subject(all: &Limits, own: &SubjectLimits, key: &Key, found: &mut Found) {
    burst(own.rate, own.burst, key, found);
    found.say_if(
        own.tunnels.is_some_and(|own| own > all.tunnels),
        key.then("tunnels"),
        "one subject may have more tunnels than all together",
        "make it at most `limits.tunnels`",
    );
    found.say_if(
        all.rate != 0 && own.rate > all.rate,
        key.then("rate"),
        "one subject may ask more often than all together",
        "make it at most `limits.rate`",
    );
}

fn burst(rate: u32, burst: u32, key: &Key, found: &mut Found) {
    found.say_if(
        rate == 0 && burst != 0,
        key.then("burst"),
        "`burst` goes beyond a `rate`, and there is none",
        "add `rate`, or leave `burst` out",
    );
}

const MAX_DEADLINE: Span = Span::seconds(10);
const MAX_DRAIN: Span = Span::seconds(24 * 3600);
const MAX_REVOCATION: Span = Span::seconds(600);
const MIN_HEAD: Size = Size::kib(8);
const MAX_HEAD: Size = Size::kib(1024);
const MAX_HEADERS: usize = 1_000;
const MAX_INSTANCES: u32 = 10_000;
