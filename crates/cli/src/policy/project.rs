//! The project file of a policy, `pinfold.toml`.
