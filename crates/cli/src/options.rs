//! Options that several verbs share: the policy, DNS, exceptions, who asks.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    str::FromStr,
    sync::OnceLock,
    time::Duration,
};

use anyhow::Context;
use ipnet::Ipv6Net;
use pinfold::{
    Grant, Guard, GuardBuilder, Limits, Request,
    policy::{LoadError, Source},
    resolve::{Answers, Dns, Fixed, Resolve, ResolveError, Resolving},
};
use pinfold_addr::{Classifier, Domain, Target};

use crate::fault::Fault;

/// Time for one decision of a policy, far above what a service grants: a verdict on the command
/// line must not depend on how busy the machine is, and nobody else waits for it.
const DECISION: Duration = Duration::from_millis(500);

/// Live instances of the policy: this process judges one request at a time.
const INSTANCES: u32 = 4;

/// How long an answer from `--resolve` may be kept; longer than the process lives.
const FIXED_TTL: Duration = Duration::from_secs(3600);

/// The largest settings file that is read, in bytes; the guard has a bound of its own below it.
const MAX_SETTINGS: u64 = 64 << 20;

/// Which policy judges, and the operator's exceptions.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Policy")]
pub(crate) struct PolicyOptions {
    /// Policy component. Default: the policy that is shipped inside this binary
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// Settings of the policy, TOML or JSON; `pinfold inspect` lists them
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,

    /// Exception to the floor: let the policy allow this network, on this port or on all.
    /// Metadata endpoints cannot be granted
    #[arg(long, value_name = "PREFIX[:PORT]")]
    grant: Vec<Grant>,

    /// NAT64 prefix of this network (RFC 6052): IPv4 addresses inside it are judged too
    #[arg(long, value_name = "PREFIX", value_parser = nat64)]
    nat64: Vec<Ipv6Net>,
}

/// Who looks names up.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Names")]
pub(crate) struct DnsOptions {
    /// Fixed answer for a name; other names are looked up as usual
    #[arg(long, value_name = "NAME=IP[,IP...]")]
    resolve: Vec<FixedName>,

    /// Ask this DNS server instead of the system's. May be repeated
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = dns_server)]
    dns: Vec<SocketAddr>,
}

/// What the policy is told about the one who asks.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Request")]
pub(crate) struct RequestOptions {
    /// Who asks: selects the rules of a subject
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,

    /// Label that the policy sees. May be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
}

impl PolicyOptions {
    /// Builds a guard under these options.
    pub(crate) fn build(&self, guard: GuardBuilder) -> anyhow::Result<Guard> {
        let source = self.policy.clone().map_or(Source::Shipped, Source::Path);
        let mut guard = guard.policy(source).limits(limits());
        if let Some(file) = &self.settings {
            guard = guard.settings(read_settings(file)?);
        }
        let guard = guard
            .grants(self.grant.iter().copied())
            .nat64(self.nat64.iter().copied());
        guard.build().map_err(|error| self.name_the_file(error))
    }

    /// Says which file an error is about.
    fn name_the_file(&self, error: LoadError) -> anyhow::Error {
        let context = match (&error, &self.settings, &self.policy) {
            (LoadError::Settings(_), Some(file), _) => {
                format!("cannot use the settings in `{}`", file.display())
            }
            (LoadError::Io { .. }, _, _) | (_, _, None) => return error.into(),
            (_, _, Some(file)) => format!("cannot use the policy `{}`", file.display()),
        };
        anyhow::Error::from(error).context(context)
    }

    /// What the guard knows of addresses. Each prefix was checked when it was read.
    pub(crate) fn classifier(&self) -> Classifier {
        Classifier::with_nat64(self.nat64.clone()).unwrap_or_default()
    }
}

impl DnsOptions {
    /// The resolver that the options ask for. Nothing is read or contacted before a name is asked.
    pub(crate) fn resolver(&self) -> Fixed {
        let mut fixed = Fixed::default();
        for (name, addresses) in self.fixed() {
            let answers = Answers {
                addresses,
                chain: Vec::new(),
                ttl: FIXED_TTL,
            };
            fixed = fixed.with(name, answers);
        }
        if self.dns.is_empty() {
            fixed.or(System::default())
        } else {
            fixed.or(Dns::servers(self.dns.iter().copied()))
        }
    }

    /// A name that is given twice has the addresses of both.
    fn fixed(&self) -> BTreeMap<Domain, Vec<IpAddr>> {
        let mut fixed = BTreeMap::<_, Vec<IpAddr>>::new();
        for FixedName { name, addresses } in &self.resolve {
            fixed.entry(name.clone()).or_default().extend(addresses);
        }
        fixed
    }
}

impl RequestOptions {
    /// Who asks.
    pub(crate) fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// What else the policy sees.
    pub(crate) fn labels(&self) -> &[(String, String)] {
        &self.label
    }

    /// A first hop to `target`.
    pub(crate) fn request(&self, target: Target, method: &http::Method) -> Request {
        let mut request = Request::new(target).method(method.as_str());
        if let Some(subject) = &self.subject {
            request = request.subject(subject);
        }
        self.label
            .iter()
            .fold(request, |request, (key, value)| request.label(key, value))
    }
}

