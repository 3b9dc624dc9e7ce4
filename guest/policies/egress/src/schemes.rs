//! Sets of schemes.

use std::fmt;

use crate::settings::Scheme;

/// Schemes as bits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Schemes(u8);

impl Schemes {
    pub(crate) fn new(schemes: &[Scheme]) -> Self {
        Self(schemes.iter().fold(0, |set, scheme| set | bit(*scheme)))
    }

    pub(crate) fn any() -> Self {
        Self::new(&Scheme::ALL)
    }

    /// Those over TLS.
    pub(crate) fn tls() -> Self {
        Self::new(&[Scheme::Https, Scheme::Wss])
    }

    pub(crate) fn contains(self, scheme: Scheme) -> bool {
        self.0 & bit(scheme) != 0
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those in both.
    pub(crate) fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Scheme> + Clone {
        Scheme::ALL
            .into_iter()
            .filter(move |scheme| self.contains(*scheme))
    }
}

fn bit(scheme: Scheme) -> u8 {
    match scheme {
        Scheme::Http => 1,
        Scheme::Https => 2,
        Scheme::Ws => 4,
        Scheme::Wss => 8,
        Scheme::Ftp => 16,
    }
}

impl fmt::Display for Schemes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = self.iter();
        if let Some(first) = names.next() {
            f.write_str(first.as_str())?;
        }
        names.try_for_each(|scheme| write!(f, ", {}", scheme.as_str()))
    }
}
