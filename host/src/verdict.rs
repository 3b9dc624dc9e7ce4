//! Refusals as data, and the two proofs: `Admitted` and `Pinned`. Only the guard makes them.

use std::{borrow::Cow, fmt, net::SocketAddr, sync::Arc, time::Duration};

use pinfold_addr::{Classifier, Embedding, Reason, Refusal, Stage, Target};
use tokio::time::Instant;

use crate::{
    Error, Held, PolicyRef, Reused, Terms, event::Record, guard::Heard, held::Question,
    policy::floor::Floor,
};

/// A refusal, for people and for programs.
///
/// As JSON: `{"stage", "code", "detail"}`.
///
/// ```
/// use pinfold::{Denial, addr::{Reason, Target}};
///
/// let refusal = Target::parse("http://allowed.example\\@127.0.0.1/").unwrap_err();
/// let denial = Denial::from(refusal);
/// assert_eq!(denial.reason(), Some(Reason::UrlBackslash));
/// assert_eq!(denial.to_string(), "refused at stage `parse`: url-backslash");
/// ```
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub struct Denial {
    stage: Stage,
    code: Cow<'static, str>,
    detail: String,
    #[serde(skip)]
    reason: Option<Reason>,
}

impl Denial {
    /// A refusal with a registered reason, at the stage where that reason arises.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self {
            stage: reason.stage(),
            code: Cow::Borrowed(reason.code()),
            detail: detail.into(),
            reason: Some(reason),
        }
    }

    /// A refusal in a policy's own words.
    pub(crate) fn from_policy(stage: Stage, code: String, detail: String) -> Self {
        let reason = Reason::from_code(&code);
        Self {
            stage: reason.map_or(stage, Reason::stage),
            code: Cow::Owned(code),
            detail,
            reason,
        }
    }

    /// The same refusal at another stage (an address refused among the answers of a name).
    #[must_use]
    pub(crate) fn at(mut self, stage: Stage) -> Self {
        self.stage = stage;
        self
    }

    /// The same refusal in other words: what it says is not for whoever reads on.
    pub(crate) fn replace_detail(&mut self, detail: &str) {
        self.detail = detail.into();
    }

    /// Where.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Stable kebab-case code.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The registered reason, when the code is one; a policy may use codes of its own.
    pub fn reason(&self) -> Option<Reason> {
        self.reason
    }

    /// What exactly. For the operator: may name internal addresses; never shown to a client.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        self.reason.map(Reason::hint)
    }
}

impl From<Refusal> for Denial {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.reason, refusal.detail)
    }
}

impl From<Refusal> for Error {
    /// A URL that does not parse: denied before there is a request to record.
    fn from(refusal: Refusal) -> Self {
        Self::Denied {
            denial: refusal.into(),
            decision: None,
        }
    }
}

impl fmt::Display for Denial {
    /// Stage and code only: safe to show to a client.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused at stage `{}`: {}", self.stage, self.code)
    }
}

impl std::error::Error for Denial {}

/// Proof that floor and policy admitted a target to resolution. Made by
/// [`Session::admit`](crate::Session::admit) only.
///
/// It holds an instance of the policy, which has seen no other request, until the lookup is done or
/// takes long. Dropped, it leaves a `Decision` record of an abandoned request. Only sessions of the
/// guard that made it resolve it (`proof-foreign`).
pub struct Admitted {
    /// The floor of the guard that made it, and so the guard: each has its own.
    pub(crate) made_by: Arc<Floor>,
    pub(crate) heard: Heard,
    pub(crate) record: Record,
}

impl Admitted {
    /// What was admitted.
    pub fn target(&self) -> &Target {
        &self.heard.request.target
    }

    /// What the exchange must obey.
    pub fn terms(&self) -> &Terms {
        &self.heard.terms
    }

    /// What a policy would have denied it with; none unless the session only
    /// [reports](crate::Session::reporting).
    pub fn would_deny(&self) -> Option<&Denial> {
        self.record.would_have_denied()
    }
}

impl fmt::Debug for Admitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admitted")
            .field("request", &self.heard.request)
            .field("terms", &self.heard.terms)
            .finish_non_exhaustive()
    }
}

/// Proof that every address in it was judged. Made by the guard only; what a socket is made from.
///
/// A pin is good for one hop and for [`Limits::pin`](crate::Limits::pin), whatever the TTL of the
/// answer. Only connectors of the guard that made it dial it (`proof-foreign`): another guard may have
/// other grants and listeners. Dropped without being dialled, it still leaves its `Decision` record.
#[derive(Debug)]
pub struct Pinned {
    pub(crate) question: Arc<Question>,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) terms: Terms,
    pub(crate) expires: Instant,
    pub(crate) record: Record,
}

impl Pinned {
    /// Where the request goes. Its host, never an address, is what TLS and HTTP speak of.
    pub fn target(&self) -> &Target {
        &self.question.request.target
    }

    /// The judged addresses with port, never empty, in the order they are tried; at most
    /// [`Limits::attempts`](crate::Limits::attempts).
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What the exchange must obey.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The policy that judged.
    pub fn policy(&self) -> &PolicyRef {
        self.record.policy()
    }

