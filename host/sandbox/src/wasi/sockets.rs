//! Sockets and names of the virtual world: there are none.
//!
//! In scope: a no wherever a socket or a lookup would begin.
//! Out of scope: what takes a socket, for there is none to give it (`wasmtime-wasi`).

use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets;
use wasmtime_wasi::p2::bindings::sync::sockets::udp_create_socket;
use wasmtime_wasi::p2::{DynPollable, SocketError, SocketResult, TcpSocket};

use super::{NotGiven, VirtualWorld};

/// What `errno` says where something is not permitted.
fn denied() -> SocketError {
    sockets::network::ErrorCode::AccessDenied.into()
}

impl sockets::network::Host for VirtualWorld {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<sockets::network::ErrorCode> {
        error.downcast()
    }

    fn network_error_code(
        &mut self,
        _error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<sockets::network::ErrorCode>> {
        Ok(None) // no stream leads to a network
    }
}

impl sockets::network::HostNetwork for VirtualWorld {
    fn drop(&mut self, network: Resource<sockets::network::Network>) -> wasmtime::Result<()> {
        self.table.delete(network).map(drop).map_err(Into::into)
    }
}

impl sockets::tcp_create_socket::Host for VirtualWorld {
    fn create_tcp_socket(&mut self, _family: sockets::network::IpAddressFamily) -> SocketResult<Resource<TcpSocket>> {
        Err(denied())
    }
}

impl udp_create_socket::Host for VirtualWorld {
    fn create_udp_socket(
        &mut self,
        _family: sockets::network::IpAddressFamily,
    ) -> SocketResult<Resource<wasmtime_wasi::p2::UdpSocket>> {
        Err(denied())
    }
}

impl sockets::ip_name_lookup::Host for VirtualWorld {
    fn resolve_addresses(
        &mut self,
        _network: Resource<sockets::network::Network>,
        name: String,
    ) -> SocketResult<Resource<sockets::ip_name_lookup::ResolveAddressStream>> {
        self.work.charge(name.len() as u64).map_err(SocketError::trap)?;
        Err(denied())
    }
}

/// No lookup begins, so there is no stream of addresses.
impl sockets::ip_name_lookup::HostResolveAddressStream for VirtualWorld {
    fn resolve_next_address(
        &mut self,
        _stream: Resource<sockets::ip_name_lookup::ResolveAddressStream>,
    ) -> SocketResult<Option<sockets::network::IpAddress>> {
        Err(denied())
    }

    fn subscribe(
        &mut self,
        _stream: Resource<sockets::ip_name_lookup::ResolveAddressStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        Err(NotGiven("names").into())
    }

    fn drop(&mut self, stream: Resource<sockets::ip_name_lookup::ResolveAddressStream>) -> wasmtime::Result<()> {
        self.table.delete(stream).map(drop).map_err(Into::into)
    }
}
