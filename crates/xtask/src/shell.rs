//! Running commands, and saying what ran, how long it took and how to run it again.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, ExitCode, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// One named piece of work.
pub(crate) struct Step<'a> {
    /// What it is, for the person who waits.
    pub(crate) name: &'a str,
    /// The command that runs this step alone.
    pub(crate) alone: String,
    /// The work.
    pub(crate) work: Box<dyn Fn() -> Result<()> + 'a>,
}

impl<'a> Step<'a> {
    /// A step inside this program.
    pub(crate) fn task(name: &'a str, alone: &str, work: impl Fn() -> Result<()> + 'a) -> Self {
        Self {
            name,
            alone: alone.to_owned(),
            work: Box::new(work),
        }
    }

    /// A step that is one call of cargo, with environment variables of its own.
    pub(crate) fn cargo(
        name: &'a str,
        env: &'a [(&'a str, &'a str)],
        words: &'a [&'a str],
    ) -> Self {
        let assignments: String = env
            .iter()
            .map(|(key, value)| format!("{key}='{value}' "))
            .collect();
        let alone = format!("{assignments}cargo {}", words.join(" "));
        let work = || status(command("cargo", words).envs(env.iter().copied()));
        Self {
            name,
            alone,
            work: Box::new(work),
        }
    }
}

/// Runs all steps, also after one failed, so that one run shows everything that is wrong. The last line
/// counts them, for whoever reads the end of a log.
pub(crate) fn run_all(steps: &[Step<'_>]) -> ExitCode {
    let started = Instant::now();
    let mut failed = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        println!(
            "\n[{}/{}] {}: {}",
            index + 1,
            steps.len(),
            step.name,
            step.alone
        );
        let begun = Instant::now();
        let outcome = (step.work)();
        let took = seconds(begun.elapsed());
        match outcome {
            Ok(()) => println!("ok    {} ({took})", step.name),
            Err(error) => {
                eprintln!("{error:#}\nFAIL  {} ({took})", step.name);
                failed.push(step);
            }
        }
    }
    summary(steps.len(), &failed, started.elapsed());
    println!("{}", counts(steps.len(), failed.len()));
    ExitCode::from(u8::from(!failed.is_empty()))
}

/// Calls cargo in the root of the repository, its output on ours.
pub(crate) fn cargo(words: &[&str], more: &[&str]) -> Result<()> {
    status(command("cargo", words).args(more))
}

/// A command that runs in the root of the repository.
pub(crate) fn command(program: &str, words: &[&str]) -> Command {
    let program = match (program, env::var_os("CARGO")) {
        ("cargo", Some(same)) => same,
        _ => OsString::from(program),
    };
    let mut command = Command::new(program);
    command.args(words).current_dir(root()).stdin(Stdio::null());
    command
}

/// Runs to the end; an exit code other than 0 is an error.
pub(crate) fn status(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {command:?}"))?;
    successful(command, status)
}

/// The same, but not longer than this: then it is ended.
pub(crate) fn status_within(command: &mut Command, longest: Duration) -> Result<()> {
    let begun = Instant::now();
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    while begun.elapsed() < longest {
        if let Some(status) = child.try_wait()? {
            return successful(command, status);
        }
        thread::sleep(PAUSE);
    }
    child.kill()?;
    child.wait()?;
    bail!("{} was ended after {}", name(command), seconds(longest));
}

fn successful(command: &Command, status: ExitStatus) -> Result<()> {
    if !status.success() {
        bail!("{} ended with {status}", name(command));
    }
    Ok(())
}

/// Runs to the end and gives what was written to standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        bail!("{} ended with {}", name(command), output.status);
    }
    String::from_utf8(output.stdout).context("the output is not UTF-8")
}

/// Whether the program answers to `--version`.
pub(crate) fn is_there(program: &str, words: &[&str]) -> bool {
    command(program, words)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The root of the repository, two levels above this crate.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}

/// A path as people write it: relative to the root, with `/`.
pub(crate) fn relative(path: &Path) -> String {
    let path: PathBuf = path.strip_prefix(root()).unwrap_or(path).into();
    path.to_string_lossy().replace('\\', "/")
}

fn summary(steps: usize, failed: &[&Step<'_>], took: Duration) {
    let took = seconds(took);
    if failed.is_empty() {
        println!("\nall {steps} steps passed in {took}");
        return;
    }
    let count = failed.len();
    println!("\n{count} of {steps} steps failed in {took}; to see one alone:");
    for step in failed {
        println!("  {:<10} {}", step.name, step.alone);
    }
}

fn counts(steps: usize, failed: usize) -> String {
    format!("{} passed, {failed} failed", steps - failed)
}

fn name(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or_default();
    let first = command.get_args().next().unwrap_or_default();
    format!(
        "`{} {}`",
        program.to_string_lossy(),
        first.to_string_lossy()
    )
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// Between two looks at a program that runs.
const PAUSE: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_run_to_the_end_and_are_counted() {
        let step = |ok: bool| Step::task("a", "a", move || if ok { Ok(()) } else { bail!("b") });
        assert_eq!(run_all(&[step(true), step(true)]), ExitCode::SUCCESS);
        assert_eq!(run_all(&[step(false), step(true)]), ExitCode::FAILURE);
        assert_eq!(counts(12, 2), "10 passed, 2 failed");
    }

    #[test]
    #[cfg(unix)]
    fn what_hangs_is_ended() {
        let run = |seconds: &str, longest| {
            status_within(
                &mut command("sleep", &[seconds]),
                Duration::from_millis(longest),
            )
        };
        let begun = Instant::now();
        let error = run("60", 50).unwrap_err().to_string();
        assert_eq!(error, "`sleep 60` was ended after 0.1 s");
        assert!(begun.elapsed() < Duration::from_secs(30));
        assert!(run("0", 30_000).is_ok());
        assert!(status_within(&mut command("false", &[]), Duration::from_secs(30)).is_err());
    }
}
