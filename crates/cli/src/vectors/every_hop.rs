//! What a policy is asked about a case at every hop, whatever it would answer.

use pinfold::{
    Denial,
    resolve::{Answers, ResolveError},
};

use super::{
    Asked, Suite,
    walk::{Caller, Classes, Hops, walk},
};

/// One case, and what a policy is asked about it.
#[derive(Clone, Debug)]
pub(crate) struct EveryHop {
    /// The name of the case.
    pub(crate) name: String,
    /// The first hop and each redirect, in order. Empty when the first URL is refused before a policy is
    /// asked.
    pub(crate) asked: Vec<Asked>,
}

impl Suite {
    /// What a policy is asked about each case: every hop, also those behind one that a policy would refuse.
    pub(crate) async fn every_hop(&self) -> Vec<EveryHop> {
        // What cannot be classified was refused when the suite was read.
        let classes = Classes::new(&self.grants, &self.nat64).unwrap_or_default();
        let mut all = Vec::new();
        for case in self.cases() {
            let walk = walk(case, &Caller::default(), &classes, &mut Unjudged).await;
            all.push(EveryHop {
                name: case.name().into_owned(),
                asked: walk.asked,
            });
        }
        all
    }
}

/// Hops that nobody judges.
struct Unjudged;

impl Hops for Unjudged {
    async fn hop(&mut self, _: &Asked, _: Result<Answers, ResolveError>) -> Result<(), Denial> {
        Ok(())
    }
}
