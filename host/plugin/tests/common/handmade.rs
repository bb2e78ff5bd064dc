//! Plugins whose every byte is chosen here: what no SDK would do, a hostile guest may.

use std::path::Path;

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, DataSection, EntityType, ExportKind, ExportSection, Function, FunctionSection,
    GlobalSection, GlobalType, HeapType, ImportSection, Instruction, MemorySection, MemoryType, Module, RefType,
    TableSection, TableType, TypeSection, ValType,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Where what the guest hands out begins.
const IMAGE: u32 = 1_024;
/// Where the host's arguments go.
const HEAP: i32 = 1 << 20;
/// 4 MiB.
const PAGES: u64 = 64;

/// Text of the contract.
pub(crate) fn contract() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/plugin.wit")).unwrap()
}

/// A list in the guest's memory: where it begins, and how many elements it says it has.
pub(crate) type List = (u32, u32);

/// The guest's memory from [`IMAGE`] on.
pub(crate) struct Image(Vec<u8>);

impl Image {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    /// Puts bytes at a place that fits any element.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> u32 {
        self.0.resize(self.0.len().next_multiple_of(8), 0);
        let at = IMAGE + self.0.len() as u32;
        self.0.extend_from_slice(bytes);
        at
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> List {
        (self.put(bytes), bytes.len() as u32)
    }

    pub(crate) fn u32s(&mut self, numbers: &[u32]) -> List {
        let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        (self.put(&bytes), numbers.len() as u32)
    }

    pub(crate) fn s64s(&mut self, numbers: &[i64]) -> List {
        let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        (self.put(&bytes), numbers.len() as u32)
    }

    fn lists(&mut self, lists: &[List]) -> Vec<u8> {
        lists
            .iter()
            .flat_map(|(at, len)| [at.to_le_bytes(), len.to_le_bytes()].concat())
            .collect()
    }

    /// What `describe` answers: a plugin with one port, which rekeys, and nothing else.
    fn description(&mut self) -> u32 {
        let (name, version) = (self.bytes(b"handmade"), self.bytes(b"0.1.0"));
        let port = self.bytes(b"out");
        let mut record = self.lists(&[port, (0, 0)]);
        record.extend(1_u32.to_le_bytes());
        let ports = self.put(&record);
        let mut all = self.lists(&[name, version, (0, 0)]);
        all.extend(0_u32.to_le_bytes());
        all.extend(self.lists(&[(0, 0), (ports, 1), (0, 0)]));
        // Sets no timers, reads neither headers nor origins.
        all.extend([0; 4]);
        all.extend(self.lists(&[(0, 0), (0, 0)]));
        self.put(&all)
    }
}

/// What `process` answers, field by field in the order of the contract.
#[derive(Clone, Copy, Default)]
pub(crate) struct Outbound {
    pub(crate) count: u32,
    pub(crate) parents: List,
    pub(crate) ports: List,
    pub(crate) keys: [List; 3],
    pub(crate) values: [List; 3],
    pub(crate) timestamps: List,
    pub(crate) header_ends: List,
    pub(crate) header_names: [List; 3],
    pub(crate) header_values: [List; 3],
    pub(crate) header_marks: List,
    pub(crate) failures: List,
}

impl Outbound {
    fn bytes(&self, image: &mut Image) -> Vec<u8> {
        // `ok`, then the record.
        let mut all = vec![0; 4];
        all.extend(self.count.to_le_bytes());
        let mut lists = vec![self.parents, self.ports];
        lists.extend(self.keys);
        lists.extend(self.values);
        lists.extend([self.timestamps, self.header_ends]);
        lists.extend(self.header_names);
        lists.extend(self.header_values);
        lists.extend([self.header_marks, self.failures]);
        all.extend(image.lists(&lists));
        all
    }
}

/// A plugin that answers every call so.
pub(crate) fn answering(mut image: Image, outbound: &Outbound) -> Vec<u8> {
    let bytes = outbound.bytes(&mut image);
    let at = image.put(&bytes);
    component(image, &[Instruction::I32Const(at as i32), Instruction::End], "")
}

