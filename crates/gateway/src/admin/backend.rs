//! What the interface shows and changes, apart from how it is asked: so that the routes can be tested without a
//! gateway, and the gateway without HTTP.

use std::{future::Future, pin::Pin};

use serde_json::Value;

use super::answer::Problem;
use crate::policy;

/// A gateway, as its operators see it. Values are the documented JSON.
pub(crate) trait Backend: Send + Sync + 'static {
    /// Whether new requests are served: false before the start is done, and once a drain has begun.
    fn is_ready(&self) -> bool;
    /// Version, phase, policies, counts.
    fn status(&self) -> Value;
    /// Prometheus text.
    fn metrics(&self) -> String;
    /// Active and earlier policies.
    fn policies(&self) -> Value;
    /// What is open, at most so many.
    fn connections(&self, most: usize) -> Value;
    /// The candidate and how it differs.
    fn shadow(&self) -> Value;
    /// The configuration in effect, without secrets.
    fn config(&self) -> Value;
    /// Tells, wherever a gateway tells something, that somebody was turned away here who may mean harm.
    fn turned_away(&self, detail: String);
    /// Changes something; it goes on when nobody waits for it any more.
    fn change(&self, change: Change) -> Changing;
}

/// A change under way, with the documented JSON at the end.
pub(crate) type Changing = Pin<Box<dyn Future<Output = Result<Value, Problem>> + Send>>;

/// What operators may change.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// Swaps a policy in.
    Swap(policy::Change),
    /// Goes back to what was active before, or to a generation.
    Rollback(Option<u64>),
    /// Reads all files again.
    Reload,
    /// Lets a candidate watch.
    ShadowStart(policy::Change),
    /// Ends that.
    ShadowStop,
    /// Swaps the candidate in.
    ShadowPromote,
    /// Ends the gateway: what is open may end.
    Drain,
    /// Closes the connection of this request.
    Close(String),
}
