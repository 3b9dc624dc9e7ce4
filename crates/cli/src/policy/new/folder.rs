//! Writing a project into a folder that is not there yet, or empty.

use std::{fs, io::Write, path::Path};

use anyhow::Context;

use super::File;
use crate::fault::Fault;

/// Writes the files. Nothing is overwritten: the folder must not be there, or be empty.
pub(crate) fn write(folder: &Path, files: &[File]) -> anyhow::Result<()> {
    require_empty(folder)?;
    for file in files {
        let path = folder.join(&file.path);
        let cannot_write = || format!("cannot write `{}`", path.display());
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(cannot_write)?;
        }
        let mut new = fs::File::create_new(&path).with_context(cannot_write)?;
        new.write_all(file.content.as_bytes())
            .with_context(cannot_write)?;
    }
    Ok(())
}

fn require_empty(folder: &Path) -> anyhow::Result<()> {
    if fs::symlink_metadata(folder).is_err() {
        return Ok(());
    }
    let mut entries =
        fs::read_dir(folder).with_context(|| format!("cannot use `{}`", folder.display()))?;
    if entries.next().is_none() {
        return Ok(());
    }
    let message = format!("`{}` is there and not empty", folder.display());
    Err(Fault::new(
        message,
        "name another folder with `--dir`; nothing is overwritten",
    )
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let files = [File {
            path: "a/b.txt".into(),
            content: "new".into(),
        }];
        let (new, full) = (dir.path().join("new"), dir.path().join("full"));
        write(&new, &files).unwrap();
        assert_eq!(fs::read_to_string(new.join("a/b.txt")).unwrap(), "new");

        fs::create_dir(&full).unwrap();
        write(&full, &files).unwrap();
        fs::write(full.join("a/b.txt"), "mine").unwrap();
        let error = write(&full, &files).unwrap_err();
        assert!(
            error.to_string().ends_with("is there and not empty"),
            "{error}"
        );
        assert_eq!(fs::read_to_string(full.join("a/b.txt")).unwrap(), "mine");

        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(write(&file, &files).is_err());
    }
}
