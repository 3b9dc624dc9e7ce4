//! Options that several verbs share: the policy, DNS, exceptions, who asks.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
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
    policy::{Layer, LoadError, LoadOptions, Problem, Source},
    resolve::{Answers, Dns, Fixed, Resolve, ResolveError, Resolving},
};
use pinfold_addr::{Domain, Target};
use pinfold_gateway::{
    config,
    settings::{self, SettingsError},
};

use crate::{fault::Fault, files};

/// Time for one decision of a policy, far above what a service grants: a verdict on the command
/// line must not depend on how busy the machine is, and nobody else waits for it.
const DECISION: Duration = Duration::from_millis(500);

/// Live instances of the policy: this process judges one request at a time.
const INSTANCES: u32 = 4;

/// How long an answer from `--resolve` may be kept; longer than the process lives.
const FIXED_TTL: Duration = Duration::from_secs(3600);

/// The largest settings file that is read, in bytes; the guard has a bound of its own below it.
const MAX_SETTINGS: u64 = 64 << 20;

/// What every verb that judges is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Judging {
    #[command(flatten)]
    pub(crate) request: RequestOptions,

    #[command(flatten)]
    pub(crate) policy: PolicyOptions,

    #[command(flatten)]
    dns: DnsOptions,
}

/// Which policy judges, and the operator's exceptions.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Policy")]
pub(crate) struct PolicyOptions {
    /// Policy component. Default: the policy that is shipped inside this binary
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// Settings of the policy, TOML or JSON, `-` for standard input; `pinfold inspect` lists them
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,

    /// One more policy, asked after those before it; any of them may deny. May be repeated
    ///
    /// NAME is in lower case, words joined by `-`: it is what a denial is blamed on. Without FILE it is the
    /// shipped policy: `--layer team=,team.toml`. `--policy` and `--settings` are the first layer, `policy`.
    /// Where neither is given, the layers are all that is asked: the shipped policy is then not, unless it is
    /// one of them.
    #[arg(long, value_name = "NAME=[FILE][,SETTINGS]")]
    layer: Vec<LayerOption>,

    /// Keep compiled policies in this directory, so that the next start is fast. Default: nowhere
    ///
    /// It is made when it is not there, and must be the user's own: whoever can write in it runs code in
    /// this process. It holds the settings, in the policy's own form.
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,

    /// Let policies import WASI 0.2, and give them one that does nothing: no clock, no randomness, no files,
    /// no network, no environment. Anything else that is imported stays refused
    #[arg(long)]
    inert_wasi: bool,

    /// Exception to the floor: let the policy allow this network, on this port or on all.
    /// Metadata endpoints cannot be granted
    #[arg(long, value_name = "PREFIX[:PORT]", value_parser = config::grant)]
    grant: Vec<Grant>,

    /// NAT64 prefix of this network (RFC 6052): IPv4 addresses inside it are judged too
    #[arg(long, value_name = "PREFIX", value_parser = config::nat64)]
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
    ///
    /// Further servers are asked when one does not answer, or says that it cannot (SERVFAIL, REFUSED). Half
    /// an answer is not judged: when all of them fail for AAAA alone, or for A alone, the name fails.
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = config::dns_server)]
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

impl Judging {
    /// Builds a guard that looks names up as the options say.
    pub(crate) fn build(&self, guard: GuardBuilder) -> anyhow::Result<Guard> {
        self.policy.build(guard.resolver(self.dns.resolver()))
    }
}

impl PolicyOptions {
    /// Builds a guard under these options.
    pub(crate) fn build(&self, guard: GuardBuilder) -> anyhow::Result<Guard> {
        let mut guard = self.chain(guard.limits(limits()))?;
        if let Some(dir) = &self.cache {
            guard = guard.code_cache(dir);
        }
        let guard = guard
            .inert_wasi(self.inert_wasi)
            .grants(self.grant.iter().copied())
            .nat64(self.nat64.iter().copied());
        guard.build().map_err(|error| self.name_the_file(error))
    }

    /// The policies, in the order in which they are asked.
    fn chain(&self, mut guard: GuardBuilder) -> anyhow::Result<GuardBuilder> {
        self.reads_stdin_once()?;
        if let Some(file) = &self.policy {
            guard = guard.policy(Source::Path(file.clone()));
        }
        if let Some(file) = &self.settings {
            guard = guard.settings(read_settings(file)?);
        }
        for option in &self.layer {
            guard = guard.layer(option.layer()?);
        }
        Ok(guard)
    }

