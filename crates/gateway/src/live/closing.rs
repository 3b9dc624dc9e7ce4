//! Why something that was open ended.

/// Why a tunnel or an exchange ended.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Closing {
    /// Both sides were done.
    #[default]
    Finished,
    /// The client went away, or broke off.
    Client,
    /// The server broke off.
    Server,
    /// Nothing moved.
    Idle,
    /// The longest life was over, the policy's included.
    Lifetime,
    /// The new policy refuses it, or could not be asked in time.
    Revoked,
    /// The server name, or what is spoken, is not what was asked for.
    Mismatch,
    /// An operator closed it.
    Operator,
    /// The gateway ends.
    Drained,
}
