//! What is told of the records that differ, and of the whole.

use std::collections::BTreeSet;

use pinfold::record::{Difference, Entry, Ruling};
use serde::Serialize;

use super::{again::Layered, shelf::Missing, tally::Tally, what_if::Change};
use crate::{
    output::{self, BAD, GOOD, LABEL, Output},
    policy::diff::{
        change::{AddressChange, Kind, TermChange},
        show,
    },
    text::{Printable, count},
};

/// How it is told.
pub(super) struct Report {
    json: bool,
    /// What was told to be missing: once is enough.
    missing: BTreeSet<Missing>,
    malformed: usize,
}

/// Lines that are told to be no records, one by one; of further ones only the number is told.
const MALFORMED: usize = 100;

/// A record that differs, for programs.
#[derive(Serialize)]
struct Line<'a> {
    line: usize,
    id: u64,
    target: &'a str,
    #[serde(flatten)]
    what: What<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum What<'a> {
    Differs {
        layer: Option<&'a str>,
        differences: &'a [Difference],
    },
    /// What is written of the decision (`recorded`), and what follows from its input (`now`).
    Contradicts { contradictions: &'a [Difference] },
    Changes {
        was: &'a Ruling,
        now: &'a Ruling,
        loosening: bool,
        /// What is different, beside the verdict.
        kinds: &'a [Kind],
        addresses: &'a [AddressChange],
        terms: &'a [TermChange],
        /// What the policies did not see: they may answer otherwise to what was asked.
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        without: &'a [String],
    },
}

/// The last line, for programs.
#[derive(Serialize)]
struct Summary<'a> {
    summary: &'a Tally,
}

impl Report {
    pub(super) fn new(json: bool) -> Self {
        Self {
            json,
            missing: BTreeSet::new(),
            malformed: 0,
        }
    }

    /// A line that is no record.
    pub(super) fn malformed(&mut self, number: usize, problem: &str) {
        self.malformed += 1;
        if self.malformed <= MALFORMED {
            let problem = Printable(problem);
            output::note(format_args!(
                "{BAD}error{BAD:#}: line {number} is no record: {problem}"
            ));
        }
    }

    /// A record whose policy is not there.
    pub(super) fn missing(&mut self, number: usize, missing: &Missing) {
        if self.missing.insert(missing.clone()) {
            let message = missing.to_string();
            let message = Printable(&message);
            output::note(format_args!("{BAD}error{BAD:#}: line {number}: {message}"));
            output::hint(missing.hint());
        }
    }

    /// A record whose policies answer something else now.
    pub(super) fn differs(
        &self,
        number: usize,
        entry: &Entry,
        layers: &[Layered],
        out: &mut Output,
    ) -> anyhow::Result<()> {
        for Layered { layer, differences } in layers {
            let layer = layer.as_deref();
            if self.json {
                out.json(&line(number, entry, What::Differs { layer, differences }))?;
                continue;
            }
            let of = layer.map_or_else(String::new, |layer| {
                format!(" in layer `{}`", Printable(layer))
            });
            head(number, entry, &format!("{BAD}differs{BAD:#}{of}"), out)?;
            for Difference {
                field,
                recorded,
                now,
                ..
            } in differences
            {
                out.line(format_args!(
                    "  {LABEL}{}{LABEL:#}  recorded {}, now {}",
                    Printable(field),
                    Printable(&recorded.to_string()),
                    Printable(&now.to_string())
                ))?;
            }
        }
        Ok(())
    }

    /// A record that contradicts itself.
    pub(super) fn contradicts(
        &self,
        number: usize,
        entry: &Entry,
        contradictions: &[Difference],
        out: &mut Output,
    ) -> anyhow::Result<()> {
        if self.json {
            return out.json(&line(number, entry, What::Contradicts { contradictions }));
        }
        head(
            number,
            entry,
            &format!("{BAD}contradicts itself{BAD:#}"),
            out,
        )?;
        for Difference {
            field,
            recorded,
            now,
            ..
        } in contradictions
        {
            out.line(format_args!(
                "  {LABEL}{}{LABEL:#}  recorded {}, from its input follows {}",
                Printable(field),
                Printable(&recorded.to_string()),
                Printable(&now.to_string())
            ))?;
        }
        Ok(())
    }

    /// A record whose verdict would change.
    pub(super) fn changes(
        &self,
        number: usize,
        entry: &Entry,
        change: &Change,
        out: &mut Output,
    ) -> anyhow::Result<()> {
        if self.json {
            return out.json(&line(number, entry, What::of(change, entry)));
        }
        let mark = match change.is_loosening() {
            true => format!("{BAD}loosening{BAD:#}"),
            false => format!("{GOOD}tightening{GOOD:#}"),
        };
        head(number, entry, &mark, out)?;
        for line in details(change, entry) {
            out.line(format_args!("  {line}"))?;
        }
        Ok(())
    }

    /// That no record was judged, when that was not told already.
    pub(super) fn nothing(&self, tally: &Tally) {
        if tally.has_judged() || tally.missing + tally.malformed > 0 {
            return;
        }
        output::note(format_args!("{BAD}error{BAD:#}: nothing to replay"));
        output::hint(
            "records hold what was asked when they are made with `--record FILE`, or with `GuardBuilder::record_inputs`",
        );
    }

