//! The header `traceparent` (W3C Trace Context, level 1).

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// Which trace a client's request belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::telemetry) struct TraceParent {
    trace: TraceId,
    span: SpanId,
    flags: TraceFlags,
}

impl TraceParent {
    /// None for anything that the specification tells to ignore.
    pub(in crate::telemetry) fn parse(header: &str) -> Option<Self> {
        let mut parts = header.split('-');
        let (version, trace, span, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let version = hex::<2>(version)?;
        // Version 0 ends here; later ones may go on. 255 is forbidden.
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return None;
        }
        let parent = Self {
            trace: TraceId::from(hex::<32>(trace)?),
            span: SpanId::from(u64::try_from(hex::<16>(span)?).ok()?),
            flags: TraceFlags::new(u8::try_from(hex::<2>(flags)?).ok()?),
        };
        (parent.trace != TraceId::INVALID && parent.span != SpanId::INVALID).then_some(parent)
    }

    pub(in crate::telemetry) fn trace_id(&self) -> TraceId {
        self.trace
    }

    pub(super) fn is_sampled(&self) -> bool {
        self.flags.is_sampled()
    }

    /// As the parent of a span.
    pub(super) fn context(&self) -> SpanContext {
        let sampled = self.flags & TraceFlags::SAMPLED;
        SpanContext::new(self.trace, self.span, sampled, true, TraceState::NONE)
    }
}

/// So many lower-case digits.
fn hex<const N: usize>(text: &str) -> Option<u128> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let valid = text.len() == N && text.bytes().all(is_digit);
    valid.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    #[test]
    fn what_the_specification_says_is_ignored_is_ignored() {
        let table = [
            ("sampled", format!("00-{TRACE}-{SPAN}-01"), Some(true)),
            ("not sampled", format!("00-{TRACE}-{SPAN}-00"), Some(false)),
            ("unknown flags", format!("00-{TRACE}-{SPAN}-ff"), Some(true)),
            (
                "a later version",
                format!("01-{TRACE}-{SPAN}-01-more"),
                Some(true),
            ),
            (
                "more in version 0",
                format!("00-{TRACE}-{SPAN}-01-more"),
                None,
            ),
            (
                "the forbidden version",
                format!("ff-{TRACE}-{SPAN}-01"),
                None,
            ),
            (
                "capitals",
                format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
                None,
            ),
            ("no trace", format!("00-{}-{SPAN}-01", "0".repeat(32)), None),
            ("no span", format!("00-{TRACE}-{}-01", "0".repeat(16)), None),
            ("too short", format!("00-{TRACE}-{SPAN}"), None),
            ("a sign", format!("00-{TRACE}-{SPAN}-+1"), None),
            ("nothing", String::new(), None),
        ];
        for (row, header, sampled) in table {
            let parent = TraceParent::parse(&header);
            assert_eq!(parent.map(|parent| parent.is_sampled()), sampled, "{row}");
        }
    }
}
