//! Log, metrics, traces.

use super::{Config, Found, Key, twice};
use crate::config::Tracing;

pub(super) fn check(config: &Config, found: &mut Found) {
    let (log, key) = (&config.records.log, Key::of("records.log"));
    found.say_if(
        log.sample == 0,
        key.then("sample"),
        "of no decisions none is written",
        "write 1 for all, or `to = \"off\"` for none",
    );
    found.say_if(
        log.queue == 0,
        key.then("queue"),
        "every record would be dropped: none may wait",
        "leave it out for its default, or write `to = \"off\"`",
    );
    found.say_if(
        log.queue > MAX_QUEUE,
        key.then("queue"),
        "so many records that wait take the memory of the gateway",
        "write at most 1000000",
    );
    if let Some((at, _)) = twice(&log.withhold) {
        found.say(
            key.then("withhold").at(at),
            "it is withheld twice",
            "list each once",
        );
    }
    let metrics = &config.records.metrics;
    for (name, number) in [("subjects", metrics.subjects), ("codes", metrics.codes)] {
        found.say_if(
            number > MAX_SERIES,
            Key::of("records.metrics").then(name),
            "so many series are more than a collector takes",
            "write at most 10000",
        );
    }
    if let Some(tracing) = &config.records.tracing {
        traces(tracing, &Key::of("records.tracing"), found);
    }
}

fn traces(tracing: &Tracing, key: &Key, found: &mut Found) {
    let collector = tracing.endpoint.parse::<http::Uri>().ok();
    let usable = collector.is_some_and(|uri| {
        let user = uri
            .authority()
            .is_none_or(|authority| authority.as_str().contains('@'));
        matches!(uri.scheme_str(), Some("http" | "https")) && !user
    });
    found.say_if(
        !usable,
        key.then("endpoint"),
        "`endpoint` is no URL of a collector",
        "write it such as `http://127.0.0.1:4318/v1/traces`",
    );
    for (name, value) in &tracing.headers {
        let good =
            name.parse::<http::HeaderName>().is_ok() && value.parse::<http::HeaderValue>().is_ok();
        if !good {
            let message = format!("`{}` is no header that can be sent", name.escape_debug());
            let hint = "a name is one word, a value is printable: it is not shown here";
            found.say(key.then("headers").named(name), message, hint);
        }
    }
    found.say_if(
        tracing.sample == 0,
        key.then("sample"),
        "of no requests none is traced",
        "write 1 for all, or leave `tracing` out",
    );
    found.say_if(
        tracing.interval.get().is_zero(),
        key.then("interval"),
        "spans cannot be sent all the time",
        "write a time such as `5s`",
    );
}

const MAX_QUEUE: usize = 1_000_000;
const MAX_SERIES: usize = 10_000;
