//! What one instance may use, and the store that holds it to that.
//!
//! [`Limits`](crate::Limits) has what an operator may want to change; the constants here are what no
//! policy has a reason to exceed.

use std::{mem, time::Duration};

use pinfold_addr::Reason;
use wasmtime::{Engine, ResourceLimiter, Result, Store, UpdateDeadline, bail};

use crate::Limits;

/// One tick of the clock that stops policies.
pub(super) const TICK: Duration = Duration::from_millis(1);
/// Time for `describe`.
pub(super) const DESCRIBE_TIME: Duration = Duration::from_secs(1);
/// Time for `configure`: settings may hold a hundred thousand patterns.
pub(super) const CONFIGURE_TIME: Duration = Duration::from_secs(5);
/// What `describe` and `configure` may answer, in octets after lifting.
pub(super) const SETUP_OUTPUT: usize = 1 << 20;
/// Core instances in a component: the policy itself, and the adapters of its toolchain. Python, linked from
/// its shared libraries, has 38.
pub(super) const CORE_INSTANCES: u32 = 64;
/// Linear memories in a component.
pub(super) const MEMORIES: u32 = 1;
/// Tables in a component.
pub(super) const TABLES: u32 = 8;
/// Tables in a component of the usual kind.
pub(super) const USUAL_TABLES: u32 = 4;
/// Elements in a table.
pub(super) const TABLE_ELEMENTS: usize = 20_000;
/// Data that wasmtime keeps for an instance.
pub(super) const INSTANCE_BYTES: usize = 1 << 20;
/// Native stack that a policy may use.
pub(super) const STACK_BYTES: usize = 128 << 10;
/// Memory of an instance that is wiped and kept instead of given back to the system.
pub(super) const KEEP_RESIDENT: usize = 4 << 20;
/// What a metered question may burn: some seconds.
pub(super) const FUEL: u64 = 5_000_000_000;
/// Time for a metered question: instructions that fill memory take long and burn little.
pub(super) const METER_TIME: Duration = Duration::from_secs(10);
/// Handles of inert WASI that an instance may hold.
pub(super) const INERT_HANDLES: u32 = 1_024;
/// Bytes of randomness that inert WASI gives at once, all of them 0.
pub(super) const INERT_BYTES: u64 = 4_096;
/// Values in one answer of inert WASI.
pub(super) const INERT_VALUES: usize = 256;
/// Values in values in an answer of inert WASI.
pub(super) const INERT_DEPTH: usize = 16;
/// Time for `configure` where it runs in each instance.
pub(super) const RECONFIGURE_TIME: Duration = Duration::from_millis(500);
/// The page of linear memory.
pub(super) const PAGE: usize = 64 << 10;
/// Policies in a chain.
pub(crate) const LAYERS: usize = 8;
/// Components whose first half of the way is remembered: as many as a chain may have, so that new settings
/// for one layer are quick.
pub(super) const PREPARED: usize = LAYERS;
/// Bytes of an entry in the cache of compiled code.
pub(super) const ENTRY_BYTES: usize = 128 << 20;
/// Bytes of all entries in the cache of compiled code; the oldest are dropped.
pub(super) const CACHE_BYTES: u64 = 512 << 20;
/// What a question may cost on a thread that other tasks wait for.
pub(super) const INLINE: Duration = Duration::from_micros(200);
/// Octets in the code of a denial.
pub(super) const CODE_BYTES: usize = Reason::MAX_CODE;
/// Octets in a message of a policy: of a denial, or of a problem.
pub(super) const MESSAGE_BYTES: usize = 512;
/// Octets in the name and in the version of a policy.
pub(super) const NAME_BYTES: usize = 64;
/// Octets in the summary of a policy.
pub(super) const SUMMARY_BYTES: usize = 256;
/// Octets in the schema of the settings.
pub(super) const SCHEMA_BYTES: usize = 256 << 10;
/// Problems that are read.
pub(super) const PROBLEMS: usize = 64;
/// Labels that an embedder may add to a request.
pub(super) const LABELS: usize = 32;
/// Octets in all labels together.
pub(super) const LABEL_BYTES: usize = 4 << 10;
/// Octets in the subject.
pub(super) const SUBJECT_BYTES: usize = 1 << 10;
/// Octets in the method.
pub(super) const METHOD_BYTES: usize = 64;

/// What an instance may use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// Bytes of linear memory.
    pub(super) memory: usize,
    /// Octets that one call may answer.
    pub(super) output: usize,
    /// Time for one call.
    pub(super) time: Duration,
    /// Fuel for one call, where the engine meters.
    pub(super) fuel: Option<u64>,
}

