//! `pinfold gateway`: what operators ask of a gateway that runs.

mod client;
mod shapes;
mod socket;
mod table;

use std::{fs, io::Read, path::PathBuf};

use clap::Subcommand;
use pinfold_gateway::operator::Policy;
use serde_json::{Value, json};

use self::client::{Ask, GatewayOptions, Refused};
use crate::{
    exit::Exit,
    fault::Fault,
    files,
    options::read_settings,
    output::{self, BAD, Output},
};

/// Ask a running gateway, or change it
///
/// Reading needs nothing on the same machine. Changes need a Unix socket, the token of the gateway
/// (`--token-file`), or a certificate.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    gateway: GatewayOptions,

    /// Print JSON
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  pinfold gateway status
  pinfold gateway denials --limit 20
  pinfold gateway --token-file token swap --settings new.toml
  pinfold gateway --admin unix:/run/pinfold/admin.sock rollback
  pinfold gateway shadow start --policy next.wasm && pinfold gateway shadow

Exit codes:
  0  done
  1  the gateway refuses; `status`: it is there, and takes no requests (it drains)
  2  error: usage, nobody answers, or not like a gateway";

#[derive(Debug, Subcommand)]
enum Verb {
    /// Phase, policies, counts, limits
    Status,
    /// Active policies, what can be gone back to, changes
    Policies,
    /// Swap a policy in: verified, loaded and tested first
    Swap(PolicyArgs),
    /// Go back to the policies before, or to a generation
    Rollback {
        /// The generation. Default: the one before
        generation: Option<u64>,
    },
    /// Read the gateway's policy files again
    Reload,
    /// A candidate that judges the same traffic, never enforced
    Shadow {
        #[command(subcommand)]
        verb: Option<ShadowVerb>,
    },
    /// What is open, newest first
    Connections(Limit),
    /// The last denials and refusals, newest first, and how often each reason came
    Denials(Limit),
    /// The last decisions, newest first
    Decisions(Limit),
    /// Close one connection
    Close {
        /// The request id, as `connections` lists it and the client was told
        id: String,
    },
    /// End the gateway: nothing new is accepted, what is open may end
    Drain,
    /// The configuration in effect, without secrets
    Config,
}

#[derive(Debug, Subcommand)]
enum ShadowVerb {
    /// Who watches, and how it differs
    Status,
    /// Let a candidate watch
    Start(PolicyArgs),
    /// End that
    Stop,
    /// Swap the candidate in
    Promote,
}

#[derive(Debug, clap::Args)]
struct Limit {
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

/// A policy to send. What is left out stays as it is active.
#[derive(Debug, clap::Args)]
struct PolicyArgs {
    /// Policy component. Default: the active one
    #[arg(long, value_name = "FILE", conflicts_with = "shipped")]
    policy: Option<PathBuf>,

    /// The policy that is shipped inside the gateway's binary
    #[arg(long)]
    shipped: bool,

    /// Its settings, TOML or JSON, `-` for standard input. Default: the active ones
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,

    /// The layer, where there is a chain
    #[arg(long, value_name = "NAME")]
    layer: Option<String>,
}

/// Runs the verb.
pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    let (ask, show) = args.verb.asked()?;
    match args.gateway.ask(ask)? {
        Ok(value) => {
            match args.json {
                true => out.json_pretty(&value)?,
                false => show(&value, out)?,
            }
            Ok(args.verb.exit(&value))
        }
        Err(Refused(fault)) => {
            output::note(format_args!(
                "{BAD}error{BAD:#}: {}",
                crate::text::Printable(&fault.to_string())
            ));
            output::hint(crate::text::Printable(fault.hint()));
            Ok(Exit::Refused)
        }
    }
}

/// Prints an answer for people.
type Show = fn(&Value, &mut Output) -> anyhow::Result<()>;

impl Verb {
    /// A gateway that takes no requests is not what a probe asks for.
    fn exit(&self, value: &Value) -> Exit {
        match self {
            Self::Status if value["phase"] != "ready" => Exit::Refused,
            _ => Exit::Ok,
        }
    }

    fn asked(&self) -> anyhow::Result<(Ask, Show)> {
        let limited =
            |path: &str, limit: &Limit| Ask::read(format!("{path}?limit={}", limit.limit));
        Ok(match self {
            Self::Status => (Ask::read("/status"), shapes::status),
            Self::Policies => (Ask::read("/policies"), shapes::policies),
            Self::Swap(policy) => (
                Ask::change("/policies/swap", policy.body()?),
                shapes::changed,
            ),
            Self::Rollback { generation } => {
                let body = match generation {
                    Some(generation) => json!({"generation": generation}).to_string().into(),
                    None => Vec::new(),
                };
                (Ask::change("/policies/rollback", body), shapes::changed)
            }
            Self::Reload => (Ask::change("/policies/reload", Vec::new()), shapes::changed),
            Self::Shadow { verb } => verb.as_ref().unwrap_or(&ShadowVerb::Status).asked()?,
            Self::Connections(limit) => (limited("/connections", limit), shapes::connections),
            Self::Denials(limit) => (limited("/denials", limit), shapes::denials),
            Self::Decisions(limit) => (limited("/decisions", limit), shapes::decisions),
            Self::Close { id } => (
                Ask::delete(format!("/connections/{}", path_part(id)?)),
                shapes::done,
            ),
            Self::Drain => (Ask::change("/drain", Vec::new()), shapes::done),
            Self::Config => (Ask::read("/config"), shapes::config),
        })
    }
}

impl ShadowVerb {
    fn asked(&self) -> anyhow::Result<(Ask, Show)> {
        Ok(match self {
            Self::Status => (Ask::read("/shadow"), shapes::shadow),
            Self::Start(policy) => (
                Ask::change("/shadow/start", policy.body()?),
                shapes::started,
            ),
            Self::Stop => (Ask::change("/shadow/stop", Vec::new()), shapes::shadow),
            Self::Promote => (Ask::change("/shadow/promote", Vec::new()), shapes::changed),
        })
    }
}

impl PolicyArgs {
    fn body(&self) -> anyhow::Result<Vec<u8>> {
        if self.policy.is_none() && self.settings.is_none() && !self.shipped {
            let message = "neither a policy nor settings are given";
            let hint = "give `--policy`, `--shipped`, `--settings`, or two of them";
            return Err(Fault::new(message, hint).into());
        }
        let settings = self.settings.as_deref().map(read_settings).transpose()?;
        let policy = Policy {
            layer: self.layer.clone(),
            component: self.policy.as_deref().map(component).transpose()?,
            shipped: self.shipped,
            settings,
        };
        Ok(policy.to_body())
    }
}

fn component(file: &std::path::Path) -> anyhow::Result<Vec<u8>> {
    let opened: fs::File = files::regular(file)?;
    let mut bytes = Vec::new();
    opened.take(COMPONENT_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > COMPONENT_BYTES {
        let message = format!("`{}` is larger than 64 MiB", file.display());
        return Err(Fault::new(message, "a policy is smaller: is this the right file?").into());
    }
    Ok(bytes)
}

/// An id goes into a path: nothing in it may lead to another one.
fn path_part(id: &str) -> anyhow::Result<&str> {
    match !id.is_empty()
        && id
            .bytes()
            .all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
    {
        true => Ok(id),
        false => Err(Fault::new(
            "this is no request id",
            "`pinfold gateway connections` lists them: 0a1b2c3d-7",
        )
        .into()),
    }
}

/// What a gateway takes.
const COMPONENT_BYTES: u64 = 64 << 20;
