//! One attack: the control run, in which it goes at a plain sink, and the run in which it goes at the
//! daemon, with the same honest callers of the same daemon in both.

use std::{
    fmt,
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use super::{
    attack::Attack,
    honest::{Honest, Tally},
    role::{Done, Role},
    target::{Ground, Target},
};

/// Most that the daemon's memory may grow by, in KiB.
const MAX_GROWTH_KIB: u64 = 16 << 10;
/// How many times as long the slowest hundredth of the calls may take as in the control run.
const MAX_RATIO: f64 = 2.0;
/// How long the daemon is called before anything is measured, and is left alone between the runs.
const WARM_UP: Duration = Duration::from_secs(2);
/// How long an attack goes on before it counts.
const RAMP: Duration = Duration::from_millis(500);
/// How often the daemon's memory is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// What one attack came to.
pub(crate) struct Trial {
    name: &'static str,
    growth_kib: u64,
    control: Run,
    attack: Run,
}

/// One run.
struct Run {
    honest: Tally,
    attacker: Done,
}

/// Makes both runs.
pub(crate) fn run(ground: &Ground, attack: &'static Attack, time: Duration) -> Trial {
    let target = ground.start();
    let honest = Honest::begin(ground, &target);
    honest.during(WARM_UP);
    let (sink, address) = Role::sink();
    let control = endure(attack, address, &honest, time);
    drop(sink);
    thread::sleep(WARM_UP);
    let before = target.daemon.resident_kib();
    let (most, over) = (AtomicU64::new(before), AtomicBool::new(false));
    let attack_run = thread::scope(|scope| {
        scope.spawn(|| watch(&target, &most, &over));
        let run = endure(attack, target.address(attack.at), &honest, time);
        over.store(true, Ordering::Relaxed);
        run
    });
    Trial {
        name: attack.name,
        growth_kib: most.into_inner() - before,
        control,
        attack: attack_run,
    }
}

fn endure(attack: &Attack, target: SocketAddr, honest: &Honest, time: Duration) -> Run {
    let attacker = Role::attack(attack, target);
    thread::sleep(RAMP);
    let honest = honest.during(time);
    let attacker = attacker.end();
    Run { honest, attacker }
}

/// Keeps the most memory that the daemon has had.
fn watch(target: &Target, most: &AtomicU64, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        most.fetch_max(target.daemon.resident_kib(), Ordering::Relaxed);
        thread::sleep(LOOK);
    }
}

/// The head of the table.
pub(crate) fn head() -> String {
    let columns = [
        "Attack",
        "memory, KiB",
        "calls",
        "p50, ms",
        "p99, ms",
        "max, ms",
        "control p50, ms",
        "control p99, ms",
        "p99 ratio",
        "lost",
        "connections",
        "sent, MB",
        "control connections",
        "control sent, MB",
    ];
    let line = "|---|".to_owned() + &"--:|".repeat(columns.len() - 1);
    format!("| {} |\n{line}", columns.join(" | "))
}

impl Trial {
    fn ratio(&self) -> f64 {
        let [attack, control] = [&self.attack, &self.control].map(|it| it.honest.percentile(99));
        attack.as_secs_f64() / control.as_secs_f64()
    }

    /// The bounds that do not hold, in words.
    pub(crate) fn broken(&self) -> Vec<String> {
        let (name, growth, ratio) = (self.name, self.growth_kib, self.ratio());
        let mut broken = Vec::new();
        if growth >= MAX_GROWTH_KIB {
            broken.push(format!(
                "{name}: memory grows by {growth} KiB, and may by {MAX_GROWTH_KIB}"
            ));
        }
        if ratio > MAX_RATIO {
            broken.push(format!(
                "{name}: honest callers wait {ratio:.2} times as long, and may {MAX_RATIO} times"
            ));
        }
        for run in [&self.control, &self.attack] {
            let (lost, why) = (run.honest.lost, run.honest.why.as_deref());
            if lost > 0 {
                let why = why.unwrap_or_default();
                broken.push(format!("{name}: {lost} calls are lost, the first: {why}"));
            }
        }
        broken
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (attack, control) = (&self.attack, &self.control);
        let lost = attack.honest.lost + control.honest.lost;
        let cells = [
            self.name.to_owned(),
            self.growth_kib.to_string(),
            attack.honest.answered().to_string(),
            milliseconds(attack.honest.percentile(50)),
            milliseconds(attack.honest.percentile(99)),
            milliseconds(attack.honest.longest()),
            milliseconds(control.honest.percentile(50)),
            milliseconds(control.honest.percentile(99)),
            format!("{:.2}", self.ratio()),
            lost.to_string(),
            attack.attacker.made.to_string(),
            megabytes(attack.attacker.sent),
            control.attacker.made.to_string(),
            megabytes(control.attacker.sent),
        ];
        write!(f, "| {} |", cells.join(" | "))
    }
}

/// Spells a time in milliseconds.
pub(crate) fn milliseconds(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1e3)
}

fn megabytes(bytes: u64) -> String {
    (bytes / 1_000_000).to_string()
}
