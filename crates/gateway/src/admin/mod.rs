//! The interface for operators.