    /// Generation of the policy that judged.
    pub fn generation(&self) -> u64 {
        self.record.policy().generation
    }

    /// The number of the decision record of this hop.
    pub fn decision_id(&self) -> u64 {
        self.record.id()
    }

    /// What a policy would have denied it with; none unless the session only
    /// [reports](crate::Session::reporting).
    pub fn would_deny(&self) -> Option<&Denial> {
        self.record.would_have_denied()
    }

    /// Gives all connection attempts together at most `time`: a caller's own timeout, which only tightens the terms.
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.terms = self.terms.tightened(Terms {
            connect_timeout: Some(time),
            ..Terms::default()
        });
        self
    }

    /// Spends the pin on a kept connection to `peer` instead of a new one, and closes the record.
    ///
    /// # Errors
    ///
    /// Denied with `peer-mismatch` when `peer` is none of the pinned addresses, and with `pin-expired`
    /// after the pin's lifetime: the kept connection must then not be used.
    pub fn reused(self, peer: SocketAddr) -> Result<Reused, Error> {
        let pinned = self.in_time()?;
        if !pinned.holds(peer) {
            return Err(pinned.mismatch(peer));
        }
        let held = pinned.held(peer);
        let decision = pinned.record.allow(Some(peer), true);
        Ok(Reused { decision, held })
    }

    /// Spends the pin on a connection that somebody else opens, and closes the record: for a gateway that asks here
    /// where it may connect to. Nothing is dialled, so nobody confirms the peer: whoever takes the addresses must
    /// connect to these and to no others, and looks up no name.
    ///
    /// # Errors
    ///
    /// Denied with `pin-expired` after the pin's lifetime, and with `address-wrapped` when an address is IPv4 mapped into
    /// IPv6, granted or not: others dial the IPv4 address in it, and hold it against no list of IPv4 networks.
    ///
    /// ```
    /// use pinfold::{Guard, Request, addr::Target, resolve::Fixed};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let guard = Guard::builder().resolver(Fixed::default().rule("example.com=93.184.216.34")?).build()?;
    /// let pinned = guard.pin(Request::new(Target::parse("https://example.com/")?)).await?;
    /// let handed = pinned.hand_over()?;
    /// assert_eq!(handed.addresses, ["93.184.216.34:443".parse()?]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn hand_over(self) -> Result<HandedOver, Error> {
        let pinned = self.in_time()?;
        if let Some(mapped) = pinned.addresses.iter().find(|address| is_mapped(address)) {
            let detail = format!("{mapped} would be dialled as the IPv4 address in it");
            let denial = Denial::new(Reason::AddressWrapped, detail);
            return Err(pinned.record.deny(denial).into());
        }
        let decision = pinned.record.allow(None, false);
        Ok(HandedOver {
            addresses: pinned.addresses,
            decision,
        })
    }

    /// What a connection to `peer` is opened for.
    pub(crate) fn held(&self, peer: SocketAddr) -> Held {
        Held {
            question: Arc::clone(&self.question),
            peer,
        }
    }

    /// The pin, unless it is too old to be dialled.
    pub(crate) fn in_time(self) -> Result<Self, Error> {
        if Instant::now() < self.expires {
            return Ok(self);
        }
        let detail = "the pin was not dialled within its lifetime";
        Err(self
            .record
            .deny(Denial::new(Reason::PinExpired, detail))
            .into())
    }

    /// The pin, unless another guard made it than the one whose floor this is.
    pub(crate) fn of(self, floor: &Arc<Floor>) -> Result<Self, Error> {
        if Arc::ptr_eq(&self.question.made_by, floor) {
            return Ok(self);
        }
        Err(self.record.deny(foreign()).into())
    }

    /// Whether a socket may have this peer. IPv6 scope and flow label are no part of the judgement.
    pub(crate) fn holds(&self, peer: SocketAddr) -> bool {
        self.addresses
            .iter()
            .any(|pinned| (pinned.ip(), pinned.port()) == (peer.ip(), peer.port()))
    }

    pub(crate) fn mismatch(self, peer: SocketAddr) -> Error {
        let detail = format!("the socket is connected to {peer}, which was not judged");
        self.record
            .deny(Denial::new(Reason::PeerMismatch, detail))
            .into()
    }
}

/// What a pin became that somebody else dials.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HandedOver {
    /// The judged addresses with port, never empty, in the order they are to be tried.
    pub addresses: Vec<SocketAddr>,
    /// The record of the hop, as the observer got it.
    pub decision: Arc<crate::Decision>,
}

/// Whether it is `::ffff:a.b.c.d`.
fn is_mapped(address: &SocketAddr) -> bool {
    let embedded = Classifier::default().classify(address.ip()).embedded;
    embedded.iter().any(|inner| inner.form == Embedding::Mapped)
}

/// A proof of one guard says nothing about what another one would have refused.
pub(crate) fn foreign() -> Denial {
    Denial::new(Reason::ProofForeign, "another guard made this proof")
}

