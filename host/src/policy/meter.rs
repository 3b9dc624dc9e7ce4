//! What a decision takes, in units that are the same on each machine.

use std::fmt;

use pinfold_addr::Domain;
use serde_json::Value;

use super::{
    LoadError, LoadOptions, Source,
    engine::Runtime,
    limits::{self, FUEL},
    load::Loader,
    maker::{Instance, Maker},
};
use crate::{Denial, JudgedAddress, Limits, PolicyRef, Request, Terms};

/// A loaded policy whose decisions are metered: for budgets that hold on any machine.
///
/// Fuel counts what the policy executes, about one for an instruction. The same component with the same
/// settings takes the same fuel for the same question, on each machine, in each run and on each thread; another
/// version of this library may count differently. What is measured is what a guard runs: the component after
/// it took its settings, a fresh instance for each decision. It runs some per cent slower than in a
/// guard, for the counting.
///
/// A policy that does not end is stopped after five thousand million units for one question, some
/// seconds, and its answer is `policy-timeout`, as in a guard; [`Limits::decision`] does not apply.
///
/// ```
/// use pinfold::{Limits, Request, addr::Target, policy::{Meter, Source}};
///
/// let meter = Meter::load(Source::Shipped, serde_json::json!({}), &Limits::default())?;
/// let request = Request::new(Target::parse("https://example.com/")?);
/// let once = meter.measure(&request, &[], &[])?;
/// let twice = meter.measure(&request, &[], &[])?;
/// assert!(once.target.is_ok() && once.fuel_target > 0);
/// assert_eq!(once.fuel(), twice.fuel());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Meter {
    maker: Maker,
    policy: PolicyRef,
}

/// One decision, both stages, and what it took.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Measurement {
    /// Stage one: the terms, or why not.
    pub target: Result<Terms, Denial>,
    /// Stage two: one entry for each address, none where it may be dialled. None when it was not asked: stage
    /// one refused, or there was no address.
    pub addresses: Option<Result<Vec<Option<Denial>>, Denial>>,
    /// Fuel to make the instance: 0 for most policies, whose instances begin where `configure` ended.
    pub fuel_start: u64,
    /// Fuel of stage one.
    pub fuel_target: u64,
    /// Fuel of stage two; 0 when it was not asked.
    pub fuel_addresses: u64,
    /// Linear memory of the instance after the last question, in bytes.
    pub memory_bytes: usize,
}

impl Meter {
    /// Loads a policy as a guard would, into an engine that meters.
    ///
    /// # Errors
    ///
    /// As [`Guard::swap`](crate::Guard::swap).
    pub fn load(source: Source, settings: Value, limits: &Limits) -> Result<Self, LoadError> {
        Self::load_with(source, settings, limits, &LoadOptions::default())
    }

    /// Loads a policy with options.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load), and when the directory for compiled code is not to be trusted.
    pub fn load_with(
        source: Source,
        settings: Value,
        limits: &Limits,
        options: &LoadOptions,
    ) -> Result<Self, LoadError> {
        let engines = Runtime::shared(limits)?.engines.metering()?;
        let loader = Loader {
            engines: &engines,
            limits,
            chosen: &options.open()?,
        };
        let loaded = loader.load(&source, settings)?;
        Ok(Self {
            policy: loaded.reference(FIRST),
            maker: loaded.maker,
        })
    }

    /// Asks both questions in a fresh instance; the second one when the first is answered with yes and there
    /// are addresses to judge. A guard asks no other.
    ///
    /// # Errors
    ///
    /// When there is no instance: the policy needs more than it may have to begin, or the machine has no
    /// memory.
    pub fn measure(
        &self,
        request: &Request,
        chain: &[Domain],
        answers: &[JudgedAddress],
    ) -> Result<Measurement, Denial> {
        let mut instance = self.maker.make()?;
        let fuel_start = burnt(&instance);
        let (target, fuel_target) = metered(&mut instance, |i| i.check_target(request));
        let goes_on = target.is_ok() && !answers.is_empty();
        let asked = goes_on.then(|| {
            metered(&mut instance, |i| {
                i.check_addresses(request, chain, answers)
            })
        });
        let (addresses, fuel_addresses) = asked.unzip();
        Ok(Measurement {
            target,
            addresses,
            fuel_start,
            fuel_target,
            fuel_addresses: fuel_addresses.unwrap_or(0),
            memory_bytes: instance.memory_bytes(),
        })
    }

