//! What the attacker floods in a control run: a process with one thread that accepts every connection,
//! holds it, and reads and throws away what comes on it until its end. It answers nothing.

use std::{convert::Infallible, io::Write as _};

use tokio::{io::AsyncReadExt as _, net::TcpSocket, runtime};

/// Connections that may wait to be accepted: as many as at the daemon's doors.
const BACKLOG: u32 = 4096;
/// Room for a read, in bytes: as much as the daemon has.
const READ_BYTES: usize = 16 << 10;

/// Says where it listens, and goes on until the process ends.
pub(crate) fn run() {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let Err(err) = runtime.unwrap().block_on(receive());
    panic!("the sink cannot go on: {err}");
}

async fn receive() -> Result<Infallible, std::io::Error> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    let listener = socket.listen(BACKLOG)?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{}", listener.local_addr()?)?;
    stdout.flush()?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let mut room = [0; READ_BYTES];
            while stream.read(&mut room).await.is_ok_and(|bytes| bytes > 0) {}
        });
    }
}
