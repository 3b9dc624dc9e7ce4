//! `pinfold inspect`: what a policy component is, and what it could do.

use std::path::PathBuf;

use pinfold::policy::{self, Inspection, LoadError, Source};

use crate::{
    exit::Exit,
    fault::Fault,
    options,
    output::{BAD, GOOD, LABEL, Output},
    policy::subject::{self, Use},
    text::Printable,
};

/// Show what a policy component is: digest, world, imports, settings
///
/// What a component can do is read from its imports, never from what it says of itself. A policy
/// that imports nothing can reach nothing: no network, no files, no clock.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The component, or the folder of its project. Without it, the policy that is shipped inside this binary
    file: Option<PathBuf>,

    /// Print only the JSON Schema of the settings
    #[arg(long)]
    schema: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Keep compiled policies in this directory, so that the next run is fast. Default: nowhere
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  pinfold inspect
  pinfold inspect policy.wasm
  pinfold inspect partners
  pinfold inspect --schema > settings.schema.json
  pinfold inspect --json policy.wasm | jq .imports";

/// Runs the verb.
pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    let file = args.file.as_deref();
    let source = file.map(|file| subject::component(file, Use::Look));
    let source = source.transpose()?.unwrap_or(Source::Shipped);
    let inspection = policy::inspect_with(&source, &options::loading(args.cache.as_deref()));
    let inspection = inspection.map_err(|error| name_the_file(args, error))?;
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
        (None, _) | (_, LoadError::Io { .. } | LoadError::CodeCache { .. }) => error.into(),
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
    world(inspection, out)?;
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

/// What it is made for, and what it could reach.
fn world(inspection: &Inspection, out: &mut Output) -> anyhow::Result<()> {
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
        let (covered, all) = (inspection.inert_wasi.len(), inspection.imports.len());
        if covered > 0 {
            let share = format_args!("{covered} of {all}, where it is granted (`--inert-wasi`)");
            row(out, "inert", share)?;
        }
    }
    Ok(())
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
    rows(out, "settings", &setting_lines(properties))
}

/// Names and what is said of them, aligned. A component chooses its names: one that is very long stands
/// out alone, and does not make every line as long.
fn setting_lines(properties: &serde_json::Map<String, serde_json::Value>) -> Vec<String> {
    let lengths = properties.keys().map(|name| name.chars().count());
    let width = lengths.filter(|length| *length <= MAX_WIDTH).max();
    let width = width.unwrap_or(0);
    let line = |(name, property): (&String, &serde_json::Value)| {
        let about = property.get("description").and_then(|about| about.as_str());
        let line = format!("{name:width$}  {}", first_sentence(about.unwrap_or("")));
        line.trim_end().to_owned()
    };
    properties.iter().map(line).collect()
}

/// The widest column of names, in characters.
const MAX_WIDTH: usize = 40;

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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn lines(schema: &Value) -> Vec<String> {
        setting_lines(schema.as_object().unwrap())
    }

    #[test]
    fn settings_are_aligned() {
        let schema = json!({
            "a": {"description": "First. Second."},
            "longer": {},
        });
        assert_eq!(lines(&schema), ["a       First", "longer"]);
    }

    /// Each line was as long as the longest name: 256 KiB of schema asked for gigabytes.
    #[test]
    fn a_long_name_does_not_widen_the_others() {
        let mut schema = json!({"a": {"description": "A"}, "b": {}});
        schema["x".repeat(1000)] = json!({"description": "X"});
        assert_eq!(
            lines(&schema),
            ["a  A", "b", &format!("{}  X", "x".repeat(1000))]
        );
    }
}
