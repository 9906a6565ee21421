//! The figures of the real binary: how soon it answers, how much it carries, what a call costs, and
//! what the same costs without it.
//!
//! `cargo bench --bench figures` starts the daemon, a lean upstream in Discord's place, and what the
//! daemon is held against, as processes of their own, and prints tables. Behind `--` come the names of
//! single sections, and `--binary FILE` for another daemon than the one that is shipped. It must not
//! judge a speed; a wrong answer, a lost call or a warning of the daemon ends it with an error.

mod build;
mod call;
mod contest;
mod cores;
mod doors;
mod echo;
mod far_side;
mod growth;
mod inside;
mod load;
mod memory;
mod parts;
mod process;
mod role;
mod start;
mod svg;
mod table;
mod upstream;
mod usage;

use std::{
    alloc::System,
    env,
    io::{self, Write as _},
    time::Duration,
};

use zeroizing_alloc::ZeroAlloc;

use self::{
    build::Built,
    load::Loader,
    process::{Daemon, Folder, Scheme, Upstream},
    table::Table,
};

/// The daemon's own, since a part of it runs in a process of this program.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

/// Everything that can be measured, in the order in which it is.
const SECTIONS: [(&str, Section); 7] = [
    ("start", start::measure),
    ("doors", doors::measure),
    ("far_side", far_side::measure),
    ("burst", far_side::measure_burst),
    ("parts", parts::measure),
    ("growth", growth::measure),
    ("memory", memory::measure),
];

type Section = fn(&mut Bench) -> anyhow::Result<Vec<Table>>;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == role::FLAG) {
        return role::run(&arguments[1..]);
    }
    // `cargo test --all-targets` runs a bench too, and does not want to wait for one.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let mut wanted = Vec::new();
    let mut binary = None;
    let mut arguments = arguments.into_iter().filter(|it| it != "--bench");
    while let Some(argument) = arguments.next() {
        if argument == "--binary" {
            binary = arguments.next().map(Into::into);
        } else {
            wanted.push(argument);
        }
    }
    let unknown = wanted
        .iter()
        .find(|it| SECTIONS.iter().all(|(name, _)| name != it));
    anyhow::ensure!(unknown.is_none(), "there is no section {unknown:?}");
    let mut bench = Bench {
        built: Built::new(binary)?,
        folder: Folder::new()?,
        loader: Loader::new()?,
        daemons: 0,
    };
    for (name, measure) in SECTIONS {
        if wanted.is_empty() || wanted.iter().any(|it| it == name) {
            for table in measure(&mut bench)? {
                let mut stdout = io::stdout();
                write!(stdout, "{table}")?;
                stdout.flush()?;
            }
        }
    }
    Ok(())
}

/// What all figures are taken with.
struct Bench {
    built: Built,
    folder: Folder,
    loader: Loader,
    daemons: usize,
}

impl Bench {
    /// Starts a daemon, and waits for nothing.
    fn daemon(&mut self, upstream: &Upstream, scheme: Scheme) -> anyhow::Result<Daemon> {
        let socket = self.socket();
        Daemon::start(&self.built.daemon, socket, upstream, scheme, &[])
    }

    /// Starts an upstream, on ports of its own: connections that ended lately slow down new ones to
    /// the same port.
    fn upstream(&self, delay: Duration) -> anyhow::Result<Upstream> {
        Upstream::start(&self.folder, delay)
    }

    /// A path for another socket.
    fn socket(&mut self) -> std::path::PathBuf {
        self.daemons += 1;
        self.folder.file(&format!("{}.sock", self.daemons))
    }
}
