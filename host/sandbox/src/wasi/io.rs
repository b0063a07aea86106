//! Streams and polling of the virtual world: input has ended, output is swallowed, and nothing is waited for.
//!
//! In scope: the interfaces `wasi:io/poll` and `wasi:io/streams`.
//! Out of scope: how far time jumps (`clock`), what becomes of output (`said`).

use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sync::io::{poll, streams};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, StreamError, StreamResult, subscribe};
use wasmtime_wasi_io::bindings::wasi::io::{poll as io_poll, streams as io_streams};

use super::{NotGiven, VirtualWorld, WRITE_BYTES_MAX};

impl poll::Host for VirtualWorld {
    fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        if pollables.is_empty() {
            return Err(NotGiven("a wait for nothing").into());
        }
        self.poll_all(pollables.len())?;
        self.clock.wait(io_poll::Host::poll(&mut self.table, pollables))
    }
}

impl poll::HostPollable for VirtualWorld {
    fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        self.poll_all(1)?;
        self.clock.wait(io_poll::HostPollable::ready(&mut self.table, pollable)) // says no rather than wait
    }

    fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.poll_all(1)?;
        self.clock.wait(io_poll::HostPollable::block(&mut self.table, pollable))
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        io_poll::HostPollable::drop(&mut self.table, pollable)
    }
}

impl streams::Host for VirtualWorld {
    fn convert_stream_error(&mut self, error: StreamError) -> wasmtime::Result<streams::StreamError> {
        Ok(io_streams::Host::convert_stream_error(&mut self.table, error)?.into())
    }
}

/// Standard output and standard error are always ready, and never waited for.
impl streams::HostOutputStream for VirtualWorld {
    fn check_write(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<u64> {
        self.table.get(&stream)?;
        Ok(WRITE_BYTES_MAX)
    }

    fn write(&mut self, stream: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        self.print(&stream, &bytes)
    }

    fn blocking_write_and_flush(&mut self, stream: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        self.print(&stream, &bytes)
    }

    fn flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        self.table.get(&stream)?;
        Ok(())
    }

    fn blocking_flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        self.flush(stream)
    }

    fn write_zeroes(&mut self, stream: Resource<DynOutputStream>, len: u64) -> StreamResult<()> {
        self.table.get(&stream)?;
        if len > WRITE_BYTES_MAX {
            return Err(StreamError::Trap(NotGiven("room for more than 64 KiB written at once").into()));
        }
        self.work.charge(len).map_err(StreamError::Trap)
    }

    fn blocking_write_zeroes_and_flush(&mut self, stream: Resource<DynOutputStream>, len: u64) -> StreamResult<()> {
        self.write_zeroes(stream, len)
    }

    /// The only stream to take from is standard input, which has ended.
    fn splice(
        &mut self,
        to: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        _len: u64,
    ) -> StreamResult<u64> {
        self.table.get(&to)?;
        self.table.get(&from)?;
        Err(StreamError::Closed)
    }

    fn blocking_splice(
        &mut self,
        to: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<u64> {
        self.splice(to, from, len)
    }

    fn subscribe(&mut self, stream: Resource<DynOutputStream>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(&mut self.table, stream)
    }

    fn drop(&mut self, stream: Resource<DynOutputStream>) -> wasmtime::Result<()> {
        self.table.delete(stream).map(drop).map_err(Into::into)
    }
}

/// Standard input has ended before it began.
impl streams::HostInputStream for VirtualWorld {
    fn read(&mut self, stream: Resource<DynInputStream>, _len: u64) -> StreamResult<Vec<u8>> {
        self.table.get(&stream)?;
        Err(StreamError::Closed)
    }

    fn blocking_read(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<Vec<u8>> {
        self.read(stream, len)
    }

    fn skip(&mut self, stream: Resource<DynInputStream>, _len: u64) -> StreamResult<u64> {
        self.table.get(&stream)?;
        Err(StreamError::Closed)
    }

    fn blocking_skip(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<u64> {
        self.skip(stream, len)
    }

    fn subscribe(&mut self, stream: Resource<DynInputStream>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(&mut self.table, stream)
    }

    fn drop(&mut self, stream: Resource<DynInputStream>) -> wasmtime::Result<()> {
        self.table.delete(stream).map(drop).map_err(Into::into)
    }
}
