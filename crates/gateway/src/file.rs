//! Files that are read whole: only regular ones, and only up to a bound.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use rustix::fs::OFlags;

/// Reads a regular file of at most so many bytes. A pipe or a device could block for ever: nothing is read from it.
pub(crate) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    opened(path)?.take(most + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        true => Err(io::Error::other(too_long(most))),
        false => Ok(bytes),
    }
}

/// As [`read`], of text.
pub(crate) fn text(path: &Path, most: u64) -> io::Result<String> {
    String::from_utf8(read(path, most)?).map_err(|_| io::Error::other("it is not UTF-8"))
}

/// Looked at before, since to open a device may do something; and after, since another file may be there by now.
fn opened(path: &Path) -> io::Result<File> {
    let regular = |found: fs::Metadata| match found.is_file() {
        true => Ok(()),
        false => Err(io::Error::other("it is not a regular file")),
    };
    regular(fs::metadata(path)?)?;
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    regular(file.metadata()?)?;
    Ok(file)
}

fn too_long(most: u64) -> String {
    match most {
        mebibytes if most.is_multiple_of(MIB) => {
            format!("it is longer than {} MiB", mebibytes / MIB)
        }
        bytes => format!("it is longer than {bytes} bytes"),
    }
}

const MIB: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_read_and_only_so_much() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("whole"), "12345").unwrap();
        fs::write(at("long"), "123456").unwrap();
        fs::write(at("bytes"), [0xff]).unwrap();
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at("pipe"),
            rustix::fs::FileType::Fifo,
            mode,
            0,
        )
        .unwrap();
        assert_eq!(text(&at("whole"), 5).unwrap(), "12345");
        for (name, said) in [
            ("long", "longer than 5 bytes"),
            ("bytes", "not UTF-8"),
            ("pipe", "not a regular file"),
            (".", "not a regular file"),
            ("none", "No such file"),
        ] {
            let error = text(&at(name), 5).unwrap_err().to_string();
            assert!(error.contains(said), "{name}: {error}");
        }
    }
}
