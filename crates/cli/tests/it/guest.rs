//! Policies made for a test, byte by byte: what one decides and what that costs is chosen exactly.
//!
//! A guest looks at the port of the request and nowhere else: each port has its answer, every other is
//! allowed. What is not chosen is that of a small policy without settings.

use std::{fs, path::Path};

use wasm_encoder::{
    CodeSection, ConstExpr, DataSection, EntityType, ExportKind, ExportSection, Function,
    FunctionSection, GlobalSection, GlobalType, ImportSection, Instruction, MemArg, MemorySection,
    MemoryType, Module, TypeSection, ValType,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, SourceMap};

use crate::support::repository;

/// What a guest answers in stage one.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// `allow`, with these terms.
    Allow {
        /// Redirects at most.
        redirects: Option<u8>,
        /// Only TLS.
        https_only: bool,
    },
    /// `deny`, with this code and this message.
    Deny(&'static str, &'static str),
}

/// A policy.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    /// What it says of itself.
    pub(crate) name: &'static str,
    /// Its version.
    pub(crate) version: &'static str,
    /// The schema of its settings, which it does not look at.
    pub(crate) schema: String,
    /// A function that it imports.
    pub(crate) import: Option<&'static str>,
    /// What it answers, by port.
    pub(crate) answers: Vec<(u16, Answer)>,
    /// The places of addresses in an answer that it denies, with the code `address-denied`.
    pub(crate) denied: Vec<usize>,
    /// How often it goes round a loop in stage one.
    pub(crate) rounds: u32,
    /// Pages of memory that it takes in stage one.
    pub(crate) pages: u32,
}

impl Default for Guest {
    fn default() -> Self {
        Self {
            name: "guest",
            version: "1.0.0",
            schema: r#"{"type": "object"}"#.into(),
            import: None,
            answers: Vec::new(),
            denied: Vec::new(),
            rounds: 0,
            pages: 0,
        }
    }
}

impl Guest {
    /// Writes it as a component.
    pub(crate) fn write(&self, file: &Path) {
        fs::write(file, self.component()).unwrap();
    }

