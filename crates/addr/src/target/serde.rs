//! As text: what serialises is the canonical form, and what deserialises is parsed again.

use alloc::string::String;
use core::fmt::Display;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Domain, Host, Scheme, Target};

macro_rules! serialize_as_text {
    ($($type:ty),+) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self as &dyn Display)
            }
        }
    )+};
}

macro_rules! deserialize_from_text {
    ($($type:ty),+) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    )+};
}

serialize_as_text!(Domain, Host, Scheme, Target);
// A host has no text of its own that can be read: it is part of a target.
deserialize_from_text!(Domain, Scheme, Target);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_both_ways() {
        let target = Target::parse("http://[::1]:8080/a?b").unwrap();
        let json = serde_json::to_string(&target).unwrap();
        assert_eq!(json, r#""http://[::1]:8080/a?b""#);
        assert_eq!(serde_json::from_str::<Target>(&json).unwrap(), target);
        assert_eq!(serde_json::to_string(target.host()).unwrap(), r#""[::1]""#);
        assert_eq!(
            serde_json::to_string(&target.scheme()).unwrap(),
            r#""http""#
        );
    }

    #[test]
    fn what_deserialises_was_parsed() {
        assert!(serde_json::from_str::<Domain>(r#""a..b""#).is_err());
        assert!(serde_json::from_str::<Target>(r#""http:a""#).is_err());
        assert!(serde_json::from_str::<Scheme>(r#""gopher""#).is_err());
        assert_eq!(
            serde_json::from_str::<Domain>(r#""A.B.""#)
                .unwrap()
                .as_str(),
            "a.b"
        );
    }
}
