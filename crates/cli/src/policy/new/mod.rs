//! `pinfold policy new`: a project that builds, passes its own vectors, and says how to go on.

mod c;
mod egress;
pub(crate) mod folder;
mod javascript;
mod lock;
mod python;
mod rust;
mod template;
mod vendor;

use std::path::{Path, PathBuf};

pub(crate) use self::template::File;
use self::template::Template;
use crate::{
    exit::Exit,
    fault::Fault,
    output::{LABEL, Output, note},
    policy::project::{Language, check_name},
    text::{Shown, count, shell_word},
};

/// Write a new policy: source, settings, vectors, a README and a CI snippet
///
/// The project builds and passes its own vectors right away: it is the example policy "partners" under
/// the new name, or with `--from egress` the source of the policy that is shipped inside this binary.
/// Nothing is overwritten.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Name of the policy: lower-case words with `-` between them
    name: String,

    /// What it is written in
    #[arg(long, short, value_enum, required_unless_present = "from")]
    language: Option<Language>,

    /// Begin with a shipped policy instead of the example; in Rust
    #[arg(long, value_enum)]
    from: Option<Start>,

    /// Folder of the project, which is made; an empty one will do. Default: the name
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// What a project can begin with.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Start {
    /// The default policy
    Egress,
}

const EXAMPLES: &str = "\
Examples:
  pinfold policy new partners --language rust
  pinfold policy new partners-eu --language python --dir policies/partners-eu
  pinfold policy new our-egress --from egress";

/// Runs the verb.
pub(crate) fn run(args: &Args, _out: &mut Output) -> anyhow::Result<Exit> {
    check_name(&args.name)?;
    if args
        .language
        .is_none_or(|language| language == Language::Rust)
    {
        rust::check_crate(&args.name)?;
    }
    let files = files(args)?;
    let folder = args.dir.clone().unwrap_or_else(|| args.name.clone().into());
    folder::write(&folder, &files)?;
    let number = count(files.len(), "file", "files");
    note(wrote(&number, &folder));
    next_steps(&folder, args.language.unwrap_or(Language::Rust));
    Ok(Exit::Ok)
}

fn wrote(number: &str, folder: &Path) -> String {
    format!("wrote {number} to `{}`", Shown(folder))
}

fn files(args: &Args) -> anyhow::Result<Vec<File>> {
    let name = &args.name;
    match (args.from, args.language) {
        (Some(Start::Egress), None | Some(Language::Rust)) => egress::files(name),
        (Some(Start::Egress), Some(language)) => {
            let message = format!("the shipped policy is written in Rust, not in {language}");
            Err(Fault::new(message, "leave out `--language`").into())
        }
        (None, Some(Language::Rust)) => rust::files(name),
        (None, Some(language)) => Ok(named(templates(language), name)),
        // The definition of the options sees to it that one of the two is there.
        (None, None) => Err(Fault::new("no language", "name one with `--language`").into()),
    }
}

/// The files of a language: each has a file of its own.
fn templates(language: Language) -> &'static [Template] {
    match language {
        Language::Rust => rust::FILES,
        Language::C => c::FILES,
        Language::Javascript => javascript::FILES,
        Language::Python => python::FILES,
    }
}

fn named(templates: &[Template], name: &str) -> Vec<File> {
    templates
        .iter()
        .map(|template| template.named(name))
        .collect()
}

fn next_steps(folder: &Path, language: Language) {
    note(format_args!("\n{LABEL}next{LABEL:#}:"));
    note(format_args!("  cd {}", shell_word(folder)));
    let steps = [
        (compiler(language), "once: the compiler"),
        ("pinfold policy build", "makes the component"),
        ("pinfold policy test", "holds it to its vectors"),
        ("pinfold policy bench", "says what a decision costs"),
    ];
    let width = steps.iter().map(|(command, _)| command.len()).max();
    let width = width.unwrap_or(0);
    for (command, purpose) in steps {
        note(format_args!("  {command:width$}  {purpose}"));
    }
    note("\n`README.md` says what is what, and how to go on");
}

