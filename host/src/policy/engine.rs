//! The settings of wasmtime, the clock that stops policies, and what policies of one process share.
//!
//! Two engines serve: one *configures* (on-demand memory, used a few times a load), one *decides* (a pool of
//! slots whose memory is wiped in place, which is what makes a fresh instance cost microseconds, and
//! what lets two threads be twice as fast as one; giving memory back to the kernel after each
//! decision would stop the other threads each time). Tools have a third one, which *meters*.

use std::{
    fmt, process,
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
    thread,
};

use wasmparser::WasmFeatures;
use wasmtime::{Config, Enabled, Engine, EngineWeak, OptLevel, PoolingAllocationConfig};

use super::{
    LoadError,
    compiled::Prepared,
    limits::{
        Budget, CORE_INSTANCES, INSTANCE_BYTES, KEEP_RESIDENT, MEMORIES, PAGE, PREPARED,
        STACK_BYTES, TABLE_ELEMENTS, TABLES, TICK, USUAL_TABLES,
    },
    pool::Keeper,
};
use crate::Limits;

/// The language of a policy: what compilers emit by default today, and nothing that shares memory,
/// collects garbage, throws, suspends, or differs between machines.
pub(super) const FEATURES: WasmFeatures = WasmFeatures::FLOATS
    .union(WasmFeatures::MUTABLE_GLOBAL)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::COMPONENT_MODEL);

/// The engines, and the thread that keeps instances ready.
///
/// Shared by all guards of a process with the same bounds: address space for a thousand instances is
/// reserved once, not once a guard. A forked child has none of its threads, and gets one of its own.
#[derive(Debug)]
pub(super) struct Runtime {
    pub(super) engines: Engines,
    pub(super) keeper: Keeper,
    pub(super) fallbacks: Vec<Fallback>,
}

/// What a policy is loaded into.
#[derive(Debug)]
pub(super) struct Engines {
    pub(super) configuring: Engine,
    pub(super) deciding: Engine,
    /// Whether decisions are metered.
    meters: bool,
    /// What is known to the engine that configures.
    pub(super) readable: Arc<Recent>,
    /// What is known to the engine that decides.
    pub(super) plain: Recent,
}

/// What is known of the components that were loaded last, most recent first, by digest: when only settings
/// change, which is what changes most, nothing but the result is compiled again.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<Vec<(String, Arc<Prepared>)>>);

impl Runtime {
    /// The runtime for these bounds, made when there is none.
    pub(super) fn shared(limits: &Limits) -> Result<Arc<Self>, LoadError> {
        let shape = Shape::of(limits);
        let mut runtimes = RUNTIMES.lock().unwrap_or_else(PoisonError::into_inner);
        runtimes.retain(|(_, runtime)| runtime.strong_count() > 0);
        let found = runtimes.iter().find(|(other, _)| *other == shape);
        if let Some(runtime) = found.and_then(|(_, runtime)| runtime.upgrade()) {
            return Ok(runtime);
        }
        let runtime = Arc::new(Self::new(shape)?);
        runtimes.push((shape, Arc::downgrade(&runtime)));
        Ok(runtime)
    }

    fn new(shape: Shape) -> Result<Self, LoadError> {
        let configuring = Engine::new(&configuring()).map_err(failed)?;
        let (deciding, reserved) = deciding(shape)?;
        let scans = PoolingAllocationConfig::is_pagemap_scan_available();
        start_clock(vec![configuring.weak(), deciding.weak()])?;
        let engines = Engines {
            configuring,
            deciding,
            meters: false,
            readable: Arc::default(),
            plain: Recent::default(),
        };
        Ok(Self {
            engines,
            keeper: Keeper::start(shape.instances as usize / 4)?,
            fallbacks: fallbacks(scans, reserved),
        })
    }
}

impl Engines {
    /// The same, but decisions are metered. What was prepared for one is known to the other.
    pub(super) fn metering(&self) -> Result<Self, LoadError> {
        let deciding = Engine::new(&metering()).map_err(failed)?;
        start_clock(vec![deciding.weak()])?;
        Ok(Self {
            configuring: self.configuring.clone(),
            deciding,
            meters: true,
            readable: Arc::clone(&self.readable),
            // Code belongs to its engine.
            plain: Recent::default(),
        })
    }

    /// What an instance that decides may use.
    pub(super) fn budget(&self, limits: &Limits) -> Budget {
        match self.meters {
            true => Budget::of_metering(limits),
            false => Budget::of_decision(limits),
        }
    }
}

