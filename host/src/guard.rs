//! `Guard`: the way of a request.

mod builder;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use pinfold_addr::{Host, Reason, Stage, Target};
use tokio::time::{Instant, timeout};

use crate::{
    Admitted, Connector, Decision, Denial, Error, JudgedAddress, Limits, Observer, Pinned,
    PolicyRef, Request, Terms,
    connect::order,
    error::Ended,
    event::Record,
    policy::{Active, Fallback, Judge, Layer, LoadError, Policies, Source, floor::Floor},
    record::{Input, Inputs, Judges},
    resolve::{Answers, MAX_ANSWERS, MAX_CHAIN, Resolve, ResolveError},
    verdict::foreign,
};

pub use builder::GuardBuilder;

/// The longest that a pin can be good for, whatever [`Limits::pin`] says.
const MAX_PIN: Duration = Duration::from_secs(3600);

/// Judges, resolves once, pins. Cheap to clone; clones share policy, resolver and floor.
///
/// ```
/// use pinfold::{Guard, Request, addr::Target, resolve::Fixed};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let guard = Guard::builder()
///     .resolver(Fixed::default().rule("example.com=93.184.216.34")?)
///     .build()?;
/// let pinned = guard.pin(Request::new(Target::parse("https://example.com/feed")?)).await?;
/// assert_eq!(pinned.addresses(), ["93.184.216.34:443".parse()?]);
/// // `guard.connector().connect(pinned).await` would open the socket, to that address and no other.
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Guard {
    core: Arc<Core>,
}

/// What the clones of a guard share.
struct Core {
    policies: Policies,
    floor: Arc<Floor>,
    resolver: Arc<dyn Resolve>,
    observer: Arc<dyn Observer>,
    inputs: Inputs,
    limits: Limits,
}

/// One request with all its redirects, under one snapshot of the policy.
///
/// It remembers the terms of earlier hops: each hop obeys the strictest of all so far, so that no
/// redirect loosens what the policy demanded.
///
/// ```
/// use pinfold::{Guard, Request, addr::Target, resolve::Fixed};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let guard = Guard::builder().resolver(Fixed::default().rule("example.com=93.184.216.34")?).build()?;
/// let session = guard.session();
/// let first = Request::new(Target::parse("https://example.com/")?).method("GET");
/// let pinned = session.pin(first.clone()).await?;
/// // ... the server answers with `Location: http://169.254.169.254/`:
/// let next = first.redirected(first.target().join("http://169.254.169.254/")?, "GET");
/// let error = session.pin(next).await.unwrap_err();
/// assert_eq!(error.denial().code(), "address-metadata");
/// # Ok(())
/// # }
/// ```
pub struct Session {
    core: Arc<Core>,
    active: Arc<Active>,
    /// Who takes the records of this session, when it is not the guard's.
    observer: Option<Arc<dyn Observer>>,
    /// The strictest terms so far.
    terms: Mutex<Terms>,
}

impl Guard {
    /// A guard with the shipped policy, its default settings, and the system's DNS servers.
    pub fn new() -> Result<Self, LoadError> {
        Self::builder().build()
    }

    /// Starts a builder.
    pub fn builder() -> GuardBuilder {
        GuardBuilder::default()
    }

    /// Begins a request: one snapshot of the active policy for it and its redirects (step 2).
    pub fn session(&self) -> Session {
        Session {
            active: self.core.policies.current(),
            observer: None,
            core: self.core.clone(),
            terms: Mutex::new(Terms {
                connect_timeout: Some(self.core.limits.connect),
                ..Terms::default()
            }),
        }
    }

    /// Judges and resolves a request without redirects: a [`session`](Self::session) of one hop.
    pub async fn pin(&self, request: Request) -> Result<Pinned, Error> {
        self.session().pin(request).await
    }

    /// Judges, resolves and connects a request without redirects.
    pub async fn connect(&self, request: Request) -> Result<crate::Connection, Error> {
        let pinned = self.pin(request).await?;
        self.connector().connect(pinned).await
    }

    /// Judges a target without connecting: the record of what would happen. The observer takes it too.
    pub async fn check(&self, request: Request) -> Arc<Decision> {
        match self.session().judge(request).await {
            Ok(pinned) => pinned.record.allow(None, false),
            Err(ended) => ended.decision,
        }
    }

