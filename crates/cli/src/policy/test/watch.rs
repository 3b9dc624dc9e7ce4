//! Runs again when something changes that the result depends on.
//!
//! Looked for again and again, not waited for: build tools replace files, and folders come and go.
//! Ctrl-C ends the process as it ends any other: nothing is ever left half-written.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use super::{Args, once, plan};
use crate::{
    exit::Exit,
    output::{self, Output},
};

/// How often is looked.
const INTERVAL: Duration = Duration::from_millis(250);

/// Runs, waits for a change, and so on. Ends when nobody reads the results any more.
pub(super) async fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    loop {
        let before = State::of(args);
        let exit = match once(args, out).await {
            Ok(exit) => exit,
            Err(error) => {
                output::report(&error);
                Exit::Error
            }
        };
        out.flush()?;
        if out.is_closed() {
            return Ok(exit);
        }
        output::note("\nwaiting for a change; Ctrl-C ends");
        changed(args, before).await;
    }
}

/// Waits until the files differ, and then until they rest: a compiler writes in several steps.
async fn changed(args: &Args, before: State) {
    let mut last = before.clone();
    loop {
        tokio::time::sleep(INTERVAL).await;
        let now = State::of(args);
        if now != before && now == last {
            return;
        }
        last = now;
    }
}

/// What files look like from outside.
#[derive(Clone, PartialEq)]
struct State(Vec<(PathBuf, Option<Look>)>);

/// Size and time of the last change.
type Look = (u64, Option<SystemTime>);

impl State {
    fn of(args: &Args) -> Self {
        let looks = |file: PathBuf| {
            let found = fs::metadata(&file).ok();
            let found = found.map(|found| (found.len(), found.modified().ok()));
            (file, found)
        };
        Self(plan::depends_on(args).into_iter().map(looks).collect())
    }
}
