//! The daemon under siege: how much memory each attack takes, and how long honest callers wait.
//!
//! `cargo bench --bench siege` starts the sandbox and, for each attack, a fresh daemon with its default
//! limits. Honest callers make calls at a modest rate while a process of its own attacks: first a plain
//! sink, in the control run, and then the daemon. Behind `--` come the names of single attacks,
//! `--seconds N` for each of both runs, and `--binary FILE` for another daemon than this package's. It
//! ends with 1 if a bound is broken, and says which. `-- soak` goes through all attacks again and again
//! for `--seconds N`, with ten thousand idle connections beside them.
#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "it is made of the tests' and another bench's parts, and ends where it went wrong"
)]

mod attack;
mod attacker;
#[path = "../figures/call.rs"]
mod call;
mod descriptors;
mod honest;
mod role;
mod sink;
mod soak;
#[path = "../../it/support/mod.rs"]
mod support;
mod target;
mod trial;
#[path = "../figures/usage.rs"]
mod usage;

use std::{env, io::Write as _, path::PathBuf, process::ExitCode, time::Duration};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::{attack::ATTACKS, target::Ground};

/// How long each run is unless it is said.
const TIME: Duration = Duration::from_secs(30);
/// How long a soak is unless it is said.
const SOAK_TIME: Duration = Duration::from_secs(300);
/// What is no attack, and is measured behind them.
const DESCRIPTORS: &str = "descriptors";
/// What goes through all of them.
const SOAK: &str = "soak";

/// What was asked for on the command line.
#[derive(Default)]
struct Wanted {
    names: Vec<String>,
    time: Option<Duration>,
    binary: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == role::FLAG) {
        return role::run(&arguments[1..]);
    }
    // `cargo test --all-targets` runs a bench too, and does not want to wait for one.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    raise_descriptor_limit();
    let wanted = Wanted::read(arguments);
    let ground = Ground::new(wanted.binary);
    let broken = if wanted.names == [SOAK] {
        soak::run(&ground, wanted.time.unwrap_or(SOAK_TIME))
    } else {
        besiege(&ground, &wanted.names, wanted.time.unwrap_or(TIME))
    };
    for bound in &broken {
        say(&format!("broken: {bound}"));
    }
    if broken.is_empty() {
        say("every bound holds");
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

impl Wanted {
    fn read(arguments: Vec<String>) -> Self {
        let mut wanted = Self::default();
        let mut arguments = arguments.into_iter().filter(|it| it != "--bench");
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--binary" => wanted.binary = arguments.next().map(Into::into),
                "--seconds" => {
                    let seconds = arguments.next().and_then(|it| it.parse().ok());
                    wanted.time = Some(Duration::from_secs(seconds.expect("a number of seconds")));
                }
                name => {
                    let mut known = ATTACKS.iter().map(|attack| attack.name);
                    let known = known.any(|it| it == name) || [DESCRIPTORS, SOAK].contains(&name);
                    assert!(known, "there is no attack {name}");
                    wanted.names.push(argument);
                }
            }
        }
        wanted
    }
}

/// Tries the attacks one after another, and gives the bounds that are broken.
fn besiege(ground: &Ground, names: &[String], time: Duration) -> Vec<String> {
    let is_wanted = |name: &str| names.is_empty() || names.iter().any(|it| it == name);
    let mut broken = Vec::new();
    for (number, attack) in ATTACKS.iter().filter(|it| is_wanted(it.name)).enumerate() {
        if number == 0 {
            say(&trial::head());
        }
        let trial = trial::run(ground, attack, time);
        say(&trial.to_string());
        broken.extend(trial.broken());
    }
    if is_wanted(DESCRIPTORS) {
        broken.extend(descriptors::run(ground));
    }
    broken
}

/// Prints a line at once: the whole takes minutes.
fn say(line: &str) {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{line}").unwrap();
    stdout.flush().unwrap();
}

/// Takes as many descriptors as there are: each connection has one here.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum;
    setrlimit(Resource::Nofile, Rlimit { current, ..limit }).unwrap();
}
