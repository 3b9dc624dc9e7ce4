//! Runs the binary and makes its output comparable.

use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

/// A file of the test vectors.
pub(crate) fn vectors(file: &str) -> PathBuf {
    repository().join("tests/vectors").join(file)
}

/// The root of the repository.
pub(crate) fn repository() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The binary, in an environment in which nothing changes its output.
pub(crate) fn pinfold<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pinfold"));
    command.args(args).env_clear().stdin(Stdio::null());
    command
}

/// Runs the binary to its end.
pub(crate) fn run<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Output {
    pinfold(args).output().unwrap()
}

/// Runs the binary with `input` on its standard input.
pub(crate) fn run_with_input(args: &[&str], input: &str) -> Output {
    let mut command = pinfold(args);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // On a thread of its own: the child may fill its output before it has read its input.
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    output
}

/// Exit code, standard output and standard error in one text for a snapshot.
pub(crate) fn show(output: &Output) -> String {
    let code = output.status.code().unwrap();
    let mut text = format!("exit: {code}\n");
    for (name, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        if !bytes.is_empty() {
            text.push_str(&format!(
                "--- {name}\n{}",
                std::str::from_utf8(bytes).unwrap()
            ));
        }
    }
    filter(&text)
}

/// Standard error.
pub(crate) fn told(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// Standard error of a run that was denied or failed, and so wrote nothing else.
pub(crate) fn refused(output: &Output) -> &str {
    assert_eq!(output.status.code(), Some(1), "{}", show(output));
    assert!(output.stdout.is_empty(), "{}", show(output));
    told(output)
}

/// [`run`] and [`show`].
pub(crate) fn shown(args: &[&str]) -> String {
    show(&run(args))
}

/// Replaces what differs from run to run: digests.
pub(crate) fn filter(text: &str) -> String {
    const DIGEST: usize = 64;
    let mut filtered = String::new();
    let mut digits = String::new();
    for character in text.chars().chain(['\0']) {
        if character.is_ascii_hexdigit() && !character.is_ascii_uppercase() {
            digits.push(character);
            continue;
        }
        filtered.push_str(if digits.len() == DIGEST {
            "[DIGEST]"
        } else {
            &digits
        });
        digits.clear();
        filtered.push(character);
    }
    filtered.pop();
    filtered
}

/// Standard output as JSON, one value a line.
pub(crate) fn json_lines(output: &Output) -> Vec<serde_json::Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}
