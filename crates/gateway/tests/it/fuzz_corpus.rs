//! The corpora of the fuzz targets, on a stable toolchain: each entry, and many that are a little different.

use std::{fs, path::PathBuf};

#[expect(unreachable_pub, reason = "there it is the root of a crate")]
#[path = "../../../../tests/fuzz/src/lib.rs"]
mod targets;

/// Changed inputs for each entry.
const CHANGES: usize = 250;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fuzz/corpus");
    let files = fs::read_dir(PathBuf::from(folder).join(target)).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

#[test]
fn what_must_hold_holds_for_the_corpora_and_what_is_like_them() {
    for (name, target) in targets::TARGETS {
        let corpus = corpus(name);
        assert!(corpus.len() >= 5, "{name}: {} entries", corpus.len());
        let mut random = Random(0x2545_f491_4f6c_dd1d);
        for entry in &corpus {
            target(entry);
            for _ in 0..CHANGES {
                target(&random.changed(entry, &corpus));
            }
        }
    }
}

/// The same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound.max(1) as u64).unwrap()
    }

    fn byte(&mut self) -> u8 {
        // Those that mean something come more often than others.
        const ODD: &[u8] = b"\r\n \t:;,0\0\x7f\xff5";
        match self.below(2) {
            0 => ODD[self.below(ODD.len())],
            _ => u8::try_from(self.below(256)).unwrap(),
        }
    }

    /// The entry, changed in one to three places.
    fn changed(&mut self, entry: &[u8], corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = entry.to_vec();
        for _ in 0..=self.below(3) {
            let (at, other) = (self.below(bytes.len()), self.below(bytes.len()));
            let (from, to) = (at.min(other), at.max(other));
            match self.below(6) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, self.byte()),
                2 if at < bytes.len() => bytes[at] = self.byte(),
                3 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                4 => drop(bytes.drain(from..to)),
                _ => {
                    let other = &corpus[self.below(corpus.len())];
                    let piece = other[self.below(other.len())..].to_vec();
                    bytes.splice(at..at, piece);
                }
            }
        }
        bytes
    }
}