    fn component(&self) -> Vec<u8> {
        let import = self
            .import
            .map(|name| format!("import {name}: func(text: string);"));
        let mut sources = SourceMap::default();
        for entry in fs::read_dir(repository().join("wit")).unwrap() {
            let path = entry.unwrap().path();
            let wit = fs::read_to_string(&path).unwrap();
            let world = format!("world policy {{\n{}", import.as_deref().unwrap_or_default());
            sources.push(&path, wit.replace("world policy {", &world));
        }
        let mut resolve = Resolve::default();
        let package = resolve.push_group(sources.parse().map_err(|(_, e)| e).unwrap());
        let world = resolve
            .select_world(&[package.unwrap()], Some("policy"))
            .unwrap();
        let mut core = self.module();
        embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8).unwrap();
        let encoder = ComponentEncoder::default().validate(true);
        encoder.module(&core).unwrap().encode().unwrap()
    }

    fn module(&self) -> Vec<u8> {
        let mut memory = Memory::default();
        let describe = self.description(&mut memory);
        let answers: Vec<(u16, u32)> = self
            .answers
            .iter()
            .map(|(port, answer)| (*port, answer.lay_out(&mut memory)))
            .collect();
        let verdicts = self.verdicts(&mut memory);
        let imports = u32::from(self.import.is_some());

        let mut types = TypeSection::new();
        for (parameters, results) in TYPES {
            types.ty().function(
                std::iter::repeat_n(ValType::I32, parameters),
                std::iter::repeat_n(ValType::I32, results),
            );
        }
        let mut import = ImportSection::new();
        if let Some(name) = self.import {
            import.import("$root", name, EntityType::Function(CONSUMER));
        }
        let mut functions = FunctionSection::new();
        let mut exports = ExportSection::new();
        for (index, (name, kind)) in (imports..).zip(FUNCTIONS) {
            functions.function(kind);
            exports.export(name, ExportKind::Func, index);
        }
        exports.export("memory", ExportKind::Memory, 0);
        let mut code = CodeSection::new();
        code.function(&constant(describe));
        code.function(&constant(ZEROES));
        code.function(&self.check_target(&answers));
        code.function(&check_addresses(verdicts));
        code.function(&realloc());
        let mut module = Module::new();
        module.section(&types);
        if self.import.is_some() {
            module.section(&import);
        }
        module
            .section(&functions)
            .section(&pages())
            .section(&globals())
            .section(&exports)
            .section(&code)
            .section(&memory.data());
        module.finish()
    }

    fn description(&self, memory: &mut Memory) -> u32 {
        let texts = [self.name, self.version, "a guest", &self.schema];
        let texts = texts.map(|text| memory.text(text));
        memory.put(&texts.concat())
    }

    /// As many verdicts as there can be, of which some are denials.
    fn verdicts(&self, memory: &mut Memory) -> u32 {
        let code = memory.text("address-denied");
        let mut verdicts = Vec::new();
        for place in 0..MAX_ANSWERS {
            let denied = self.denied.contains(&place);
            verdicts.extend(u32::from(denied).to_le_bytes());
            verdicts.extend(if denied { code.clone() } else { vec![0; 8] });
            verdicts.extend([0; 8]);
        }
        memory.put(&verdicts)
    }

    fn check_target(&self, answers: &[(u16, u32)]) -> Function {
        let mut body = Function::new([(1, ValType::I32)]);
        let mut add = |instruction| {
            body.instruction(&instruction);
        };
        for _ in 0..self.pages {
            add(Instruction::I32Const(1));
            add(Instruction::MemoryGrow(0));
            add(Instruction::Drop);
        }
        add(Instruction::I32Const(self.rounds as i32));
        add(Instruction::LocalSet(1));
        add(Instruction::Block(wasm_encoder::BlockType::Empty));
        add(Instruction::Loop(wasm_encoder::BlockType::Empty));
        add(Instruction::LocalGet(1));
        add(Instruction::I32Eqz);
        add(Instruction::BrIf(1));
        add(Instruction::LocalGet(1));
        add(Instruction::I32Const(1));
        add(Instruction::I32Sub);
        add(Instruction::LocalSet(1));
        add(Instruction::Br(0));
        add(Instruction::End);
        add(Instruction::End);
        for (port, answer) in answers {
            add(Instruction::LocalGet(0));
            add(Instruction::I32Load16U(at(PORT, 1)));
            add(Instruction::I32Const(i32::from(*port)));
            add(Instruction::I32Eq);
            add(Instruction::If(wasm_encoder::BlockType::Empty));
            add(Instruction::I32Const(*answer as i32));
            add(Instruction::Return);
            add(Instruction::End);
        }
        add(Instruction::I32Const(ZEROES as i32));
        add(Instruction::End);
        body
    }
}

impl Answer {
    fn lay_out(&self, memory: &mut Memory) -> u32 {
        let mut decision = vec![0_u8; 32];
        match self {
            Self::Allow {
                redirects,
                https_only,
            } => {
                decision[28] = u8::from(redirects.is_some());
                decision[29] = redirects.unwrap_or(0);
                decision[30] = u8::from(*https_only);
            }
            Self::Deny(code, message) => {
                let (code, message) = (memory.text(code), memory.text(message));
                decision[0] = 1;
                decision[4..20].copy_from_slice(&[code, message].concat());
            }
        }
        memory.put(&decision)
    }
}

/// What stands in the memory of a guest from its start, from `START` on.
#[derive(Default)]
struct Memory(Vec<u8>);

impl Memory {
    /// Puts bytes at the next place where a number may stand.
    fn put(&mut self, bytes: &[u8]) -> u32 {
        self.0.resize(self.0.len().next_multiple_of(8), 0);
        let place = START + self.0.len() as u32;
        self.0.extend(bytes);
        place
    }

