//! A soak: all attacks in turn and some together, with ten thousand idle connections and the honest
//! callers beside them, and now and then no descriptor left, for minutes.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{
    attack::{ATTACKS, Attack, Place},
    honest::{Honest, Tally},
    role::Role,
    say,
    target::{Ground, Target},
    trial::milliseconds,
};

/// Connections that are idle, all the while.
const IDLE: usize = 10_000;
/// How often a line is printed; each attack goes on for one.
const STEP: Duration = Duration::from_secs(5);
/// Attacks that go on together, behind those in turn.
const TOGETHER: [&str; 5] = ["lines", "bodies", "hellos", "brackets", "exit_heads"];
/// How long the daemon has, behind the last attack, to be as it was.
const REST: Duration = Duration::from_secs(40);
/// Tasks and descriptors that it may have more then: connections of callers that come and go.
const SLACK: usize = 16;
/// Most that its memory may have grown by between the first whole round and the last, in KiB.
const MAX_GROWTH_KIB: u64 = 16 << 10;

/// What the daemon holds.
struct Held {
    resident_kib: u64,
    descriptors: usize,
    tasks: usize,
}

/// A soak that goes on.
struct Soak<'a> {
    target: &'a Target,
    honest: &'a Honest,
    began: Instant,
    lost: usize,
    why: Option<String>,
}

/// Goes on for so long, and gives what is broken.
pub(crate) fn run(ground: &Ground, time: Duration) -> Vec<String> {
    let target = ground.start();
    let honest = Honest::begin(ground, &target);
    let mut soak = Soak {
        target: &target,
        honest: &honest,
        began: Instant::now(),
        lost: 0,
        why: None,
    };
    soak.look("nothing");
    let before = Held::by(&target);
    let crowd = Role::crowd(IDLE, target.address(Place::Door));
    let mut rounds = Vec::new();
    while soak.began.elapsed() < time {
        soak.round(time);
        if soak.began.elapsed() < time || rounds.is_empty() {
            rounds.push(Held::by(&target).resident_kib);
        }
    }
    drop(crowd);
    let after = soak.rest(&before);
    soak.verdict(&before, &after, &rounds)
}

impl Held {
    fn by(target: &Target) -> Self {
        Self {
            resident_kib: target.daemon.resident_kib(),
            descriptors: target.descriptors(),
            tasks: usize::try_from(target.daemon.count("discordd_runtime_tasks")).unwrap(),
        }
    }

    fn is_as(&self, before: &Self) -> bool {
        self.descriptors <= before.descriptors + SLACK && self.tasks <= before.tasks + SLACK
    }
}

impl Soak<'_> {
    /// Goes through everything once, or until the time is over.
    fn round(&mut self, time: Duration) {
        for attack in &ATTACKS {
            self.under(&[attack], time);
        }
        self.under(&TOGETHER.map(Attack::named), time);
        if self.began.elapsed() < time {
            self.without_descriptors();
        }
    }

    fn under(&mut self, attacks: &[&Attack], time: Duration) {
        if self.began.elapsed() >= time {
            return;
        }
        let attack = |it: &&Attack| Role::attack(it, self.target.address(it.at));
        let attackers: Vec<Role> = attacks.iter().map(attack).collect();
        let names: Vec<&str> = attacks.iter().map(|it| it.name).collect();
        self.look(&names.join(" + "));
        drop(attackers);
    }

    /// Takes all descriptors that are left. Nobody could post then, and nobody tries.
    fn without_descriptors(&mut self) {
        self.honest.ask_only_health(true);
        // Calls that are under way end first.
        thread::sleep(STEP);
        let before = self.target.descriptors();
        self.target.limit_descriptors(before / 2);
        let attack = Attack::named("heads");
        let attacker = Role::attack(attack, self.target.address(attack.at));
        self.look("no descriptors");
        drop(attacker);
        self.target.restore_descriptors();
        self.honest.ask_only_health(false);
    }

    /// Waits until the daemon holds no more than before, but not for ever.
    fn rest(&mut self, before: &Held) -> Held {
        let last = Instant::now() + REST;
        loop {
            self.look("rest");
            let after = Held::by(self.target);
            if after.is_as(before) || Instant::now() >= last {
                return after;
            }
        }
    }

    /// Waits for a step, and prints how it went.
    fn look(&mut self, under: &str) {
        thread::sleep(STEP);
        let tally: Tally = self.honest.take();
        self.lost += tally.lost;
        if self.why.is_none() {
            self.why.clone_from(&tally.why);
        }
        let memory = self.target.daemon.resident_kib();
        say(&format!(
            "{:4} s  {memory:7} KiB  {:5} descriptors  {:5} calls, p50 {} ms, p99 {} ms, {} lost  under {under}",
            self.began.elapsed().as_secs(),
            self.target.descriptors(),
            tally.answered(),
            milliseconds(tally.percentile(50)),
            milliseconds(tally.percentile(99)),
            tally.lost,
        ));
    }

    fn verdict(&self, before: &Held, after: &Held, rounds: &[u64]) -> Vec<String> {
        let (first, last) = (rounds[0], rounds[rounds.len() - 1]);
        say(&format!(
            "before: {} KiB, {} descriptors, {} tasks; after: {} KiB, {} descriptors, {} tasks; \
             {first} KiB behind the first of {} whole rounds, {last} KiB behind the last; {} calls lost",
            before.resident_kib,
            before.descriptors,
            before.tasks,
            after.resident_kib,
            after.descriptors,
            after.tasks,
            rounds.len(),
            self.lost,
        ));
        let mut broken = Vec::new();
        if self.lost > 0 {
            let why = self.why.as_deref().unwrap_or_default();
            broken.push(format!("{} calls are lost, the first: {why}", self.lost));
        }
        if !after.is_as(before) {
            broken.push("descriptors or tasks are left behind".to_owned());
        }
        if last > first + MAX_GROWTH_KIB {
            broken.push(format!("memory grows from {first} to {last} KiB"));
        }
        broken
    }
}
