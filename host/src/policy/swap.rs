//! The active chain of policies, replaced at once or not at all.

use std::{
    fmt, iter,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use serde_json::Value;
use tokio::sync::watch;

use super::{
    Fallback, Judge, Layer, LoadError, Source,
    engine::Runtime,
    fault::tidy,
    layer,
    limits::NAME_BYTES,
    load::{Loaded, Loader, Loading},
    member::Member,
};
use crate::{Denial, Limits, PolicyRef};

/// A slot that always holds a chain of policies that work: the first one is loaded before the slot exists,
/// and a bad one never gets in.
pub(crate) struct Policies {
    runtime: Arc<Runtime>,
    limits: Limits,
    chosen: Loading,
    active: ArcSwap<Active>,
    generation: watch::Sender<u64>,
    /// Numbers the swaps in the order in which they were asked for.
    tickets: AtomicU64,
    /// The ticket of the last swap of a whole chain. Held for the exchange only: a candidate that is slow
    /// to load keeps no other one from being swapped in.
    whole: Mutex<u64>,
}

impl Policies {
    /// Loads a policy alone, generation 1.
    #[cfg(test)]
    pub(crate) fn new(
        limits: &Limits,
        cache: Option<super::Cache>,
        source: Source,
        settings: Value,
    ) -> Result<Self, LoadError> {
        let alone = Layer::new(Layer::POLICY, source).settings(settings);
        let chosen = Loading {
            cache,
            ..Loading::default()
        };
        Self::chain(limits, chosen, vec![alone])
    }

    /// Loads the first chain, generation 1.
    pub(crate) fn chain(
        limits: &Limits,
        chosen: Loading,
        layers: Vec<Layer>,
    ) -> Result<Self, LoadError> {
        layer::admit(&layers)?;
        let runtime = Runtime::shared(limits)?;
        let loader = Loader {
            engines: &runtime.engines,
            limits,
            chosen: &chosen,
        };
        let loaded = load_all(&loader, layers)?;
        let member = |(layer, loaded)| {
            Member::new(Arc::clone(&runtime), limits, layer, FIRST_TICKET, loaded)
        };
        let members = loaded.into_iter().map(member).collect();
        let active = Active::new(members, FIRST).ok_or(LoadError::NoLayer)?;
        Ok(Self {
            limits: limits.clone(),
            chosen,
            active: ArcSwap::from_pointee(active),
            generation: watch::Sender::new(FIRST),
            tickets: AtomicU64::new(FIRST_TICKET + 1),
            whole: Mutex::new(FIRST_TICKET),
            runtime,
        })
    }

    /// The active chain. A request holds on to what it got here; a swap does not change it.
    pub(crate) fn current(&self) -> Arc<Active> {
        self.active.load_full()
    }

    /// Loads a policy on the calling thread and puts it in the place of the only one. When it is bad the
    /// active one stays. Returns the new generation.
    ///
    /// The last one asked for is the one that stays, whichever is loaded first: one that a later swap
    /// has overtaken is left (`LoadError::Overtaken`).
    pub(crate) fn swap(&self, source: Source, settings: Value) -> Result<u64, LoadError> {
        let active = self.current();
        if !active.is_alone() {
            return Err(LoadError::SeveralLayers(active.names()));
        }
        self.swap_layer(active.member().layer(), source, settings)
    }

    /// As [`swap`](Self::swap), for one layer of the chain. The others keep their instances.
    pub(crate) fn swap_layer(
        &self,
        name: &str,
        source: Source,
        settings: Value,
    ) -> Result<u64, LoadError> {
        let active = self.current();
        if active.position(name).is_none() {
            return Err(active.unknown(name));
        }
        let ticket = self.ticket();
        let layer = Layer::new(name, source).settings(settings);
        let loaded = load_one(&self.loader(), layer, active.is_plain())?;
        self.exchange(ticket, loaded)
    }

    /// As [`swap`](Self::swap), for the whole chain: all of it, or, when one policy is bad, nothing.
    pub(crate) fn swap_layers(&self, layers: Vec<Layer>) -> Result<u64, LoadError> {
        layer::admit(&layers)?;
        let ticket = self.ticket();
        let loaded = load_all(&self.loader(), layers)?;
        self.exchange_all(ticket, loaded)
    }

    fn ticket(&self) -> u64 {
        self.tickets.fetch_add(1, Ordering::Relaxed)
    }

    fn loader(&self) -> Loader<'_> {
        Loader {
            engines: &self.runtime.engines,
            limits: &self.limits,
            chosen: &self.chosen,
        }
    }

    /// Puts a policy in its place, unless a later swap was there first.
    fn exchange(&self, ticket: u64, (name, loaded): Named) -> Result<u64, LoadError> {
        let whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        let active = self.current();
        let at = active.position(&name);
        let last = at.and_then(|at| active.links().nth(at));
        let last = last.map_or(*whole, |link| link.member.ticket());
        if last > ticket {
            return Err(LoadError::Overtaken);
        }
        let at = at.ok_or_else(|| active.unknown(&name))?;
        let fresh = self.member(ticket, (name, loaded));
        let member = |(n, link): (usize, &Link)| match n == at {
            true => Arc::clone(&fresh),
            false => Arc::clone(&link.member),
        };
        self.activate(&active, active.links().enumerate().map(member).collect())
    }

    /// Puts a chain in the place of all policies. A layer for which a later swap was asked, and done
    /// already, keeps what that one brought: the outcome is that of the order in which they were asked for.
    fn exchange_all(&self, ticket: u64, loaded: Vec<Named>) -> Result<u64, LoadError> {
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        if *whole > ticket {
            return Err(LoadError::Overtaken);
        }
        *whole = ticket;
        let active = self.current();
        let member = |named: Named| {
            let same = active.links().find(|link| link.member.layer() == named.0);
            let later = same.filter(|link| link.member.ticket() > ticket);
            later.map_or_else(
                || self.member(ticket, named),
                |link| Arc::clone(&link.member),
            )
        };
        self.activate(&active, loaded.into_iter().map(member).collect())
    }

    fn member(&self, ticket: u64, (layer, loaded): Named) -> Arc<Member> {
        let runtime = Arc::clone(&self.runtime);
        Member::new(runtime, &self.limits, layer, ticket, loaded)
    }

    /// Makes these the active chain. Called by one thread at a time.
    fn activate(&self, old: &Active, members: Vec<Arc<Member>>) -> Result<u64, LoadError> {
        let generation = self.generation.borrow().saturating_add(1);
        let active = Active::new(members, generation).ok_or(LoadError::NoLayer)?;
        let active = Arc::new(active);
        self.active.store(Arc::clone(&active));
        old.retire_but(&active);
        self.generation.send_replace(generation);
        Ok(generation)
    }

    /// What this machine lacks, and what is done instead.
    pub(crate) fn fallbacks(&self) -> &[Fallback] {
        &self.runtime.fallbacks
    }

    /// Follows the generation: changes after each swap.
    pub(crate) fn generation(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }
}