    /// Puts a text; gives back its place and its length, as they stand in a record.
    fn text(&mut self, text: &str) -> Vec<u8> {
        let place = self.put(text.as_bytes());
        [place.to_le_bytes(), (text.len() as u32).to_le_bytes()].concat()
    }

    fn data(&self) -> DataSection {
        let mut data = DataSection::new();
        data.active(
            0,
            &ConstExpr::i32_const(START as i32),
            self.0.iter().copied(),
        );
        data
    }
}

fn constant(value: u32) -> Function {
    let mut body = Function::new([]);
    body.instruction(&Instruction::I32Const(value as i32))
        .instruction(&Instruction::End);
    body
}

/// A list that begins at `verdicts`, as long as that of the answers.
fn check_addresses(verdicts: u32) -> Function {
    let mut body = Function::new([]);
    for instruction in [
        Instruction::I32Const(LIST as i32),
        Instruction::I32Const(verdicts as i32),
        Instruction::I32Store(at(0, 2)),
        Instruction::I32Const(LIST as i32),
        Instruction::LocalGet(0),
        Instruction::I32Load(at(ANSWERS, 2)),
        Instruction::I32Store(at(4, 2)),
        Instruction::I32Const(LIST as i32),
        Instruction::End,
    ] {
        body.instruction(&instruction);
    }
    body
}

/// Hands out what comes next.
fn realloc() -> Function {
    let mut body = Function::new([(1, ValType::I32)]);
    for instruction in [
        Instruction::GlobalGet(0),
        Instruction::I32Const(7),
        Instruction::I32Add,
        Instruction::I32Const(-8),
        Instruction::I32And,
        Instruction::LocalTee(4),
        Instruction::LocalGet(3),
        Instruction::I32Add,
        Instruction::GlobalSet(0),
        Instruction::LocalGet(4),
        Instruction::End,
    ] {
        body.instruction(&instruction);
    }
    body
}

fn pages() -> MemorySection {
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: PAGES,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    memories
}

fn globals() -> GlobalSection {
    let mut globals = GlobalSection::new();
    let next = GlobalType {
        val_type: ValType::I32,
        mutable: true,
        shared: false,
    };
    globals.global(next, &ConstExpr::i32_const(HEAP as i32));
    globals
}

const fn at(offset: u64, align: u32) -> MemArg {
    MemArg {
        offset,
        align,
        memory_index: 0,
    }
}

/// Parameters and results of the types of functions.
const TYPES: [(usize, usize); 5] = [(0, 1), (2, 1), (1, 1), (4, 1), (2, 0)];
/// The type of a function that takes a text and gives nothing.
const CONSUMER: u32 = 4;
/// What is exported, in the order of the code, with its type.
const FUNCTIONS: [(&str, u32); 5] = [
    ("pinfold:policy/settings@0.1.0#describe", 0),
    ("pinfold:policy/settings@0.1.0#configure", 1),
    ("pinfold:policy/decide@0.1.0#check-target", 2),
    ("pinfold:policy/decide@0.1.0#check-addresses", 2),
    ("cabi_realloc", 3),
];
/// Where the port stands in a request.
const PORT: u64 = 32;
/// Where the number of answers stands in the parameters of `check-addresses`.
const ANSWERS: u64 = 172;
/// The most answers that a policy is asked about.
const MAX_ANSWERS: usize = 64;
/// Where `check-addresses` puts its list.
const LIST: u32 = 16;
/// Zeroes, which read as `allow` without terms and as `ok`.
const ZEROES: u32 = 1024;
/// Where data begins.
const START: u32 = 2048;
/// Where `realloc` begins.
const HEAP: u32 = 65_536;
/// Memory at the start: data, and as much for `realloc`.
const PAGES: u64 = 2;
