//! A line of a log of decisions.

use pinfold_addr::Stage;
use serde::{Deserialize, Serialize};

use super::{Input, Redaction, redact::Redacted, wire};
use crate::{Decision, Denial, JudgedAddress, PolicyRef};

/// What a line of a log says of a decision, as far as replaying needs it. Other fields are ignored.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[non_exhaustive]
pub struct Entry {
    /// The number of the decision, unique within the process that made it.
    pub id: u64,
    /// Who asked.
    #[serde(default)]
    pub subject: Option<String>,
    /// HTTP method.
    #[serde(default)]
    pub method: Option<String>,
    /// `scheme://host:port`.
    pub target: String,
    /// 0 for the first request.
    #[serde(default)]
    pub hop: u8,
    /// Aliases the answer came through.
    #[serde(default)]
    pub chain: Vec<String>,
    /// Every address of the answer, and what became of it.
    #[serde(default)]
    pub addresses: Vec<JudgedAddress>,
    /// Which policy decided.
    #[serde(default)]
    pub policy: Option<PolicyRef>,
    /// All policies of the chain in order, where there are several; otherwise empty.
    #[serde(default, deserialize_with = "wire::layers")]
    pub layers: Vec<PolicyRef>,
    /// `allow`, `deny` or `failed`: how the hop ended.
    pub verdict: String,
    /// Where it ended, when it was refused or failed.
    #[serde(default)]
    pub stage: Option<Stage>,
    /// Why.
    #[serde(default)]
    pub code: Option<String>,
    /// What exactly.
    #[serde(default)]
    pub detail: Option<String>,
    /// What the policies denied and was let pass, as the session only reported.
    #[serde(default)]
    pub would_deny: Option<Denial>,
    /// What the policies were asked and what they answered; none when that was not recorded.
    #[serde(default)]
    pub input: Option<Input>,
    /// What is withheld: `target.path`, `target.query`, `previous.path`, `previous.query`, `detail`.
    #[serde(default)]
    pub redacted: Vec<String>,
    /// Why it cannot be replayed; none when it can.
    #[serde(default)]
    pub replay: Option<Mark>,
}

/// Why a record cannot be replayed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Mark {
    /// A policy answers something else when it does not see what is withheld, or could not be asked.
    DependsOnRedacted,
    /// A policy was late, or had no place for an instance (`policy-timeout`, `policy-busy`).
    DependsOnMachine,
    /// The input is left out: the record would be longer than [`Entry::MAX_LEN`].
    TooLarge,
}

impl Mark {
    /// The stable kebab-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DependsOnRedacted => "depends-on-redacted",
            Self::DependsOnMachine => "depends-on-machine",
            Self::TooLarge => "too-large",
        }
    }
}

impl Entry {
    /// The longest line that is written, in bytes: 1 MiB. What a guard records is below 100 KiB, unless the
    /// embedder adds more labels than a policy would be shown.
    pub const MAX_LEN: usize = 1 << 20;

    /// Reads a line of any of our logs. The log of a gateway tells more than decisions: its lines say by `event` what
    /// they are, and hold a decision as `decision`. None for a line that is something else.
    ///
    /// # Errors
    ///
    /// When the line is no JSON, or no decision where it should be one.
    ///
    /// ```
    /// use pinfold::record::Entry;
    ///
    /// let decided = r#"{"event":"decision","decision":{"id":7,"target":"https://a.example:443","verdict":"allow"}}"#;
    /// assert_eq!(Entry::read(decided)?.map(|entry| entry.id), Some(7));
    /// assert_eq!(Entry::read(r#"{"event":"end","bytes_up":1}"#)?, None);
    /// assert_eq!(Entry::read(r#"{"id":8,"target":"https://a.example:443","verdict":"allow"}"#)?.map(|e| e.id), Some(8));
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn read(line: &str) -> Result<Option<Self>, serde_json::Error> {
        let Told { event } = serde_json::from_str(line)?;
        match event.as_deref() {
            None => serde_json::from_str(line).map(Some),
            Some(DECISION) => serde_json::from_str::<Decided>(line).map(|line| Some(line.decision)),
            Some(_) => Ok(None),
        }
    }
}

/// What a line of a gateway's log is.
#[derive(Deserialize)]
struct Told {
    #[serde(default)]
    event: Option<String>,
}

#[derive(Deserialize)]
struct Decided {
    decision: Entry,
}

/// The event that holds a decision.
const DECISION: &str = "decision";

/// A decision as a log holds it: without what is withheld, and marked when it cannot be replayed. As JSON it is what
/// [`Entry`] reads, for whoever writes logs with more in a line than a [`Log`](super::Log) does.
pub struct Written(Redacted);

impl Written {
    /// Withholds paths and queries. Policies are asked again when something is withheld: not on the task that decided.
    pub fn of(decision: &Decision, redaction: Redaction) -> Self {
        Self(Redacted::of(decision, redaction))
    }

    /// Leaves out what the policies were asked and answered. `why` marks a record that could have been replayed.
    #[must_use]
    pub fn without_input(mut self, why: Option<Mark>) -> Self {
        self.0.decision.input = None;
        self.0.mark = why;
        // What is gone with the input is not missing in what is left.
        self.0.redacted.retain(|part| *part == "detail");
        self
    }
}

impl Serialize for Written {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.line().serialize(serializer)
    }
}

impl std::fmt::Debug for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Written")
            .field("id", &self.0.decision.id)
            .field("redacted", &self.0.redacted)
            .field("mark", &self.0.mark)
            .finish_non_exhaustive()
    }
}

/// A decision as it is written.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    decision: &'a Decision,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    redacted: &'a [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    replay: Option<Mark>,
}

/// The line of a decision, with its line feed; none when it is too long even without its input.
pub(super) fn line(mut written: Redacted) -> Option<Vec<u8>> {
    let line = written.to_json()?;
    if line.len() <= Entry::MAX_LEN {
        return Some(line);
    }
    written.decision.input = None;
    written.mark = Some(Mark::TooLarge);
    written
        .to_json()
        .filter(|line| line.len() <= Entry::MAX_LEN)
}

impl Redacted {
    fn line(&self) -> Line<'_> {
        Line {
            decision: &self.decision,
            redacted: &self.redacted,
            replay: self.mark,
        }
    }

    fn to_json(&self) -> Option<Vec<u8>> {
        let mut bytes = serde_json::to_vec(&self.line()).ok()?;
        bytes.push(b'\n');
        Some(bytes)
    }
}
