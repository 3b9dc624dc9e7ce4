//! A configured policy in its place of the chain, with its spare instances.

use std::{fmt, sync::Arc};

use super::{
    engine::Runtime,
    load::Loaded,
    maker::Maker,
    pace::Pace,
    pool::{Keeper, Stock},
};
use crate::{Limits, PolicyRef};

/// A configured policy in its place. It outlives swaps of its neighbours, with its spares.
pub(crate) struct Member {
    layer: String,
    /// What decisions say of it, apart from its place and the generation.
    about: PolicyRef,
    /// The number of the swap that put it here.
    ticket: u64,
    maker: Maker,
    stock: Stock,
    pace: Pace,
    runtime: Arc<Runtime>,
}

impl Member {
    /// A member with its first spares, as far as there is place for them.
    pub(super) fn new(
        runtime: Arc<Runtime>,
        limits: &Limits,
        layer: String,
        ticket: u64,
        loaded: Loaded,
    ) -> Arc<Self> {
        let member = Self {
            layer,
            about: loaded.reference(0),
            ticket,
            pace: Pace::probed(&loaded.maker),
            maker: loaded.maker,
            stock: Stock::new(limits.policy_spares),
            runtime,
        };
        member.keeper().fill(&member);
        Arc::new(member)
    }

    /// Drops its spares, for good.
    pub(super) fn retire(&self) {
        self.keeper().close(&self.stock);
    }

    /// What decisions say of it.
    pub(super) fn reference(&self, generation: u64, layer: Option<String>) -> PolicyRef {
        PolicyRef {
            layer,
            generation,
            ..self.about.clone()
        }
    }

    pub(super) fn layer(&self) -> &str {
        &self.layer
    }

    pub(super) fn ticket(&self) -> u64 {
        self.ticket
    }

    pub(super) fn keeper(&self) -> &Keeper {
        &self.runtime.keeper
    }

    pub(super) fn maker(&self) -> &Maker {
        &self.maker
    }

    pub(super) fn stock(&self) -> &Stock {
        &self.stock
    }

    pub(super) fn pace(&self) -> &Pace {
        &self.pace
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("layer", &self.layer)
            .field("name", &self.about.name)
            .finish_non_exhaustive()
    }
}
