//! Judges again what an open connection was opened for.

use std::sync::Arc;

use pinfold_addr::Reason;

use super::{Core, Guard, Mode, obeys};
use crate::{Denial, Held, JudgedAddress, Terms, held::Question, policy::Judge, verdict::foreign};

impl Guard {
    /// Judges again, under the policies that are active now, what an open connection was opened for: the same request,
    /// the answer of then, the floor. Nothing is looked up and no record is made. What comes back are the terms of now,
    /// tightened by those that held before that hop.
    ///
    /// `mode` is that of now, which only the caller knows: with [`Mode::Report`] floor and terms alone refuse, with
    /// [`Mode::ReportNames`] also the policies the address. What was opened while a denial was only
    /// [reported](Held::mode) does not stay open for that.
    ///
    /// Policies that take long are asked on a thread that may block.
    ///
    /// # Errors
    ///
    /// When floor or policies refuse the target or the address of the connection, or the terms do; when a policy
    /// fails. `policy-busy` and `policy-timeout` speak of this machine at this moment and not of the connection: whoever has
    /// time left may ask again. `proof-foreign` when another guard opened it.
    ///
    /// ```
    /// use pinfold::{Guard, Request, addr::Target, policy::Source, record::Mode, resolve::Fixed};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = tokio::net::TcpListener::bind("127.0.0.2:0").await?;
    /// # let port = server.local_addr()?.port();
    /// // 127.0.0.2 stands for an address of the public internet.
    /// let guard = Guard::builder()
    ///     .resolver(Fixed::default().rule("feed.example=127.0.0.2")?)
    ///     .grants(["127.0.0.2".parse()?])
    ///     .build()?;
    /// let target = Target::parse(&format!("http://feed.example:{port}/"))?;
    /// let connection = guard.connect(Request::new(target)).await?;
    /// let held = connection.held();
    /// assert!(guard.rejudge(&held, Mode::Enforce).await.is_ok());
    ///
    /// guard.swap(Source::Shipped, serde_json::json!({ "hosts": { "deny": ["feed.example"] } }))?;
    /// let revoked = guard.rejudge(&held, Mode::Enforce).await.unwrap_err();
    /// assert_eq!(revoked.code(), "host-denied");
    /// drop(connection);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn rejudge(&self, held: &Held, mode: Mode) -> Result<Terms, Denial> {
        let question = &held.question;
        if !Arc::ptr_eq(&question.made_by, &self.core.floor) {
            return Err(foreign());
        }
        obeys(&question.request, question.earlier)?;
        let (classified, at) = self.core.classified(held)?;
        let judge = self.core.policies.current().judge_later();
        let asked = (Arc::clone(question), classified);
        let asked = judge.ask(asked, move |judge, (question, classified)| {
            ask(judge, mode, question, classified, at)
        });
        let (.., terms) = asked.await?;
        let terms = question.earlier.tightened(terms?);
        obeys(&question.request, terms)?;
        Ok(terms)
    }
}

impl Core {
    /// The answer of then as it is classified now, and the place of the peer in it; unless the floor refuses.
    fn classified(&self, held: &Held) -> Result<(Vec<JudgedAddress>, usize), Denial> {
        let Question {
            request, answers, ..
        } = &*held.question;
        self.floor.check_target(&request.target)?;
        let classified = self.classify(&request.target, answers);
        let peer = held.peer.ip();
        let mut judged = classified.iter();
        let Some(at) = judged.position(|judged| judged.address == peer) else {
            return Err(Denial::new(
                Reason::PeerMismatch,
                format!("{peer} was not judged"),
            ));
        };
        match classified.get(at).and_then(|judged| judged.denial.clone()) {
            Some(denial) => Err(denial),
            None => Ok((classified, at)),
        }
    }
}

/// Both questions, and what the answers mean for the address at place `at`.
fn ask(
    judge: &mut Judge,
    mode: Mode,
    question: &Question,
    classified: &[JudgedAddress],
    at: usize,
) -> Result<Terms, Denial> {
    let Question { request, chain, .. } = question;
    let terms = match mode {
        Mode::Enforce => judge.check_target(request)?,
        Mode::Report => return Ok(judge.report_target(request).terms),
        Mode::ReportNames => judge.report_target(request).terms,
    };
    let verdicts = judge.check_addresses(request, chain, classified)?;
    match verdicts.into_iter().nth(at) {
        Some(None) => Ok(terms),
        Some(Some(denial)) => Err(denial),
        None => Err(super::addresses::unjudged()),
    }
}