/// A policy that is loaded, and the layer that it is for.
type Named = (String, Loaded);

/// Loads all, or none.
fn load_all(loader: &Loader<'_>, layers: Vec<Layer>) -> Result<Vec<Named>, LoadError> {
    let plain = matches!(&layers[..], [alone] if alone.name == Layer::POLICY);
    let load = |layer| load_one(loader, layer, plain);
    layers.into_iter().map(load).collect()
}

/// Loads one. An error says of which layer, unless there is only the policy.
fn load_one(loader: &Loader<'_>, layer: Layer, plain: bool) -> Result<Named, LoadError> {
    let Layer {
        name,
        source,
        settings,
    } = layer;
    match loader.load(&source, settings) {
        Ok(loaded) => Ok((name, loaded)),
        Err(error) if plain => Err(error),
        Err(error) => Err(error.in_layer(&name)),
    }
}

impl Drop for Policies {
    fn drop(&mut self) {
        let active = self.active.load();
        active.links().for_each(|link| link.member.retire());
    }
}

impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policies")
            .field("active", &self.current())
            .finish_non_exhaustive()
    }
}

/// A chain of configured policies under a generation number.
pub(crate) struct Active {
    first: Link,
    /// The others, in order; none, and no allocation, where there is one policy.
    rest: Vec<Link>,
    /// All of them, where there are several.
    layers: Arc<[Arc<PolicyRef>]>,
}

