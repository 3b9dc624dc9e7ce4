//! Vectors: what is asked of a policy, and what it is expected to answer.
