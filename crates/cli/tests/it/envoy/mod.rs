//! A real Envoy that asks a real gateway: `pinfold serve`, `pinfold envoy config`, servers and names of the lab.

mod authorities;
mod certificates;
mod check;
mod client;
mod config;
mod failover;
mod failures;
mod fake;
mod guide;
mod instances;
mod load;
mod modes;
mod pair;
mod plan;
mod rebinding;
mod rollout;
mod second_layer;
mod support;
mod traps;