    /// Says which file an error is about.
    fn name_the_file(&self, error: LoadError) -> anyhow::Error {
        let (policy, settings) = match &error {
            LoadError::InLayer { layer, .. } => self.files_of(layer),
            _ => (self.policy.as_deref(), self.settings.as_deref()),
        };
        let inner = match &error {
            LoadError::InLayer { error, .. } => error,
            error => error,
        };
        let context = match (inner, settings, policy) {
            (LoadError::Settings(_), Some(file), _) => {
                format!("cannot use the settings in `{}`", file.display())
            }
            (LoadError::CodeCache { .. } | LoadError::Io { .. }, ..) | (_, _, None) => {
                return error.into();
            }
            _ if inner.is_of_chain() => return error.into(),
            (_, _, Some(file)) => format!("cannot use the policy `{}`", file.display()),
        };
        anyhow::Error::from(error).context(context)
    }

    /// The policy and the settings of a layer.
    fn files_of(&self, layer: &str) -> (Option<&Path>, Option<&Path>) {
        match self.layer.iter().find(|option| option.name == layer) {
            Some(option) => (option.policy.as_deref(), option.settings.as_deref()),
            None => (self.policy.as_deref(), self.settings.as_deref()),
        }
    }

    /// All files of settings.
    fn settings(&self) -> impl Iterator<Item = &Path> {
        let layers = self
            .layer
            .iter()
            .filter_map(|option| option.settings.as_deref());
        self.settings.as_deref().into_iter().chain(layers)
    }

    /// Refuses settings that would be read from where others were read already.
    fn reads_stdin_once(&self) -> anyhow::Result<()> {
        if self.settings().filter(|file| is_stdin(file)).count() > 1 {
            let message = "the settings of several layers are read from standard input";
            return Err(Fault::new(message, "give the settings as files, all but one").into());
        }
        Ok(())
    }

    /// Standard input can be read once: refuses an option that would read it, too.
    pub(crate) fn leaves_stdin_to(&self, option: &str) -> anyhow::Result<()> {
        if self.settings().any(is_stdin) {
            let message = format!("`--settings -` and `{option}` both read standard input");
            return Err(Fault::new(message, "give the settings as a file").into());
        }
        Ok(())
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
pub(crate) fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.decision = DECISION;
    limits.policy_instances = INSTANCES;
    limits.policy_spares = 1;
    limits
}

/// How a policy is loaded outside of a guard whose compiled code is kept in this directory.
pub(crate) fn loading(cache: Option<&Path>) -> LoadOptions {
    match cache {
        Some(dir) => LoadOptions::new().code_cache(dir),
        None => LoadOptions::new(),
    }
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

/// A layer: `NAME=[FILE][,SETTINGS]`.
#[derive(Clone, Debug, Eq, PartialEq)]
struct LayerOption {
    name: String,
    /// None for the shipped one.
    policy: Option<PathBuf>,
    settings: Option<PathBuf>,
}

impl LayerOption {
    fn layer(&self) -> anyhow::Result<Layer> {
        let source = self.policy.clone().map_or(Source::Shipped, Source::Path);
        let layer = Layer::new(&self.name, source);
        Ok(match &self.settings {
            Some(file) => layer.settings(read_settings(file)?),
            None => layer,
        })
    }
}

impl FromStr for LayerOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str =
            "write `NAME=FILE` or `NAME=FILE,SETTINGS`, for example `team=team.wasm,team.toml`";
        let (name, files) = text.split_once('=').ok_or(FORM)?;
        let (policy, settings) = match files.split_once(',') {
            Some((_, "")) => return Err(FORM.into()),
            Some((policy, settings)) => (policy, Some(settings.into())),
            None => (files, None),
        };
        Ok(Self {
            name: name.into(),
            policy: (!policy.is_empty()).then(|| policy.into()),
            settings,
        })
    }
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.trim()
        .parse()
        .map_err(|_| format!("`{text}` is not an IP address"))
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

/// Reads settings that a person named: a file, a pipe, `-` for standard input. What has no name that tells is
/// JSON when it begins with a brace.
pub(crate) fn read_settings(file: &Path) -> anyhow::Result<serde_json::Value> {
    if is_stdin(file) {
        return settings_in(&bounded(io::stdin(), file)?, file);
    }
    let opened = File::open(file).with_context(|| format!("cannot read `{}`", file.display()))?;
    settings_in(&bounded(opened, file)?, file)
}

/// Reads settings that a project names: nothing but a regular file.
pub(crate) fn read_project_settings(file: &Path) -> anyhow::Result<serde_json::Value> {
    settings_in(&bounded(files::regular(file)?, file)?, file)
}

fn settings_in(text: &str, file: &Path) -> anyhow::Result<serde_json::Value> {
    settings::parse(text, file).map_err(|error| not_settings(error, file))
}

fn not_settings(error: SettingsError, file: &Path) -> anyhow::Error {
    let shown = file.display();
    let hint = error.hint();
    match error {
        SettingsError::Json(Problem { path, message }) if path.is_empty() => {
            anyhow::Error::msg(message).context(format!("`{shown}` is not valid JSON"))
        }
        SettingsError::Json(problem) => anyhow::Error::from(LoadError::Settings(vec![problem]))
            .context(format!("cannot use the settings in `{shown}`")),
        SettingsError::Toml { error, .. } => {
            anyhow::Error::from(*error).context(format!("`{shown}` is not valid TOML"))
        }
        SettingsError::TooLong => Fault::new(format!("`{shown}` is {error}"), hint).into(),
        other => Fault::new(format!("`{shown}` cannot be used: {other}"), hint).into(),
    }
}

fn bounded(from: impl Read, file: &Path) -> anyhow::Result<String> {
    let shown = file.display();
    let mut text = String::new();
    let read = from.take(MAX_SETTINGS + 1).read_to_string(&mut text);
    let read = read.with_context(|| format!("cannot read `{shown}`"))? as u64;
    if read > MAX_SETTINGS {
        let message = format!("`{shown}` is longer than {} MiB", MAX_SETTINGS >> 20);
        return Err(Fault::new(message, "settings of this size are a mistake").into());
    }
    Ok(text)
}

/// Whether `-` stands in the place of a file.
pub(crate) fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
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
    use pinfold_gateway::settings::MAX_TOML;

