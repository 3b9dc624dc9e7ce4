//! The rules of the repository as tests. All violations are printed, not just the first.

use anyhow::{Result, bail};

mod api;
mod code;
mod documents;
mod layers;
mod loopback;
mod rules;
mod threats;
mod tree;

use self::{layers::Workspace, tree::Tree};

/// What the rules found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    violations: Vec<String>,
    warnings: Vec<String>,
}

impl Report {
    fn violation(&mut self, place: impl std::fmt::Display, what: impl std::fmt::Display) {
        self.violations.push(format!("{place}: {what}"));
    }

    fn warning(&mut self, place: impl std::fmt::Display, what: impl std::fmt::Display) {
        self.warnings.push(format!("{place}: {what}"));
    }
}

/// Checks the tree and the dependency graph.
pub(crate) fn run() -> Result<()> {
    let tree = Tree::read()?;
    let workspace = Workspace::read()?;
    let mut report = Report::default();
    layers::check(&workspace, &mut report);
    layers::check_lock(&tree, &mut report);
    rules::check(&tree, &mut report);
    api::check(&tree, &mut report);
    loopback::check(&tree, &mut report);
    documents::check(&tree, &workspace, &mut report);
    threats::check(&tree, &mut report);
    finish(&tree, report)
}

fn finish(tree: &Tree, mut report: Report) -> Result<()> {
    report.warnings.sort();
    for warning in &report.warnings {
        println!("warning: {warning}");
    }
    if !report.violations.is_empty() {
        report.violations.sort();
        let (count, list) = (report.violations.len(), report.violations.join("\n  "));
        bail!("{count} violation(s) of the rules in CONTRIBUTING.md:\n  {list}");
    }
    println!(
        "tidy: {} files keep the rules, {} warning(s)",
        tree.files.len(),
        report.warnings.len()
    );
    Ok(())
}