/// A policy in its place, as this generation knows it.
pub(super) struct Link {
    pub(super) member: Arc<Member>,
    pub(super) reference: Arc<PolicyRef>,
}

impl Active {
    /// None when there are no members.
    fn new(members: Vec<Arc<Member>>, generation: u64) -> Option<Self> {
        let plain = matches!(&members[..], [alone] if alone.layer() == Layer::POLICY);
        let link = |member: Arc<Member>| {
            let layer = (!plain).then(|| member.layer().to_owned());
            let reference = Arc::new(member.reference(generation, layer));
            Link { member, reference }
        };
        let mut links = members.into_iter().map(link);
        let first = links.next()?;
        let rest: Vec<_> = links.collect();
        let several = if rest.is_empty() { None } else { Some(&first) };
        let all = several.into_iter().chain(&rest);
        let layers = all.map(|link| Arc::clone(&link.reference)).collect();
        Some(Self {
            first,
            rest,
            layers,
        })
    }

    /// The first policy: the one that stands for the chain where none of it has decided.
    pub(crate) fn policy_ref(&self) -> &Arc<PolicyRef> {
        &self.first.reference
    }

    /// All policies in order, where there are several; otherwise none.
    pub(crate) fn layers(&self) -> &Arc<[Arc<PolicyRef>]> {
        &self.layers
    }

    /// All policies in order.
    pub(crate) fn policy_refs(&self) -> impl Iterator<Item = &Arc<PolicyRef>> {
        self.links().map(|link| &link.reference)
    }

    /// A judge for one hop, with an instance of the first policy that was never used; `policy-busy` when
    /// none is free.
    pub(crate) fn judge(self: &Arc<Self>) -> Result<Judge, Denial> {
        Judge::new(Arc::clone(self))
    }

    /// A judge that takes its instance only when it asks.
    pub(crate) fn judge_later(self: &Arc<Self>) -> Judge {
        Judge::later(Arc::clone(self))
    }

    /// The first policy.
    pub(super) fn member(&self) -> &Arc<Member> {
        &self.first.member
    }

    pub(super) fn links(&self) -> impl Iterator<Item = &Link> {
        iter::once(&self.first).chain(&self.rest)
    }

    /// The policy at this place, the first one where there is none.
    pub(super) fn reference_at(&self, at: usize) -> &Arc<PolicyRef> {
        let later = at.checked_sub(1).and_then(|at| self.rest.get(at));
        &later.unwrap_or(&self.first).reference
    }

    /// Whether there is one policy.
    pub(super) fn is_alone(&self) -> bool {
        self.rest.is_empty()
    }

    /// Whether asking takes so long that no other task should wait for it.
    pub(super) fn is_slow(&self) -> bool {
        self.links()
            .any(|link| link.member.pace().is_slow() || link.member.maker().is_dear())
    }

    /// Whether there is only the layer `policy`, and so nothing to name.
    fn is_plain(&self) -> bool {
        self.is_alone() && self.member().layer() == Layer::POLICY
    }

    fn position(&self, layer: &str) -> Option<usize> {
        self.links().position(|link| link.member.layer() == layer)
    }

    fn names(&self) -> Vec<String> {
        self.links()
            .map(|link| link.member.layer().to_owned())
            .collect()
    }

    fn unknown(&self, layer: &str) -> LoadError {
        LoadError::UnknownLayer {
            layer: tidy(layer, NAME_BYTES),
            known: self.names(),
        }
    }

    /// Drops the spares of those that are not in `next`.
    fn retire_but(&self, next: &Self) {
        let stays = |link: &&Link| {
            next.links()
                .any(|kept| Arc::ptr_eq(&kept.member, &link.member))
        };
        let gone = self.links().filter(|link| !stays(link));
        gone.for_each(|link| link.member.retire());
    }
}

impl fmt::Debug for Active {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.policy_refs()).finish()
    }
}

