//! Processes of this program that are not the bench itself: what the daemon is measured with and
//! against. Each says where it listens, and ends with the bench.

use std::{
    future,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::SocketAddr,
    path::Path,
    process, thread,
    time::Duration,
};

use anyhow::Context as _;

use super::{echo, inside, parts, process::Process, upstream};

/// The argument that makes a process of this program something else than the bench.
pub(crate) const FLAG: &str = "--role";

/// A running role.
pub(crate) struct Role {
    /// The process.
    pub(crate) process: Process,
    /// Where it listens.
    pub(crate) addresses: Vec<SocketAddr>,
}

/// Runs the role that the arguments behind [`FLAG`] name.
///
/// # Errors
///
/// When there is no such role, or it cannot go on.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *arguments.as_slice() {
        ["echo", socket] => echo::texts(Path::new(socket)),
        ["inside", base_url, ca_file, channel, concurrency, calls] => {
            let settings = inside::settings(base_url, ca_file)?;
            inside::run(&settings, channel, concurrency.parse()?, calls.parse()?)
        }
        ["parts", plain, tls, ca_file] => parts::run(plain, tls, ca_file),
        ["route"] => echo::route(),
        ["upstream", ca_file, delay_ms] => {
            let delay = Duration::from_millis(delay_ms.parse()?);
            upstream::run(Path::new(ca_file), delay)
        }
        _ => anyhow::bail!("there is no such role: {arguments:?}"),
    }
}

impl Role {
    /// Starts a role and waits until it listens.
    ///
    /// # Errors
    ///
    /// When it ends before.
    pub(crate) fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut process = Process::role(arguments)?;
        let stdout = process.0.stdout.as_mut().context("a role has an output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        anyhow::ensure!(line.ends_with('\n'), "{arguments:?} does not start");
        let addresses = line.split_whitespace().map(str::parse);
        Ok(Self {
            addresses: addresses.collect::<Result<_, _>>()?,
            process,
        })
    }
}

/// Runs a role to its end and gives the lines that it prints.
///
/// # Errors
///
/// When it fails; it has said why.
pub(crate) fn lines(arguments: &[&str]) -> anyhow::Result<Vec<String>> {
    let mut process = Process::role(arguments)?;
    let stdout = process.0.stdout.take().context("a role has an output")?;
    let lines = BufReader::new(stdout).lines().collect::<Result<_, _>>()?;
    let status = process.0.wait()?;
    anyhow::ensure!(status.success(), "{arguments:?} failed");
    Ok(lines)
}

/// Tells the bench where this process listens.
pub(crate) fn say(addresses: &[SocketAddr]) -> io::Result<()> {
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let mut stdout = io::stdout();
    writeln!(stdout, "{}", addresses.join(" "))?;
    stdout.flush()
}

/// Ends this process when the bench ends, and never before.
pub(crate) async fn until_the_bench_ends() -> anyhow::Result<()> {
    thread::spawn(|| {
        // The bench never writes; it closes this when it ends, however it ends.
        let _ = io::stdin().read(&mut [0]);
        process::exit(0);
    });
    future::pending().await
}
