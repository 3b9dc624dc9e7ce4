//! Answers of a gateway as people read them. What is not there is `-`: another version may say less.

use serde_json::Value;

use super::{client::shown, table::Table};
use crate::{
    output::{BAD, GOOD, LABEL, Output},
    text::Printable,
};

pub(super) fn status(value: &Value, out: &mut Output) -> anyhow::Result<()> {
    let policy = &value["policy"];
    let style = if value["phase"] == "ready" { GOOD } else { BAD };
    let phase = shown(&value["phase"]);
    out.line(format_args!(
        "{style}{phase}{style:#}, version {}, up {}",
        shown(&value["version"]),
        span(value["uptime_s"].as_u64()),
    ))?;
    for listener in list(&value["listeners"]) {
        let tls = if listener["tls"] == true { ", TLS" } else { "" };
        let (name, bind) = (shown(&listener["name"]), shown(&listener["bind"]));
        out.line(format_args!(
            "{LABEL}listener{LABEL:#}    {name} on {bind}{tls}"
        ))?;
    }
    out.line(format_args!(
        "{LABEL}generation{LABEL:#}  {} ({})",
        shown(&policy["generation"]),
        source(policy),
    ))?;
    for each in list(&policy["policies"]) {
        out.line(format_args!(
            "{LABEL}policy{LABEL:#}      {}",
            reference(each)
        ))?;
    }
    if !policy["last_error"].is_null() {
        let (step, error) = (
            &policy["last_error"]["step"],
            &policy["last_error"]["error"],
        );
        out.line(format_args!(
            "{BAD}kept{BAD:#}        the last change was refused at {}: {}",
            shown(step),
            shown(error)
        ))?;
    }
    let errors = value["last_reload_error"].as_object();
    for (what, told) in errors.into_iter().flatten() {
        out.line(format_args!(
            "{BAD}reload{BAD:#}      {}: {}",
            Printable(what),
            shown(&told["error"])
        ))?;
    }
    out.line("")?;
    counts(value, out)
}

/// Where the active policies are from, and whether the files say otherwise.
fn source(policy: &Value) -> String {
    let source = shown(&policy["source"]);
    match (policy["files_in_effect"] == true, source.as_str()) {
        (true, _) => "from files".into(),
        // They were, and what the files hold now is refused.
        (false, "files") => "the files are not in effect: they were refused".into(),
        (false, _) => format!(
            "from {source}; the files are not in effect, `pinfold gateway reload` puts them back"
        ),
    }
}

fn counts(value: &Value, out: &mut Output) -> anyhow::Result<()> {
    let counts = &value["traffic"]["counts"];
    let mut table = Table::new(&["allowed", "denied", "refused", "failed", "would deny"]);
    let names = ["allowed", "denied", "refused", "failed", "would_deny"];
    table.row(names.map(|name| shown(&counts[name])));
    table.print(out)?;
    out.line("")?;
    let mut table = Table::new(&["limit", "used", "of"]);
    for limit in list(&value["limits"]) {
        table.row([
            shown(&limit["name"]),
            shown(&limit["used"]),
            of(&limit["limit"]),
        ]);
    }
    table.print(out)?;
    out.line("")?;
    let mut table = Table::new(&["step", "p50", "p90", "p99"]);
    for step in ["target", "resolve", "addresses", "connect"] {
        let latency = &value["traffic"]["latency"][step];
        let times = ["p50_us", "p90_us", "p99_us"].map(|name| micros(latency[name].as_u64()));
        table.row([step.to_owned()].into_iter().chain(times));
    }
    Ok(table.print(out)?)
}

pub(super) fn policies(value: &Value, out: &mut Output) -> anyhow::Result<()> {
    let mut table = Table::new(&["generation", "since", "by", "source", "policies"]);
    for shown_one in std::iter::once(&value["active"]).chain(list(&value["history"])) {
        let all: Vec<_> = list(&shown_one["policies"]).map(reference).collect();
        table.row([
            shown(&shown_one["generation"]),
            shown(&shown_one["since"]),
            shown(&shown_one["trigger"]),
            shown(&shown_one["source"]),
            all.join(", "),
        ]);
    }
    table.print(out)?;
    let error = &value["active"]["last_error"];
    if !error.is_null() {
        out.line(format_args!(
            "\n{BAD}kept{BAD:#}: the last change was refused at {}: {}",
            shown(&error["step"]),
            shown(&error["error"]),
        ))?;
    }
    Ok(())
}

pub(super) fn changed(value: &Value, out: &mut Output) -> anyhow::Result<()> {
    let generation = shown(&value["generation"]);
    match value["swapped"] == false {
        true => out.line(format_args!("generation {generation} was active already"))?,
        false => out.line(format_args!(
            "{GOOD}generation {generation} is active{GOOD:#}"
        ))?,
    }
    for policy in list(&value["policies"]) {
        out.line(format_args!("  {}", reference(policy)))?;
    }
    Ok(())
}