/// The bounds of a guard on the command line.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.decision = DECISION;
    limits.policy_instances = INSTANCES;
    limits.policy_spares = 1;
    limits
}

/// A fixed answer: `NAME=IP[,IP...]`.
#[derive(Clone, Debug, Eq, PartialEq)]
struct FixedName {
    name: Domain,
    addresses: Vec<IpAddr>,
}

impl FromStr for FixedName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, addresses) = text
            .split_once('=')
            .ok_or("write `NAME=IP`, for example `example.com=192.0.2.7`")?;
        let name = Domain::parse(name).map_err(|refusal| refusal.to_string())?;
        let addresses = addresses
            .split(',')
            .map(address)
            .collect::<Result<_, _>>()?;
        Ok(Self { name, addresses })
    }
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.trim()
        .parse()
        .map_err(|_| format!("`{text}` is not an IP address"))
}

/// `ADDR:PORT`, or an address alone for port 53.
fn dns_server(text: &str) -> Result<SocketAddr, String> {
    const DNS_PORT: u16 = 53;
    text.parse()
        .or_else(|_| {
            text.parse()
                .map(|address| SocketAddr::new(address, DNS_PORT))
        })
        .map_err(|_| String::from("write an address and a port, such as `192.0.2.53:53`"))
}

/// A prefix of one of the lengths of RFC 6052.
fn nat64(text: &str) -> Result<Ipv6Net, String> {
    let prefix = text
        .parse()
        .ok()
        .filter(|prefix| Classifier::with_nat64(vec![*prefix]).is_ok());
    prefix.ok_or_else(|| {
        String::from(
            "write an IPv6 prefix of 32, 40, 48, 56, 64 or 96 bits, such as `64:ff9b::/96`",
        )
    })
}

/// A method in upper case: a policy compares names.
pub(crate) fn method(text: &str) -> Result<http::Method, String> {
    text.to_ascii_uppercase()
        .parse()
        .map_err(|_| String::from("not an HTTP method"))
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        _ => Err(String::from("write `KEY=VALUE`")),
    }
}

/// Reads settings. A file whose name does not tell is JSON when it begins with a brace.
fn read_settings(file: &Path) -> anyhow::Result<serde_json::Value> {
    let text = read_bounded(file)?;
    let shown = file.display();
    let is_json = match file.extension().and_then(|extension| extension.to_str()) {
        Some("json") => true,
        Some("toml") => false,
        _ => text.trim_start().starts_with('{'),
    };
    if is_json {
        serde_json::from_str(&text).with_context(|| format!("`{shown}` is not valid JSON"))
    } else {
        toml::from_str(&text).with_context(|| format!("`{shown}` is not valid TOML"))
    }
}

fn read_bounded(file: &Path) -> anyhow::Result<String> {
    let shown = file.display();
    let size = fs::metadata(file)
        .with_context(|| format!("cannot read `{shown}`"))?
        .len();
    if size > MAX_SETTINGS {
        let message = format!("`{shown}` has {size} bytes, more than {MAX_SETTINGS}");
        return Err(Fault::new(message, "settings of this size are a mistake").into());
    }
    fs::read_to_string(file).with_context(|| format!("cannot read `{shown}`"))
}

/// The system's DNS servers, read when the first name is asked: a literal or a fixed name must not
/// fail because the machine has no DNS configuration.
#[derive(Debug, Default)]
struct System(OnceLock<Result<Dns, ResolveError>>);

impl Resolve for System {
    fn resolve<'a>(&'a self, name: &'a Domain) -> Resolving<'a> {
        match self.0.get_or_init(Dns::system_servers) {
            Ok(dns) => dns.resolve(name),
            Err(error) => Box::pin(std::future::ready(Err(error.clone()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dns_server_has_port_53_unless_it_says_otherwise() {
        for (text, server) in [
            ("192.0.2.53", Some("192.0.2.53:53")),
            ("192.0.2.53:5353", Some("192.0.2.53:5353")),
            ("2001:db8::53", Some("[2001:db8::53]:53")),
            ("[2001:db8::53]:5353", Some("[2001:db8::53]:5353")),
            ("dns.example", None),
            ("", None),
        ] {
            let parsed = dns_server(text).ok().map(|server| server.to_string());
            assert_eq!(parsed.as_deref(), server, "{text}");
        }
    }

    #[test]
    fn a_label_is_split_at_the_first_equals_sign() {
        assert_eq!(label("route=a=b"), Ok(("route".into(), "a=b".into())));
        assert_eq!(label("empty="), Ok(("empty".into(), String::new())));
        assert!(label("=value").is_err());
        assert!(label("alone").is_err());
    }

    #[test]
    fn settings_are_read_as_their_name_or_their_first_character_says() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text, good) in [
            ("a.toml", "ports = [443]", true),
            ("a.json", r#"{"ports": [443]}"#, true),
            ("plain", "ports = [443]", true),
            ("brace", " {\"ports\": [443]}", true),
            ("wrong.json", "ports = [443]", false),
            ("wrong.toml", r#"{"ports": [443]}"#, false),
        ] {
            let file = dir.path().join(name);
            fs::write(&file, text).unwrap();
            let settings = read_settings(&file).ok();
            let expected = good.then(|| serde_json::json!({ "ports": [443] }));
            assert_eq!(settings, expected, "{name}");
        }
    }
}