impl Budget {
    /// For a decision.
    pub(super) fn of_decision(limits: &Limits) -> Self {
        Self {
            memory: limits.policy_memory,
            output: limits.policy_output,
            time: limits.decision,
            fuel: None,
        }
    }

    /// For a decision that is metered: what it may take must not depend on the machine.
    pub(super) fn of_metering(limits: &Limits) -> Self {
        Self {
            time: METER_TIME,
            fuel: Some(FUEL),
            ..Self::of_decision(limits)
        }
    }

    /// For `describe` and `configure`, in `time`.
    pub(super) fn of_setup(limits: &Limits, time: Duration) -> Self {
        Self {
            memory: limits.policy_memory,
            output: SETUP_OUTPUT,
            time,
            fuel: Some(FUEL),
        }
    }
}

/// The state of a store: who asks for memory, and how long the call has run.
#[derive(Debug)]
pub(super) struct Data {
    caps: Caps,
    clock: Clock,
    /// Handles of inert WASI that the instance holds.
    handles: u32,
}

impl Data {
    /// Whether the instance was refused memory or table elements since it was made.
    pub(super) fn memory_denied(&self) -> bool {
        self.caps.denied
    }

    /// Bytes of linear memory that were granted.
    pub(super) fn memory_bytes(&self) -> usize {
        self.caps.granted
    }

    /// Counts a handle of inert WASI, and refuses one too many.
    pub(super) fn handle_made(&mut self) -> Result<()> {
        if self.handles >= INERT_HANDLES {
            self.caps.denied = true;
            bail!("more than {INERT_HANDLES} handles of WASI");
        }
        self.handles += 1;
        Ok(())
    }

    /// A handle of inert WASI is gone.
    pub(super) fn handle_dropped(&mut self) {
        self.handles = self.handles.saturating_sub(1);
    }
}

/// A store that holds its one instance to `budget`.
pub(super) fn store(engine: &Engine, budget: Budget) -> Store<Data> {
    let data = Data {
        caps: Caps {
            memory: budget.memory,
            denied: false,
            granted: 0,
            last: 0,
        },
        clock: Clock {
            left: 0,
            ticks: ticks(budget.time),
        },
        handles: 0,
    };
    let mut store = Store::new(engine, data);
    store.limiter(|data| &mut data.caps);
    store.set_hostcall_fuel(budget.output);
    store.epoch_deadline_callback(|mut cx| Ok(cx.data_mut().clock.tick()));
    if let Some(fuel) = budget.fuel {
        refuel(&mut store, fuel);
    }
    restart_clock(&mut store);
    store
}

/// Holds the instance to another budget from the next call on; its memory stays as it is.
pub(super) fn restrict(store: &mut Store<Data>, budget: Budget) {
    store.data_mut().clock.ticks = ticks(budget.time);
    store.set_hostcall_fuel(budget.output);
}

/// Gives the next call its fuel. An engine that does not meter takes none, and needs none.
pub(super) fn refuel(store: &mut Store<Data>, fuel: u64) {
    let _ = store.set_fuel(fuel);
}

/// Gives the next call its whole time.
pub(super) fn restart_clock(store: &mut Store<Data>) {
    let clock = &mut store.data_mut().clock;
    clock.left = clock.ticks;
    store.set_epoch_deadline(1);
}

/// Lets the memory of a configured instance grow by what reading it takes: one page, in which the
/// accessor of the snapshot writes where the memory is.
pub(super) fn make_room_to_read(store: &mut Store<Data>) {
    let caps = &mut store.data_mut().caps;
    caps.memory = caps.memory.saturating_add(PAGE);
    let fuel = caps.memory;
    store.set_hostcall_fuel(fuel);
}

/// Counts the ticks that a call lives through.
///
/// A tick counts only when the policy itself notices it, at a loop or a call. A thread that the
/// system stalled for 20 ms has missed 20 ticks, yet notices one: what is bounded is the time that the
/// policy runs, and a busy machine does not deny the innocent.
#[derive(Debug)]
struct Clock {
    left: u64,
    ticks: u64,
}

impl Clock {
    fn tick(&mut self) -> UpdateDeadline {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                UpdateDeadline::Continue(1)
            }
            None => UpdateDeadline::Interrupt,
        }
    }
}

