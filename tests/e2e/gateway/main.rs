//! The gateway as its users meet it: the binary, real clients, real peers.