    /// Judges again, under the policy that is active now, what an open connection was opened for. Nothing is looked
    /// up: the addresses are those that were judged then. No record is made.
    ///
    /// # Errors
    ///
    /// When the floor or the active policy refuses the target, or the address of the connection.
    pub async fn rejudge(&self, _held: &crate::Held) -> Result<Terms, Denial> {
        todo!("held")
    }

    /// Opens sockets to pins.
    pub fn connector(&self) -> Connector {
        Connector::new(self.core.floor.clone(), &self.core.limits)
    }

    /// Replaces the policy, where there is only one. Compiles on the calling thread; the old policy serves until the new one
    /// is ready, and stays when it is bad. Returns the new generation.
    ///
    /// Swaps may run side by side, and a slow one holds no other up. The one that was asked for last
    /// stays: an earlier one that is ready only after it is left, with [`LoadError::Overtaken`].
    ///
    /// # Errors
    ///
    /// When the policy is refused; [`LoadError::SeveralLayers`] when there are several.
    pub fn swap(&self, source: Source, settings: serde_json::Value) -> Result<u64, LoadError> {
        self.core.policies.swap(source, settings)
    }

    /// As [`swap`](Self::swap), for one layer of the chain. The others stay as they are, with their
    /// instances; requests see the chain before or the chain after, never a mixture.
    ///
    /// # Errors
    ///
    /// When the policy is refused; [`LoadError::UnknownLayer`] when no layer has this name.
    pub fn swap_layer(
        &self,
        name: &str,
        source: Source,
        settings: serde_json::Value,
    ) -> Result<u64, LoadError> {
        self.core.policies.swap_layer(name, source, settings)
    }

    /// As [`swap`](Self::swap), for the whole chain: its length, its order, its names. One bad policy keeps
    /// all of it out. A layer that was swapped meanwhile, and later asked for, keeps what that brought.
    ///
    /// # Errors
    ///
    /// As [`GuardBuilder::build`], about the policies.
    pub fn swap_layers(&self, layers: Vec<Layer>) -> Result<u64, LoadError> {
        self.core.policies.swap_layers(layers)
    }

    /// The active policy; of a chain, the first.
    pub fn policy(&self) -> PolicyRef {
        PolicyRef::clone(self.core.policies.current().policy_ref())
    }

    /// The active policies, in the order in which they are asked; one or more.
    pub fn policies(&self) -> Vec<PolicyRef> {
        let active = self.core.policies.current();
        active
            .policy_refs()
            .map(|policy| PolicyRef::clone(policy))
            .collect()
    }

    /// What this machine lacks to run policies at full speed, and what is done instead. Worth a line in a
    /// log at start: none of it is less safe, all of it is slower.
    pub fn fallbacks(&self) -> &[Fallback] {
        self.core.policies.fallbacks()
    }

    /// Follows the generation: changes at every successful swap. What keeps connections retires those
    /// of older generations when it changes.
    pub fn generation(&self) -> tokio::sync::watch::Receiver<u64> {
        self.core.policies.generation()
    }

    /// The bounds of this guard.
    pub fn limits(&self) -> &Limits {
        &self.core.limits
    }
}

impl Session {
    /// Hands the records of this session to `observer`, and not to that of the guard: for who knows more of a request
    /// than the guard does, and wants both in one place.
    #[must_use]
    pub fn observed_by(mut self, observer: impl Observer) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Lets pass what the policy denies, and records what it would have denied. The floor holds all the same.
    #[must_use]
    pub fn reporting(self) -> Self {
        todo!("report mode")
    }

    /// Steps 3 and 4: floor and `check-target`, on the calling thread. [`pin`](Self::pin) asks a policy that
    /// takes long, an interpreted one, on a thread that may block.
    ///
    /// # Errors
    ///
    /// Denied by floor, policy, terms of earlier hops (`redirect-too-many`, `https-required`), or because
    /// the policy failed (`policy-*`).
    pub fn admit(&self, request: Request) -> Result<Admitted, Error> {
        Ok(self.admit_target(request)?)
    }

    /// Steps 5 to 8: resolve once, classify, `check-addresses`, floor, pin.
    ///
    /// # Errors
    ///
    /// Denied by policy or floor, or with `proof-foreign` when a session of another guard admitted it;
    /// failed when there is no usable answer (`resolve-*`).
    pub async fn resolve(&self, admitted: Admitted) -> Result<Pinned, Error> {
        Ok(self.pin_addresses(admitted).await?)
    }

