//! How the core modules of a handler are put together.
//!
//! In scope: reading a component far enough to know its core modules, their instances, and which of their functions are
//! lifted. Out of scope: types of components, which the contract fixes.

use std::ops::Range;

use wasmparser::{
    CanonicalFunction, CanonicalOption, ComponentAlias, ComponentExternalKind, ComponentOuterAliasKind,
    ComponentTypeRef, ExternalKind, Instance, Parser, Payload,
};

use super::FuseError;
use crate::EXPORT;

/// The component that lifts the handler's functions: the one at the top, or one inside it.
#[derive(Default)]
pub(super) struct Linked<'a> {
    /// `None`: not written here.
    modules: Vec<Option<&'a [u8]>>,
    instances: Vec<CoreInstance<'a>>,
    functions: Vec<Item<'a>>,
    memories: Vec<Item<'a>>,
    tables: Vec<Item<'a>>,
    globals: Vec<Item<'a>>,
    tags: Vec<Item<'a>>,
    lifted: Vec<Lifted>,
}

/// A core instance.
pub(super) enum CoreInstance<'a> {
    /// Of a module, each of its imports from the instance of that name.
    Of { module: &'a [u8], arguments: Vec<(&'a str, u32)> },
    /// Items under new names.
    Bundle(Vec<(&'a str, Item<'a>)>),
}

/// A function, memory, table, global or tag.
#[derive(Clone, Copy)]
pub(super) enum Item<'a> {
    /// What a core instance exports under a name.
    Export { instance: u32, name: &'a str },
    /// Not of core WebAssembly: what other components and the host do.
    Outside,
}

struct Lifted {
    function: u32,
    memory: Option<u32>,
    realloc: Option<u32>,
    post_return: Option<u32>,
}

/// An export of the one module that becomes of them.
pub(super) struct Wanted<'a> {
    pub(super) name: String,
    pub(super) kind: ExternalKind,
    pub(super) item: Item<'a>,
}

