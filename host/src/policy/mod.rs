//! The policy runtime: bytes of a component in, answers to two questions out.
//!
//! ```text
//! bytes -> gate -> describe -> settings -> configure -> snapshot -> compile -> instance a decision
//!          (imports,  (under     (JSON      (in a throw-  (memory and   (once)    (never used
//!           world)     limits)    Schema)    away store)   globals)                before)
//! ```
//!
//! A policy is hostile until proven otherwise, and stays so: each decision runs in an instance that
//! has seen no other request, bounded in time, memory, stack and output. Whatever goes wrong inside
//! is a denial with a reason of its own; nothing of it reaches the next decision.
//!
//! | file | what it does |
//! |---|---|
//! | `gate` | validates bytes; refuses imports by name; requires the world |
//! | `code` | bounds the work of the compiler |
//! | `parts` | bounds what an instance is made of |
//! | `load` | the way from bytes to a policy that is ready to judge |
//! | `text` | reads settings, each member once |
//! | `digest` | by what name records know components and settings |
//! | `settings` | settings in their one text, and what is wrong with them |
//! | `schema` | the part of JSON Schema that is understood, and a check that ends |
//! | `snapshot` | configures once, freezes the result into a new component |
//! | `cache` | compiled code on disk, believed only when authenticated |
//! | `engine` | the settings of wasmtime, the clock, what policies share |
//! | `limits` | what an instance may use, and the store that holds it to that |
//! | `fault` | from what went wrong to a reason |
//! | `bindings` | between our types and those of the contract |
//! | `inert` | WASI that does nothing, where an operator grants it |
//! | `maker` | a fresh instance of a configured policy |
//! | `pool` | never-used instances, made ahead of time |
//! | `pace` | what answers take, and where they may be asked for |
//! | `layer` | a place in the chain of policies, and its name |
//! | `member` | a configured policy in its place, with its spares |
//! | `judge` | one hop, two questions to each policy of the chain |
//! | `evaluate` | a policy outside of a guard, for tools |
//! | `meter` | what a decision takes, in units that are the same on each machine |
//! | `swap` | the active chain, replaced at once or not at all |
//! | `watch` | swaps when files change |
//! | `floor` | native rules that no policy can widen |

mod bindings;
mod cache;
mod code;
mod compiled;
mod digest;
mod engine;
mod error;
mod evaluate;
mod fault;
pub mod floor;
mod gate;
mod inert;
mod inspect;
mod judge;
mod layer;
mod limits;
mod load;
mod maker;
mod member;
mod meter;
mod pace;
mod parts;
mod pool;
mod schema;
mod settings;
mod shipped;
mod snapshot;
mod source;
mod swap;
#[cfg(test)]
pub(crate) mod tests;
mod text;
mod watch;

pub(crate) use bindings::{is_ours, oversized};
pub(crate) use cache::Cache;
pub use digest::{component_digest, settings_digest};
pub use engine::Fallback;
pub use error::{LoadError, Problem};
pub use evaluate::{Evaluation, Evaluator, LoadOptions};
pub use inspect::{Description, Inspection, inspect, inspect_with};
pub(crate) use judge::{Answered, Judge, Opinion};
pub use layer::Layer;
pub(crate) use layer::is_name;
pub(crate) use limits::LAYERS;
pub(crate) use load::Loading;
pub use meter::{Measurement, Meter};
pub use source::Source;
pub(crate) use swap::{Active, Policies};
pub use text::settings_from_json;
pub use watch::{Watch, WatchEvent, Watcher};
