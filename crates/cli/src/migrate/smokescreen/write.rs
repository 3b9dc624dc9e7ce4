//! The configuration of the gateway, as text.

use std::{
    fmt::{self, Write},
    time::Duration,
};

use pinfold_gateway::config::Span;

use super::{
    super::difference::{Differences, Kind},
    networks::Networks,
    places::Places,
    rules::{Rules, unread},
    settings::quoted,
    source::{Config, Tls},
};

/// What `TimeoutStopSec=` of the example unit leaves, with some time for the log.
const PATIENCE: Duration = Duration::from_secs(40);

/// Port where Smokescreen listens unless told otherwise.
const PORT: u16 = 4750;

/// Writes the configuration, and tells what has no place in it.
pub(super) fn configuration(
    config: &Config,
    rules: &Rules,
    networks: &Networks,
    places: &Places,
    differences: &mut Differences,
) -> String {
    let mut text = Text::default();
    text.comment("Written by `pinfold migrate smokescreen`; `pinfold serve --check` reads it.");
    drain(config, &mut text, differences);
    let role = rules
        .subjects
        .first()
        .map_or("role", |subject| &subject.name);
    listener(config, role, places, &mut text, differences);
    policy(rules, &mut text);
    dns(config, &mut text, differences);
    if !networks.grants.is_empty() {
        let grants: Vec<_> = networks
            .grants
            .iter()
            .map(|rule| quoted(&rule.to_string()))
            .collect();
        text.table("[floor]");
        text.key("grants", &format!("[{}]", grants.join(", ")));
    }
    tunnels(config, &mut text, differences);
    limits(config, &mut text, differences);
    others(config, differences);
    text.lines
}

/// As long as there: whoever runs the gateway may have less patience.
fn drain(config: &Config, text: &mut Text, differences: &mut Differences) {
    const THERE: &str = "500m";
    let drain = config.exit_timeout.as_deref().unwrap_or(THERE);
    text.key("drain", &quoted(drain));
    let span: Result<Span, _> = drain.parse();
    if span.is_ok_and(|span| span.get() <= PATIENCE) {
        return;
    }
    let was = match &config.exit_timeout {
        Some(_) => format!("open connections have `{drain}` to end after a signal"),
        None => format!("unset: open connections have `{drain}` to end after a signal"),
    };
    differences
        .add(
            Kind::Changed,
            "exit_timeout",
            was,
            format!("`drain = \"{drain}\"`; the example unit for systemd kills after 45 s"),
        )
        .hint("set `drain` to what clients need, such as `30s`, and `TimeoutStopSec=` to more than that");
}

fn listener(
    config: &Config,
    role: &str,
    places: &Places,
    text: &mut Text,
    differences: &mut Differences,
) {
    text.table("[[listener]]");
    let ip = config.ip.as_deref().filter(|ip| !ip.is_empty());
    let ip = ip.unwrap_or("0.0.0.0");
    let port = config.port.unwrap_or(PORT);
    let bind = if ip.contains(':') {
        format!("[{ip}]:{port}")
    } else {
        format!("{ip}:{port}")
    };
    text.key("bind", &quoted(&bind));
    text.key("protocols", "[\"http\"]");
    if let Some(tls) = &config.tls {
        tls_section(tls, places, text, differences);
    }
    identity(config, role, text, differences);
    if config.support_proxy_protocol {
        differences
            .add(
                Kind::Missing,
                "support_proxy_protocol",
                "a PROXY header is believed from everywhere",
                "from listed networks only; none is listed yet",
            )
            .hint("add `proxy_protocol = { from = [\"...\"] }` to the listener");
    }
}

