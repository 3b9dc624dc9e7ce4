//! What an open connection was opened for, so that it can be judged again.

/// What an open connection was opened for: the request, the answer that was judged, and the peer.
/// [`Guard::rejudge`](crate::Guard::rejudge) asks the active policy about it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Held {}
