//! Vectors: what is asked of a policy, and what it is expected to answer.
//!
//! `pinfold check --batch` reads cases that are only asked; `pinfold policy test`, `bench` and `diff` read
//! whole suites. All of them judge a case in the same way: by a real guard, floor included, whose resolver
//! answers what the case says ([`Runner`]), or by the policy alone ([`Alone`]).

mod alone;
mod case;
mod every_hop;
mod expect;
mod judged;
mod lenient;
mod lines;
mod read;
mod runner;
mod script;
mod walk;

use std::path::{Path, PathBuf};

use ipnet::Ipv6Net;
use pinfold::Grant;
use serde_json::Value;

use crate::fault::Fault;

pub(crate) use self::{
    alone::Alone,
    case::{Case, id_of},
    every_hop::EveryHop,
    expect::{Difference, Expect, ExpectedProblem, Want},
    judged::{Asked, Judged},
    lines::{Line, Lines},
    runner::{Runner, Setup},
    walk::Caller,
};

/// Cases that are judged under the same settings, or settings that are to be refused.
#[derive(Clone, Debug)]
pub(crate) struct Suite {
    /// Where it was read.
    pub(crate) file: PathBuf,
    /// What it is about, in its author's words.
    pub(crate) about: Option<String>,
    /// The settings of the policy; none means those that the caller has.
    pub(crate) settings: Option<Value>,
    /// The operator's exceptions to the floor.
    pub(crate) grants: Vec<Grant>,
    /// NAT64 prefixes of the operator's network.
    pub(crate) nat64: Vec<Ipv6Net>,
    /// What is asked.
    pub(crate) content: Content,
}

/// What a suite asks.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// Requests, judged one after the other. Never none.
    Cases(Vec<Case>),
    /// The settings are refused, with these problems and no others. Never none.
    Problems(Vec<ExpectedProblem>),
}

impl Suite {
    /// Reads files of vectors, in order. A file of JSON lines gives a suite for each run of cases with
    /// equal settings, any other file one.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, holds no vectors, or holds something that is none, with its place.
    pub(crate) fn read<P: AsRef<Path>>(files: &[P]) -> anyhow::Result<Vec<Self>> {
        let mut suites = Vec::new();
        for file in files {
            suites.extend(read::file(file.as_ref())?);
        }
        Ok(suites)
    }

    /// Refuses cases that expect nothing, where that would test nothing.
    ///
    /// # Errors
    ///
    /// The first of them, with its place.
    pub(crate) fn each_expects(suites: &[Self]) -> anyhow::Result<()> {
        for suite in suites {
            if let Some(case) = suite.cases().iter().find(|case| case.expect().is_none()) {
                let (file, name) = (suite.file.display(), case.name());
                let line = case
                    .line
                    .map_or_else(String::new, |line| format!(":{line}"));
                let message = format!("`{file}`{line}: the case `{name}` expects nothing");
                let hint = "say what it should end in: `expect = \"deny\"`, or a table with `verdict`, `code`, ...";
                return Err(Fault::new(message, hint).into());
            }
        }
        Ok(())
    }

    /// The cases; none of a suite about settings.
    pub(crate) fn cases(&self) -> &[Case] {
        match &self.content {
            Content::Cases(cases) => cases,
            Content::Problems(_) => &[],
        }
    }

    /// Whether its settings are to be refused.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self.content, Content::Problems(_))
    }

    /// What a guard needs to judge the cases, with these settings when the suite brings none.
    pub(crate) fn setup(&self, source: pinfold::policy::Source, default: &Value) -> Setup {
        Setup {
            settings: self.settings.clone().unwrap_or_else(|| default.clone()),
            grants: self.grants.clone(),
            nat64: self.nat64.clone(),
            ..Setup::of(source)
        }
    }
}
