//! Report mode: what the policies deny is let through, and told as what they would have denied.
//!
//! | | enforced | reported | names reported |
//! |---|---|---|---|
//! | parser, floor, limits of the host, proofs | deny | deny | deny |
//! | terms of a policy that allows the target | hold | hold | hold |
//! | a policy denies the target, or fails | denied, nothing is looked up | `would_deny`; looked up, what the floor leaves is pinned | `would_deny`; looked up, the policies are asked about the addresses |
//! | the policies leave some of the addresses | those are pinned | those are pinned | those are pinned |
//! | the policies leave none, or fail | denied | `would_deny`; what the floor leaves is pinned | denied |
//! | the floor leaves none either | denied | denied, by the floor | denied |
//!
//! So a reported hop goes another way than an enforced one only where that one would have been denied; and where only
//! names are reported, it goes nowhere that an enforced one could not go for another name.

use std::{net::SocketAddr, sync::Arc};

use serde::{Deserialize, Serialize};

use super::addresses::Objection;
use crate::{
    Denial, Request, Terms,
    event::Record,
    policy::{Active, Judge, Opinion},
};

/// What a session does with a denial of the policies.
///
/// As JSON: `false`, `true`, `"names"`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(from = "Written", into = "Written")]
#[non_exhaustive]
pub enum Mode {
    /// It ends the hop.
    #[default]
    Enforce,
    /// It is told, and lets the hop pass.
    Report,
    /// Of a target it is told, and lets the hop pass; of addresses it ends the hop.
    ReportNames,
}

/// What the word of the policies counts for the addresses of an admitted target.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Standing {
    /// What they refuse is refused.
    Binding,
    /// It is told.
    Reported,
    /// A denial of the target was told already. They are not asked about addresses that none of them would have
    /// let be looked up.
    Lifted,
}

impl Mode {
    /// Whether a denial may be let pass at all.
    pub const fn is_report(self) -> bool {
        !matches!(self, Self::Enforce)
    }

    /// Who will ask the policies; `policy-busy` when there is no instance of the first one. A session that reports lets
    /// that pass like any other failure, and so begins without one.
    pub(super) fn judge(self, active: &Arc<Active>) -> Result<Judge, Denial> {
        match self {
            Self::Enforce => active.judge(),
            Self::Report | Self::ReportNames => Ok(active.judge_later()),
        }
    }

    /// Asks about the target: until one policy denies, or, when that is only told, all of them.
    pub(super) fn ask(self, judge: &mut Judge, request: &Request) -> Opinion {
        match self {
            Self::Enforce => judge.check_target(request).into(),
            Self::Report | Self::ReportNames => judge.report_target(request),
        }
    }

    /// The terms of the target, and what the policies may say of its addresses; a denial that counts.
    pub(super) fn weigh(
        self,
        opinion: Opinion,
        record: &mut Record,
    ) -> Result<(Terms, Standing), Denial> {
        let Opinion { terms, denied } = opinion;
        match denied {
            None => Ok((terms, self.standing(false))),
            Some(denial) if self == Self::Enforce => Err(denial),
            Some(denial) => {
                record.would_deny(denial);
                Ok((terms, self.standing(true)))
            }
        }
    }

    /// What counts of the addresses, when a denial of the target was or was not let pass.
    fn standing(self, lifted: bool) -> Standing {
        match (self, lifted) {
            (Self::Enforce | Self::ReportNames, _) => Standing::Binding,
            (Self::Report, false) => Standing::Reported,
            (Self::Report, true) => Standing::Lifted,
        }
    }
}

/// [`Mode`] as it is written: there was one way to report before there were two.
#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum Written {
    Whole(bool),
    Part(Part),
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Part {
    Names,
}

impl From<Written> for Mode {
    fn from(written: Written) -> Self {
        match written {
            Written::Whole(false) => Self::Enforce,
            Written::Whole(true) => Self::Report,
            Written::Part(Part::Names) => Self::ReportNames,
        }
    }
}

impl From<Mode> for Written {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Enforce | Mode::Report => Self::Whole(mode.is_report()),
            Mode::ReportNames => Self::Part(Part::Names),
        }
    }
}

impl Standing {
    /// What may be dialled although the policies, or the floor, leave no address: what the floor leaves, where the
    /// policies are only told.
    pub(super) fn settle(
        self,
        objection: Objection,
        left_by_floor: Result<Vec<SocketAddr>, Denial>,
        record: &mut Record,
    ) -> Result<Vec<SocketAddr>, Denial> {
        let Objection { denial, policy } = objection;
        if let Some(policy) = &policy {
            record.denied_by(policy);
        }
        let floor_alone = policy.is_none() && left_by_floor.is_err();
        if self == Self::Binding || floor_alone {
            return Err(denial);
        }
        record.would_deny(denial);
        left_by_floor
    }
}