/// How the compiler is got, as the project's README says.
const fn compiler(language: Language) -> &'static str {
    match language {
        Language::Rust => "rustup target add wasm32-unknown-unknown",
        Language::C => "apt-get install clang lld",
        Language::Javascript => "npm ci",
        Language::Python => "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use super::*;
    use crate::policy::project::Project;

    const LANGUAGES: [Language; 4] = [
        Language::Rust,
        Language::C,
        Language::Javascript,
        Language::Python,
    ];

    fn example(language: Language) -> PathBuf {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest/examples");
        examples.join(language.as_str())
    }

    /// Files of this project that git would take: what is built or installed is named in `.gitignore`.
    fn committed(folder: &Path) -> BTreeSet<String> {
        let ignored = fs::read_to_string(folder.join(".gitignore")).unwrap();
        let ignored: Vec<_> = ignored
            .lines()
            .filter(|line| line.starts_with('/'))
            .map(|line| folder.join(line.trim_matches('/')))
            .collect();
        let mut found = BTreeSet::new();
        let mut open = vec![folder.to_owned()];
        while let Some(next) = open.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                if ignored.contains(&path) {
                    continue;
                }
                if path.is_dir() {
                    open.push(path);
                } else {
                    let path = path.strip_prefix(folder).unwrap();
                    found.insert(path.to_str().unwrap().replace('\\', "/"));
                }
            }
        }
        found
    }

    #[test]
    fn the_name_of_a_folder_cannot_drive_the_terminal() {
        let said = wrote("2 files", Path::new("a\u{1b}]0;x\u{7}"));
        assert_eq!(said, "wrote 2 files to `a\\u{1b}]0;x\\u{7}`");
    }

    #[test]
    fn an_example_is_what_a_new_project_holds() {
        for language in LANGUAGES {
            let templates = templates(language);
            let paths: BTreeSet<_> = templates.iter().map(|each| each.path.to_owned()).collect();
            assert_eq!(paths.len(), templates.len(), "{language}: a file twice");
            assert_eq!(paths, committed(&example(language)), "{language}");
        }
    }

    #[test]
    fn a_template_is_the_file_of_the_example() {
        for language in LANGUAGES {
            for template in templates(language) {
                let file = example(language).join(template.path);
                let here = fs::read_to_string(&file).unwrap();
                assert!(
                    here == template.content,
                    "{}: another file is included",
                    file.display()
                );
                assert_eq!(
                    template.named("partners").content,
                    here,
                    "{}",
                    file.display()
                );
            }
        }
    }

    /// What is the same for all languages is the same text.
    #[test]
    fn the_examples_share_settings_and_vectors() {
        const SHARED: [&str; 6] = [
            "settings.example.toml",
            "settings.schema.json",
            "tests/addresses.toml",
            "tests/decisions.toml",
            "tests/hours.toml",
            "tests/settings.toml",
        ];
        for path in SHARED {
            for language in LANGUAGES {
                let find = |language| templates(language).iter().find(|each| each.path == path);
                let (one, other) = (find(Language::Rust), find(language));
                let (one, other) = (one.unwrap(), other.expect(path));
                assert!(one.content == other.content, "{language}: {path}");
                assert_eq!(one.names, other.names, "{language}: {path}");
            }
        }
    }

    /// What `new` says to do once is what the project's README says.
    #[test]
    fn the_readme_says_how_the_compiler_is_got() {
        for language in LANGUAGES {
            let readme = templates(language)
                .iter()
                .find(|each| each.path == "README.md");
            for step in compiler(language).split(" && ") {
                assert!(readme.unwrap().content.contains(step), "{language}: {step}");
            }
        }
    }

    #[test]
    fn the_name_arrives_where_a_name_belongs() {
        for language in LANGUAGES {
            for template in templates(language) {
                for place in template.names {
                    let (path, content) = (template.path, template.content);
                    assert!(place.contains("partners"), "{language}: {path}: {place}");
                    assert!(content.contains(place), "{language}: {path} has no {place}");
                }
            }
            let dir = tempfile::tempdir().unwrap();
            folder::write(dir.path(), &named(templates(language), "zebra-2")).unwrap();
            let project = Project::find(dir.path()).unwrap();
            assert_eq!(
                (project.name.as_str(), project.language),
                ("zebra-2", language)
            );
            assert_eq!(project.component, dir.path().join("zebra-2.wasm"));
            assert!(!project.vector_files().unwrap().is_empty());
            let ignored = fs::read_to_string(dir.path().join(".gitignore")).unwrap();
            assert!(ignored.contains("/zebra-2.wasm\n"), "{language}: {ignored}");
            let settings = fs::read_to_string(dir.path().join("settings.example.toml")).unwrap();
            assert!(
                settings.contains("\npartners = ["),
                "{language}: {settings}"
            );
        }
    }
}
