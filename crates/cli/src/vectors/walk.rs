//! The way of a case along its redirects, whoever judges the hops.

use std::net::IpAddr;

use ipnet::Ipv6Net;
use pinfold::{
    Denial, Grant, JudgedAddress, Request,
    resolve::{Answers, ResolveError},
};
use pinfold_addr::{
    Class, Classified, Classifier, Host, InvalidNat64Prefix, Reason, Stage, Target,
};
use pinfold_http::Limits;

use super::{Asked, Case, case::Start};

/// Who judges one hop after the other.
pub(super) trait Hops {
    /// Judges a hop whose lookup, if there is one, answers this.
    async fn hop(
        &mut self,
        asked: &Asked,
        answers: Result<Answers, ResolveError>,
    ) -> Result<(), Denial>;
}

/// Who asks, where a case does not say so itself.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// HTTP method.
    pub(crate) method: String,
    /// Who asks.
    pub(crate) subject: Option<String>,
    /// What else the policy sees; those of a case come after them.
    pub(crate) labels: Vec<(String, String)>,
}

impl Caller {
    fn request(&self, case: &Case, target: Target) -> Request {
        let mut request = Request::new(target).method(self.method(case));
        if let Some(subject) = case.subject().or(self.subject.as_deref()) {
            request = request.subject(subject);
        }
        let labels = self.labels.iter().chain(case.labels());
        labels.fold(request, |request, (key, value)| request.label(key, value))
    }

    fn method<'a>(&'a self, case: &'a Case) -> &'a str {
        case.method().unwrap_or(&self.method)
    }
}

impl Default for Caller {
    fn default() -> Self {
        Self {
            method: "GET".into(),
            subject: None,
            labels: Vec::new(),
        }
    }
}

/// How far a case came.
pub(super) struct Walk {
    /// What was asked at each hop.
    pub(super) asked: Vec<Asked>,
    /// The hop that was refused, otherwise the last.
    pub(super) hop: usize,
    /// The deciding hop has a URL that was understood.
    pub(super) has_target: bool,
    /// Why it ended, if it was refused.
    pub(super) denial: Option<Denial>,
}

/// Judges the first URL and each redirect.
pub(super) async fn walk(
    case: &Case,
    caller: &Caller,
    classes: &Classes,
    hops: &mut impl Hops,
) -> Walk {
    let mut way = Way {
        case,
        caller,
        classes,
        hosts: Vec::new(),
        asked: Vec::new(),
    };
    let denial = way.go(hops).await.err();
    Walk {
        hop: way.hosts.len().saturating_sub(1),
        has_target: matches!(way.hosts.last(), Some(Some(_))),
        asked: way.asked,
        denial,
    }
}

impl Walk {
    /// The stage that is reported: what a later hop is refused for is a refused redirect.
    pub(super) fn stage(&self) -> Option<Stage> {
        let denial = self.denial.as_ref()?;
        Some(match self.hop {
            0 => denial.stage(),
            _ => Stage::Redirect,
        })
    }
}

struct Way<'a> {
    case: &'a Case,
    caller: &'a Caller,
    classes: &'a Classes,
    /// The host of each hop, none where the URL itself was refused.
    hosts: Vec<Option<Host>>,
    asked: Vec<Asked>,
}

impl Way<'_> {
    async fn go(&mut self, hops: &mut impl Hops) -> Result<(), Denial> {
        let target = self.enter(start(self.case))?;
        let mut request = self.caller.request(self.case, target);
        self.hop(&request, hops).await?;
        for (followed, location) in self.case.redirects().iter().enumerate() {
            let next = within_budget(followed).and_then(|()| redirect(request.target(), location));
            let target = self.enter(next)?;
            request = request.redirected(target, self.caller.method(self.case));
            self.hop(&request, hops).await?;
        }
        Ok(())
    }

    /// Begins a hop: there is one even when its URL is refused.
    fn enter(&mut self, target: Result<Target, Denial>) -> Result<Target, Denial> {
        let host = target.as_ref().ok().map(|target| target.host().clone());
        self.hosts.push(host);
        target
    }

    async fn hop(&mut self, request: &Request, hops: &mut impl Hops) -> Result<(), Denial> {
        let answers = match request.target().host() {
            Host::Ip(literal) => Ok(Answers::from_addresses([*literal])),
            Host::Domain(_) => self.case.answers(&self.hosts),
        };
        let asked = self.classes.asked(request, answers.as_ref().ok());
        self.asked.push(asked.clone());
        hops.hop(&asked, answers).await
    }
}

/// The first URL of a case.
fn start(case: &Case) -> Result<Target, Denial> {
    match case.start() {
        Start::Url(url) => Ok(Target::parse(&url)?),
        Start::Scoped(address) => Err(Denial::new(
            Reason::AddressScoped,
            format!("`{address}` carries a zone"),
        )),
    }
}

/// Refuses what the client of `pinfold fetch` does not follow by default.
fn within_budget(followed: usize) -> Result<(), Denial> {
    let budget = Limits::default().redirects;
    if followed < usize::from(budget) {
        return Ok(());
    }
    let detail = format!("more than {budget} redirects");
    Err(Denial::new(Reason::RedirectTooMany, detail))
}

/// The next URL of a chain. The case's own URL was valid: what is not a URL here is a bad redirect.
fn redirect(from: &Target, location: &str) -> Result<Target, Denial> {
    from.join(location).map_err(|refusal| match refusal.reason {
        Reason::UrlInvalid => Denial::new(Reason::RedirectInvalid, refusal.detail),
        _ => refusal.into(),
    })
}

/// What addresses are, for an operator with these exceptions and prefixes.
#[derive(Debug, Default)]
pub(super) struct Classes {
    classifier: Classifier,
    grants: Vec<Grant>,
}

impl Classes {
    /// # Errors
    ///
    /// A prefix of a length that RFC 6052 does not have.
    pub(super) fn new(grants: &[Grant], nat64: &[Ipv6Net]) -> Result<Self, InvalidNat64Prefix> {
        Ok(Self {
            classifier: Classifier::with_nat64(nat64.to_vec())?,
            grants: grants.to_vec(),
        })
    }

    fn asked(&self, request: &Request, answers: Option<&Answers>) -> Asked {
        let port = request.target().port();
        let addresses = answers.map_or(&[][..], |answers| &answers.addresses);
        let classify = |address: &IpAddr| self.classify(*address, port);
        Asked {
            request: request.clone(),
            chain: answers.map_or_else(Vec::new, |answers| answers.chain.clone()),
            answers: addresses.iter().map(classify).collect(),
        }
    }

    /// An address as the host hands it to a policy: a grant covers neither a metadata endpoint nor what
    /// carries another address.
    fn classify(&self, address: IpAddr, port: u16) -> JudgedAddress {
        let Classified {
            address,
            class,
            embedded,
        } = self.classifier.classify(address);
        let covered = || self.grants.iter().any(|grant| grant.covers(address, port));
        JudgedAddress {
            address,
            class,
            granted: class != Class::Metadata && embedded.is_empty() && covered(),
            embedded,
            denial: None,
        }
    }
}
