//! WASI that does nothing: for components whose language brings imports that a policy has no use for.
//!
//! An operator may grant it. A policy stays a pure function all the same, because whatever it asks for, it
//! hears the same on each machine, at each time:
//!
//! | of WASI | what a policy hears |
//! |---|---|
//! | clocks | 0, always; what waits is ready at once |
//! | randomness | zeros |
//! | environment, arguments, directories | there are none |
//! | standard input | closed |
//! | standard output and error | taken, and dropped |
//! | files, sockets, HTTP, anything else that can fail | an error |
//! | exit | the policy ends there: `policy-trapped` |
//!
//! There is no list of functions to keep up to date. An answer is made from the type of the function: zero,
//! the empty string, the empty list, none, the error of a result. Nothing here opens, reads, or asks the
//! system for anything; the few functions that need another answer are in [`manner`].

use wasmtime::{
    Result, StoreContextMut, Trap, bail,
    component::{
        Component, Linker, LinkerInstance, Resource, ResourceType, Type, Val, types::ComponentItem,
    },
};

use super::limits::{Data, INERT_BYTES, INERT_DEPTH, INERT_VALUES};

#[cfg(test)]
mod tests;

/// What the names of the interfaces begin with.
const PACKAGE: &str = "wasi:";
/// The versions of them.
const VERSION: &str = "@0.2.";
/// What may be written at once.
const WRITE: u64 = 4_096;

/// Stands behind every handle, whatever WASI calls it: there is nothing behind it.
struct Nothing;

/// Whether an import, written as `interface#function`, is one that this module covers.
pub(super) fn covers(import: &str) -> bool {
    let interface = import.split('#').next().unwrap_or(import);
    interface.starts_with(PACKAGE) && interface.contains(VERSION)
}

/// Gives a component everything that it imports of WASI, and nothing else.
pub(super) fn link(linker: &mut Linker<Data>, component: &Component) -> Result<()> {
    let engine = component.engine();
    for (interface, import) in component.component_type().imports(engine) {
        let ComponentItem::ComponentInstance(instance) = import.ty else {
            continue;
        };
        if covers(interface) {
            let mut place = linker.instance(interface)?;
            for (name, export) in instance.exports(engine) {
                define(&mut place, interface, name, &export.ty)?;
            }
        }
    }
    Ok(())
}

fn define(
    place: &mut LinkerInstance<'_, Data>,
    interface: &str,
    name: &str,
    item: &ComponentItem,
) -> Result<()> {
    match item {
        ComponentItem::ComponentFunc(_) => {
            let manner = manner(interface, name);
            let full = format!("{interface}#{name}");
            place.func_new(name, move |mut store, ty, args, results| {
                let answer = manner.answer(&mut store, &full, args, ty.results().next());
                args.iter().try_for_each(|arg| let_go(&mut store, arg))?;
                if let (Some(place), Some(answer)) = (results.first_mut(), answer?) {
                    *place = answer;
                }
                Ok(())
            })
        }
        ComponentItem::Resource(_) => {
            let ty = ResourceType::host::<Nothing>();
            place.resource(name, ty, |mut store, _| {
                store.data_mut().handle_dropped();
                Ok(())
            })
        }
        // A type can do nothing. Anything else is left out, and linking fails.
        _ => Ok(()),
    }
}

/// How a function answers.
#[derive(Clone, Copy)]
enum Manner {
    /// With nothing: what its type allows of it.
    Plain,
    /// It does not: the policy ends here.
    End,
    /// With as many zeros as it was asked for.
    Zeros,
    /// All that it was asked about are ready.
    AllReady,
    Yes,
    /// As if all had gone well.
    Done,
    /// There is room to write.
    Room,
    /// The smallest number by which one may divide.
    One,
}

/// The functions that need another answer than nothing: because nothing would be an error of the host, or would
/// make a well-behaved program wait for ever.
fn manner(interface: &str, function: &str) -> Manner {
    let interface = interface.split('@').next().unwrap_or(interface);
    match (interface, function) {
        ("wasi:cli/exit", _) => Manner::End,
        ("wasi:random/random", "get-random-bytes")
        | ("wasi:random/insecure", "get-insecure-random-bytes") => Manner::Zeros,
        ("wasi:io/poll", "poll") => Manner::AllReady,
        ("wasi:io/poll", "[method]pollable.ready") => Manner::Yes,
        ("wasi:clocks/monotonic-clock", "resolution") => Manner::One,
        ("wasi:io/streams", "[method]output-stream.check-write") => Manner::Room,
        (
            "wasi:io/streams",
            "[method]output-stream.write"
            | "[method]output-stream.blocking-write-and-flush"
            | "[method]output-stream.flush"
            | "[method]output-stream.blocking-flush"
            | "[method]output-stream.write-zeroes"
            | "[method]output-stream.blocking-write-zeroes-and-flush",
        ) => Manner::Done,
        _ => Manner::Plain,
    }
}

