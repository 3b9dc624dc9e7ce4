//! What README.md shows is what the binary prints.

use std::{fs, process::Output};

use crate::support::{repository, run};

/// Every block that shows the output of `pinfold check`, run again.
#[test]
fn the_examples_print_what_they_show() {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let examples = examples(&readme);
    assert!(
        examples.len() >= 2,
        "README.md shows too little: {examples:?}"
    );
    for (command, shown) in examples {
        let output = run(words(&command));
        assert_eq!(printed(&output), shown, "$ pinfold {command}");
    }
}

/// Command and output of each block that begins with `$ pinfold check` and shows an output.
fn examples(readme: &str) -> Vec<(String, String)> {
    let blocks = readme
        .split("```console\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    blocks
        .filter_map(|block| block.strip_prefix("$ pinfold check ")?.split_once('\n'))
        .filter(|(_, shown)| !shown.is_empty())
        .map(|(command, shown)| (format!("check {command}"), shown.to_owned()))
        .collect()
}

/// Words, with single quotes as in a shell.
fn words(command: &str) -> Vec<String> {
    command
        .split_whitespace()
        .map(|word| word.trim_matches('\'').to_owned())
        .collect()
}

/// What a terminal shows.
fn printed(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    text(&output.stdout) + &text(&output.stderr)
}
