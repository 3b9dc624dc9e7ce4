//! A policy in JavaScript.

use super::{Author, interpreted::Interpreted};

const JAVASCRIPT: Interpreted = Interpreted {
    language: "javascript",
    into: "node_modules",
    compiler: "@bytecodealliance/componentize-js",
    install: "npm ci",
    source: "policy.js",
};

#[test]
fn a_new_policy_in_javascript_is_whole() {
    JAVASCRIPT.is_whole();
}

#[test]
fn what_is_wrong_with_a_policy_in_javascript_is_said_with_its_line() {
    let author = Author::new();
    let project = JAVASCRIPT.begin(&author, "zebra");
    JAVASCRIPT.install(&project);
    for (row, from, to, said) in [
        (
            "a file that is not there",
            "import {",
            "import x from \"./nosuch.js\";\nimport {",
            "Error loading module \"./nosuch.js\"",
        ),
        (
            "a function that is not there",
            "labelIs,",
            "labelIz,",
            "policy.js:4:45 SyntaxError: The requested module 'pinfold.js' doesn't provide an export named: 'labelIz'",
        ),
        (
            "no such method",
            "checkAddress(",
            "checkAdress(",
            "the class `Policy` in `policy.js` has no method `checkAddress`",
        ),
    ] {
        let told = JAVASCRIPT.spoiled(&project, &author, from, to);
        assert!(told.contains(said), "{row}: {told}");
    }
}