    /// `admit` and `resolve`.
    pub async fn pin(&self, request: Request) -> Result<Pinned, Error> {
        Ok(self.judge(request).await?)
    }

    /// The policy of this session; of a chain, the first.
    pub fn policy(&self) -> &PolicyRef {
        self.active.policy_ref()
    }

    /// The policies of this session, in the order in which they are asked; one or more.
    pub fn policies(&self) -> impl Iterator<Item = &PolicyRef> {
        self.active.policy_refs().map(Arc::as_ref)
    }

    /// The strictest terms of all hops so far.
    pub fn terms(&self) -> Terms {
        *self.terms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As `admit` and `resolve`, but a policy that takes long is asked on a thread that may block.
    async fn judge(&self, request: Request) -> Result<Pinned, Ended> {
        let start = Instant::now();
        let mut record = self.open(&request);
        let asked = match self.begin(&request, &mut record) {
            Ok(judge) => judge.ask(request, Judge::check_target).await,
            Err(denial) => Err(denial),
        };
        let judged = asked.and_then(|(mut judge, request, terms)| {
            record.asked(|input| input.answer(judge.answered()));
            let terms = terms.inspect_err(|_| record.denied_by(judge.decider()))?;
            let terms = self.concluded(&request, terms)?;
            Ok((request, judge, terms))
        });
        let admitted = self.admitted(record, start, judged)?;
        self.pin_addresses(admitted).await
    }

    fn admit_target(&self, request: Request) -> Result<Admitted, Ended> {
        let start = Instant::now();
        let mut record = self.open(&request);
        let begun = self.begin(&request, &mut record);
        let judged = begun.and_then(|mut judge| {
            let terms = judge.check_target(&request);
            record.asked(|input| input.answer(judge.answered()));
            let terms = terms.inspect_err(|_| record.denied_by(judge.decider()))?;
            let terms = self.concluded(&request, terms)?;
            Ok((request, judge, terms))
        });
        self.admitted(record, start, judged)
    }

    fn open(&self, request: &Request) -> Record {
        let policy = self.active.policy_ref().clone();
        let observer = self.observer.as_ref().unwrap_or(&self.core.observer);
        let mut record = Record::open(request, policy, Arc::clone(observer));
        record.layers(self.active.layers());
        if self.core.inputs == Inputs::Keep {
            let mut input = Input::open(request, self.terms());
            let literal = request.target.host().ip();
            input.resolve(
                &[],
                &self
                    .core
                    .classify(&request.target, literal.into_iter().collect()),
            );
            record.keep(input, Judges::new(&self.active));
        }
        record
    }

    /// What is checked before the policy, and the instance that will judge.
    fn begin(&self, request: &Request, record: &mut Record) -> Result<Judge, Denial> {
        obeys(request, self.terms())?;
        let target = &request.target;
        if let Err(denial) = self.core.floor.check_target(target) {
            // The operator wants to see what it is, although no answer came to stage two.
            let literal = target.host().ip();
            record.addresses(self.core.classify(target, literal.into_iter().collect()));
            return Err(denial);
        }
        let judge = self.active.judge().inspect_err(|busy| {
            record.asked(|input| input.refuse(self.active.policy_ref(), busy));
        })?;
        Ok(match self.core.inputs {
            Inputs::Keep => judge.recording(),
            Inputs::Omit => judge,
        })
    }

    /// What is checked after it: the terms of all hops.
    fn concluded(&self, request: &Request, terms: Terms) -> Result<Terms, Denial> {
        let terms = self.tighten(terms);
        // The terms of this very hop bind it too: it may be one redirect more than they allow.
        obeys(request, terms)?;
        Ok(terms)
    }

    fn admitted(
        &self,
        mut record: Record,
        start: Instant,
        judged: Result<(Request, Judge, Terms), Denial>,
    ) -> Result<Admitted, Ended> {
        record.terms(self.terms());
        record.time(start, |timings| &mut timings.target);
        match judged {
            Ok((request, judge, terms)) => Ok(Admitted {
                made_by: self.core.floor.clone(),
                request,
                judge,
                terms,
                record,
            }),
            Err(denial) => Err(record.deny(denial)),
        }
    }

    /// Adds the terms of a hop to those of the session.
    fn tighten(&self, terms: Terms) -> Terms {
        let mut all = self.terms.lock().unwrap_or_else(PoisonError::into_inner);
        *all = all.tightened(terms);
        *all
    }

    async fn pin_addresses(&self, admitted: Admitted) -> Result<Pinned, Ended> {
        let Admitted {
            made_by,
            request,
            judge,
            terms,
            mut record,
        } = admitted;
        if !Arc::ptr_eq(&made_by, &self.core.floor) {
            return Err(record.deny(foreign()));
        }
        match self.core.addresses(request, judge, &mut record).await {
            Ok((target, addresses)) => {
                record.pinned();
                let expires = Instant::now() + self.core.limits.pin.min(MAX_PIN);
                Ok(Pinned {
                    made_by,
                    target,
                    addresses,
                    terms,
                    expires,
                    record,
                })
            }
            Err(Stop::Denied(denial)) => Err(record.deny(denial)),
            Err(Stop::Failed(denial)) => Err(record.fail(denial)),
        }
    }
}

/// How long an instance of the policy waits for a lookup. Whoever makes names answer slowly would
/// otherwise hold all instances that there may be, and so keep others from being judged.
const HOLD: Duration = Duration::from_millis(50);

/// Whether a hop keeps to what earlier hops were allowed under.
pub(crate) fn obeys(request: &Request, terms: Terms) -> Result<(), Denial> {
    // The counter of hops ends before it could stand still.
    let budget = terms.redirects.unwrap_or(u8::MAX).min(u8::MAX - 1);
    if request.hop > budget {
        let detail = format!("redirect {} of {budget} that are allowed", request.hop);
        return Err(Denial::new(Reason::RedirectTooMany, detail));
    }
    obeys_https(request, terms)
}

fn obeys_https(request: &Request, terms: Terms) -> Result<(), Denial> {
    let scheme = request.target.scheme();
    match terms.https_only && !scheme.is_tls() {
        true => Err(Denial::new(
            Reason::HttpsRequired,
            format!("`{}` is not encrypted", scheme.as_str()),
        )),
        false => Ok(()),
    }
}

/// Why there is nothing to pin.
enum Stop {
    Denied(Denial),
    Failed(Denial),
}

impl From<Denial> for Stop {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

impl From<ResolveError> for Stop {
    fn from(error: ResolveError) -> Self {
        let network = error.is_network();
        let denial = Denial::new(error.reason, error.detail).at(Stage::Resolve);
        if network {
            Self::Failed(denial)
        } else {
            Self::Denied(denial)
        }
    }
}

impl Core {
    /// Steps 5 to 8: the target, and its addresses that may be dialled, in the order they are tried; never
    /// none.
    async fn addresses(
        &self,
        request: Request,
        mut judge: Judge,
        record: &mut Record,
    ) -> Result<(Target, Vec<SocketAddr>), Stop> {
        let start = Instant::now();
        let found = self
            .look_up_or_rest(request.target.host(), &mut judge)
            .await;
        record.time(start, |timings| &mut timings.resolve);
        let Answers {
            addresses, chain, ..
        } = found?;
        record.chain(&chain);

        let start = Instant::now();
        let classified = self.classify(&request.target, addresses);
        record.asked(|input| input.resolve(&chain, &classified));
        let question = (request, chain, classified);
        let asked = judge.ask(question, |judge, (request, chain, classified)| {
            judge.check_addresses(request, chain, classified)
        });
        let (mut judge, (request, _, classified), verdicts) = asked.await?;
        record.asked(|input| input.answer(judge.answered()));
        let judged = merge(classified, &verdicts);
        let survivors = survivors(&judged, request.target.port());
        let refusal = refusal(&judged);
        record.addresses(judged);
        record.time(start, |timings| &mut timings.addresses);

        // A policy that failed is the reason, whatever else is wrong with the addresses.
        let verdicts = verdicts.inspect_err(|_| record.denied_by(judge.decider()))?;
        match refusal {
            Some((at, denial)) if survivors.is_empty() => {
                if let Some(Some(_)) = verdicts.get(at) {
                    record.denied_by(judge.refuser(at));
                }
                Err(denial.into())
            }
            _ => Ok((
                request.target,
                order(survivors, self.limits.attempts.max(1)),
            )),
        }
    }

