//! # How to use it so that nothing goes round it
//!
//! A guard protects the sockets that it makes. Everything here is about making it the only one that
//! makes sockets for strangers.
//!
//! ## One client, held by those who may use it
//!
//! Build the guard once, at the start, and hand out the HTTP client of `pinfold-http` or the
//! [`Connector`](crate::Connector). Do not keep another HTTP client beside it in code that sees URLs of
//! strangers. In Rust a lint helps: ban `TcpStream::connect`, `lookup_host` and the constructors of other
//! clients in `clippy.toml`, as this project does for itself.
//!
//! ## URLs of second order
//!
//! A document that was fetched safely may name further URLs: `jwks_uri` and `request_uri` in OpenID
//! Connect, `$ref` in JSON Schema, external entities in XML, images in SVG, style sheets in HTML, the
//! web hook that a database calls. Whoever follows them must do so through the guard, or not at all: give the
//! parser a loader that uses it, and switch its own loader off.
//!
//! ## What cannot be guarded in the process
//!
//! A subprocess, a native library, or another service that receives the URL makes its own sockets. Give it
//! bytes that were fetched already, or cut it off from the network.
//!
//! ## A service behind a name of your own
//!
//! Private services that strangers may legitimately name are opened by settings, for those subjects that may:
//!
//! ```
//! use pinfold::{Guard, Request, addr::Target, resolve::Fixed};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let guard = Guard::builder()
//!     .resolver(Fixed::default().rule("wiki.corp.internal=10.20.0.7")?)
//!     .settings(serde_json::json!({
//!         "subjects": [{
//!             "match": ["staff"],
//!             "names": { "allow": ["**.corp.internal"] },
//!             "networks": { "allow": ["10.20.0.0/16"] },
//!         }],
//!     }))
//!     .build()?;
//! let request = || Request::new(Target::parse("https://wiki.corp.internal/").unwrap());
//!
//! assert!(guard.pin(request().subject("staff")).await.is_ok());
//! let refused = guard.pin(request().subject("visitor")).await.unwrap_err();
//! assert_eq!(refused.denial().code(), "name-special-use");
//! # Ok(())
//! # }
//! ```
//!
//! ## A loopback address, for tests or a side-car
//!
//! Loopback is on the floor. An operator grants it by prefix and port, where the guard is built and nowhere
//! else: `builder.grants(["127.0.0.2:8080".parse()?])`. A policy cannot ask for it.
//!
//! ## Rolling out a policy
//!
//! [`Guard::swap`](crate::Guard::swap) takes bytes or a file and settings; [`policy::Watch`](crate::policy::Watch)
//! does so when files change. Either the new policy passes every check and serves the next request, or the old one
//! stays and the error says why. Requests that began under the old one end under it, redirects included; kept
//! connections do not outlive it.
//!
//! Loading configures and compiles, which takes some hundred milliseconds for a compiled policy and seconds
//! for an interpreted one. [`GuardBuilder::code_cache`](crate::GuardBuilder::code_cache) keeps the result in a
//! directory that belongs to the service alone; new settings of a known component then take the second half of
//! that, because what comes of them is compiled. Where an interpreted policy gets new settings often,
//! [`GuardBuilder::configure_each`](crate::GuardBuilder::configure_each) compiles it once for all settings, and each
//! decision costs more. [`Guard::fallbacks`](crate::Guard::fallbacks) says whether this
//! machine makes policies slower than they could be: log it at the start.
//!
//! ## Finding out what a policy would break
//!
//! A policy that is too strict shows when it is enforced. [`Session::reporting`](crate::Session::reporting) lets pass what
//! the policies deny, for those sessions only, and each record says what it would have been:
//!
//! ```
//! use pinfold::{Guard, Request, addr::Target, resolve::Fixed};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let guard = Guard::builder()
//!     .resolver(Fixed::default().rule("feed.example=93.184.216.34")?)
//!     .settings(serde_json::json!({ "hosts": { "deny": ["feed.example"] } }))
//!     .build()?;
//! let session = guard.session().reporting();
//! let pinned = session.pin(Request::new(Target::parse("https://feed.example/")?)).await?;
//! // It may be dialled. The record says so too, in `Decision::would_deny`.
//! assert_eq!(pinned.would_deny().unwrap().code(), "host-denied");
//! # Ok(())
//! # }
//! ```
//!
//! - Only denials of policies are lifted, failures of a policy (`policy-*`) among them. What the parser, the floor or the
//!   terms of a policy that allows refuse, is refused.
//! - Each layer of a chain is asked about the target, so that the terms of those that allow it hold. The first denial
//!   stands in the record, and [`denied_by`](crate::Decision::denied_by) names its layer.
//! - A hop that would have been allowed is not changed by it: what a policy filters out of an answer stays out.
//! - While it is on, a subject reaches the inner network. Switch it on for whom you know, and for a time.
//!
//! Where a list of names is what is tried out, [`Session::reporting_names`](crate::Session::reporting_names) is enough, and
//! safe to leave on: a denial of the *target* passes, and then the policies are asked about its addresses, bindingly. A name
//! that nobody listed and that leads inside is refused. Aliases and address literals are judged with the addresses.
//!
//! A record of such a hop replays like any other: its [`input`](crate::Decision::input) holds what the policies
//! answered, and says `report`: `true`, or `"names"`.
//!
//! ## What stays open when the policy changes
//!
//! A swap is for requests to come. A tunnel may live for hours: who keeps some open judges them again.
//! [`Connection::held`](crate::Connection::held) is what one was opened for, and
//! [`Guard::rejudge`](crate::Guard::rejudge) asks the policies of now about it, without a lookup:
//!
//! ```
//! use pinfold::{Denial, Guard, Held, record::Mode};
//!
//! /// What is to be closed, after each change of [`Guard::generation`].
//! async fn revoked(guard: &Guard, open: &[Held]) -> Vec<Denial> {
//!     let mut revoked = Vec::new();
//!     for held in open {
//!         revoked.extend(guard.rejudge(held, Mode::Enforce).await.err());
//!     }
//!     revoked
//! }
//! # let guard = Guard::builder().resolver(pinfold::resolve::Fixed::default()).build().unwrap();
//! # drop(revoked(&guard, &[]));
//! ```
//!
//! The mode is that of now: what was let pass while a denial was only reported is refused once it no longer is. Read
//! the generation before you begin, and begin again when it has changed meanwhile. `policy-busy` and `policy-timeout`
//! speak of the machine: ask again while there is time, then close. Connections that are kept for requests to come
//! need none of this: those of `pinfold-http` end with the generation.
//!
//! ## Several policies: organisation, team, service
//!
//! Rules of several owners need not be merged into one policy: each owner has a layer, with a policy and settings
//! of its own. They are asked in order; what any of them denies is denied, and no later layer lifts it. What all
//! allow, they allow under the strictest of their terms.
//!
//! ```
//! use pinfold::{Guard, Request, addr::Target, policy::{Layer, Source}, resolve::Fixed};
//! use serde_json::json;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let guard = Guard::builder()
//!     .resolver(Fixed::default().rule("api.example.com=93.184.216.34")?)
//!     .layer(Layer::new("organisation", Source::Shipped).settings(json!({ "ports": [443] })))
//!     .layer(Layer::new("team", Source::Shipped).settings(json!({ "hosts": { "deny": ["api.example.com"] } })))
//!     .build()?;
//! let decision = guard.check(Request::new(Target::parse("https://api.example.com/")?)).await;
//! assert_eq!(decision.denied_by.as_deref(), Some("team"));
//!
//! // The team changes its mind: its layer is replaced, the other one stays as it is.
//! guard.swap_layer("team", Source::Shipped, json!({}))?;
//! let decision = guard.check(Request::new(Target::parse("https://api.example.com/")?)).await;
//! assert_eq!(decision.denied_by, None);
//! # Ok(())
//! # }
//! ```
//!
//! - [`GuardBuilder::policy`](crate::GuardBuilder::policy) and
//!   [`GuardBuilder::settings`](crate::GuardBuilder::settings) are the first layer, `policy`. **With layers alone the
//!   shipped policy is not asked:** put it in the chain, `Layer::new("base", Source::Shipped)`, unless another layer does
//!   its work. The floor holds in any case.
//! - A layer cannot open what another keeps shut: a grant in the settings of the service does not reach a private
//!   network that the organisation's layer refuses.
//! - Each layer sees the request and all addresses as the first one does. None sees what the others answered.
//! - [`Guard::swap_layer`](crate::Guard::swap_layer) replaces one, [`Guard::swap_layers`](crate::Guard::swap_layers) all, at
//!   once or not at all; [`policy::Watch`](crate::policy::Watch) does so with one `Watch` for each layer. There is one
//!   generation for the chain: kept connections do not outlive a change of any layer.
//! - A chain has at most 8 layers. Each adds the time of its two answers to a decision.
//!
//! ## Records that can be replayed
//!
//! A policy is a pure function of what it is asked. A guard that is built with
//! [`record_inputs`](crate::GuardBuilder::record_inputs) keeps that with each decision, and
//! [`record::Log`](crate::record::Log) writes decisions as lines of JSON, on a thread of its own, without ever
//! holding a request up: count [`Log::dropped`](crate::record::Log::dropped) and
//! [`Log::failed`](crate::record::Log::failed) in your metrics.
//!
//! ```
//! use std::sync::Arc;
//!
//! use pinfold::{Guard, record::{Inputs, Log, Redaction}, resolve::Fixed};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let log = Log::builder().redact(Redaction::ALL).write_to(std::io::sink())?;
//! let guard = Guard::builder()
//!     .record_inputs(Inputs::Keep)
//!     .observer(Arc::new(log))
//! #   .resolver(Fixed::default())
//!     .build()?;
//! # Ok(())
//! # }
//! ```
//!
//! `pinfold replay decisions.jsonl` asks the components that judged the same again, found by the digests in the
//! record, and shows each field that differs: none does, unless the record, the component or this library was
//! changed. `--with` and `--with-settings` ask another question, before a roll-out: which verdicts of last week
//! would change, and which of them let something through that was refused?
//!
//! A record is not signed: who can write the log can forge it. Replaying proves that what was asked leads to what was
//! answered, not that it was ever asked: see [`record`](crate::record).
//!
//! What is recorded may hold secrets, in paths and queries. [`Redaction`](crate::record::Redaction) withholds
//! them; the policies that decided are then asked about what is left, and a record of which the answers depend on
//! what is withheld is marked. A policy that never reads the path replays in full. Four kinds of records are not
//! replayed, and counted: those that are so marked, those that depend on the machine (`policy-timeout`,
//! `policy-busy`), those that were refused before a policy was asked (floor, terms of an earlier hop), and those
//! without input. An answer that depends on the limits of the guard (`policy-memory`) is replayed under the
//! default limits. Of a target that was refused no addresses are known, as nothing was looked up: what would
//! become of it is then "target allowed".
//!
//! ## What to tell the client
//!
//! [`Error`](crate::Error) displays as a stage and a code, which is safe to show. Details name addresses and rules: they
//! belong into the operator's log, which gets them as [`Decision`](crate::Decision) records.
