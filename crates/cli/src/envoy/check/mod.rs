//! `pinfold envoy check`: which traps a configuration of Envoy contains, and the mend of each.
//!
//! ```text
//!   file ──► source ──► view ──► rules ──► findings
//!            documents  what     one       code, place,
//!            bounded    rules    function  meaning, mend
//!                       read     each
//! ```

mod finding;
mod node;
mod rules;
mod source;
mod view;

use std::{collections::BTreeSet, path::PathBuf};

use ipnet::IpNet;
use serde_json::Value;

use self::{
    finding::{Finding, Report, Severity},
    rules::Case,
    view::View,
};
use crate::{
    exit::Exit,
    fault::Fault,
    output::{Output, note},
    text::{Printable, Shown, count},
};

/// Report each trap that a configuration of Envoy contains, with the mend
///
/// Reads YAML or JSON: a bootstrap file, resources of a control plane, what `/config_dump` says, patches of a mesh.
/// Exits with 1 when there is a hole or a weakness; notes alone are 0.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The configuration; `-` is standard input
    file: PathBuf,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// A network that the second layer lets pass because it is meant to, as given to `pinfold envoy config`
    #[arg(long, value_name = "CIDR")]
    allow: Vec<IpNet>,
}

const EXAMPLES: &str = "\
Examples:
  pinfold envoy check envoy.yaml
  pinfold envoy config forward | pinfold envoy check -
  curl -s http://127.0.0.1:9901/config_dump | pinfold envoy check --json -";

/// Runs the verb.
pub(super) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    let documents = source::read(&args.file)?;
    let Some(checked) = Checked::of(&documents, &args.allow) else {
        let message = format!("nothing of Envoy is in `{}`", args.file.display());
        let hint = "name a file with listeners, routes, clusters or filters of Envoy";
        return Err(Fault::new(message, hint).into());
    };
    if args.json {
        out.json_pretty(&checked)?;
    } else {
        for finding in &checked.findings {
            finding.show(out)?;
        }
    }
    out.flush()?;
    checked.conclude(args);
    Ok(checked.exit())
}

/// What came out.
#[derive(Debug, serde::Serialize)]
struct Checked {
    /// The gravest first.
    findings: Vec<Finding>,
    /// What the file alone cannot tell.
    unjudged: BTreeSet<String>,
    seen: Seen,
}

/// What was looked at.
#[derive(Debug, serde::Serialize)]
struct Seen {
    listeners: usize,
    routes: usize,
    clusters: usize,
    filters: usize,
}

impl Checked {
    /// None where there is nothing of Envoy.
    fn of(documents: &[Value], allow: &[IpNet]) -> Option<Self> {
        let view = View::of(documents);
        if view.is_empty() {
            return None;
        }
        let mut report = Report::default();
        rules::apply(&Case { view: &view, allow }, &mut report);
        let (findings, unjudged) = report.sorted();
        Some(Self {
            findings,
            unjudged,
            seen: Seen {
                listeners: view.listeners.len(),
                routes: view.all_routes().len(),
                clusters: view.clusters.len(),
                filters: view.filters.len(),
            },
        })
    }

    fn exit(&self) -> Exit {
        let weighs = |finding: &Finding| finding.severity != Severity::Note;
        match self.findings.iter().any(weighs) {
            true => Exit::Refused,
            false => Exit::Ok,
        }
    }

    /// For people: what is not known, then how much was found.
    fn conclude(&self, args: &Args) {
        for what in &self.unjudged {
            note(format_args!("not judged: {}", Printable(what)));
        }
        let of = |severity| {
            self.findings
                .iter()
                .filter(|it| it.severity == severity)
                .count()
        };
        let found = match self.findings.is_empty() {
            true => "no trap".to_owned(),
            false => [
                count(of(Severity::Hole), "hole", "holes"),
                count(of(Severity::Weakness), "weakness", "weaknesses"),
                count(of(Severity::Note), "note", "notes"),
            ]
            .join(", "),
        };
        let seen = &self.seen;
        note(format_args!(
            "{found} in `{}`: {}, {}, {}, {} checked",
            Shown(&args.file),
            count(seen.listeners, "listener", "listeners"),
            count(seen.routes, "route", "routes"),
            count(seen.clusters, "cluster", "clusters"),
            count(seen.filters, "extension", "extensions"),
        ));
    }
}

#[cfg(test)]
mod tests;
