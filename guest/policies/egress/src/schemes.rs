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

    pub(crate) fn contains(self, scheme: Scheme) -> bool {
        self.0 & bit(scheme) != 0
    }

    pub(crate) fn overlaps(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) fn includes(self, other: Self) -> bool {
        self.0 & other.0 == other.0
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
        let mut names = Scheme::ALL
            .into_iter()
            .filter(|scheme| self.contains(*scheme));
        if let Some(first) = names.next() {
            f.write_str(first.as_str())?;
        }
        names.try_for_each(|scheme| write!(f, ", {}", scheme.as_str()))
    }
}
