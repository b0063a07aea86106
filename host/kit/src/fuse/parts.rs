//! The core modules of a handler, and what each of their indices stands for.
//!
//! In scope: reading a part far enough to renumber it, following imports to what defines them, values that are constant once
//! all parts are known.
//! Out of scope: which parts there are (`linked`), writing them (`merge`).

use std::collections::HashMap;

use wasmparser::{ConstExpr, ExternalKind, Operator, Parser, Payload, TypeRef};

use super::FuseError;
use super::linked::{CoreInstance, Item, Linked};

/// The kinds of things that have indices of their own and can be imported.
pub(super) const KINDS: [ExternalKind; 5] =
    [ExternalKind::Func, ExternalKind::Table, ExternalKind::Memory, ExternalKind::Global, ExternalKind::Tag];

/// How far a chain of re-exports is followed: a component has fewer instances.
pub(super) const CHAIN_MAX: usize = 1_000;

/// A core module of the component.
pub(super) struct Part<'a> {
    pub(super) bytes: &'a [u8],
    /// Which instance each module name of its imports is.
    arguments: HashMap<&'a str, u32>,
    imports: Vec<Import<'a>>,
    exports: HashMap<&'a str, (ExternalKind, u32)>,
    /// How many it defines of each of `KINDS`.
    n_defined: [u32; 5],
    pub(super) n_types: u32,
    pub(super) n_elements: u32,
    pub(super) n_data: u32,
    /// What it runs when it is instantiated.
    pub(super) start: Option<u32>,
    /// The globals that it defines: those that never change, by their initial value.
    constants: Vec<Option<ConstExpr<'a>>>,
}

struct Import<'a> {
    module: &'a str,
    name: &'a str,
    kind: ExternalKind,
    /// The type of a function, in its part.
    signature: Option<u32>,
}

/// What an index of a part stands for.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// The `index`th of its kind that `part` itself defines.
    Defined {
        part: usize,
        index: u32,
    },
    Outside,
}

/// All parts, and what their indices mean.
pub(super) struct Parts<'a> {
    /// One for each core instance; `None`: items of other instances under new names.
    pub(super) all: Vec<Option<Part<'a>>>,
    linked: &'a Linked<'a>,
    /// For each part and each of `KINDS`: the number of those that earlier parts define.
    before: Vec<[u32; 5]>,
}

impl<'a> Parts<'a> {
    pub(super) fn of(linked: &'a Linked<'a>) -> Result<Self, FuseError> {
        let mut parts = Vec::new();
        let (mut before, mut n_so_far) = (Vec::new(), [0; 5]);
        for instance in linked.instances() {
            before.push(n_so_far);
            parts.push(match instance {
                CoreInstance::Bundle(_) => None,
                CoreInstance::Of { module, arguments } => {
                    let part = Part::read(module, arguments)?;
                    n_so_far.iter_mut().zip(part.n_defined).for_each(|(sum, n)| *sum += n);
                    Some(part)
                }
            });
        }
        before.push(n_so_far);
        Ok(Self { all: parts, linked, before })
    }