    /// Which policy it is.
    pub fn policy(&self) -> &PolicyRef {
        &self.policy
    }
}

impl Measurement {
    /// Fuel of the whole decision, with that of making the instance.
    pub fn fuel(&self) -> u64 {
        self.fuel_start
            .saturating_add(self.fuel_target)
            .saturating_add(self.fuel_addresses)
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

fn metered<T>(instance: &mut Instance, question: impl FnOnce(&mut Instance) -> T) -> (T, u64) {
    limits::refuel(&mut instance.store, FUEL);
    let answer = question(instance);
    (answer, burnt(instance))
}

/// What was burnt since the tank was full.
fn burnt(instance: &Instance) -> u64 {
    let left = instance.store.get_fuel().unwrap_or(FUEL);
    FUEL.saturating_sub(left)
}

/// A meter holds one policy, and never another.
const FIRST: u64 = 1;

#[cfg(test)]
mod tests {
    use std::thread;

    use pinfold_addr::{Reason, Target};
    use serde_json::json;

    use super::*;
    use crate::policy::{Evaluator, tests::guests};

    fn meter(name: &str) -> Meter {
        let source = Source::Bytes(guests::component(name).into());
        Meter::load(source, json!({}), &Limits::default()).unwrap()
    }

    fn request(url: &str) -> Request {
        Request::new(Target::parse(url).unwrap())
    }

    #[test]
    fn fuel_and_memory_are_the_same_in_each_run_and_on_each_thread() {
        let limits = Limits::default();
        let settings = json!({"hosts": {"deny": ["*.internal.example"]}});
        let load = || Meter::load(Source::Shipped, settings.clone(), &limits).unwrap();
        let policy = Evaluator::load(Source::Shipped, settings.clone(), &limits).unwrap();
        let request = request("https://www.example.com/a?b");
        let answers = [policy.classify("93.184.216.34".parse().unwrap())];
        let measure = |meter: &Meter| {
            let measured = meter.measure(&request, &[], &answers).unwrap();
            assert_eq!(measured.target, Ok(Terms::default()));
            assert_eq!(measured.addresses, Some(Ok(vec![None])));
            assert!(measured.fuel_target > 0 && measured.fuel_addresses > 0);
            (measured.fuel(), measured.memory_bytes)
        };
        let meter = load();
        let first = measure(&meter);
        assert!(first.1 >= 1 << 16, "{first:?}");
        let other = load();
        thread::scope(|scope| {
            let runs: Vec<_> = [&meter, &other, &meter, &other]
                .map(|meter| scope.spawn(|| (0..20).map(|_| measure(meter)).collect::<Vec<_>>()))
                .into();
            for run in runs {
                assert!(run.join().unwrap().iter().all(|again| *again == first));
            }
        });
    }

    #[test]
    fn stage_two_is_asked_when_a_guard_would_ask_it() {
        let meter = Meter::load(Source::Shipped, json!({}), &Limits::default()).unwrap();
        let measured = meter.measure(&request("ftp://example.com/"), &[], &[]);
        let measured = measured.unwrap();
        assert_eq!(measured.target.unwrap_err().code(), "scheme-denied");
        assert!(measured.addresses.is_none());
        assert_eq!(measured.fuel_addresses, 0);
        let measured = meter.measure(&request("https://example.com/"), &[], &[]);
        let measured = measured.unwrap();
        assert!(measured.target.is_ok() && measured.fuel_target > 0);
        assert!(measured.addresses.is_none(), "nothing to judge");
    }

    #[test]
    fn what_does_not_end_is_stopped() {
        for name in ["loop-in-check-target", "loop-over-memory-fill"] {
            let measured = meter(name).measure(&request("http://a.example/"), &[], &[]);
            let denial = measured.unwrap().target.unwrap_err();
            assert_eq!(denial.reason(), Some(Reason::PolicyTimeout), "{name}");
        }
    }

    #[test]
    fn memory_is_what_the_instance_has_grown_to() {
        let small = meter("good").measure(&request("http://a.example/"), &[], &[]);
        let large = meter("leak-large").measure(&request("http://a.example/"), &[], &[]);
        let (small, large) = (small.unwrap().memory_bytes, large.unwrap().memory_bytes);
        assert!(large > small, "{large} after {small}");
    }
}
