//! How much work a component is for the compiler, bounded before anything of it is compiled.
//!
//! What a compiler does for a function grows faster than the function: where ways join, each variable
//! that changed on one of them is merged, so that time and memory follow *variables x joins*. Seventy
//! kilobytes can take half a gigabyte. The bounds leave twice what the largest known guests need, which
//! are interpreters of whole languages (one for JavaScript: 435,184 in a function, 7.7 million in all).

use std::collections::HashSet;

use wasmparser::{
    BinaryReaderError, BlockType, FunctionBody, Operator, Payload, TypeSectionReader,
};

use super::LoadError;

/// Octets in the body of a function.
const BODY_BYTES: u64 = 1 << 20;
/// Variables x joins in a function.
const FUNCTION_WORK: u64 = 1 << 20;
/// Variables x joins in all functions together.
const WORK: u64 = 16 << 20;

/// Adds up the work of a component.
#[derive(Debug, Default)]
pub(super) struct Workload {
    /// How many values each type of the current module takes and gives.
    widths: Vec<u64>,
    /// The most that one of them gives.
    results: u64,
    functions: u64,
    work: u64,
    problem: Option<String>,
}

impl Workload {
    /// Takes the next part of the component.
    pub(super) fn add(&mut self, payload: &Payload<'_>) -> Result<(), BinaryReaderError> {
        match payload {
            Payload::Version { .. } => self.widths.clear(),
            Payload::TypeSection(types) => self.types(types)?,
            Payload::CodeSectionEntry(body) if self.problem.is_none() => self.function(body)?,
            _ => {}
        }
        Ok(())
    }

    /// Refuses what is too much.
    pub(super) fn admit(&self) -> Result<(), LoadError> {
        match &self.problem {
            Some(problem) => Err(LoadError::TooComplex(problem.clone())),
            None => Ok(()),
        }
    }

    fn types(&mut self, types: &TypeSectionReader<'_>) -> Result<(), BinaryReaderError> {
        for group in types.clone() {
            for ty in group?.types() {
                let (params, results) = match &ty.composite_type.inner {
                    wasmparser::CompositeInnerType::Func(ty) => {
                        (ty.params().len() as u64, ty.results().len() as u64)
                    }
                    _ => (0, 0),
                };
                self.widths.push(params + results);
                self.results = self.results.max(results);
            }
        }
        Ok(())
    }

    fn function(&mut self, body: &FunctionBody<'_>) -> Result<(), BinaryReaderError> {
        let range = body.range();
        let bytes = range.end.saturating_sub(range.start) as u64;
        let work = self.work_of(body)?;
        self.work = self.work.saturating_add(work);
        let at = self.functions;
        self.functions += 1;
        self.problem = match () {
            () if bytes > BODY_BYTES => Some(format!(
                "function {at} has {bytes} octets, at most {BODY_BYTES}"
            )),
            () if work > FUNCTION_WORK => Some(format!(
                "function {at} has {work} variables x joins, at most {FUNCTION_WORK}"
            )),
            () if self.work > WORK => Some(format!(
                "its functions have more than {WORK} variables x joins"
            )),
            () => None,
        };
        Ok(())
    }

    /// Variables x joins: what may have to be merged, and where.
    fn work_of(&self, body: &FunctionBody<'_>) -> Result<u64, BinaryReaderError> {
        let (mut changed, mut width, mut joins) = (HashSet::new(), self.results, 1_u64);
        for operator in body.get_operators_reader()? {
            match operator? {
                Operator::LocalSet { local_index } | Operator::LocalTee { local_index } => {
                    changed.insert(local_index);
                }
                Operator::Block { blockty }
                | Operator::Loop { blockty }
                | Operator::If { blockty } => {
                    joins += 1;
                    width = width.max(self.width(blockty));
                }
                Operator::Else | Operator::Br { .. } | Operator::BrIf { .. } => joins += 1,
                Operator::BrTable { targets } => joins += 1 + u64::from(targets.len()),
                _ => {}
            }
        }
        Ok(joins.saturating_mul(changed.len() as u64 + width))
    }

    fn width(&self, block: BlockType) -> u64 {
        match block {
            BlockType::Empty => 0,
            BlockType::Type(_) => 1,
            BlockType::FuncType(index) => self.widths.get(index as usize).copied().unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use wasmparser::Parser;

    use super::*;

    fn workload(wat: &str) -> Workload {
        let mut workload = Workload::default();
        for payload in Parser::new(0).parse_all(&wat::parse_str(wat).unwrap()) {
            workload.add(&payload.unwrap()).unwrap();
        }
        workload
    }

    /// A function that changes `locals` variables between `blocks` branches out of one block.
    fn function(locals: usize, blocks: usize) -> String {
        let declared = "i32 ".repeat(locals);
        let sets: String = (0..locals)
            .map(|i| format!("(local.set {} (local.get 0))", i + 1))
            .collect();
        let branches = "(br_if 0 (local.get 0))".repeat(blocks);
        format!("(func (param i32) (local {declared}) (block {sets} {branches}))")
    }

    #[test]
    fn work_is_variables_times_joins() {
        let empty = workload("(module (func) (func (param i32) (local i32)))");
        assert_eq!(empty.work, 0);
        // The end of the function, one block, three branches.
        let some = workload(&format!("(module {})", function(10, 3)));
        assert_eq!(some.work, 5 * 10);
        let table =
            "(func (param i32) (block (br_table 0 0 0 (local.set 0 (i32.const 1)) (local.get 0))))";
        assert_eq!(workload(&format!("(module {table})")).work, 5);
        // Values that blocks hand over are merged like variables.
        let wide = "(func (block (result i32 i32 i32) (i32.const 1) (i32.const 2) (i32.const 3)) drop drop drop)";
        assert_eq!(workload(&format!("(module {wide})")).work, 2 * 3);
    }

    #[test]
    fn what_would_take_the_compiler_too_long_is_refused() {
        let big = "(drop (i32.const 1000000))".repeat(300_000);
        let many = function(1_000, 900).repeat(19);
        for (name, functions, problem) in [
            ("little", function(100, 100), None),
            ("a large one", function(1_000, 1_000), None),
            (
                "too much",
                function(1_100, 1_000),
                Some("function 0 has 1102200 variables x joins"),
            ),
            (
                "a long one",
                format!("(func {big})"),
                Some("function 0 has 1500002 octets"),
            ),
            (
                "too many",
                many,
                Some("its functions have more than 16777216"),
            ),
        ] {
            let admitted = workload(&format!("(module {functions})")).admit();
            match (admitted, problem) {
                (Ok(()), None) => {}
                (Err(LoadError::TooComplex(found)), Some(problem)) => {
                    assert!(found.starts_with(problem), "{name}: {found}");
                }
                (other, _) => panic!("{name}: {other:?}"),
            }
        }
    }

    #[test]
    fn modules_of_one_component_count_together() {
        let modules = format!("(core module {})", function(1_000, 900)).repeat(19);
        assert!(workload(&format!("(component {modules})")).admit().is_err());
    }
}
