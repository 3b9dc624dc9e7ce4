//! The status page: files that a browser takes as they are. There is no build step, and nothing comes from elsewhere.

use http::HeaderValue;

use super::answer::{self, Answer};

/// One file.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct File {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

impl File {
    pub(super) fn answer(&self) -> Answer {
        answer::text(HeaderValue::from_static(self.kind), self.text)
    }
}

/// The file of a path.
pub(super) fn file(path: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.path == path)
}

const FILES: &[File] = &[
    File {
        path: "/",
        kind: "text/html; charset=utf-8",
        text: include_str!("index.html"),
    },
    File {
        path: "/page.css",
        kind: "text/css; charset=utf-8",
        text: include_str!("page.css"),
    },
    File {
        path: "/page.js",
        kind: "text/javascript; charset=utf-8",
        text: include_str!("page.js"),
    },
    File {
        path: "/icon.svg",
        kind: "image/svg+xml",
        text: include_str!("icon.svg"),
    },
];
