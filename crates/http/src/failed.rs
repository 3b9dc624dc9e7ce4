//! Which redirect an error happened in.

use std::fmt;

use pinfold_addr::{Class, Classifier, Host, Target};

use crate::Hop;

/// The redirect that an error happened in: what led to it, and where it led.
///
/// [`Display`](fmt::Display) shows its number and the origins, and is safe to show to whoever sent the
/// URL: an address that is not public is left out. The rest is for the operator.
#[derive(Clone, Debug)]
pub struct FailedRedirect {
    hops: Vec<Hop>,
    from: Target,
    to: Option<Target>,
}

impl FailedRedirect {
    /// The redirect after these hops; none when there are none.
    pub(crate) fn after(hops: &[Hop], to: Option<&Target>) -> Option<Self> {
        let from = hops.last()?.target.clone();
        Some(Self {
            hops: hops.to_vec(),
            from,
            to: to.cloned(),
        })
    }

    /// 1 for the first redirect of a chain, 2 for the second, and so on.
    pub fn number(&self) -> usize {
        self.hops.len()
    }

    /// The requests that were answered before; never empty. The last answer was this redirect.
    pub fn hops(&self) -> &[Hop] {
        &self.hops
    }

    /// Where the redirect came from.
    pub fn from(&self) -> &Target {
        &self.from
    }

    /// Where it points; none when that could not be read, or was not: there were too many.
    pub fn to(&self) -> Option<&Target> {
        self.to.as_ref()
    }
}

impl fmt::Display for FailedRedirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "redirect {} from `{}`",
            self.number(),
            Origin(&self.from)
        )?;
        match &self.to {
            Some(to) => write!(f, " to `{}`", Origin(to)),
            None => Ok(()),
        }
    }
}

/// Scheme, host and port, as a client may see them.
struct Origin<'a>(&'a Target);

impl fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(target) = self;
        match target.host() {
            Host::Ip(address)
                if Classifier::default().classify(*address).class != Class::Public =>
            {
                write!(f, "{}://(address):{}", target.scheme(), target.port())
            }
            _ => write!(f, "{}://{}", target.scheme(), target.authority()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_shows_no_address_of_the_inside() {
        let rows = [
            (
                "https://user@a.example.com/secret?q",
                "https://a.example.com",
            ),
            ("http://a.example.com:8080/", "http://a.example.com:8080"),
            ("http://8.8.8.8/", "http://8.8.8.8"),
            (
                "http://[2001:4860:4860::8888]/",
                "http://[2001:4860:4860::8888]",
            ),
            ("http://10.0.0.7:8080/", "http://(address):8080"),
            ("http://169.254.169.254/", "http://(address):80"),
            ("http://[::ffff:10.0.0.7]/", "http://(address):80"),
            ("https://[64:ff9b::a00:7]/", "https://(address):443"),
        ];
        for (url, shown) in rows {
            let target = Target::parse(url).unwrap();
            assert_eq!(Origin(&target).to_string(), shown, "{url}");
        }
    }
}
