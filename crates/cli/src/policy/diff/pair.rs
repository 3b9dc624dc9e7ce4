//! Both policies, loaded under the same settings, and asked the same.

use std::{net::IpAddr, path::Path};

use pinfold::{
    Denial,
    policy::{LoadError, LoadOptions, Measurement, Meter},
};
use serde_json::Value;

use super::{
    change::Answer,
    report::{Refused, Report, Side},
    tally::{Asked, Measured, Tally},
};
use crate::{
    options,
    policy::{
        questions::{Question, Tried},
        subject::Subject,
    },
    vectors::{Setup, Suite},
};

/// The settings that were stated.
#[derive(Clone, Debug)]
pub(super) struct Stated {
    /// For the old policy alone.
    pub(super) old: Option<Value>,
    /// For the new policy alone.
    pub(super) new: Option<Value>,
    /// For both, where vectors state none.
    pub(super) default: Value,
}

/// Loads both policies.
#[derive(Debug)]
pub(super) struct Loader<'a> {
    pub(super) old: &'a Subject,
    pub(super) new: &'a Subject,
    pub(super) stated: &'a Stated,
    pub(super) cache: Option<&'a Path>,
    pub(super) inert_wasi: bool,
}

/// Both policies.
#[derive(Debug)]
pub(super) struct Pair<'a> {
    old: (&'a Subject, Meter),
    new: (&'a Subject, Meter),
}

impl<'a> Loader<'a> {
    /// Both policies under these settings of some vectors; none when one of both refuses them, which the
    /// report then says.
    ///
    /// # Errors
    ///
    /// Anything else that is wrong with one of the policies.
    pub(super) fn pair(
        &self,
        settings: Option<&Value>,
        from: &str,
        report: &mut Report,
    ) -> anyhow::Result<Option<Pair<'a>>> {
        let common = settings.unwrap_or(&self.stated.default);
        let of_old = self.stated.old.as_ref().unwrap_or(common);
        let of_new = self.stated.new.as_ref().unwrap_or(common);
        let old = self.load(Side::Old, of_old, from, report)?;
        let new = self.load(Side::New, of_new, from, report)?;
        let Some((old, new)) = old.zip(new) else {
            report.not_compared += 1;
            return Ok(None);
        };
        Ok(Some(Pair {
            old: (self.old, old),
            new: (self.new, new),
        }))
    }

    /// What both make of settings that are to be refused, whatever was stated for one of them.
    ///
    /// # Errors
    ///
    /// Anything else that is wrong with one of the policies.
    pub(super) fn settings(&self, tried: &Tried, tally: &mut Tally) -> anyhow::Result<()> {
        let settings = tried.settings.as_ref().unwrap_or(&self.stated.default);
        let problems = |side| match self.meter(side, settings) {
            Ok(_) => Ok(Vec::new()),
            Err(LoadError::Settings(problems)) => Ok(problems),
            Err(error) => Err(self.subject(side).name(error)),
        };
        tally.add_settings(&tried.file, &problems(Side::Old)?, &problems(Side::New)?);
        Ok(())
    }

    /// How the old policy is loaded to judge a suite, or without one.
    pub(super) fn old_setup(&self, suite: Option<&Suite>) -> Setup {
        let of_suite = suite.and_then(|suite| suite.settings.as_ref());
        let common = of_suite.unwrap_or(&self.stated.default);
        Setup {
            settings: self.stated.old.as_ref().unwrap_or(common).clone(),
            nat64: suite.map_or_else(Vec::new, |suite| suite.nat64.clone()),
            cache: self.cache.map(Path::to_owned),
            inert_wasi: self.inert_wasi,
            ..Setup::of(self.old.source.clone())
        }
    }

    /// Whether the new policy still takes the settings of the old one, where it is given others.
    pub(super) fn old_settings_with_new(&self, report: &mut Report) -> anyhow::Result<()> {
        if self.stated.new.is_none() {
            return Ok(());
        }
        let (settings, from) = match &self.stated.old {
            Some(settings) => (settings, "the old policy"),
            None => (&self.stated.default, "both"),
        };
        self.load(Side::New, settings, from, report).map(drop)
    }

    /// The error of a policy that is refused, whatever its settings.
    pub(super) fn refused(&self, side: Side, fault: &str) -> anyhow::Error {
        let subject = self.subject(side);
        match self.meter(side, &self.stated.default) {
            Err(error) => subject.name(error),
            Ok(_) => anyhow::anyhow!("cannot use {}: {fault}", subject.in_a_sentence()),
        }
    }

    fn load(
        &self,
        by: Side,
        settings: &Value,
        from: &str,
        report: &mut Report,
    ) -> anyhow::Result<Option<Meter>> {
        match self.meter(by, settings) {
            Ok(meter) => Ok(Some(meter)),
            Err(LoadError::Settings(problems)) => {
                report.refused.push(Refused {
                    from: from.to_owned(),
                    by,
                    problems,
                });
                Ok(None)
            }
            Err(error) => Err(self.subject(by).name(error)),
        }
    }

    fn meter(&self, side: Side, settings: &Value) -> Result<Meter, LoadError> {
        let options = LoadOptions::new().inert_wasi(self.inert_wasi);
        let options = match self.cache {
            Some(dir) => options.code_cache(dir),
            None => options,
        };
        let source = self.subject(side).source.clone();
        Meter::load_with(source, settings.clone(), &options::limits(), &options)
    }

    fn subject(&self, side: Side) -> &'a Subject {
        match side {
            Side::Old => self.old,
            Side::New => self.new,
        }
    }
}

impl Pair<'_> {
    /// Asks both, and adds what they answered.
    ///
    /// # Errors
    ///
    /// A policy that does not start.
    pub(super) fn ask(&self, question: &Question, tally: &mut Tally) -> anyhow::Result<()> {
        let old = measured(&self.old, question)?;
        let new = measured(&self.new, question)?;
        let answers = question.asked.answers.iter();
        let addresses: Vec<IpAddr> = answers.map(|answer| answer.address).collect();
        let asked = Asked {
            name: &question.name,
            from: &question.file,
            target: &question.target(),
            addresses: &addresses,
        };
        tally.add(asked, &old, &new);
        Ok(())
    }
}

fn measured((subject, meter): &(&Subject, Meter), question: &Question) -> anyhow::Result<Measured> {
    let measured = question.measure(meter);
    let measured = measured.map_err(|denial| does_not_start(subject, &denial))?;
    let (fuel, memory) = (measured.fuel(), measured.memory_bytes as u64);
    let Measurement {
        target, addresses, ..
    } = measured;
    Ok(Measured {
        answer: Answer { target, addresses },
        fuel,
        memory,
    })
}

fn does_not_start(subject: &Subject, denial: &Denial) -> anyhow::Error {
    let (policy, code) = (subject.in_a_sentence(), denial.code());
    anyhow::anyhow!("{policy} does not start: {code}: {}", denial.detail())
}