    /// The numbers.
    pub(super) fn summary(
        &mut self,
        tally: &Tally,
        what_if: bool,
        out: &mut Output,
    ) -> anyhow::Result<()> {
        if let Some(more) = self
            .malformed
            .checked_sub(MALFORMED)
            .filter(|more| *more > 0)
        {
            output::note(format_args!(
                "and {} that are no records",
                count(more, "line", "lines")
            ));
        }
        if self.json {
            return out.json(&Summary { summary: tally });
        }
        for line in lines(tally, what_if) {
            out.line(line)?;
        }
        Ok(())
    }
}

fn line<'a>(number: usize, entry: &'a Entry, what: What<'a>) -> Line<'a> {
    Line {
        line: number,
        id: entry.id,
        target: &entry.target,
        what,
    }
}

fn head(number: usize, entry: &Entry, mark: &str, out: &mut Output) -> anyhow::Result<()> {
    let target = Printable(&entry.target);
    Ok(out.line(format_args!("line {number}: {target} {mark}"))?)
}

impl<'a> What<'a> {
    fn of(change: &'a Change, entry: &'a Entry) -> Self {
        let Change { was, now, what } = change;
        Self::Changes {
            was,
            now,
            loosening: change.is_loosening(),
            kinds: &what.kinds,
            addresses: &what.addresses,
            terms: &what.terms,
            without: &entry.redacted,
        }
    }
}

/// The verdicts, what else is different, and what the policies did not see.
fn details(change: &Change, entry: &Entry) -> Vec<String> {
    let Change { was, now, what } = change;
    let mut lines = vec![ruling("was", was), ruling("now", now)];
    lines.extend(show::parts(what));
    if !entry.redacted.is_empty() {
        let withheld = entry.redacted.join(", ");
        let withheld = Printable(&withheld);
        lines.push(format!(
            "{LABEL}withheld{LABEL:#}  {withheld}: what was asked may be judged otherwise"
        ));
    }
    lines
}

fn ruling(when: &str, ruling: &Ruling) -> String {
    format!("{LABEL}{when}{LABEL:#}  {}", Printable(&told(ruling)))
}

fn told(ruling: &Ruling) -> String {
    match ruling {
        Ruling::Deny(denial) => {
            let (stage, code, detail) = (denial.stage(), denial.code(), denial.detail());
            format!("denied at stage `{stage}` by `{code}`: {detail}")
        }
        Ruling::Admit => "target allowed; no addresses are recorded".into(),
        _ => "allowed".into(),
    }
}

/// The numbers as lines, without those that are zero.
fn lines(tally: &Tally, what_if: bool) -> Vec<String> {
    let mut lines = vec![first(tally, what_if)];
    let further = [
        (
            tally.contradicting,
            "contradict themselves: the line does not follow from its input",
        ),
        (tally.other_reason, "refused as before, for another reason"),
        (
            tally.no_effect,
            "answered otherwise by a policy, to no effect",
        ),
        (tally.redacted, "judged without what is withheld in them"),
        (
            tally.missing,
            "not replayed: their policy, settings or layer is not there",
        ),
        (tally.malformed, "no records"),
    ];
    let left = tally
        .not_replayed
        .iter()
        .map(|(why, number)| format!("  {number} not replayed: {}", of_left(why)));
    let further = further.iter().filter(|(number, _)| *number > 0);
    lines.extend(left.chain(further.map(|(number, what)| format!("  {number} {what}"))));
    lines
}

fn first(tally: &Tally, what_if: bool) -> String {
    let records = count(
        usize::try_from(tally.records).unwrap_or(usize::MAX),
        "record",
        "records",
    );
    match what_if {
        true => format!(
            "{records}: {} would change, {} of them loosened; {} identical",
            tally.changed, tally.loosened, tally.identical
        ),
        false => format!(
            "{records}: {} identical, {} differ",
            tally.identical, tally.differing
        ),
    }
}

/// The names of [`super::Left`] in words.
pub(crate) fn of_left(why: &str) -> &'static str {
    match why {
        "no-input" => "recorded without what was asked",
        "not-asked" => "refused before a policy was asked",
        "depends-on-redacted" => "the answer depends on what is withheld",
        "depends-on-machine" => "the policy was late or had no place",
        _ => "what was asked was too long to be recorded",
    }
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Component { name, digest } => {
                write!(f, "the policy `{name}` with digest `{digest}` is not there")
            }
            Self::Settings { name, digest } => {
                write!(
                    f,
                    "settings of `{name}` with digest `{digest}` are not there"
                )
            }
            Self::InertWasi { name } => {
                write!(f, "the policy `{name}` judged with inert WASI")
            }
            Self::Load { name, problem, .. } => {
                write!(f, "cannot load the policy `{name}`: {problem}")
            }
            Self::Layer { name, known } => {
                write!(
                    f,
                    "no layer is called `{name}`; there are `{}`",
                    known.join("`, `")
                )
            }
        }
    }
}

impl Missing {
    fn hint(&self) -> &'static str {
        match self {
            Self::Component { .. } => {
                "give the component that judged with `--policy FILE`; `pinfold inspect FILE` shows a digest"
            }
            Self::Settings { .. } => "give the settings that were in force with `--settings FILE`",
            Self::InertWasi { .. } => "grant it with `--inert-wasi`",
            Self::Load { hint, .. } => hint,
            Self::Layer { .. } => "name the layer to replace with `--layer NAME`",
        }
    }
}
