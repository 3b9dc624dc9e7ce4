//! A policy in Python.

use super::{Author, interpreted::Interpreted};

const PYTHON: Interpreted = Interpreted {
    language: "python",
    into: ".venv",
    compiler: "componentize-py",
    install: "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
    source: "policy.py",
};

#[test]
fn a_new_policy_in_python_is_whole() {
    PYTHON.is_whole();
}

#[test]
fn what_is_wrong_with_a_policy_in_python_is_said_with_its_line() {
    let author = Author::new();
    let project = PYTHON.begin(&author, "zebra");
    PYTHON.install(&project);
    for (row, from, to, said) in [
        (
            "a module that is not there",
            "from pinfold",
            "import nosuch\nfrom pinfold",
            "  File \"policy.py\", line 3, in <module>\n    import nosuch\nModuleNotFoundError: No module named 'nosuch'",
        ),
        (
            "no such method",
            "def check_address(",
            "def check_adress(",
            "the class `Policy` in `policy.py` has no method `check_address`",
        ),
    ] {
        let told = PYTHON.spoiled(&project, &author, from, to);
        assert!(told.contains(said), "{row}: {told}");
    }
}
