//! Tests of the command line: the real binary, its whole output.

mod check;
mod corpus;
mod fetch;
mod inspect;
mod support;
mod verbs;
