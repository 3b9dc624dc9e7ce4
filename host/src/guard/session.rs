//! A request with its redirects under one snapshot of the policy: steps 2 to 4 of its way.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use pinfold_addr::Reason;
use tokio::time::Instant;

use super::{
    Core,
    addresses::Stop,
    report::{Mode, Standing},
};
use crate::{
    Admitted, Denial, Error, Observer, Pinned, PolicyRef, Request, Terms,
    error::Ended,
    event::Record,
    held::Question,
    policy::{Active, Judge, Opinion},
    record::{Input, Inputs, Judges},
    verdict::foreign,
};

/// The longest that a pin can be good for, whatever [`Limits::pin`](crate::Limits::pin) says.
const MAX_PIN: Duration = Duration::from_secs(3600);

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
    mode: Mode,
    /// The strictest terms so far.
    terms: Mutex<Terms>,
}

impl Session {
    /// Begins a request: one snapshot of the active policy for it and its redirects (step 2).
    pub(super) fn begin(core: Arc<Core>) -> Self {
        Self {
            active: core.policies.current(),
            observer: None,
            mode: Mode::Enforce,
            terms: Mutex::new(Terms {
                connect_timeout: Some(core.limits.connect),
                ..Terms::default()
            }),
            core,
        }
    }

    /// Hands the records of this session to `observer`, and not to that of the guard: for who knows more of a request
    /// than the guard does, and wants both in one place.
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    ///
    /// use pinfold::{Decision, Guard, Observer, Request, addr::Target, resolve::Fixed};
    ///
    /// /// Notes the decisions of one connection of a client.
    /// #[derive(Clone, Default)]
    /// struct Notes(Arc<Mutex<Vec<String>>>);
    ///
    /// impl Observer for Notes {
    ///     fn observe(&self, decision: &Arc<Decision>) {
    ///         self.0.lock().unwrap().push(decision.target.clone());
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let guard = Guard::builder().resolver(Fixed::default().rule("example.com=93.184.216.34")?).build()?;
    /// let notes = Notes::default();
    /// let session = guard.session().observed_by(notes.clone());
    /// drop(session.pin(Request::new(Target::parse("https://example.com/")?)).await?);
    /// assert_eq!(*notes.0.lock().unwrap(), ["https://example.com:443"]);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn observed_by(mut self, observer: impl Observer) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Lets pass what the policies deny, and records it as [`Decision::would_deny`](crate::Decision::would_deny): for finding out what a policy would
    /// break before it is enforced. A policy that fails denies, and that passes as well.
    ///
    /// What only the policies decide is all that is lifted. The parser, the floor, the limits of the host and the proofs
    /// hold as ever, and so do the terms of each policy that allows the target: every layer is asked, also after one has
    /// denied. A hop that the policies would have allowed goes exactly where it would have gone without this. One that
    /// they would have denied goes to whatever the floor leaves of the answer; of a target that a policy denied,
    /// none is asked about addresses.
    ///
    /// ```
    /// use pinfold::{Guard, Request, addr::Target, resolve::Fixed};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let guard = Guard::builder()
    ///     .resolver(Fixed::default().rule("wiki.example=10.20.0.7")?.rule("rebind.example=127.0.0.1")?)
    ///     .build()?;
    /// let session = guard.session().reporting();
    /// let pinned = session.pin(Request::new(Target::parse("https://wiki.example/")?)).await?;
    /// assert_eq!(pinned.would_deny().unwrap().code(), "address-not-public");
    ///
    /// // The floor is no policy.
    /// let refused = session.pin(Request::new(Target::parse("https://rebind.example/")?)).await;
    /// assert_eq!(refused.unwrap_err().denial().code(), "address-floor");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn reporting(self) -> Self {
        self.in_mode(Mode::Report)
    }

    /// As [`reporting`](Self::reporting), but only a denial of the *target* passes: the policies are then asked about the
    /// addresses of what was let pass, and what they refuse of those, or fail to judge, is refused. For trying out rules about
    /// names, while no name leads to the inner network.
    ///
    /// ```
    /// use pinfold::{Guard, Request, addr::Target, resolve::Fixed};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let guard = Guard::builder()
    ///     .resolver(Fixed::default().rule("feed.example=93.184.216.34")?.rule("rebind.example=10.20.0.7")?)
    ///     .settings(serde_json::json!({ "hosts": { "allow": ["api.example"] } }))
    ///     .build()?;
    /// let session = guard.session().reporting_names();
    /// let pinned = session.pin(Request::new(Target::parse("https://feed.example/")?)).await?;
    /// assert_eq!(pinned.would_deny().unwrap().code(), "host-not-allowed");
    ///
    /// let refused = session.pin(Request::new(Target::parse("https://rebind.example/")?)).await;
    /// assert_eq!(refused.unwrap_err().denial().code(), "address-not-public");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn reporting_names(self) -> Self {
        self.in_mode(Mode::ReportNames)
    }

    /// Enforces what the policies deny, or only reports it: for who reads that from a configuration. A session enforces
    /// unless told otherwise.
    #[must_use]
    pub fn in_mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
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
    pub(super) async fn judge(&self, request: Request) -> Result<Pinned, Ended> {
        let start = Instant::now();
        let mut record = self.open(&request);
        let mode = self.mode;
        let asked = match self.prepare(&request, &mut record) {
            Ok(judge) => {
                let question = move |judge: &mut Judge, request: &_| mode.ask(judge, request);
                judge.ask(request, question).await
            }
            Err(denial) => Err(denial),
        };
        let heard = asked
            .and_then(|(judge, request, opinion)| self.hear(judge, request, opinion, &mut record));
        let admitted = self.admitted(record, start, heard)?;
        self.pin_addresses(admitted).await
    }

    fn admit_target(&self, request: Request) -> Result<Admitted, Ended> {
        let start = Instant::now();
        let mut record = self.open(&request);
        let heard = self.prepare(&request, &mut record).and_then(|mut judge| {
            let opinion = self.mode.ask(&mut judge, &request);
            self.hear(judge, request, opinion, &mut record)
        });
        self.admitted(record, start, heard)
    }

    fn open(&self, request: &Request) -> Record {
        let policy = self.active.policy_ref().clone();
        let observer = self.observer.as_ref().unwrap_or(&self.core.observer);
        let mut record = Record::open(request, policy, Arc::clone(observer));
        record.layers(self.active.layers());
        if self.core.inputs == Inputs::Keep {
            let mut input = Input::open(request, self.terms(), self.mode);
            if request.target.host().ip().is_some() {
                input.resolve(&[], &self.core.literal(&request.target));
            }
            record.keep(input, Judges::new(&self.active));
        }
        record
    }

    /// What is checked before the policy, and the judge that will ask it.
    fn prepare(&self, request: &Request, record: &mut Record) -> Result<Judge, Denial> {
        obeys(request, self.terms())?;
        let target = &request.target;
        if let Err(denial) = self.core.floor.check_target(target) {
            // The operator wants to see what it is, although no answer came to stage two.
            record.addresses(self.core.literal(target));
            return Err(denial);
        }
        let judge = self.mode.judge(&self.active).inspect_err(|busy| {
            record.asked(|input| input.refuse(self.active.policy_ref(), busy));
        })?;
        Ok(match self.core.inputs {
            Inputs::Keep => judge.recording(),
            Inputs::Omit => judge,
        })
    }

    /// What the policies said, and what that is worth here.
    fn hear(
        &self,
        mut judge: Judge,
        request: Request,
        opinion: Opinion,
        record: &mut Record,
    ) -> Result<Heard, Denial> {
        record.asked(|input| input.answer(judge.answered()));
        if opinion.denied.is_some() {
            record.denied_by(judge.decider());
        }
        let (terms, standing) = self.mode.weigh(opinion, record)?;
        let earlier = self.terms();
        let terms = self.tighten(terms);
        // The terms of this very hop bind it too: it may be one redirect more than they allow.
        obeys(&request, terms)?;
        Ok(Heard {
            request,
            judge,
            mode: self.mode,
            standing,
            earlier,
            terms,
        })
    }

    fn admitted(
        &self,
        mut record: Record,
        start: Instant,
        heard: Result<Heard, Denial>,
    ) -> Result<Admitted, Ended> {
        record.terms(self.terms());
        record.time(start, |timings| &mut timings.target);
        match heard {
            Ok(heard) => Ok(Admitted {
                made_by: self.core.floor.clone(),
                heard,
                record,
            }),
            Err(denial) => Err(record.deny(denial)),
        }
    }

    /// Adds the terms of a hop to those of the session.
    pub(super) fn tighten(&self, terms: Terms) -> Terms {
        let mut all = self.terms.lock().unwrap_or_else(PoisonError::into_inner);
        *all = all.tightened(terms);
        *all
    }

    async fn pin_addresses(&self, admitted: Admitted) -> Result<Pinned, Ended> {
        let Admitted {
            made_by,
            heard,
            mut record,
        } = admitted;
        if !Arc::ptr_eq(&made_by, &self.core.floor) {
            return Err(record.deny(foreign()));
        }
        let (earlier, terms, mode) = (heard.earlier, heard.terms, heard.mode);
        match self.core.addresses(heard, &mut record).await {
            Ok(found) => {
                record.pinned();
                let question = Question {
                    made_by,
                    request: found.request,
                    chain: found.chain,
                    answers: found.answers,
                    earlier,
                    mode,
                };
                Ok(Pinned {
                    question: Arc::new(question),
                    addresses: found.open,
                    terms,
                    expires: Instant::now() + self.core.limits.pin.min(MAX_PIN),
                    record,
                })
            }
            Err(Stop::Denied(denial)) => Err(record.deny(denial)),
            Err(Stop::Failed(denial)) => Err(record.fail(denial)),
        }
    }
}

/// A target that may be looked up, and what was said of it.
pub(crate) struct Heard {
    pub(crate) request: Request,
    pub(crate) judge: Judge,
    /// What the session that heard it does with a denial.
    pub(crate) mode: Mode,
    pub(crate) standing: Standing,
    /// The terms that held before this hop was judged.
    pub(crate) earlier: Terms,
    /// The strictest terms so far, those of this hop included.
    pub(crate) terms: Terms,
}

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

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("policy", self.policy())
            .field("terms", &self.terms())
            .finish_non_exhaustive()
    }
}
