//! What one request asks, hop by hop.

use std::sync::{Mutex, PoisonError};

use pinfold::{Request, addr::Target};

/// Who asks, and the hops so far.
pub(crate) struct Asking {
    subject: Option<String>,
    labels: Vec<(String, String)>,
    /// The request before the current hop, and the current one.
    hops: Mutex<(Option<Request>, Option<Request>)>,
}

impl Asking {
    pub(crate) fn new(subject: Option<String>, labels: Vec<(String, String)>) -> Self {
        Self {
            subject,
            labels,
            hops: Mutex::default(),
        }
    }

    /// A request to `target`: the next hop when a redirect leads there, otherwise the current one (again).
    pub(crate) fn hop(&self, target: Target, method: &str, redirect: bool) -> Request {
        let mut hops = self.hops.lock().unwrap_or_else(PoisonError::into_inner);
        let (previous, current) = &mut *hops;
        if redirect {
            *previous = current.take();
        }
        let request = match previous {
            Some(previous) => previous.redirected(target, method),
            None => self.first(target, method),
        };
        *current = Some(request.clone());
        request
    }

    fn first(&self, target: Target, method: &str) -> Request {
        let mut request = Request::new(target).method(method);
        if let Some(subject) = &self.subject {
            request = request.subject(subject);
        }
        let labels = self.labels.iter();
        labels.fold(request, |request, (key, value)| request.label(key, value))
    }
}
