//! A candidate that judges the same traffic beside the active policy. It never decides.