fn tls_section(tls: &Tls, places: &Places, text: &mut Text, differences: &mut Differences) {
    unread("tls", tls.rest.keys(), differences);
    let mut found = |file: &String| place(file, places, differences);
    let [certificate, key] = [&tls.cert_file, &tls.key_file]
        .map(|file| file.as_ref().map(&mut found).unwrap_or_default());
    let [authorities, lists]: [Vec<_>; 2] =
        [&tls.client_ca_files, &tls.crl_files].map(|files| files.iter().map(&mut found).collect());
    text.table("[listener.tls]");
    text.key("certificate", &quoted(&certificate));
    text.key("key", &quoted(&key));
    written(&authorities, "client_ca", text);
    if !tls.client_ca_files.is_empty() {
        text.key("client_auth", "\"optional\"");
    }
    written(&lists, "client_crl", text);
}

fn written(files: &[String], key: &str, text: &mut Text) {
    if !files.is_empty() {
        text.key(key, &strings(files));
    }
}

/// A path that holds wherever the configuration is written to.
fn place(file: &String, places: &Places, differences: &mut Differences) -> String {
    if file.starts_with('/') {
        return file.clone();
    }
    let (place, there) = places.find(file);
    let place = place.display().to_string();
    let difference = differences.add(
        Kind::Changed,
        format_args!("tls: `{file}`"),
        "relative to where the process was started",
        format!("`{place}`"),
    );
    if !there {
        difference.hint("nothing is there: write where the file is");
    }
    place
}

fn identity(config: &Config, role: &str, text: &mut Text, differences: &mut Differences) {
    let certificates = config.has_certificates();
    let required = !config.allow_missing_role;
    if certificates || required {
        let way = if certificates { "mtls" } else { "source" };
        text.table("[listener.identity]");
        text.key("ways", &format!("[\"{way}\"]"));
        text.key("required", if required { "true" } else { "false" });
    }
    if config.asks_nobody() {
        text.comment("Choose who asks: here by network; `mtls`, `basic`, `bearer` and `unix` are other ways.");
        text.comment(&format!(
            "networks = {{ \"10.0.0.0/8\" = {} }}",
            quoted(role)
        ));
    }
    if !certificates {
        let now = match required {
            true => {
                "no client has a subject yet: the gateway does not start before `listener.identity` finds one"
            }
            false => "no client has a subject yet: the base rules hold for all",
        };
        differences
            .add(Kind::Missing, "roles", "from a program that embeds the proxy, or none", now)
            .hint("choose among `mtls`, `basic`, `bearer`, `unix` and `source` in `listener.identity`");
    }
}

fn policy(rules: &Rules, text: &mut Text) {
    text.table("[policy]");
    text.key("settings", "\"settings.toml\"");
    if rules.reported.is_empty() {
        return;
    }
    text.table("[report]");
    text.comment(
        "Denials of names are only reported for these; addresses are enforced for everybody.",
    );
    text.key("subjects", &strings(&rules.reported));
    text.key("addresses", "\"enforce\"");
}

fn dns(config: &Config, text: &mut Text, differences: &mut Differences) {
    text.table("[dns]");
    text.key(
        "timeout",
        &quoted(config.dns_timeout.as_deref().unwrap_or("5s")),
    );
    if !config.resolver_addresses.is_empty() {
        text.key("servers", &strings(&config.resolver_addresses));
    }
    if config
        .network
        .as_deref()
        .is_some_and(|network| network != "ip")
    {
        differences.add(
            Kind::Missing,
            "network",
            "names are looked up for one family only",
            "for both; a family whose addresses are refused is left out (`mixed_answers = \"filter\"`)",
        );
    }
}

fn tunnels(config: &Config, text: &mut Text, differences: &mut Differences) {
    text.table("[tunnels]");
    text.key(
        "connect",
        &quoted(config.connect_timeout.as_deref().unwrap_or("10s")),
    );
    match config.idle_timeout.as_deref() {
        Some("0" | "0s") | None => {}
        Some(idle) => text.key("idle", &quoted(idle)),
    }
    for (key, value) in [
        ("read_timeout", &config.read_timeout),
        ("write_timeout", &config.write_timeout),
    ] {
        if value.is_some() {
            differences
                .add(
                    Kind::Changed,
                    key,
                    "bounds a whole request, or a whole response",
                    "bounds the head of a response, and the time between two pieces of it",
                )
                .hint("see `tunnels.response`");
        }
    }
}