/// A plugin whose `process` is this code, which leaves the place of its answer on the stack. `world`
/// is put into its world; a function `own`, the only import, is that of its first function if it
/// has any.
pub(crate) fn component(mut image: Image, process: &[Instruction<'_>], world: &str) -> Vec<u8> {
    let description = image.description();
    let nothing = image.put(&[0; 16]);
    let own = world.contains("resource");
    let mut types = TypeSection::new();
    types.ty().function([], [ValType::I32]);
    types.ty().function([ValType::I32, ValType::I32], [ValType::I32]);
    types.ty().function([ValType::I32], [ValType::I32]);
    types
        .ty()
        .function([ValType::I32, ValType::I32, ValType::I32, ValType::I32], [ValType::I32]);
    let mut imports = ImportSection::new();
    if own {
        imports.import("[export]a:b/things", "[resource-new]thing", EntityType::Function(2));
    }
    let mut functions = FunctionSection::new();
    for ty in [0, 1, 2, 3] {
        functions.function(ty);
    }
    let mut tables = TableSection::new();
    tables.table(TableType {
        element_type: RefType {
            nullable: true,
            heap_type: HeapType::FUNC,
        },
        table64: false,
        minimum: 1,
        maximum: None,
        shared: false,
    });
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: PAGES,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut globals = GlobalSection::new();
    globals.global(
        GlobalType {
            val_type: ValType::I32,
            mutable: true,
            shared: false,
        },
        &ConstExpr::i32_const(HEAP),
    );
    let first = u32::from(own);
    let mut exports = ExportSection::new();
    for (at, name) in [
        "wasmill:plugin/lifecycle@0.1.2#describe",
        "wasmill:plugin/lifecycle@0.1.2#configure",
        "wasmill:plugin/processor@0.1.2#process",
        "cabi_realloc",
    ]
    .into_iter()
    .enumerate()
    {
        exports.export(name, ExportKind::Func, first + at as u32);
    }
    exports.export("memory", ExportKind::Memory, 0);
    let mut code = CodeSection::new();
    let mut add = |instructions: &[Instruction<'_>]| {
        let mut function = Function::new([]);
        for instruction in instructions {
            function.instruction(instruction);
        }
        code.function(&function);
    };
    add(&[Instruction::I32Const(description as i32), Instruction::End]);
    // Each call starts with an empty heap: `configure` and `process` copy nothing.
    let reset = [Instruction::I32Const(HEAP), Instruction::GlobalSet(0)];
    let mut configure = reset.to_vec();
    configure.extend([Instruction::I32Const(nothing as i32), Instruction::End]);
    add(&configure);
    let mut body = reset.to_vec();
    body.extend_from_slice(process);
    add(&body);
    // (heap + 7) & -8, then past what was asked for.
    add(&[
        Instruction::GlobalGet(0),
        Instruction::I32Const(7),
        Instruction::I32Add,
        Instruction::I32Const(-8),
        Instruction::I32And,
        Instruction::GlobalSet(0),
        Instruction::GlobalGet(0),
        Instruction::GlobalGet(0),
        Instruction::LocalGet(3),
        Instruction::I32Add,
        Instruction::GlobalSet(0),
        Instruction::End,
    ]);
    let mut data = DataSection::new();
    data.active(0, &ConstExpr::i32_const(IMAGE as i32), image.0);
    let mut module = Module::new();
    module.section(&types);
    if own {
        module.section(&imports);
    }
    module
        .section(&functions)
        .section(&tables)
        .section(&memories)
        .section(&globals);
    module.section(&exports).section(&code).section(&data);
    let mut bytes = module.finish();
    let mut resolve = Resolve::default();
    resolve.push_str("plugin.wit", &contract()).unwrap();
    let text = format!("package a:b;\nworld w {{\n  include wasmill:plugin/transform@0.1.2;\n{world}}}\n");
    let package = resolve.push_str("w.wit", &text).unwrap();
    let world = resolve.select_world(&[package], Some("w")).unwrap();
    embed_component_metadata(&mut bytes, &resolve, world, StringEncoding::UTF8, false).unwrap();
    ComponentEncoder::default()
        .module(&bytes)
        .unwrap()
        .validate(true)
        .encode()
        .unwrap()
}

/// For ever, until `body` leaves a number on the stack that is not 0, which is a trap.
pub(crate) fn forever<'a>(body: &[Instruction<'a>]) -> Vec<Instruction<'a>> {
    let mut all = vec![Instruction::Loop(BlockType::Empty)];
    all.extend_from_slice(body);
    all.extend([
        Instruction::If(BlockType::Empty),
        Instruction::Unreachable,
        Instruction::End,
        Instruction::Br(0),
        Instruction::End,
        Instruction::Unreachable,
        Instruction::End,
    ]);
    all
}
