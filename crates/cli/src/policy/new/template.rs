//! Templates: the files of an example, in which the example's name becomes the new one.

/// The name of the example policy.
pub(super) const EXAMPLE: &str = "partners";

/// One file of a new project, as `guest/examples/<language>` has it for the policy "partners".
#[derive(Clone, Copy, Debug)]
pub(super) struct Template {
    /// Where it goes, relative to the project, with `/`.
    pub(super) path: &'static str,
    /// What is in it: `include_str!` of the example.
    pub(super) content: &'static str,
    /// The places that hold the name of the policy, such as `name = "partners"`: in these `partners` is
    /// replaced by the new name, wherever they stand in the file. A key of the settings has the same name,
    /// so they are spelled out.
    pub(super) names: &'static [&'static str],
}

/// A file of the example in one language, with the places that hold the name.
macro_rules! file {
    ($language:literal, $path:literal $(, $name:literal)*) => {
        Template {
            path: $path,
            content: include_str!(concat!("../../../../../guest/examples/", $language, "/", $path)),
            names: &[$($name),*],
        }
    };
}
pub(super) use file;

/// One file that is written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct File {
    /// Relative to the project, with `/`.
    pub(crate) path: String,
    pub(crate) content: String,
}

impl Template {
    /// The file of a policy with this name.
    pub(super) fn named(&self, name: &str) -> File {
        let content = self
            .names
            .iter()
            .fold(self.content.to_owned(), |content, place| {
                content.replace(place, &place.replace(EXAMPLE, name))
            });
        File {
            path: self.path.into(),
            content,
        }
    }
}