impl Recent {
    /// What is known of a component; found out when nothing is.
    pub(super) fn of(
        &self,
        digest: &str,
        prepare: impl FnOnce() -> Result<Prepared, LoadError>,
    ) -> Result<Arc<Prepared>, LoadError> {
        if let Some(known) = self.recall(digest) {
            return Ok(known);
        }
        let prepared = Arc::new(prepare()?);
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.truncate(PREPARED - 1);
        recent.insert(0, (digest.into(), Arc::clone(&prepared)));
        Ok(prepared)
    }

    fn recall(&self, digest: &str) -> Option<Arc<Prepared>> {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = recent.iter().position(|(known, _)| known == digest)?;
        recent[..=place].rotate_right(1);
        recent.first().map(|(_, prepared)| Arc::clone(prepared))
    }
}

/// What this machine lacks, and what is done instead: as safe, and slower.
///
/// [`Guard::fallbacks`](crate::Guard::fallbacks) lists those of a guard. None of them changes a verdict.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Fallback {
    /// There is no address space for guard pages behind the memory of each instance (`ulimit -v`, a small
    /// container): policies check each access to their memory.
    BoundsChecks,
    /// The kernel does not tell which pages an instance has written (`PAGEMAP_SCAN`, Linux 6.7): all that
    /// it may have written is wiped.
    WholeWipe,
}

impl Fallback {
    /// What it costs and how to get rid of it, one sentence.
    pub fn hint(self) -> &'static str {
        match self {
            Self::BoundsChecks => {
                "policies run some per cent slower: raise the limit of address space, or lower `policy_instances`"
            }
            Self::WholeWipe => {
                "a decision costs several times as much time: use Linux 6.7 or newer, with /proc mounted"
            }
        }
    }
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BoundsChecks => {
                "no address space for guard pages: accesses are checked one by one"
            }
            Self::WholeWipe => "the kernel does not list written pages: instances are wiped whole",
        })
    }
}

fn fallbacks(scans: bool, reserved: bool) -> Vec<Fallback> {
    let lacking = [
        (reserved, Fallback::BoundsChecks),
        (scans, Fallback::WholeWipe),
    ];
    let lacking = lacking.into_iter().filter(|(there, _)| !there);
    lacking.map(|(_, fallback)| fallback).collect()
}

/// An engine with a clock that configures, and nothing else: for looking at a component.
pub(super) fn inspecting() -> Result<Engine, LoadError> {
    let engine = Engine::new(&configuring()).map_err(failed)?;
    start_clock(vec![engine.weak()])?;
    Ok(engine)
}

/// What two guards must have in common to share a runtime.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Shape {
    instances: u32,
    memory: usize,
    /// A clock that was started before a fork does not tick after it, and nothing would stop a policy.
    process: u32,
}

impl Shape {
    fn of(limits: &Limits) -> Self {
        // Linear memory has 32-bit addresses.
        let memory = limits
            .policy_memory
            .clamp(PAGE, u32::MAX as usize - PAGE)
            .next_multiple_of(PAGE);
        Self {
            instances: limits.policy_instances.max(1),
            memory,
            process: process::id(),
        }
    }
}

static RUNTIMES: Mutex<Vec<(Shape, Weak<Runtime>)>> = Mutex::new(Vec::new());

/// Whether this process was forked from one that had made an engine: the threads on which the compiler works in
/// parallel are those of the parent.
fn is_forked() -> bool {
    static FIRST: OnceLock<u32> = OnceLock::new();
    *FIRST.get_or_init(process::id) != process::id()
}

fn common() -> Config {
    let mut config = Config::new();
    config
        .wasm_features(WasmFeatures::all(), false)
        .wasm_features(FEATURES, true)
        // Synchronous guests only: they cost half as much to call, and others are refused at load.
        .concurrency_support(false)
        .shared_memory(false)
        .epoch_interruption(true)
        .parallel_compilation(!is_forked())
        .signals_based_traps(true)
        // Same input, same verdict, on every machine.
        .cranelift_nan_canonicalization(true)
        // A denial names its reason; where in the guest it arose helps nobody at run time.
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false)
        .native_unwind_info(false);
    config
}

/// The engine that configures. What it compiles runs once: the compiler need not try hard.
fn configuring() -> Config {
    let mut config = common();
    config.cranelift_opt_level(OptLevel::None);
    config
}

/// The engine that meters. Used one instance at a time, which is why it needs no pool.
fn metering() -> Config {
    let mut config = common();
    config.consume_fuel(true).max_wasm_stack(STACK_BYTES);
    config
}