/// The number of ticks for a time, rounded up. The first tick may come at once, which is why a call
/// survives as many ticks as it has and is stopped by the next.
fn ticks(time: Duration) -> u64 {
    let ticks = time.as_nanos().div_ceil(TICK.as_nanos());
    u64::try_from(ticks).unwrap_or(u64::MAX).max(1)
}

/// Grants memory up to a bound, and remembers when it did not: a policy that then traps or answers
/// garbage is reported as what it is, out of memory.
#[derive(Debug)]
struct Caps {
    memory: usize,
    denied: bool,
    /// Bytes of linear memory, and how many of them came last.
    granted: usize,
    last: usize,
}

impl Caps {
    fn grant(&mut self, desired: usize, limit: usize, maximum: Option<usize>) -> Result<bool> {
        let granted = desired <= limit && maximum.is_none_or(|max| desired <= max);
        self.denied |= !granted;
        Ok(granted)
    }
}

impl ResourceLimiter for Caps {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        max: Option<usize>,
    ) -> Result<bool> {
        let granted = self.grant(desired, self.memory, max)?;
        self.last = match granted {
            true => desired.saturating_sub(current),
            false => 0,
        };
        self.granted = self.granted.saturating_add(self.last);
        Ok(granted)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> Result<()> {
        self.granted = self.granted.saturating_sub(mem::take(&mut self.last));
        self.denied = true;
        Ok(())
    }

    fn table_growing(&mut self, _: usize, desired: usize, max: Option<usize>) -> Result<bool> {
        self.grant(desired, TABLE_ELEMENTS, max)
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> Result<()> {
        self.denied = true;
        Ok(())
    }

    fn instances(&self) -> usize {
        // The accessor of the snapshot is one instance more.
        CORE_INSTANCES as usize + 1
    }

    fn tables(&self) -> usize {
        TABLES as usize
    }

    fn memories(&self) -> usize {
        MEMORIES as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_rounded_up_to_whole_ticks() {
        for (time, expected) in [
            (Duration::ZERO, 1),
            (Duration::from_micros(1), 1),
            (Duration::from_millis(1), 1),
            (Duration::from_micros(1_001), 2),
            (Duration::from_millis(5), 5),
            (Duration::MAX, u64::MAX),
        ] {
            assert_eq!(ticks(time), expected, "{time:?}");
        }
    }

    #[test]
    fn a_call_survives_its_ticks_and_is_stopped_by_the_next() {
        let mut clock = Clock { left: 2, ticks: 2 };
        assert!(matches!(clock.tick(), UpdateDeadline::Continue(1)));
        assert!(matches!(clock.tick(), UpdateDeadline::Continue(1)));
        assert!(matches!(clock.tick(), UpdateDeadline::Interrupt));
        assert!(
            matches!(clock.tick(), UpdateDeadline::Interrupt),
            "stays stopped"
        );
    }

    fn bounded(memory: usize) -> Caps {
        Caps {
            memory,
            denied: false,
            granted: 0,
            last: 0,
        }
    }

    #[test]
    fn what_was_granted_is_counted() {
        let mut caps = bounded(4 * PAGE);
        assert!(caps.memory_growing(0, 2 * PAGE, None).unwrap());
        assert!(caps.memory_growing(2 * PAGE, 3 * PAGE, None).unwrap());
        assert_eq!(caps.granted, 3 * PAGE);
        assert!(!caps.memory_growing(3 * PAGE, 5 * PAGE, None).unwrap());
        assert_eq!(caps.granted, 3 * PAGE, "refused by us");
        assert!(caps.memory_growing(3 * PAGE, 4 * PAGE, None).unwrap());
        let failed = wasmtime::Error::msg("no memory");
        caps.memory_grow_failed(failed).unwrap();
        assert_eq!(caps.granted, 3 * PAGE, "refused by the system");
    }

    #[test]
    fn a_denied_growth_is_remembered() {
        let mut caps = bounded(2 * PAGE);
        assert!(caps.memory_growing(0, 2 * PAGE, None).unwrap());
        assert!(!caps.denied);
        assert!(!caps.memory_growing(2 * PAGE, 3 * PAGE, None).unwrap());
        assert!(caps.denied);
        let mut caps = bounded(4 * PAGE);
        assert!(!caps.memory_growing(PAGE, 3 * PAGE, Some(2 * PAGE)).unwrap());
        assert!(caps.denied);
        let mut caps = bounded(PAGE);
        assert!(!caps.table_growing(0, TABLE_ELEMENTS + 1, None).unwrap());
        assert!(caps.denied);
    }
}
