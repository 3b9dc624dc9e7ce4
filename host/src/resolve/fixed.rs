//! `Fixed`: answers that are written down.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use pinfold_addr::{Domain, Reason};

use super::{Answers, Resolve, ResolveError, Resolving};

/// Fixed answers, for tests and for `--resolve` of the command line.
///
/// Names that are not fixed go to the resolver given with [`or`](Self::or); without one they do not
/// exist.
///
/// ```
/// use pinfold::{addr::Domain, resolve::{Fixed, Resolve}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let fixed = Fixed::default().rule("example.com=93.184.216.34,2606:2800:220:1::1")?;
/// let answers = fixed.resolve(&Domain::parse("example.com")?).await?;
/// assert_eq!(answers.addresses.len(), 2);
/// assert!(fixed.resolve(&Domain::parse("example.org")?).await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Fixed {
    names: HashMap<Domain, Result<Answers, ResolveError>>,
    next: Option<Arc<dyn Resolve>>,
}

impl Fixed {
    /// Answers `name` with these addresses and aliases. Replaces an earlier answer.
    #[must_use]
    pub fn with(mut self, name: Domain, answers: Answers) -> Self {
        self.names.insert(name, Ok(answers));
        self
    }

    /// Fails every lookup of `name`.
    #[must_use]
    pub fn failing(mut self, name: Domain, error: ResolveError) -> Self {
        self.names.insert(name, Err(error));
        self
    }

    /// Adds `NAME=IP[,IP...]`. An address with a zone (`fe80::1%eth0`) makes the lookup fail with
    /// `address-scoped`, as from any resolver.
    pub fn rule(self, rule: &str) -> Result<Self, InvalidRule> {
        let invalid = |problem: String| InvalidRule {
            rule: rule.into(),
            problem,
        };
        let (name, list) = rule
            .split_once('=')
            .ok_or_else(|| invalid("expected `NAME=IP[,IP...]`".into()))?;
        let name = Domain::parse(name).map_err(|refusal| invalid(refusal.to_string()))?;
        let addresses: Result<Vec<IpAddr>, ResolveError> = list.split(',').map(address).collect();
        match addresses {
            Ok(addresses) => Ok(self.with(name, Answers::from_addresses(addresses))),
            Err(error) if error.reason == Reason::AddressScoped => Ok(self.failing(name, error)),
            Err(error) => Err(invalid(error.detail)),
        }
    }

    /// Asks `next` for names that are not fixed.
    #[must_use]
    pub fn or(mut self, next: impl Resolve) -> Self {
        self.next = Some(Arc::new(next));
        self
    }
}

/// One address as text. Only the canonical spellings that `std` reads: no octal, no short forms.
fn address(text: &str) -> Result<IpAddr, ResolveError> {
    if text.contains('%') {
        return Err(ResolveError::new(
            Reason::AddressScoped,
            format!("{text} carries a zone"),
        ));
    }
    text.parse().map_err(|_| {
        ResolveError::new(
            Reason::ResolveFailed,
            format!("`{text}` is not an IP address"),
        )
    })
}

impl Resolve for Fixed {
    fn resolve<'a>(&'a self, name: &'a Domain) -> Resolving<'a> {
        match (self.names.get(name), &self.next) {
            (Some(fixed), _) => Box::pin(std::future::ready(fixed.clone())),
            (None, Some(next)) => next.resolve(name),
            (None, None) => Box::pin(std::future::ready(Err(ResolveError::new(
                Reason::ResolveNoAnswer,
                format!("`{}` is not among the fixed names", name.as_str()),
            )))),
        }
    }
}

/// Text that is no `NAME=IP[,IP...]`.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{rule}` is not a fixed answer: {problem}")]
pub struct InvalidRule {
    rule: String,
    problem: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    async fn ask(fixed: &Fixed, of: &str) -> Result<Answers, ResolveError> {
        fixed.resolve(&name(of)).await
    }

    #[tokio::test]
    async fn rules_answer_their_name_in_order() {
        let fixed = Fixed::default()
            .rule("Example.COM.=192.0.2.1,2001:db8::1")
            .unwrap();
        let answers = ask(&fixed, "example.com").await.unwrap();
        let expected: Vec<IpAddr> =
            vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        assert_eq!(answers.addresses, expected);
        assert_eq!(
            ask(&fixed, "example.org").await.unwrap_err().reason,
            Reason::ResolveNoAnswer
        );
    }

    #[tokio::test]
    async fn a_zone_is_an_answer_that_is_refused() {
        let fixed = Fixed::default().rule("a.example=fe80::1%eth0").unwrap();
        assert_eq!(
            ask(&fixed, "a.example").await.unwrap_err().reason,
            Reason::AddressScoped
        );
    }

    #[tokio::test]
    async fn the_next_resolver_is_asked_for_the_rest() {
        let next = Fixed::default().rule("b.example=192.0.2.2").unwrap();
        let fixed = Fixed::default()
            .rule("a.example=192.0.2.1")
            .unwrap()
            .or(next);
        assert!(ask(&fixed, "a.example").await.is_ok());
        assert!(ask(&fixed, "b.example").await.is_ok());
    }

    #[test]
    fn rules_that_are_refused() {
        for rule in [
            "",
            "a.example",
            "a.example=",
            "=192.0.2.1",
            "a.example=1.2.3",
            "a.example=0127.0.0.1",
            "a.example=192.0.2.1,",
            "a..example=192.0.2.1",
        ] {
            assert!(Fixed::default().rule(rule).is_err(), "{rule}");
        }
    }
}
