//! From an admitted target to the addresses that may be dialled: steps 5 to 8 of its way.

use std::{
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use pinfold_addr::{Domain, Host, Reason, Stage, Target};
use tokio::time::{Instant, timeout};

use super::{Core, Heard, report::Standing};
use crate::{
    Denial, JudgedAddress, PolicyRef, Request,
    connect::order,
    event::Record,
    policy::Judge,
    resolve::{Answers, MAX_ANSWERS, MAX_CHAIN, ResolveError},
};

/// How long an instance of the policy waits for a lookup. Whoever makes names answer slowly would
/// otherwise hold all instances that there may be, and so keep others from being judged.
pub(super) const HOLD: Duration = Duration::from_millis(50);

/// Why there is nothing to pin.
pub(super) enum Stop {
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

/// What a target resolves to.
pub(super) struct Found {
    pub(super) request: Request,
    pub(super) chain: Vec<Domain>,
    /// The whole answer.
    pub(super) answers: Vec<IpAddr>,
    /// What of it may be dialled, in the order in which it is tried; never nothing.
    pub(super) open: Vec<SocketAddr>,
}

/// What the policies are asked in stage two.
type Question = (Request, Vec<Domain>, Vec<JudgedAddress>);

/// The same, and what of it may be dialled, or why nothing.
type Ruled = (Question, Result<Vec<SocketAddr>, Denial>);

impl Core {
    /// Steps 5 to 8.
    pub(super) async fn addresses(&self, heard: Heard, record: &mut Record) -> Result<Found, Stop> {
        let Heard {
            request,
            mut judge,
            standing,
            ..
        } = heard;
        let start = Instant::now();
        let host = request.target.host();
        let looked = self.look_up_or_rest(host, &mut judge).await;
        record.time(start, |timings| &mut timings.resolve);
        let Answers {
            addresses: answers,
            chain,
            ..
        } = looked?;
        record.chain(&chain);

        let start = Instant::now();
        let classified = self.classify(&request.target, &answers);
        record.asked(|input| input.resolve(&chain, &classified));
        let question = (request, chain, classified);
        let asked = match standing {
            Standing::Lifted => by_floor(question, record),
            _ => by_policies(question, judge, standing, record).await?,
        };
        record.time(start, |timings| &mut timings.addresses);
        let ((request, chain, _), open) = asked;
        Ok(Found {
            request,
            chain,
            answers,
            open: order(open?, self.limits.attempts.max(1)),
        })
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
    pub(super) fn classify(&self, target: &Target, addresses: &[IpAddr]) -> Vec<JudgedAddress> {
        let judge = |address: &IpAddr| self.floor.judge(*address, target.port());
        match target.host() {
            Host::Ip(_) => addresses.iter().map(judge).collect(),
            Host::Domain(_) => addresses
                .iter()
                .map(judge)
                .map(JudgedAddress::answered)
                .collect(),
        }
    }

    /// A literal, classified; nothing for a name.
    pub(super) fn literal(&self, target: &Target) -> Vec<JudgedAddress> {
        match target.host() {
            Host::Ip(address) => self.classify(target, &[*address]),
            Host::Domain(_) => Vec::new(),
        }
    }
}

/// Steps 7 and 8: the policies, and after them the floor.
async fn by_policies(
    question: Question,
    judge: Judge,
    standing: Standing,
    record: &mut Record,
) -> Result<Ruled, Denial> {
    let asked = judge.ask(question, |judge, (request, chain, classified)| {
        judge.check_addresses(request, chain, classified)
    });
    let (mut judge, question, verdicts) = asked.await?;
    record.asked(|input| input.answer(judge.answered()));
    let (request, _, classified) = &question;
    let port = request.target.port();
    let judged = merge(classified, &verdicts);
    let survivors = survivors(&judged, port);
    let objection = objection(&judged, verdicts, &judge);
    record.addresses(judged);
    let open = match objection.filter(|_| survivors.is_empty()) {
        Some(objection) => standing.settle(objection, left_by_floor(classified, port), record),
        None => Ok(survivors),
    };
    Ok((question, open))
}

/// Step 8 alone, where the policies have nothing to say any more.
fn by_floor(question: Question, record: &mut Record) -> Ruled {
    let (request, _, classified) = &question;
    record.addresses(classified.clone());
    let open = left_by_floor(classified, request.target.port());
    (question, open)
}

/// What the floor does not refuse; when that is nothing, why.
fn left_by_floor(classified: &[JudgedAddress], port: u16) -> Result<Vec<SocketAddr>, Denial> {
    let left = survivors(classified, port);
    if !left.is_empty() {
        return Ok(left);
    }
    let first = classified.iter().find_map(|judged| judged.denial.clone());
    Err(first.unwrap_or_else(unjudged))
}

/// Why no address is left, and which policy says so; none where it is the floor.
pub(super) struct Objection {
    pub(super) denial: Denial,
    pub(super) policy: Option<Arc<PolicyRef>>,
}

/// What stands for the whole answer, if anything of it is refused. A policy that failed is the reason, whatever
/// else is wrong with the addresses.
fn objection(
    judged: &[JudgedAddress],
    verdicts: Result<Vec<Option<Denial>>, Denial>,
    judge: &Judge,
) -> Option<Objection> {
    match verdicts {
        Err(failed) => Some(Objection {
            denial: failed,
            policy: Some(Arc::clone(judge.decider())),
        }),
        Ok(verdicts) => refusal(judged).map(|(at, denial)| {
            let by_policy = matches!(verdicts.get(at), Some(Some(_)));
            Objection {
                denial,
                policy: by_policy.then(|| Arc::clone(judge.refuser(at))),
            }
        }),
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
pub(super) fn merge(
    classified: &[JudgedAddress],
    verdicts: &Result<Vec<Option<Denial>>, Denial>,
) -> Vec<JudgedAddress> {
    let verdict = |at: usize| match verdicts {
        Ok(verdicts) => verdicts
            .get(at)
            .cloned()
            .unwrap_or_else(|| Some(unjudged())),
        Err(failed) => Some(failed.clone()),
    };
    let judge = |(at, address): (usize, &JudgedAddress)| JudgedAddress {
        denial: verdict(at).or_else(|| address.denial.clone()),
        ..address.clone()
    };
    classified.iter().enumerate().map(judge).collect()
}

/// The runtime hands over one verdict for each address; were one missing, its address stays shut.
pub(super) fn unjudged() -> Denial {
    Denial::new(Reason::PolicyVerdictCount, "no verdict for this address")
}

/// Step 8: what nobody refused.
pub(super) fn survivors(judged: &[JudgedAddress], port: u16) -> Vec<SocketAddr> {
    let allowed = judged.iter().filter(|judged| judged.denial.is_none());
    allowed
        .map(|judged| SocketAddr::new(judged.address, port))
        .collect()
}

/// The reason that stands for the whole answer, and the place of its address: that good and bad were mixed,
/// otherwise the first one.
pub(super) fn refusal(judged: &[JudgedAddress]) -> Option<(usize, Denial)> {
    let denials = || {
        let judged = judged.iter().enumerate();
        judged.filter_map(|(at, judged)| judged.denial.as_ref().map(|denial| (at, denial)))
    };
    let mixed = denials().find(|(_, denial)| denial.reason() == Some(Reason::AnswersMixed));
    let (at, denial) = mixed.or_else(|| denials().next())?;
    Some((at, denial.clone()))
}