#[cfg(test)]
pub(crate) mod testing {
    //! Pins for the tests of the connector, made without a guard.

    use super::*;
    use crate::{Request, event::testing::Seen, guard::Mode};

    /// A pin of a guard of its own.
    pub(crate) fn pin(seen: &Seen, addresses: &[SocketAddr]) -> Pinned {
        let floor = Floor::new(Vec::new(), Vec::new(), Classifier::default());
        pin_of(&Arc::new(floor), seen, addresses)
    }

    /// A pin of the guard with this floor.
    pub(crate) fn pin_of(made_by: &Arc<Floor>, seen: &Seen, addresses: &[SocketAddr]) -> Pinned {
        let question = Question {
            made_by: made_by.clone(),
            request: Request::new(Target::parse("http://example.com/").unwrap()),
            chain: Vec::new(),
            answers: addresses.iter().map(SocketAddr::ip).collect(),
            earlier: Terms::default(),
            mode: Mode::Enforce,
        };
        Pinned {
            question: Arc::new(question),
            addresses: addresses.to_vec(),
            terms: Terms::default(),
            expires: Instant::now() + Duration::from_secs(30),
            record: seen.open("http://example.com/"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{testing::pin, *};
    use crate::{Outcome, event::testing::Seen};

    const JUDGED: &str = "192.0.2.1:80";

    fn code(seen: &Seen) -> String {
        seen.only().outcome.denial().unwrap().code().into()
    }

    #[tokio::test]
    async fn a_kept_connection_to_a_judged_peer_is_reused() {
        let (seen, peer) = (Seen::default(), JUDGED.parse().unwrap());
        let reused = pin(&seen, &[peer]).reused(peer).unwrap();
        assert_eq!(
            (reused.held.peer(), reused.decision.id),
            (peer, seen.only().id)
        );
        assert_eq!(
            seen.only().outcome,
            Outcome::Allow {
                dialed: Some(peer),
                reused: true
            }
        );
    }

    #[tokio::test]
    async fn a_kept_connection_to_another_peer_is_refused() {
        for other in ["192.0.2.2:80", "192.0.2.1:81"] {
            let seen = Seen::default();
            let error = pin(&seen, &[JUDGED.parse().unwrap()]).reused(other.parse().unwrap());
            assert!(error.unwrap_err().is_denied());
            assert_eq!(code(&seen), "peer-mismatch", "{other}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pin_expires() {
        let (seen, peer) = (Seen::default(), JUDGED.parse().unwrap());
        let pinned = pin(&seen, &[peer]);
        tokio::time::advance(Duration::from_secs(30)).await;
        assert!(pinned.reused(peer).unwrap_err().is_denied());
        assert_eq!(code(&seen), "pin-expired");
    }

    #[tokio::test]
    async fn a_callers_timeout_only_tightens() {
        let seen = Seen::default();
        let pinned = pin(&seen, &[JUDGED.parse().unwrap()]);
        let short = pinned
            .within(Duration::from_secs(1))
            .within(Duration::from_secs(9));
        assert_eq!(short.terms().connect_timeout, Some(Duration::from_secs(1)));
    }

    #[tokio::test]
    async fn what_is_handed_over_is_spent_and_nobody_confirms_it() {
        let seen = Seen::default();
        let addresses = ["192.0.2.1:80", "[2001:db8::1]:80"].map(|text| text.parse().unwrap());
        let handed = pin(&seen, &addresses).hand_over().unwrap();
        assert_eq!(handed.addresses, addresses);
        assert_eq!(handed.decision.id, seen.only().id);
        let allowed = Outcome::Allow {
            dialed: None,
            reused: false,
        };
        assert_eq!(seen.only().outcome, allowed);
    }

    #[tokio::test]
    async fn an_address_that_others_dial_as_another_one_is_not_handed_over() {
        let seen = Seen::default();
        let addresses = ["192.0.2.1:80", "[::ffff:192.0.2.1]:80"];
        let addresses = addresses.map(|text| text.parse().unwrap());
        let error = pin(&seen, &addresses).hand_over().unwrap_err();
        assert!(error.is_denied());
        assert_eq!(code(&seen), "address-wrapped");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pin_that_is_too_old_is_not_handed_over() {
        let seen = Seen::default();
        let pinned = pin(&seen, &[JUDGED.parse().unwrap()]);
        tokio::time::advance(Duration::from_secs(30)).await;
        assert!(pinned.hand_over().unwrap_err().is_denied());
        assert_eq!(code(&seen), "pin-expired");
    }

    #[test]
    fn a_policy_may_use_codes_of_its_own() {
        let own = Denial::from_policy(Stage::Name, "tenant-suspended".into(), "tenant 7".into());
        assert_eq!(
            (own.stage(), own.code(), own.reason()),
            (Stage::Name, "tenant-suspended", None)
        );
        let known = Denial::from_policy(Stage::Name, "port-denied".into(), String::new());
        assert_eq!(
            (known.stage(), known.reason()),
            (Stage::Scheme, Some(Reason::PortDenied))
        );
        assert!(known.hint().is_some() && own.hint().is_none());
    }
}