    use super::*;

    #[test]
    fn a_layer_has_a_name_and_perhaps_files() {
        for (text, parts) in [
            (
                "team=a.wasm,b.toml",
                Some(("team", Some("a.wasm"), Some("b.toml"))),
            ),
            ("team=a.wasm", Some(("team", Some("a.wasm"), None))),
            ("team=,b.toml", Some(("team", None, Some("b.toml")))),
            ("team=,-", Some(("team", None, Some("-")))),
            ("team=", Some(("team", None, None))),
            ("team=a=b.wasm", Some(("team", Some("a=b.wasm"), None))),
            ("team=a.wasm,", None),
            ("team", None),
            ("", None),
        ] {
            let option = parts.map(|(name, policy, settings)| LayerOption {
                name: name.into(),
                policy: policy.map(PathBuf::from),
                settings: settings.map(PathBuf::from),
            });
            assert_eq!(text.parse::<LayerOption>().ok(), option, "{text}");
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
    fn settings_are_no_larger_in_memory_than_they_are_worth() {
        let dir = tempfile::tempdir().unwrap();
        for (row, name, text, said) in [
            (
                "long",
                "a.toml",
                "# ".repeat(MAX_TOML),
                "is longer than 1 MiB",
            ),
            (
                "deep",
                "b.toml",
                format!("{}b = 1", "a.".repeat(99)),
                "more than 32 parts",
            ),
            (
                "without a name",
                "c",
                format!("{}b = 1", "a.".repeat(99)),
                "more than 32 parts",
            ),
        ] {
            let file = dir.path().join(name);
            std::fs::write(&file, text).unwrap();
            let error = read_settings(&file).unwrap_err().to_string();
            assert!(error.contains(said), "{row}: {error}");
        }
        let json = dir.path().join("a.json");
        std::fs::write(&json, format!("{{{}}}", " ".repeat(MAX_TOML))).unwrap();
        assert!(read_settings(&json).is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn a_project_names_no_pipe() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("settings.toml");
        files::testing::pipe(&file);
        let error = read_project_settings(&file).unwrap_err().to_string();
        assert!(error.ends_with("is not a regular file"), "{error}");
    }

    #[test]
    fn settings_are_read_as_their_name_or_their_first_character_says() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text, good) in [
            ("a.toml", "ports = [443]", true),
            ("a.json", r#"{"ports": [443]}"#, true),
            ("plain", "ports = [443]", true),
            ("brace", " {\"ports\": [443]}", true),
            ("twice.json", r#"{"ports": [443], "ports": [443]}"#, false),
            ("twice.toml", "ports = [443]\nports = [443]", false),
            ("wrong.json", "ports = [443]", false),
            ("wrong.toml", r#"{"ports": [443]}"#, false),
        ] {
            let file = dir.path().join(name);
            std::fs::write(&file, text).unwrap();
            let settings = read_settings(&file).ok();
            let expected = good.then(|| serde_json::json!({ "ports": [443] }));
            assert_eq!(settings, expected, "{name}");
        }
    }
}