    /// Looks up, and lets the instance of the policy go when that takes long.
    async fn look_up_or_rest(
        &self,
        host: &Host,
        judge: &mut Judge,
    ) -> Result<Answers, ResolveError> {
        let mut looking = pin!(self.look_up(host));
        if host.ip().is_some() {
            return looking.await;
        }
        match timeout(HOLD, &mut looking).await {
            Ok(found) => found,
            Err(_) => {
                judge.rest();
                looking.await
            }
        }
    }

    /// Step 5. A literal travels the same road: it is its own, only answer.
    async fn look_up(&self, host: &Host) -> Result<Answers, ResolveError> {
        let answers = match host {
            Host::Ip(address) => Answers::from_addresses([*address]),
            Host::Domain(name) => timeout(self.limits.resolve, self.resolver.resolve(name))
                .await
                .unwrap_or_else(|_| Err(late()))?,
        };
        self.bounded(answers)
    }

    /// Holds any resolver to the limits and to what the contract promises policies.
    fn bounded(&self, answers: Answers) -> Result<Answers, ResolveError> {
        let (addresses, aliases) = (answers.addresses.len(), answers.chain.len());
        match () {
            () if addresses == 0 => Err(ResolveError::new(
                Reason::ResolveNoAnswer,
                "an empty answer",
            )),
            () if addresses > self.limits.answers.min(MAX_ANSWERS) => Err(ResolveError::new(
                Reason::ResolveTooManyAnswers,
                format!("{addresses} addresses"),
            )),
            () if aliases > self.limits.chain.min(MAX_CHAIN) => Err(ResolveError::new(
                Reason::ResolveChainTooLong,
                format!("{aliases} aliases"),
            )),
            () => Ok(answers),
        }
    }

