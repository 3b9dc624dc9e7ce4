//! What instantiating a component would make, counted before anything of it is compiled.
//!
//! A component in a component is made as often as it is instantiated, so that a few hundred bytes can
//! ask for more instances than any machine has. The count is an upper bound that needs no look at
//! which component is meant: one that is instantiated was read to its end before, and is no larger than the
//! largest of those.

use wasmparser::{BinaryReaderError, ComponentInstance, ComponentTypeRef, Instance, Payload};

use super::{LoadError, limits::CORE_INSTANCES};

/// Instances in a component, those of components too.
const INSTANCES: u64 = 1_000;

/// Counts the parts of a component.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// The components and modules that are being read, the outermost first.
    open: Vec<Size>,
    /// The largest of those that were read to their end, kind by kind.
    largest: Size,
    total: Size,
    /// Whether a component takes another one, or a module, from outside: which one is known nowhere.
    takes_code: bool,
}

/// How many instances there are.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    core: u64,
    all: u64,
}

impl Size {
    const CORE: Self = Self { core: 1, all: 1 };

    fn plus(self, other: Self) -> Self {
        Self {
            core: self.core.saturating_add(other.core),
            all: self.all.saturating_add(other.all),
        }
    }

    fn max(self, other: Self) -> Self {
        Self {
            core: self.core.max(other.core),
            all: self.all.max(other.all),
        }
    }
}

impl Parts {
    /// Takes the next piece of the component.
    pub(super) fn add(&mut self, payload: &Payload<'_>) -> Result<(), BinaryReaderError> {
        match payload {
            Payload::Version { .. } => self.open.push(Size::default()),
            Payload::InstanceSection(section) => {
                for instance in section.clone() {
                    if let Instance::Instantiate { .. } = instance? {
                        self.grow(Size::CORE);
                    }
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section.clone() {
                    if let ComponentInstance::Instantiate { .. } = instance? {
                        let one = Size { core: 0, all: 1 };
                        self.grow(one.plus(self.largest));
                    }
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section.clone() {
                    let ty = import?.ty;
                    self.takes_code |= matches!(
                        ty,
                        ComponentTypeRef::Module(_) | ComponentTypeRef::Component(_)
                    );
                }
            }
            Payload::End(_) => self.close(),
            _ => {}
        }
        Ok(())
    }

    /// Refuses what is too much.
    pub(super) fn admit(&self) -> Result<(), LoadError> {
        let Size { core, all } = self.total;
        let problem = match () {
            () if self.takes_code => "a component in it takes code from another one".into(),
            () if core > u64::from(CORE_INSTANCES) => {
                format!("{core} core instances, at most {CORE_INSTANCES}")
            }
            () if all > INSTANCES => format!("{all} instances, at most {INSTANCES}"),
            () => return Ok(()),
        };
        Err(LoadError::TooManyParts(problem))
    }

    fn grow(&mut self, by: Size) {
        if let Some(innermost) = self.open.last_mut() {
            *innermost = innermost.plus(by);
        }
    }

    fn close(&mut self) {
        let Some(size) = self.open.pop() else {
            return;
        };
        match self.open.is_empty() {
            true => self.total = size,
            false => self.largest = self.largest.max(size),
        }
    }
}

#[cfg(test)]
mod tests {
    use wasmparser::Parser;

    use super::*;

    fn parts(wat: &str) -> Parts {
        let bytes = wat::parse_str(wat).unwrap();
        let mut parts = Parts::default();
        for payload in Parser::new(0).parse_all(&bytes) {
            parts.add(&payload.unwrap()).unwrap();
        }
        parts
    }

    fn cores(n: usize) -> String {
        let one = "(core instance (instantiate $m))";
        format!("(core module $m) {}", one.repeat(n))
    }

    /// Components of which each makes two of the one before it: twice as many at each level.
    fn doubling(levels: usize) -> String {
        let mut wat = format!("(component $c0 {})", cores(1));
        for level in 1..=levels {
            let below = level - 1;
            let two = format!("(instance (instantiate $c{below}))").repeat(2);
            wat.push_str(&format!(
                "(component $c{level} (alias outer 1 $c{below} (component $c{below})) {two})"
            ));
        }
        format!("{wat} (instance (instantiate $c{levels}))")
    }

    #[test]
    fn what_would_be_made_is_counted() {
        let most = CORE_INSTANCES as usize;
        let nested = format!("(component $c {}) (instance (instantiate $c))", cores(3));
        for (name, wat, core, problem) in [
            ("nothing", String::new(), 0, None),
            ("as many as there may be", cores(most), most as u64, None),
            (
                "one more",
                cores(most + 1),
                most as u64 + 1,
                Some("65 core instances, at most 64"),
            ),
            ("in a component", nested, 3, None),
            ("doubled", doubling(5), 32, None),
            (
                "doubled too often",
                doubling(90),
                u64::MAX,
                Some("18446744073709551615 core instances"),
            ),
            (
                "only components",
                format!(
                    "(component $c) {}",
                    "(instance (instantiate $c))".repeat(999)
                ),
                0,
                None,
            ),
            (
                "code from outside",
                "(component (import \"m\" (core module)))".into(),
                0,
                Some("a component in it takes code"),
            ),
        ] {
            let parts = parts(&format!("(component {wat})"));
            assert_eq!(parts.total.core, core, "{name}");
            match (parts.admit(), problem) {
                (Ok(()), None) => {}
                (Err(LoadError::TooManyParts(found)), Some(problem)) => {
                    assert!(found.starts_with(problem), "{name}: {found}");
                }
                (other, _) => panic!("{name}: {other:?}"),
            }
        }
    }
}