fn limits(config: &Config, text: &mut Text, differences: &mut Differences) {
    text.table("[limits]");
    if let Some(time) = &config.read_header_timeout {
        text.key("head_time", &quoted(time));
    }
    if config.max_concurrent_connect_tunnels > 0 {
        text.key(
            "tunnels",
            &config.max_concurrent_connect_tunnels.to_string(),
        );
        differences.add(
            Kind::Changed,
            "max_concurrent_connect_tunnels",
            "counts tunnels; 429 beyond it",
            "counts tunnels and forwarded exchanges; 503 beyond it, 429 beyond the bound of a subject",
        );
    }
    if config.max_request_rate > 0.0 {
        // What is beyond a u32 is no limit worth the name.
        text.key(
            "rate",
            &format!("{:.0}", config.max_request_rate.ceil().min(1e9)),
        );
        text.key("burst", &config.max_request_burst.max(0).to_string());
        differences.add(
            Kind::Changed,
            "max_request_rate",
            "429 beyond it",
            "503 beyond it: it is everybody's; a subject's own (`limits.subject.rate`) is 429",
        );
    }
    if config.max_concurrent_requests > 0 {
        differences
            .add(
                Kind::Missing,
                "max_concurrent_requests",
                "bounds requests that are being handled",
                "connections, and tunnels with exchanges, have bounds of their own",
            )
            .hint("see `limits.connections` and `limits.tunnels`");
    }
}

/// What is read nowhere else.
fn others(config: &Config, differences: &mut Differences) {
    unread("configuration", config.rest.keys(), differences);
    let named = [
        (
            "acl_file",
            config.acl_file.is_some(),
            "names the access list",
            "the list that was given on the command line was read",
        ),
        (
            "deny_message_extra",
            config.deny_message_extra.is_some(),
            "is added to what clients are told",
            "clients are told the code and its hint",
        ),
        (
            "statsd_address",
            config.statsd_address.is_some(),
            "metrics are sent there",
            "metrics are read from `/metrics` of the admin listener",
        ),
        (
            "stats_socket_dir",
            config.stats_socket_dir.is_some() || config.stats_socket_file_mode.is_some(),
            "lists open connections",
            "`pinfold gateway connections` lists them",
        ),
        (
            "time_connect",
            config.time_connect,
            "times connections",
            "always timed",
        ),
        (
            "transport_max_idle_conns",
            config.transport_max_idle_conns.is_some()
                || config.transport_max_idle_conns_per_host.is_some(),
            "bounds kept connections",
            "8 for an origin at an address, 128 in all",
        ),
        (
            "mitm_ca_cert_file",
            config.mitm_ca_cert_file.is_some() || config.mitm_ca_key_file.is_some(),
            "signs certificates for names whose TLS is opened",
            "TLS is never opened",
        ),
    ];
    for (key, _, was, now) in named.iter().filter(|(_, given, ..)| *given) {
        differences.add(Kind::Missing, key, *was, *now);
    }
}

fn strings(texts: &[String]) -> String {
    let texts: Vec<_> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", texts.join(", "))
}

/// Lines of TOML. A table of which nothing is said is not written.
#[derive(Debug, Default)]
struct Text {
    lines: String,
    opened: Option<&'static str>,
}

impl Text {
    fn comment(&mut self, text: &str) {
        self.line(format_args!("# {text}"));
    }

    fn table(&mut self, name: &'static str) {
        self.opened = Some(name);
    }

    fn key(&mut self, key: &str, value: &str) {
        self.line(format_args!("{key} = {value}"));
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        let heading = self.opened.take();
        let heading = heading
            .map(|name| format!("\n{name}\n"))
            .unwrap_or_default();
        // Writing into a string does not fail.
        let _ = writeln!(self.lines, "{heading}{line}");
    }
}