impl<'a> Linked<'a> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the list of payloads is wasmparser's and open")]
    pub(super) fn read(component: &'a [u8]) -> Result<Self, FuseError> {
        let mut open: Vec<Option<Self>> = Vec::new(); // what is being read, outermost first; `None`: a core module
        for payload in Parser::new(0).parse_all(component) {
            let payload = payload?;
            match &payload {
                Payload::ModuleSection { unchecked_range, .. } => {
                    let module = bytes_at(component, unchecked_range);
                    if let Some(Some(parent)) = open.last_mut() {
                        parent.modules.push(module);
                    }
                    open.push(None);
                }
                Payload::ComponentSection { .. } => open.push(Some(Self::default())),
                Payload::Version { .. } if open.is_empty() => open.push(Some(Self::default())),
                Payload::End(_) => match open.pop() {
                    Some(Some(read)) if read.is_handler() => return Ok(read),
                    _ => {}
                },
                _ => {
                    if let Some(Some(reading)) = open.last_mut() {
                        reading.take(payload)?;
                    }
                }
            }
        }
        Err(FuseError::NoFunction(format!("{EXPORT}#handle")))
    }

    pub(super) fn instances(&self) -> &[CoreInstance<'a>] {
        &self.instances
    }

    /// What the contract asks of the one module, under the names by which it is found there.
    pub(super) fn wanted(&self) -> Result<Vec<Wanted<'a>>, FuseError> {
        let function = |index: u32| of(&self.functions, index);
        let mut wanted = Vec::new();
        let mut want = |name: String, kind, item| {
            if !wanted.iter().any(|known: &Wanted<'_>| known.name == name) {
                wanted.push(Wanted { name, kind, item });
            }
        };
        for name in ["handle", "describe"].map(|function| format!("{EXPORT}#{function}")) {
            let lifted = self.lifted(&name).ok_or_else(|| FuseError::NoFunction(name.clone()))?;
            if let Some(index) = lifted.post_return {
                want(format!("cabi_post_{name}"), ExternalKind::Func, function(index)?);
            }
            if let Some(index) = lifted.memory {
                want("memory".to_owned(), ExternalKind::Memory, of(&self.memories, index)?);
            }
            if let Some(index) = lifted.realloc {
                want("cabi_realloc".to_owned(), ExternalKind::Func, function(index)?);
            }
            want(name, ExternalKind::Func, function(lifted.function)?);
        }
        Ok(wanted)
    }

    fn lifted(&self, name: &str) -> Option<&Lifted> {
        self.lifted.iter().find(|lifted| {
            of(&self.functions, lifted.function)
                .is_ok_and(|item| matches!(item, Item::Export { name: it, .. } if it == name))
        })
    }

    fn is_handler(&self) -> bool {
        self.lifted(&format!("{EXPORT}#handle")).is_some()
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the lists of payloads and canonical functions are wasmparser's and open"
    )]
    fn take(&mut self, payload: Payload<'a>) -> Result<(), FuseError> {
        match payload {
            Payload::InstanceSection(instances) => {
                for instance in instances {
                    let instance = self.instance(instance?)?;
                    self.instances.push(instance);
                }
            }
            Payload::ComponentAliasSection(aliases) => {
                for alias in aliases {
                    self.alias(&alias?);
                }
            }
            Payload::ComponentImportSection(imports) => {
                for import in imports {
                    if let ComponentTypeRef::Module(_) = import?.ty {
                        self.modules.push(None);
                    }
                }
            }
            Payload::ComponentCanonicalSection(functions) => {
                for function in functions {
                    match function? {
                        CanonicalFunction::Lift { core_func_index, options, .. } => {
                            self.lifted.push(Lifted::read(core_func_index, &options)?);
                        }
                        _ => self.functions.push(Item::Outside),
                    }
                }
            }
            _ => {} // types, other components and their instances, exports, sections for tools
        }
        Ok(())
    }

    fn instance(&self, instance: Instance<'a>) -> Result<CoreInstance<'a>, FuseError> {
        match instance {
            Instance::Instantiate { module_index, args } => {
                let module = of(&self.modules, module_index)?.ok_or(FuseError::Unknown("modules of others"))?;
                Ok(CoreInstance::Of { module, arguments: args.iter().map(|arg| (arg.name, arg.index)).collect() })
            }
            Instance::FromExports(exports) => {
                let item = |kind, index| of(self.space(kind)?, index);
                let items = exports.iter().map(|export| Ok((export.name, item(export.kind, export.index)?)));
                Ok(CoreInstance::Bundle(items.collect::<Result<_, FuseError>>()?))
            }
        }
    }

    fn alias(&mut self, alias: &ComponentAlias<'a>) {
        match *alias {
            ComponentAlias::CoreInstanceExport { kind, instance_index: instance, name } => {
                let item = Item::Export { instance, name };
                match kind {
                    ExternalKind::Func | ExternalKind::FuncExact => self.functions.push(item),
                    ExternalKind::Memory => self.memories.push(item),
                    ExternalKind::Table => self.tables.push(item),
                    ExternalKind::Global => self.globals.push(item),
                    ExternalKind::Tag => self.tags.push(item),
                }
            }
            ComponentAlias::InstanceExport { kind: ComponentExternalKind::Module, .. }
            | ComponentAlias::Outer { kind: ComponentOuterAliasKind::CoreModule, .. } => self.modules.push(None),
            ComponentAlias::InstanceExport { .. } | ComponentAlias::Outer { .. } => {}
        }
    }

    fn space(&self, kind: ExternalKind) -> Result<&[Item<'a>], FuseError> {
        match kind {
            ExternalKind::Func => Ok(&self.functions),
            ExternalKind::Memory => Ok(&self.memories),
            ExternalKind::Table => Ok(&self.tables),
            ExternalKind::Global => Ok(&self.globals),
            ExternalKind::Tag => Ok(&self.tags),
            ExternalKind::FuncExact => Err(FuseError::Unknown("functions of exact types")),
        }
    }
}

impl Lifted {
    fn read(function: u32, options: &[CanonicalOption]) -> Result<Self, FuseError> {
        let mut lifted = Self { function, memory: None, realloc: None, post_return: None };
        for option in options {
            match *option {
                CanonicalOption::UTF8 => {}
                CanonicalOption::Memory(index) => lifted.memory = Some(index),
                CanonicalOption::Realloc(index) => lifted.realloc = Some(index),
                CanonicalOption::PostReturn(index) => lifted.post_return = Some(index),
                CanonicalOption::UTF16 | CanonicalOption::CompactUTF16 => {
                    return Err(FuseError::Unknown("strings that are not UTF-8"));
                }
                CanonicalOption::Async
                | CanonicalOption::Callback(_)
                | CanonicalOption::CoreType(_)
                | CanonicalOption::Gc => return Err(FuseError::Unknown("functions that wait")),
            }
        }
        Ok(lifted)
    }
}

fn bytes_at<'a>(file: &'a [u8], range: &Range<u64>) -> Option<&'a [u8]> {
    file.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
}

/// The element that an index of a file names.
pub(super) fn of<T: Copy>(elements: &[T], index: u32) -> Result<T, FuseError> {
    elements.get(index as usize).copied().ok_or_else(|| FuseError::Missing(format!("number {index}")))
}
