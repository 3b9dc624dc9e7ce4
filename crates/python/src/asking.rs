//! What one request asks, hop by hop.

use std::sync::{Mutex, PoisonError};

use pinfold::{Denial, Request, addr::Target};
use pinfold_addr::Reason;

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

    /// Reads where a redirect of the current hop leads, as the server wrote it. The URL of that hop was one: what is none
    /// now is a bad redirect.
    pub(crate) fn location(&self, text: &str) -> Result<Target, Denial> {
        let hops = self.hops.lock().unwrap_or_else(PoisonError::into_inner);
        let read = match &hops.1 {
            Some(current) => current.target().join(text),
            None => Target::parse(text),
        };
        read.map_err(|refusal| match refusal.reason {
            Reason::UrlInvalid => Denial::new(Reason::RedirectInvalid, refusal.detail),
            _ => refusal.into(),
        })
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
