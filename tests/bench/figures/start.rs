//! The process: how soon it answers, how large it is, and what it holds when nobody asks anything.

use std::{
    fs, io,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{
    Bench,
    call::{Call, Sender, UPGRADE},
    load::Load,
    process::{READY_TIMEOUT, Scheme, Upstream},
    table::{self, Table},
};

/// Starts that the time to the first answer is the median of.
const STARTS: usize = 40;
/// How long it is waited before a socket that is not there yet is tried again.
const CONNECT_PAUSE: Duration = Duration::from_micros(50);
/// Messages between the two looks at an idle daemon's memory.
const CALLS: u32 = 1000;
/// Idle connections at once.
const CONNECTIONS: usize = 10_000;

/// Measures the daemon with nothing to do.
pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Table>> {
    raise_descriptor_limit()?;
    let upstream = bench.upstream(Duration::ZERO)?;
    let mut table = Table::new("The process", &["", "Figure"]);
    let first_answer = table::milliseconds(first_answer(bench, &upstream)?);
    let name = format!("Start to first answer, median of {STARTS}, ms");
    table.push([name, first_answer]);

    let mut daemon = bench.daemon(&upstream, Scheme::Tls)?;
    daemon.wait_until_ready()?;
    let usage = daemon.process.usage()?;
    let threads = usage.threads();
    let name = format!("Memory when just ready (RSS, {threads} threads), MB");
    table.push([name, table::megabytes(usage.resident)]);
    let message = Call::SendMessage(Sender::many("1"));
    let (way, load) = (daemon.lines(), Load::sequential(CALLS));
    bench.loader.run(&way, &message, load)?;
    let usage = daemon.process.usage()?;
    let name = format!("Memory after {CALLS} messages, MB");
    table.push([name, table::megabytes(usage.resident)]);
    daemon.stop()?;

    let file = fs::read(&bench.built.daemon)?;
    let symbols = has_symbols(&file).context("the program is no ELF file of 64 bits")?;
    let not = if symbols { "not " } else { "" };
    let bytes = u64::try_from(file.len())?;
    table.push([
        format!("Program, {not}stripped, MB"),
        table::megabytes(bytes),
    ]);

    let call = r#"{"jsonrpc":"2.0","id":1,"method":"health"}"#;
    let get = "GET /health HTTP/1.1\r\nhost: x\r\n\r\n";
    for (framing, said, answered) in [
        ("that has said nothing yet", "", ""),
        ("of lines", call, "}\n"),
        ("of HTTP", get, "}"),
        ("of WebSocket", UPGRADE, "\r\n\r\n"),
    ] {
        let bytes = per_connection(bench, &upstream, said, answered)?;
        let name = format!("Each of {CONNECTIONS} idle connections {framing}, bytes");
        table.push([name, bytes.to_string()]);
    }
    Ok(vec![table])
}

/// Takes as many descriptors as there are: each connection has one here.
pub(crate) fn raise_descriptor_limit() -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, Rlimit { current, ..limit })?)
}

/// Measures from the start of a process to its first answer.
fn first_answer(bench: &mut Bench, upstream: &Upstream) -> anyhow::Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let began = Instant::now();
        let daemon = bench.daemon(upstream, Scheme::Tls)?;
        let way = daemon.lines();
        loop {
            match bench.loader.run(&way, &Call::Health, Load::ONE) {
                Ok(_) => break,
                Err(err) if !err.is::<io::Error>() => return Err(err),
                Err(err) if began.elapsed() > READY_TIMEOUT => return Err(err),
                // The socket is not there yet.
                Err(_) => thread::sleep(CONNECT_PAUSE),
            }
        }
        times.push(began.elapsed());
        daemon.stop()?;
    }
    times.sort_unstable();
    Ok(times[STARTS / 2])
}

/// Opens the connections, each of which says something and reads the answer to its end.
fn per_connection(
    bench: &mut Bench,
    upstream: &Upstream,
    said: &str,
    answered: &str,
) -> anyhow::Result<u64> {
    let mut daemon = bench.daemon(upstream, Scheme::Tls)?;
    daemon.wait_until_ready()?;
    let socket = daemon.socket.clone();
    let mut connections = vec![open(&socket, said, answered)?];
    let before = daemon.process.usage()?.resident;
    for _ in 0..CONNECTIONS {
        connections.push(open(&socket, said, answered)?);
    }
    // They are accepted in their order.
    drop(open(
        &socket,
        r#"{"jsonrpc":"2.0","id":1,"method":"health"}"#,
        "}\n",
    )?);
    let after = daemon.process.usage()?.resident;
    drop(connections);
    daemon.stop()?;
    Ok(after.saturating_sub(before) / u64::try_from(CONNECTIONS)?)
}

fn open(socket: &Path, said: &str, answered: &str) -> anyhow::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(said.as_bytes())?;
    let mut answer = Vec::new();
    while !answer.ends_with(answered.as_bytes()) {
        let mut bytes = [0; 1024];
        let read = stream.read(&mut bytes)?;
        anyhow::ensure!(read > 0, "the daemon closed the connection");
        answer.extend_from_slice(&bytes[..read]);
    }
    Ok(stream)
}

/// Whether an ELF file of 64 bits, little-endian, has a section of the type `SHT_SYMTAB`.
/// See <https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.sheader.html>.
fn has_symbols(file: &[u8]) -> Option<bool> {
    const SYMBOLS: u32 = 2;
    let half = |at: usize| Some(u16::from_le_bytes(*file.get(at..)?.first_chunk()?));
    let word = |at: usize| Some(u32::from_le_bytes(*file.get(at..)?.first_chunk()?));
    let offset = u64::from_le_bytes(*file.get(0x28..)?.first_chunk()?);
    let offset = usize::try_from(offset).ok()?;
    let (size, count) = (usize::from(half(0x3a)?), usize::from(half(0x3c)?));
    let kinds = (0..count).map(|number| word(offset + number * size + 4));
    let kinds: Vec<u32> = kinds.collect::<Option<_>>()?;
    Some(kinds.contains(&SYMBOLS))
}
