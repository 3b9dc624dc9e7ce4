//! The small verbs, and what is true of all.

use std::process::Stdio;

use insta::assert_snapshot;

use crate::support::{pinfold, run, shown, told};

#[test]
fn help_names_every_verb_and_shows_examples() {
    assert_snapshot!(shown(&["--help"]), @r#"
    exit: 0
    --- stdout
    Fetch URLs that strangers wrote, without letting them into the network behind you

    A policy judges each URL and each address that its name resolves to; only judged addresses are
    connected to, and no name is looked up twice.

    Usage: pinfold <COMMAND>

    Commands:
      check        Judge URLs without connecting, and explain each verdict
      fetch        Fetch a URL: judged, resolved once, connected only to judged addresses
      inspect      Show what a policy component is: digest, world, imports, settings
      policy       Write, build, test and measure policies
      replay       Judge recorded decisions again, and show which differ
      serve        Run the gateway: a forward proxy whose every connection is judged and pinned
      gateway      Ask a running gateway, or change it
      credential   Make a credential for clients of a gateway
      envoy        Write the configuration of an Envoy that dials only what was judged, or find the
                   holes in one
      migrate      Write configuration and settings from those of another proxy, and list what then
                   differs
      codes        List every reason code: stage, meaning, what to do
      completions  Print a completion script for a shell
      man          Print the manual page, or write the page of every verb into a folder
      help         Print this message or the help of the given subcommand(s)

    Options:
      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version

    Examples:
      pinfold check https://example.com/        Judge a URL and explain the verdict
      pinfold check --json http://[::1]:8080/   The same, for programs
      pinfold fetch -o page.html https://example.com/
      pinfold inspect policy.wasm               What is this policy, what could it do?
      pinfold replay decisions.jsonl            Judge recorded decisions again
      pinfold serve                             A proxy that judges every connection
      pinfold codes                             Every reason code, with what to do about it

    Exit codes:
      0  allowed, or done
      1  denied, or the network failed
      2  error: usage, a file that cannot be read, a policy that cannot be loaded
    "#);
}

#[test]
fn every_verb_has_help_with_examples() {
    for verb in ["check", "fetch", "inspect", "codes", "completions", "man"] {
        let output = run([verb, "--help"]);
        let help = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{verb}");
        assert!(help.contains("Examples:\n  pinfold "), "{verb}: {help}");
    }
}

#[test]
fn a_code_is_explained() {
    assert_snapshot!(shown(&["codes", "answers-mixed", "url-ambiguous"]), @r#"
    exit: 0
    --- stdout
    answers-mixed  resolve  One of several answers was refused and the policy refuses the whole
                            hint: every address of a name must be allowed, or set `mixed_answers` to `filter`
    url-ambiguous  parse    A strict RFC 3986 reading and the WHATWG reading disagree on scheme, host or port
                            hint: write the URL as scheme, `://`, host, optional port, path
    "#);
    assert_snapshot!(shown(&["codes", "no-such-code"]), @r#"
    exit: 2
    --- stderr
    error: `no-such-code` is no reason code

    hint: run `pinfold codes` for the list; a policy may use codes of its own
    "#);
}

#[test]
fn every_code_is_listed_with_stage_summary_and_hint() {
    let output = run(["codes", "--json"]);
    let codes: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let table = String::from_utf8(run(["codes"]).stdout).unwrap();
    assert!(codes.len() > 50);
    assert_eq!(table.lines().count(), codes.len() * 2);
    for code in codes {
        for field in ["code", "stage", "summary", "hint"] {
            let text = code[field].as_str().unwrap();
            assert!(
                !text.is_empty() && !text.ends_with('.') && !text.contains('\n'),
                "{code}"
            );
        }
        assert!(table.contains(code["code"].as_str().unwrap()));
    }
}

#[test]
fn completions_are_made_for_each_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(
            String::from_utf8(output.stdout)
                .unwrap()
                .contains("inspect"),
            "{shell}"
        );
    }
}

#[test]
fn manual_pages_are_written_for_each_verb() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("man1");
    let output = run(["man".as_ref(), folder.as_os_str()]);
    assert_eq!(output.status.code(), Some(0));
    for page in [
        "pinfold.1",
        "pinfold-check.1",
        "pinfold-fetch.1",
        "pinfold-inspect.1",
    ] {
        assert!(folder.join(page).is_file(), "{page}");
    }
    assert!(
        String::from_utf8(run(["man"]).stdout)
            .unwrap()
            .starts_with(".ie")
    );
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    for args in [
        &["codes"][..],
        &["completions", "bash"],
        &["check", "http://8.8.8.8/"],
        &["man"],
    ] {
        let mut command = pinfold(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let error = told(&output);
        assert_eq!((output.status.code(), error), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn a_verdict_is_no_other_when_nobody_reads_it() {
    let mut child = pinfold(["check", "http://127.0.0.1/"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}