    fn part(&self, number: usize) -> Result<&Part<'a>, FuseError> {
        let part = self.all.get(number).and_then(Option::as_ref);
        part.ok_or_else(|| FuseError::Missing(format!("instance {number}")))
    }

    /// The index in the one module of what `part` defines as its `index`th.
    pub(super) fn number(&self, kind: ExternalKind, part: usize, index: u32) -> Result<u32, FuseError> {
        let before = self.before.get(part).and_then(|before| before.get(position(kind)?));
        before.map(|before| before + index).ok_or(FuseError::Unknown("exact types"))
    }

    /// What an instance exports under a name.
    pub(super) fn export(&self, instance: u32, name: &str, kind: ExternalKind) -> Result<Place, FuseError> {
        let (mut instance, mut name) = (instance, name);
        for _ in 0..CHAIN_MAX {
            let missing = || FuseError::Missing(name.to_owned());
            let (part, index) = match self.linked.instances().get(instance as usize).ok_or_else(missing)? {
                CoreInstance::Bundle(items) => match items.iter().find(|(it, _)| *it == name).ok_or_else(missing)?.1 {
                    Item::Outside => return Ok(Place::Outside),
                    Item::Export { instance: next, name: its_name } => {
                        (instance, name) = (next, its_name);
                        continue;
                    }
                },
                CoreInstance::Of { .. } => {
                    let part = instance as usize;
                    let exported = self.part(part)?.exports.get(name).filter(|exported| exported.0 == kind);
                    (part, exported.ok_or_else(missing)?.1)
                }
            };
            match self.part(part)?.at(kind, index) {
                Ok(index) => return Ok(Place::Defined { part, index }),
                Err(import) => {
                    let import = import.ok_or_else(missing)?;
                    let arguments = &self.part(part)?.arguments;
                    instance = *arguments.get(import.module).ok_or_else(missing)?;
                    name = import.name;
                }
            }
        }
        Err(FuseError::Missing(name.to_owned()))
    }

    /// What index `index` of `part` stands for.
    fn place(&self, part: usize, kind: ExternalKind, index: u32) -> Result<Place, FuseError> {
        match self.part(part)?.at(kind, index) {
            Ok(index) => Ok(Place::Defined { part, index }),
            Err(import) => {
                let import = import.ok_or_else(|| FuseError::Missing(format!("number {index}")))?;
                let instance = self.part(part)?.arguments.get(import.module);
                let instance = instance.ok_or_else(|| FuseError::Missing(import.module.to_owned()))?;
                self.export(*instance, import.name, kind)
            }
        }
    }

    /// What the indices of a part become. Functions from outside become traps of their type, after everything else.
    pub(super) fn indices(
        &self,
        number: usize,
        part: &Part<'a>,
        first_type: u32,
        traps: &mut Vec<u32>,
    ) -> Result<[Vec<u32>; 5], FuseError> {
        let n_functions = self.before.last().map_or(0, |[functions, ..]| *functions);
        let mut indices = [const { Vec::new() }; 5];
        for (kind, indices) in KINDS.into_iter().zip(&mut indices) {
            for (import, index) in part.imports_of(kind).zip(0..) {
                indices.push(match (self.place(number, kind, index)?, import.signature) {
                    (Place::Defined { part, index }, _) => self.number(kind, part, index)?,
                    (Place::Outside, Some(signature)) => {
                        traps.push(first_type + signature);
                        n_functions + u32::try_from(traps.len() - 1).unwrap_or(u32::MAX)
                    }
                    (Place::Outside, None) => return Err(FuseError::Missing(import.name.to_owned())),
                });
            }
            let n_defined = position(kind).and_then(|kind| part.n_defined.get(kind)).copied().unwrap_or_default();
            for index in 0..n_defined {
                indices.push(self.number(kind, number, index)?);
            }
        }
        Ok(indices)
    }

    /// The value of an expression that depends on nothing but globals that never change. `None` for other expressions,
    /// which have no globals in them.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the list of operators is WebAssembly's and long")]
    pub(super) fn constant(
        &self,
        part: usize,
        expression: &ConstExpr<'_>,
        depth: usize,
    ) -> Result<Option<i32>, FuseError> {
        let mut has_global = false;
        for operator in expression.get_operators_reader() {
            has_global |= matches!(operator?, Operator::GlobalGet { .. });
        }
        let mut stack = Vec::new();
        for operator in expression.get_operators_reader() {
            let value = match operator? {
                Operator::I32Const { value } => Some(value),
                Operator::GlobalGet { global_index } => self.global(part, global_index, depth)?,
                Operator::I32Add => binary(&mut stack, i32::wrapping_add),
                Operator::I32Sub => binary(&mut stack, i32::wrapping_sub),
                Operator::I32Mul => binary(&mut stack, i32::wrapping_mul),
                Operator::End => continue,
                _ => None,
            };
            match value {
                Some(value) => stack.push(value),
                None if has_global => return Err(FuseError::NotConstant),
                None => return Ok(None),
            }
        }
        Ok(stack.pop())
    }

    fn global(&self, part: usize, index: u32, depth: usize) -> Result<Option<i32>, FuseError> {
        let Place::Defined { part, index } = self.place(part, ExternalKind::Global, index)? else { return Ok(None) };
        let constant = self.part(part)?.constants.get(index as usize).and_then(Option::as_ref);
        match (constant, depth.checked_sub(1)) {
            (Some(expression), Some(depth)) => self.constant(part, expression, depth),
            _ => Ok(None),
        }
    }
}

