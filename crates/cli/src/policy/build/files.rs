//! Files that a build reads: each within a bound.

use std::{fs, io::Read, path::Path};

use anyhow::Context;

use crate::{fault::Fault, files, policy::project::Project};

/// The schema's file, which becomes a string of the component.
const SCHEMA: &str = "settings.schema.json";

/// The longest schema that a host takes, in bytes.
const MAX_SCHEMA: u64 = 256 << 10;

/// The largest module that a compiler may make, in bytes. A host takes components of less.
const MAX_MODULE: u64 = 256 << 20;

/// The schema of the settings.
pub(super) fn schema(project: &Project) -> anyhow::Result<String> {
    let file = project.root.join(SCHEMA);
    project.check_leads_inside(&file)?;
    let bytes = read(&file, MAX_SCHEMA)?;
    String::from_utf8(bytes).with_context(|| format!("`{}` is no UTF-8", file.display()))
}

/// Refuses a source that is no regular file.
pub(super) fn source(file: &Path) -> anyhow::Result<()> {
    let found = fs::metadata(file);
    let found = found.with_context(|| format!("cannot read `{}`", file.display()))?;
    Ok(files::require_regular(file, &found)?)
}

/// What a compiler made.
pub(super) fn module(file: &Path) -> anyhow::Result<Vec<u8>> {
    read(file, MAX_MODULE)
}

fn read(file: &Path, limit: u64) -> anyhow::Result<Vec<u8>> {
    let cannot_read = || format!("cannot read `{}`", file.display());
    let mut bytes = Vec::new();
    let opened = files::regular(file)?;
    let read = opened.take(limit + 1).read_to_end(&mut bytes);
    if read.with_context(cannot_read)? as u64 > limit {
        let message = format!("`{}` is longer than {} KiB", file.display(), limit >> 10);
        return Err(Fault::new(message, "no host takes more").into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_read_to_its_bound() {
        let dir = tempfile::tempdir().unwrap();
        let project = crate::policy::project::testing::project(dir.path());
        fs::write(dir.path().join(SCHEMA), "{}").unwrap();
        assert_eq!(schema(&project).unwrap(), "{}");
        fs::write(dir.path().join(SCHEMA), " ".repeat(MAX_SCHEMA as usize + 1)).unwrap();
        let error = schema(&project).unwrap_err().to_string();
        assert!(error.ends_with("is longer than 256 KiB"), "{error}");
    }

    #[test]
    fn a_file_is_read_to_its_bound() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, [b'x'; 2048]).unwrap();
        assert_eq!(read(&file, 2048).unwrap().len(), 2048);
        let error = read(&file, 2047).unwrap_err().to_string();
        assert!(error.ends_with("is longer than 1 KiB"), "{error}");
        assert!(read(dir.path(), 1).is_err());
    }
}
