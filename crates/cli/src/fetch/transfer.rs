//! Moves the body from the response to where it goes.

use std::{fmt::Write as _, io::IsTerminal, path::Path};

use indicatif::{ProgressBar, ProgressStyle};
use pinfold_http::Response;

use super::{
    Args,
    sink::{More, Sink},
};
use crate::{exit::Exit, options, output, text::Shown};

const KNOWN_SIZE: &str = "{bar:30} {bytes}/{total_bytes}  {bytes_per_sec}  {eta}";
const UNKNOWN_SIZE: &str = "{spinner} {bytes}  {bytes_per_sec}";

/// Why a transfer ended early.
enum Broken {
    /// The server or a budget: told like a refusal.
    Response(pinfold_http::Error),
    /// This side: a full disk, a body that must not go to a terminal.
    Here(anyhow::Error),
}

/// Writes the response.
pub(super) async fn run(args: &Args, response: Response) -> anyhow::Result<Exit> {
    let file = args
        .output
        .as_deref()
        .filter(|file| !options::is_stdin(file));
    let mut sink = Sink::open(file).await?;
    let bar = progress(args, &response);
    let moved = transfer(args, response, &mut sink, &bar).await;
    bar.finish_and_clear();
    let Err(broken) = moved else {
        sink.finish().await?;
        return Ok(Exit::Ok);
    };
    let kept = sink.abandon().await;
    let exit = match broken {
        Broken::Response(error) => Ok(super::refused(&error)),
        Broken::Here(error) => Err(error),
    };
    tell_kept(file, kept);
    exit
}

async fn transfer(
    args: &Args,
    mut response: Response,
    sink: &mut Sink,
    bar: &ProgressBar,
) -> Result<(), Broken> {
    if args.include {
        sink.write_head(&head(&response))
            .await
            .map_err(Broken::Here)?;
    }
    while let Some(piece) = response.chunk().await.map_err(Broken::Response)? {
        bar.inc(piece.len() as u64);
        if sink.write(&piece).await.map_err(Broken::Here)? == More::Unwanted {
            break;
        }
    }
    Ok(())
}

/// Status and headers as HTTP/1.1 writes them.
fn head(response: &Response) -> Vec<u8> {
    let mut head = String::new();
    let _ = write!(head, "HTTP/1.1 {}\r\n", response.status());
    let mut head = head.into_bytes();
    for (name, value) in response.headers() {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// A bar on a terminal, unless the body goes there too.
fn progress(args: &Args, response: &Response) -> ProgressBar {
    let to_stdout = args.output.as_deref().is_none_or(options::is_stdin);
    let body_on_terminal = to_stdout && std::io::stdout().is_terminal();
    if args.silent || body_on_terminal {
        return ProgressBar::hidden();
    }
    let (bar, style) = match length(response) {
        Some(length) => (ProgressBar::new(length), KNOWN_SIZE),
        None => (ProgressBar::no_length(), UNKNOWN_SIZE),
    };
    match ProgressStyle::with_template(style) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// What the server announces; gone when the body is decoded on the way.
fn length(response: &Response) -> Option<u64> {
    response
        .headers()
        .get(http::header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

fn tell_kept(file: Option<&Path>, kept: Option<(u64, std::path::PathBuf)>) {
    match (file, kept) {
        (_, Some((bytes, part))) => {
            output::note(format_args!(
                "kept the first {bytes} bytes in `{}`",
                Shown(&part)
            ));
        }
        (Some(file), None) => output::note(format_args!("nothing written to `{}`", Shown(file))),
        (None, None) => {}
    }
}