fn binary(stack: &mut Vec<i32>, apply: fn(i32, i32) -> i32) -> Option<i32> {
    let (right, left) = (stack.pop()?, stack.pop()?);
    Some(apply(left, right))
}

pub(super) fn position(kind: ExternalKind) -> Option<usize> {
    KINDS.iter().position(|it| *it == kind)
}

impl<'a> Part<'a> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the list of payloads is wasmparser's and open")]
    fn read(bytes: &'a [u8], arguments: &[(&'a str, u32)]) -> Result<Self, FuseError> {
        let mut part = Self {
            bytes,
            arguments: arguments.iter().copied().collect(),
            imports: Vec::new(),
            exports: HashMap::new(),
            n_defined: [0; 5],
            n_types: 0,
            n_elements: 0,
            n_data: 0,
            start: None,
            constants: Vec::new(),
        };
        let [functions, tables, memories, globals, tags] = &mut part.n_defined;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::TypeSection(section) => {
                    for group in section {
                        part.n_types += u32::try_from(group?.types().len()).unwrap_or(u32::MAX);
                    }
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        part.imports.push(Import::of(&import?)?);
                    }
                }
                Payload::FunctionSection(section) => *functions = section.count(),
                Payload::TableSection(section) => *tables = section.count(),
                Payload::MemorySection(section) => *memories = section.count(),
                Payload::TagSection(section) => *tags = section.count(),
                Payload::GlobalSection(section) => {
                    *globals = section.count();
                    for global in section {
                        let global = global?;
                        part.constants.push((!global.ty.mutable).then_some(global.init_expr));
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        part.exports.insert(export.name, (export.kind, export.index));
                    }
                }
                Payload::ElementSection(section) => part.n_elements = section.count(),
                Payload::DataSection(section) => part.n_data = section.count(),
                Payload::StartSection { func, .. } => part.start = Some(func),
                _ => {}
            }
        }
        Ok(part)
    }

    fn imports_of(&self, kind: ExternalKind) -> impl Iterator<Item = &Import<'a>> {
        self.imports.iter().filter(move |import| import.kind == kind)
    }

    /// The index among those that it defines; or the import, if it is one.
    fn at(&self, kind: ExternalKind, index: u32) -> Result<u32, Option<&Import<'a>>> {
        let n_imports = u32::try_from(self.imports_of(kind).count()).unwrap_or(u32::MAX);
        index.checked_sub(n_imports).ok_or_else(|| self.imports_of(kind).nth(index as usize))
    }
}

impl<'a> Import<'a> {
    fn of(import: &wasmparser::Import<'a>) -> Result<Self, FuseError> {
        let (kind, signature) = match import.ty {
            TypeRef::Func(signature) => (ExternalKind::Func, Some(signature)),
            TypeRef::Table(_) => (ExternalKind::Table, None),
            TypeRef::Memory(_) => (ExternalKind::Memory, None),
            TypeRef::Global(_) => (ExternalKind::Global, None),
            TypeRef::Tag(_) => (ExternalKind::Tag, None),
            TypeRef::FuncExact(_) => return Err(FuseError::Unknown("functions of exact types")),
        };
        Ok(Self { module: import.module, name: import.name, kind, signature })
    }
}