pub(super) fn connections(value: &Value, out: &mut Output) -> anyhow::Result<()> {
    let mut table = Table::new(&[
        "id", "kind", "target", "peer", "subject", "client", "policy", "age", "up", "down",
    ]);
    for open in list(&value["connections"]) {
        table.row([
            shown(&open["request_id"]),
            shown(&open["kind"]),
            shown(&open["authority"]),
            shown(&open["dialed"]),
            shown(&open["subject"]),
            shown(&open["client"]),
            format!("{} {}", shown(&open["policy"]), shown(&open["generation"])),
            span(open["age_ms"].as_u64().map(|millis| millis / 1000)),
            shown(&open["up"]),
            shown(&open["down"]),
        ]);
    }
    table.print_or("nothing is open", out)?;
    let (listed, open) = (list(&value["connections"]).count(), value["open"].as_u64());
    match open.and_then(|open| open.checked_sub(listed as u64)) {
        Some(more) if more > 0 => Ok(out.line(format_args!("and {more} more"))?),
        _ => Ok(()),
    }
}

pub(super) fn denials(value: &Value, out: &mut Output) -> anyhow::Result<()> {
    let mut table = Table::new(&["count", "stage", "code"]);
    for reason in list(&value["by_reason"]) {
        table.row([&reason["count"], &reason["stage"], &reason["code"]].map(shown));
    }
    table.print_or("nothing was denied or refused", out)?;
    if list(&value["denials"]).next().is_none() {
        return Ok(());
    }
    out.line("")?;
    rows(&value["denials"], out)
}

pub(super) fn decisions(value: &Value, out: &mut Output) -> anyhow::Result<()> {
    rows(&value["decisions"], out)
}

fn rows(value: &Value, out: &mut Output) -> anyhow::Result<()> {
    let mut table = Table::new(&[
        "time", "verdict", "target", "subject", "client", "code", "detail",
    ]);
    for row in list(value) {
        let would = &row["would_deny"];
        let (verdict, why) = match would.is_null() {
            true => (
                shown(if row["verdict"].is_null() {
                    &row["event"]
                } else {
                    &row["verdict"]
                }),
                row,
            ),
            false => ("would-deny".into(), would),
        };
        table.row([
            shown(&row["time"]),
            verdict,
            shown(&row["authority"]),
            shown(&row["subject"]),
            shown(&row["client"]),
            shown(&why["code"]),
            shown(if why["detail"].is_null() {
                &row["dialed"]
            } else {
                &why["detail"]
            }),
        ]);
    }
    Ok(table.print_or("nothing was decided yet", out)?)
}

pub(super) fn shadow(value: &Value, out: &mut Output) -> anyhow::Result<()> {
    if value["candidate"].is_null() {
        return Ok(out.line("no candidate watches")?);
    }
    if value["watching"] == false {
        out.line("no candidate watches; of the last one:")?;
    }
    out.line(format_args!(
        "{LABEL}candidate{LABEL:#}  {}",
        reference(&value["candidate"])
    ))?;
    out.line(format_args!(
        "{LABEL}compared{LABEL:#}   {}: looser in {}, stricter in {}, other reason in {}; dropped {}\n",
        shown(&value["compared"]),
        shown(&value["loosened"]),
        shown(&value["tightened"]),
        shown(&value["other_reason"]),
        shown(&value["dropped"]),
    ))?;
    let mut table = Table::new(&["count", "active", "candidate", ""]);
    for pair in list(&value["differences"]) {
        let loosens = if pair["loosens"] == true {
            "loosens"
        } else {
            ""
        };
        table.row([
            shown(&pair["count"]),
            shown(&pair["active"]),
            shown(&pair["candidate"]),
            loosens.to_owned(),
        ]);
    }
    Ok(table.print(out)?)
}

pub(super) fn started(value: &Value, out: &mut Output) -> anyhow::Result<()> {
    Ok(out.line(format_args!(
        "{GOOD}a candidate watches{GOOD:#}: {}",
        reference(&value["candidate"])
    ))?)
}

pub(super) fn done(value: &Value, out: &mut Output) -> anyhow::Result<()> {
    let fields = value.as_object().into_iter().flatten();
    for (name, value) in fields {
        out.line(format_args!("{LABEL}{name}{LABEL:#}  {}", shown(value)))?;
    }
    Ok(())
}

pub(super) fn config(value: &Value, out: &mut Output) -> anyhow::Result<()> {
    out.json_pretty(value)
}

/// `layer: egress 0123456789ab, settings 0123456789ab`
fn reference(policy: &Value) -> String {
    let short = |value: &Value| shown(value).chars().take(12).collect::<String>();
    let layer = match policy["layer"].as_str() {
        Some(_) => format!("{}: ", shown(&policy["layer"])),
        None => String::new(),
    };
    format!(
        "{layer}{} {}, settings {}",
        shown(&policy["name"]),
        short(&policy["digest"]),
        short(&policy["settings_digest"]),
    )
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn of(limit: &Value) -> String {
    match limit.as_u64() {
        Some(0) => "no limit".into(),
        _ => shown(limit),
    }
}

fn span(seconds: Option<u64>) -> String {
    match seconds {
        None => "-".into(),
        Some(s @ 0..60) => format!("{s} s"),
        Some(s @ 60..3600) => format!("{} min {} s", s / 60, s % 60),
        Some(s @ 3600..86400) => format!("{} h {} min", s / 3600, s / 60 % 60),
        Some(s) => format!("{} d {} h", s / 86400, s / 3600 % 24),
    }
}

fn micros(time: Option<u64>) -> String {
    match time {
        None => "-".into(),
        Some(us @ 0..1000) => format!("{us} us"),
        Some(us) => format!("{}.{} ms", us / 1000, us / 100 % 10),
    }
}
