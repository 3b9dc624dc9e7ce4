//! `pinfold inspect`: what a policy component is, and what it could do.

use std::path::PathBuf;

use pinfold::policy::{self, Inspection, LoadError, Source};

use crate::{
    exit::Exit,
    fault::Fault,
    output::{BAD, GOOD, LABEL, Output},
    text::Printable,
};

/// Show what a policy component is: digest, world, imports, settings
///
/// What a component can do is read from its imports, never from what it says of itself. A policy
/// that imports nothing can reach nothing: no network, no files, no clock.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The component. Without it, the policy that is shipped inside this binary
    file: Option<PathBuf>,

    /// Print only the JSON Schema of the settings
    #[arg(long)]
    schema: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  pinfold inspect
  pinfold inspect policy.wasm
  pinfold inspect --schema > settings.schema.json
  pinfold inspect --json policy.wasm | jq .imports";

/// Runs the verb.
pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    let source = args.file.clone().map_or(Source::Shipped, Source::Path);
    let inspection = policy::inspect(&source).map_err(|error| name_the_file(args, error))?;
    if args.schema {
        schema(&inspection, out)?;
    } else if args.json {
        out.json_pretty(&inspection)?;
    } else {
        describe(&inspection, out)?;
    }
    Ok(Exit::Ok)
}

/// Says which file an error is about, unless it does so itself.
fn name_the_file(args: &Args, error: LoadError) -> anyhow::Error {
    match (&args.file, &error) {
        (None, _) | (_, LoadError::Io { .. }) => error.into(),
        (Some(file), _) => {
            let context = format!("cannot inspect `{}`", file.display());
            anyhow::Error::from(error).context(context)
        }
    }
}

fn schema(inspection: &Inspection, out: &mut Output) -> anyhow::Result<()> {
    match &inspection.description {
        Some(description) => out.json_pretty(&description.settings_schema),
        None => Err(Fault::new(
            "the component is refused before it may describe itself, so it has no settings schema",
            "run `pinfold inspect FILE` to see its world and its imports",
        )
        .into()),
    }
}

fn describe(inspection: &Inspection, out: &mut Output) -> anyhow::Result<()> {
    row(out, "digest", format_args!("sha256:{}", inspection.digest))?;
    row(out, "size", format_args!("{} bytes", inspection.size))?;
    match &inspection.world {
        Some(world) => row(out, "world", Printable(world))?,
        None => row(
            out,
            "world",
            format_args!("{BAD}none that this host accepts{BAD:#}"),
        )?,
    }
    if inspection.imports.is_empty() {
        row(
            out,
            "imports",
            format_args!("{GOOD}none{GOOD:#}: it can reach nothing"),
        )?;
    } else {
        rows(out, "imports", &inspection.imports)?;
    }
    rows(out, "exports", &inspection.exports)?;
    if let Some(fault) = &inspection.fault {
        row(
            out,
            "fault",
            format_args!("{BAD}{}{BAD:#}", Printable(fault)),
        )?;
    }
    description(inspection, out)
}

fn description(inspection: &Inspection, out: &mut Output) -> anyhow::Result<()> {
    let Some(description) = &inspection.description else {
        return row(
            out,
            "says",
            format_args!("{BAD}nothing: refused before it may speak{BAD:#}"),
        );
    };
    let (name, version) = (
        Printable(&description.name),
        Printable(&description.version),
    );
    row(out, "name", format_args!("{name} {version}"))?;
    row(out, "summary", Printable(&description.summary))?;
    settings(&description.settings_schema, out)
}

/// The settings at the top level of the schema, one a line; the whole is for `--schema`.
fn settings(schema: &serde_json::Value, out: &mut Output) -> anyhow::Result<()> {
    let Some(properties) = schema
        .get("properties")
        .and_then(serde_json::Value::as_object)
    else {
        return row(out, "settings", "none");
    };
    let width = properties
        .keys()
        .map(|name| name.chars().count())
        .max()
        .unwrap_or(0);
    let lines = properties.iter().map(|(name, property)| {
        let about = property
            .get("description")
            .and_then(serde_json::Value::as_str)
            .unwrap_or("");
        format!("{name:width$}  {}", first_sentence(about))
            .trim_end()
            .to_owned()
    });
    rows(out, "settings", &lines.collect::<Vec<_>>())
}

fn first_sentence(text: &str) -> &str {
    text.split_once(". ")
        .map_or(text, |(first, _)| first)
        .trim_end_matches('.')
}

fn rows(out: &mut Output, label: &str, values: &[String]) -> anyhow::Result<()> {
    let labels = std::iter::once(label).chain(std::iter::repeat(""));
    labels
        .zip(values)
        .try_for_each(|(label, value)| row(out, label, Printable(value)))
}

fn row(out: &mut Output, label: &str, value: impl std::fmt::Display) -> anyhow::Result<()> {
    Ok(out.line(format_args!("{LABEL}{label:8}{LABEL:#}  {value}"))?)
}