/// The engine that decides, and whether it got the address space that it wants. Where that is scarce
/// (`ulimit -v`, small containers), a smaller reservation with explicit bounds checks serves as well.
fn deciding(shape: Shape) -> Result<(Engine, bool), LoadError> {
    let mut config = common();
    config
        .allocation_strategy(pool(shape))
        .memory_init_cow(true)
        .table_lazy_init(true)
        .max_wasm_stack(STACK_BYTES)
        .memory_guaranteed_dense_image_size(4 * shape.memory as u64);
    if let Ok(engine) = Engine::new(&config) {
        return Ok((engine, true));
    }
    config
        .memory_reservation(shape.memory as u64)
        .memory_guard_size(PAGE as u64);
    let engine = Engine::new(&config).map_err(failed)?;
    Ok((engine, false))
}

fn pool(shape: Shape) -> PoolingAllocationConfig {
    // Core instances are a mere count: each policy may have all that one may have. Tables have a place each,
    // for as many as any known toolchain links; a component that has more takes the share of others.
    let core_instances = shape.instances.saturating_mul(CORE_INSTANCES);
    let tables = shape.instances.saturating_mul(USUAL_TABLES);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(shape.instances)
        .total_core_instances(core_instances)
        .total_memories(shape.instances)
        .total_tables(tables.max(TABLES))
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_memories_per_module(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_tables_per_module(TABLES)
        .max_memory_size(shape.memory)
        .table_elements(TABLE_ELEMENTS)
        .max_component_instance_size(INSTANCE_BYTES)
        .max_core_instance_size(INSTANCE_BYTES)
        .max_unused_warm_slots(shape.instances)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(TABLE_ELEMENTS * size_of::<usize>())
        // Finds the dirty pages in one system call (Linux 6.7 or newer); elsewhere the first
        // KEEP_RESIDENT bytes are wiped, which is slower and as clean (`Fallback::WholeWipe`).
        .pagemap_scan(Enabled::Auto);
    pool
}

/// Starts the thread that moves the clock of these engines. It is no task of an async runtime, which
/// a busy policy could starve. It ends by itself when the last engine is dropped.
fn start_clock(engines: Vec<EngineWeak>) -> Result<(), LoadError> {
    let tick = move || {
        loop {
            thread::sleep(TICK);
            let alive = engines.iter().filter_map(EngineWeak::upgrade);
            if alive.map(|engine| engine.increment_epoch()).count() == 0 {
                return;
            }
        }
    };
    let thread = thread::Builder::new().name("pinfold-clock".into());
    thread
        .spawn(tick)
        .map(drop)
        .map_err(|e| LoadError::Engine(e.to_string()))
}

fn failed(error: wasmtime::Error) -> LoadError {
    LoadError::Engine(format!("{error:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_with_equal_bounds_share_a_runtime() {
        let runtime = |policy_instances| {
            let limits = Limits {
                policy_instances,
                ..Limits::default()
            };
            Runtime::shared(&limits).unwrap()
        };
        let eleven = runtime(11);
        assert!(Arc::ptr_eq(&eleven, &runtime(11)));
        assert!(!Arc::ptr_eq(&eleven, &runtime(12)));
    }

    #[test]
    fn a_forked_child_shares_nothing_with_its_parent() {
        let own = Shape::of(&Limits::default());
        let process = own.process.wrapping_add(1);
        assert_eq!(own, Shape::of(&Limits::default()));
        assert_ne!(own, Shape { process, ..own });
        assert!(!is_forked());
    }

    #[test]
    fn what_is_lacking_is_told() {
        for (scans, reserved, expected) in [
            (true, true, &[][..]),
            (true, false, &[Fallback::BoundsChecks]),
            (false, true, &[Fallback::WholeWipe]),
            (false, false, &[Fallback::BoundsChecks, Fallback::WholeWipe]),
        ] {
            assert_eq!(fallbacks(scans, reserved), expected);
        }
        let runtime = Runtime::shared(&Limits::default()).unwrap();
        let told = runtime.fallbacks.contains(&Fallback::WholeWipe);
        assert_eq!(!told, PoolingAllocationConfig::is_pagemap_scan_available());
    }

    #[test]
    fn the_clock_stops_with_its_engine() {
        let engine = inspecting().unwrap();
        let weak = engine.weak();
        drop(engine);
        // The clock holds the engine for the time of one tick only.
        for _ in 0..1_000 {
            if weak.upgrade().is_none() {
                return;
            }
            thread::sleep(TICK);
        }
        panic!("the engine is still alive");
    }
}
