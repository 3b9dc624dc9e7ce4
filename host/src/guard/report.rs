//! Report mode: what the policies deny is let through, and told as what they would have denied.
//!
//! | | enforced | reported |
//! |---|---|---|
//! | parser, floor, limits of the host, proofs | deny | deny |
//! | terms of a policy that allows the target | hold | hold |
//! | a policy denies the target, or fails | denied, nothing is looked up | `would_deny`; looked up, what the floor leaves is pinned |
//! | the policies leave some of the addresses | those are pinned | those are pinned |
//! | the policies leave none, or fail | denied | `would_deny`; what the floor leaves is pinned |
//! | the floor leaves none either | denied | denied, by the floor |
//!
//! So a reported hop goes another way than an enforced one only where that one would have been denied.

use std::{net::SocketAddr, sync::Arc};

use super::addresses::Objection;
use crate::{
    Denial, Request, Terms,
    event::Record,
    policy::{Active, Judge, Opinion},
};

/// What a session does with a denial of the policies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    /// It ends the hop.
    Enforce,
    /// It is told, and lets the hop pass.
    Report,
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
    /// Who will ask the policies; `policy-busy` when there is no instance of the first one. A session that reports lets
    /// that pass like any other failure, and so begins without one.
    pub(super) fn judge(self, active: &Arc<Active>) -> Result<Judge, Denial> {
        match self {
            Self::Enforce => active.judge(),
            Self::Report => Ok(active.judge_later()),
        }
    }

    /// Asks about the target: until one policy denies, or, when that is only told, all of them.
    pub(super) fn ask(self, judge: &mut Judge, request: &Request) -> Opinion {
        match self {
            Self::Enforce => judge.check_target(request).into(),
            Self::Report => judge.report_target(request),
        }
    }

    /// The terms of the target, and what the policies may say of its addresses; a denial that counts.
    pub(super) fn weigh(
        self,
        opinion: Opinion,
        record: &mut Record,
    ) -> Result<(Terms, Standing), Denial> {
        let Opinion { terms, denied } = opinion;
        match (denied, self) {
            (None, Self::Enforce) => Ok((terms, Standing::Binding)),
            (None, Self::Report) => Ok((terms, Standing::Reported)),
            (Some(denial), Self::Enforce) => Err(denial),
            (Some(denial), Self::Report) => {
                record.would_deny(denial);
                Ok((terms, Standing::Lifted))
            }
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

    pub(super) fn mode(self) -> Mode {
        match self {
            Self::Binding => Mode::Enforce,
            Self::Reported | Self::Lifted => Mode::Report,
        }
    }
}
