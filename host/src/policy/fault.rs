//! From what went wrong inside a policy to a reason.

use pinfold_addr::Reason;
use wasmtime::{PoolConcurrencyLimitError, Trap};

use super::limits::{Data, MESSAGE_BYTES};
use crate::Denial;

/// What went wrong, and the words of the engine for it.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) reason: Reason,
    pub(super) detail: String,
}

impl Fault {
    /// Reads the error of a call.
    ///
    /// Memory comes first: an allocator that was refused a page ends in whatever its language does
    /// about it, most often `unreachable`. What is no trap is an answer that cannot be lifted.
    pub(super) fn of(error: &wasmtime::Error, data: &Data) -> Self {
        let reason = if data.memory_denied() {
            Reason::PolicyMemory
        } else if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
            Reason::PolicyBusy
        } else {
            error
                .downcast_ref::<Trap>()
                .map_or(Reason::PolicyOutput, of_trap)
        };
        Self {
            reason,
            detail: tidy(&format!("{error:#}"), MESSAGE_BYTES),
        }
    }

    /// Reads the error of an instantiation. What is no trap is a limit, of ours or of the system: no
    /// answer was lifted yet.
    pub(super) fn of_start(error: &wasmtime::Error, data: &Data) -> Self {
        let fault = Self::of(error, data);
        match fault.reason {
            Reason::PolicyOutput => Self {
                reason: Reason::PolicyMemory,
                ..fault
            },
            _ => fault,
        }
    }
}

impl From<Fault> for Denial {
    fn from(fault: Fault) -> Self {
        Self::new(fault.reason, fault.detail)
    }
}

fn of_trap(trap: &Trap) -> Reason {
    match trap {
        Trap::Interrupt | Trap::OutOfFuel => Reason::PolicyTimeout,
        Trap::StackOverflow => Reason::PolicyStack,
        Trap::InvalidChar
        | Trap::InvalidDiscriminant
        | Trap::ListOutOfBounds
        | Trap::StringOutOfBounds
        | Trap::UnalignedPointer => Reason::PolicyOutput,
        _ => Reason::PolicyTrapped,
    }
}

/// The text on one line, without control characters (a message must not steer an operator's
/// terminal or forge a line of a log), at most `limit` octets.
pub(super) fn tidy(text: &str, limit: usize) -> String {
    let mut tidy: String = text
        .chars()
        .map(|c| if is_safe(c) { c } else { ' ' })
        .collect();
    if tidy.len() > limit {
        tidy.truncate(tidy.floor_char_boundary(limit));
    }
    tidy
}

/// Neither a control character nor one that reorders or hides the text around it.
fn is_safe(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_policy_cannot_steer_a_terminal() {
        assert_eq!(tidy("a\u{1b}[31mb\nc\u{202e}d", 64), "a [31mb c d");
        assert_eq!(tidy("äää", 5), "ää");
        assert_eq!(tidy("plain", 5), "plain");
    }
}
