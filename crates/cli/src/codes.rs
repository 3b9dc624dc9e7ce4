//! `pinfold codes`: the registry of reason codes.

use pinfold_addr::{Reason, Stage};

use crate::{
    exit::Exit,
    output::{LABEL, Output},
};

/// List every reason code: stage, meaning, what to do
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Show these codes only
    codes: Vec<String>,

    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  pinfold codes
  pinfold codes answers-mixed
  pinfold codes --json | jq -r '.[].code'";

/// One code, as JSON shows it.
#[derive(serde::Serialize)]
struct Code {
    code: &'static str,
    stage: Stage,
    summary: &'static str,
    hint: &'static str,
}

/// Runs the verb.
pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    let reasons = chosen(&args.codes)?;
    if args.json {
        out.json_pretty(&reasons.into_iter().map(Code::from).collect::<Vec<_>>())?;
    } else {
        table(&reasons, out)?;
    }
    Ok(Exit::Ok)
}

fn chosen(codes: &[String]) -> anyhow::Result<Vec<Reason>> {
    if codes.is_empty() {
        return Ok(Reason::ALL.to_vec());
    }
    codes.iter().map(|code| find(code)).collect()
}

fn find(code: &str) -> anyhow::Result<Reason> {
    Reason::from_code(code).ok_or_else(|| {
        crate::fault::Fault::new(
            format!("`{}` is no reason code", crate::text::Printable(code)),
            "run `pinfold codes` for the list; a policy may use codes of its own",
        )
        .into()
    })
}

fn table(reasons: &[Reason], out: &mut Output) -> anyhow::Result<()> {
    let code = reasons
        .iter()
        .map(|reason| reason.code().len())
        .max()
        .unwrap_or(0);
    let stage = reasons
        .iter()
        .map(|reason| reason.stage().as_str().len())
        .max()
        .unwrap_or(0);
    for reason in reasons.iter().copied().map(Code::from) {
        out.line(format_args!(
            "{LABEL}{:code$}{LABEL:#}  {:stage$}  {}",
            reason.code, reason.stage, reason.summary,
        ))?;
        out.line(format_args!(
            "{:code$}  {:stage$}  hint: {}",
            "", "", reason.hint
        ))?;
    }
    Ok(())
}

impl From<Reason> for Code {
    fn from(reason: Reason) -> Self {
        Self {
            code: reason.code(),
            stage: reason.stage(),
            // The summary is the first line of a doc comment: a sentence with its period.
            summary: reason.summary().trim().trim_end_matches('.'),
            hint: reason.hint(),
        }
    }
}
