//! A real Envoy that asks a real gateway: `pinfold serve`, `pinfold envoy config`, servers and names of the lab.

mod guide;
mod modes;
mod support;