    /// Step 6, and what the floor says of each address.
    fn classify(&self, target: &Target, addresses: Vec<IpAddr>) -> Vec<JudgedAddress> {
        let judge = |address| self.floor.judge(address, target.port());
        match target.host() {
            Host::Ip(_) => addresses.into_iter().map(judge).collect(),
            Host::Domain(_) => addresses
                .into_iter()
                .map(judge)
                .map(JudgedAddress::answered)
                .collect(),
        }
    }
}

fn late() -> ResolveError {
    ResolveError::new(
        Reason::ResolveTimeout,
        "the resolver did not answer in time",
    )
}

/// Step 7: the verdicts of the policy, and after them the floor. Neither lifts a refusal of the other.
///
/// What becomes of good addresses beside bad ones is the policy's choice: the shipped one refuses all
/// of them (`answers-mixed`) unless it is set to `filter`. The floor only ever takes addresses away; a
/// policy that allows everything is left with what the floor does not refuse.
fn merge(
    classified: Vec<JudgedAddress>,
    verdicts: &Result<Vec<Option<Denial>>, Denial>,
) -> Vec<JudgedAddress> {
    let verdict = |at: usize| match verdicts {
        Ok(verdicts) => verdicts
            .get(at)
            .cloned()
            .unwrap_or_else(|| Some(unjudged())),
        Err(failed) => Some(failed.clone()),
    };
    let judge = |(at, address): (usize, JudgedAddress)| {
        let denial = verdict(at).or(address.denial);
        JudgedAddress { denial, ..address }
    };
    classified.into_iter().enumerate().map(judge).collect()
}

/// The runtime hands over one verdict for each address; were one missing, its address stays shut.
fn unjudged() -> Denial {
    Denial::new(Reason::PolicyVerdictCount, "no verdict for this address")
}

/// Step 8: what nobody refused.
fn survivors(judged: &[JudgedAddress], port: u16) -> Vec<SocketAddr> {
    let allowed = judged.iter().filter(|judged| judged.denial.is_none());
    allowed
        .map(|judged| SocketAddr::new(judged.address, port))
        .collect()
}

/// The reason that stands for the whole answer, and the place of its address: that good and bad were mixed,
/// otherwise the first one.
fn refusal(judged: &[JudgedAddress]) -> Option<(usize, Denial)> {
    let denials = || {
        let judged = judged.iter().enumerate();
        judged.filter_map(|(at, judged)| judged.denial.as_ref().map(|denial| (at, denial)))
    };
    let mixed = denials().find(|(_, denial)| denial.reason() == Some(Reason::AnswersMixed));
    let (at, denial) = mixed.or_else(|| denials().next())?;
    Some((at, denial.clone()))
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("policies", &self.core.policies)
            .field("floor", &self.core.floor)
            .field("resolver", &self.core.resolver)
            .field("limits", &self.core.limits)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("policy", self.policy())
            .field("terms", &self.terms())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