impl Manner {
    fn answer(
        self,
        store: &mut StoreContextMut<'_, Data>,
        function: &str,
        args: &[Val],
        ty: Option<Type>,
    ) -> Result<Option<Val>> {
        if let Self::End = self {
            let trap = wasmtime::Error::from(Trap::UnreachableCodeReached);
            return Err(trap.context(format!("it called `{function}`")));
        }
        let Some(ty) = ty else {
            return Ok(None);
        };
        let answer = match self {
            Self::Zeros => zeros(args)?,
            Self::AllReady => all_ready(args),
            Self::Yes => Val::Bool(true),
            Self::One => Val::U64(1),
            Self::Done => Val::Result(Ok(None)),
            Self::Room => Val::Result(Ok(Some(Box::new(Val::U64(WRITE))))),
            Self::Plain | Self::End => Answer::new(store).of(&ty, 0)?,
        };
        Ok(Some(answer))
    }
}

/// As many zeros as the first argument says.
fn zeros(args: &[Val]) -> Result<Val> {
    match args.first() {
        Some(Val::U64(wanted)) if *wanted <= INERT_BYTES => {
            Ok(Val::List((0..*wanted).map(|_| Val::U8(0)).collect()))
        }
        _ => bail!("more random bytes at once than {INERT_BYTES}"),
    }
}

/// The place of each one in the list of the first argument.
fn all_ready(args: &[Val]) -> Val {
    let asked = match args.first() {
        Some(Val::List(asked)) => asked.len(),
        _ => 0,
    };
    Val::List((0_u32..).take(asked).map(Val::U32).collect())
}

/// Makes nothing of any type.
struct Answer<'a, 'b> {
    store: &'a mut StoreContextMut<'b, Data>,
    /// Values that it may still be made of: a type of a few bytes may stand for a million of them.
    room: usize,
}

impl<'a, 'b> Answer<'a, 'b> {
    fn new(store: &'a mut StoreContextMut<'b, Data>) -> Self {
        Self {
            store,
            room: INERT_VALUES,
        }
    }

    fn of(&mut self, ty: &Type, depth: usize) -> Result<Val> {
        self.room = match self.room.checked_sub(1) {
            Some(room) if depth < INERT_DEPTH => room,
            _ => bail!("an answer of more than {INERT_VALUES} values"),
        };
        Ok(match ty {
            Type::Bool => Val::Bool(false),
            Type::S8 => Val::S8(0),
            Type::U8 => Val::U8(0),
            Type::S16 => Val::S16(0),
            Type::U16 => Val::U16(0),
            Type::S32 => Val::S32(0),
            Type::U32 => Val::U32(0),
            Type::S64 => Val::S64(0),
            Type::U64 => Val::U64(0),
            Type::Float32 => Val::Float32(0.0),
            Type::Float64 => Val::Float64(0.0),
            Type::Char => Val::Char('\0'),
            Type::String => Val::String(String::new()),
            Type::List(_) => Val::List(Vec::new()),
            Type::Option(_) => Val::Option(None),
            Type::Flags(_) => Val::Flags(Vec::new()),
            Type::Enum(ty) => Val::Enum(ty.names().next().unwrap_or_default().into()),
            Type::Own(_) => self.handle()?,
            Type::Result(ty) => Val::Result(Err(self.maybe(ty.err(), depth)?)),
            Type::Tuple(ty) => {
                let parts = ty.types().map(|ty| self.of(&ty, depth + 1));
                Val::Tuple(parts.collect::<Result<_>>()?)
            }
            Type::Record(ty) => {
                let fields = ty
                    .fields()
                    .map(|field| Ok((field.name.into(), self.of(&field.ty, depth + 1)?)));
                Val::Record(fields.collect::<Result<_>>()?)
            }
            Type::Variant(ty) => {
                // One that says nothing more, such as `closed`, before one that does.
                let plain = ty.cases().find(|case| case.ty.is_none());
                let Some(case) = plain.or_else(|| ty.cases().next()) else {
                    bail!("a variant without cases");
                };
                Val::Variant(case.name.into(), self.maybe(case.ty, depth)?)
            }
            _ => bail!("an answer of a type that WASI 0.2 does not have"),
        })
    }

    fn maybe(&mut self, ty: Option<Type>, depth: usize) -> Result<Option<Box<Val>>> {
        ty.map(|ty| self.of(&ty, depth + 1).map(Box::new))
            .transpose()
    }

    fn handle(&mut self) -> Result<Val> {
        self.store.data_mut().handle_made()?;
        let handle = Resource::<Nothing>::new_own(0);
        let handle = handle.try_into_resource_any(&mut *self.store)?;
        Ok(Val::Resource(handle))
    }
}

/// Gives up the handles in an argument: a policy may not gather them here.
fn let_go(store: &mut StoreContextMut<'_, Data>, val: &Val) -> Result<()> {
    match val {
        Val::Resource(handle) => handle.resource_drop(&mut *store),
        Val::List(vals) | Val::Tuple(vals) => vals.iter().try_for_each(|val| let_go(store, val)),
        Val::Record(fields) => fields.iter().try_for_each(|(_, val)| let_go(store, val)),
        Val::Variant(_, Some(val))
        | Val::Option(Some(val))
        | Val::Result(Ok(Some(val)) | Err(Some(val))) => let_go(store, val),
        _ => Ok(()),
    }
}