/// Generations count from 1, so that 0 means none.
const FIRST: u64 = 1;
/// The ticket of what a guard begins with.
const FIRST_TICKET: u64 = 0;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policies() -> Policies {
        let limits = Limits {
            policy_instances: 16,
            ..Limits::default()
        };
        let layers = ["organisation", "team"].map(|name| Layer::new(name, Source::Shipped));
        Policies::chain(&limits, Loading::default(), layers.into()).unwrap()
    }

    /// The layers, and of each whether it has the settings of `marked`.
    fn ports(policies: &Policies, marked: &Named) -> Vec<(String, bool)> {
        let active = policies.current();
        let marks = active.links().map(|link| {
            let is_marked = link.reference.settings_digest == marked.1.settings_digest;
            (link.member.layer().to_owned(), is_marked)
        });
        marks.collect()
    }

    fn marked(policies: &Policies, layer: &str) -> Named {
        let layer = Layer::new(layer, Source::Shipped).settings(json!({"ports": [80]}));
        load_one(&policies.loader(), layer, false).unwrap()
    }

    #[test]
    fn the_swap_that_was_asked_for_last_stays() {
        let limits = Limits {
            policy_instances: 16,
            ..Limits::default()
        };
        let policies = Policies::new(&limits, None, Source::Shipped, json!({})).unwrap();
        let slow = policies.ticket();
        let loaded = marked(&policies, Layer::POLICY);
        // Another one is asked for, loaded and swapped in while the first still loads.
        assert_eq!(policies.swap(Source::Shipped, json!({})), Ok(2));
        let late = policies.exchange(slow, loaded);
        assert_eq!(late, Err(LoadError::Overtaken));
        assert_eq!(policies.current().policy_ref().generation, 2);
        // The next one is not held up by that.
        assert_eq!(policies.swap(Source::Shipped, json!({})), Ok(3));
    }

    #[test]
    fn a_swap_of_one_layer_overtakes_no_other_layer() {
        let policies = policies();
        let slow = policies.ticket();
        let team = marked(&policies, "team");
        let organisation = policies.swap_layer("organisation", Source::Shipped, json!({}));
        assert_eq!(organisation, Ok(2));
        assert_eq!(policies.exchange(slow, team), Ok(3));
        let marks = ports(&policies, &marked(&policies, "team"));
        assert_eq!(
            marks,
            [("organisation".into(), false), ("team".into(), true)]
        );
    }

    #[test]
    fn a_chain_that_comes_late_leaves_what_was_asked_for_later() {
        let policies = policies();
        let slow = policies.ticket();
        let chain = ["team", "service"].map(|layer| marked(&policies, layer));
        assert_eq!(
            policies.swap_layer("team", Source::Shipped, json!({})),
            Ok(2)
        );
        assert_eq!(policies.exchange_all(slow, chain.into()), Ok(3));
        let marks = ports(&policies, &marked(&policies, "team"));
        assert_eq!(marks, [("team".into(), false), ("service".into(), true)]);
    }

    #[test]
    fn a_layer_that_comes_after_a_later_chain_is_left() {
        let policies = policies();
        let slow =
            ["organisation", "team"].map(|layer| (policies.ticket(), marked(&policies, layer)));
        let team = Layer::new("team", Source::Shipped);
        assert_eq!(policies.swap_layers(vec![team]), Ok(2));
        for (ticket, late) in slow {
            assert_eq!(policies.exchange(ticket, late), Err(LoadError::Overtaken));
        }
        assert_eq!(policies.current().policy_ref().generation, 2);
    }

    #[test]
    fn a_swap_of_one_layer_leaves_the_others_with_their_instances() {
        let policies = policies();
        let before = policies.current();
        let spares = || -> Vec<_> {
            before
                .links()
                .map(|link| link.member.stock().len())
                .collect()
        };
        assert!(spares()[0] > 0);
        let stays = spares()[0];
        policies
            .swap_layer("team", Source::Shipped, json!({"ports": [80]}))
            .unwrap();
        let after = policies.current();
        let same: Vec<_> = before
            .links()
            .zip(after.links())
            .map(|(old, new)| Arc::ptr_eq(&old.member, &new.member))
            .collect();
        assert_eq!(same, [true, false]);
        assert_eq!(spares(), [stays, 0]);
    }
}
