//! A TCP port.

use std::net::{SocketAddr, TcpListener};

use anyhow::Context;

use super::BACKLOG;

/// Opens the port; the kernel chooses one for port 0.
pub(super) fn open(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let open = || {
        let listener = TcpListener::bind(address)?;
        rustix::net::listen(&listener, BACKLOG)?;
        listener.set_nonblocking(true)?;
        Ok::<_, std::io::Error>(listener)
    };
    open().with_context(|| format!("listen on tcp:{address}"))
}
