//! Tests of the gateway as a library.
