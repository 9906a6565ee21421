//! Loads put on several servers in turn, so that what disturbs one round disturbs all of them.

use std::time::Duration;

use super::{
    call::{Call, Way},
    load::{Load, Loader},
    process::{self, Process},
    usage::Usage,
};

/// What a load took, once.
pub(crate) struct Sample {
    /// From the first call to the last answer.
    pub(crate) took: Duration,
    /// What the measured process spent on all cores.
    pub(crate) cpu: Duration,
    /// How long each call took.
    pub(crate) waits: Vec<Duration>,
}

/// Who is measured.
pub(crate) enum Contender<'a> {
    /// A server that calls come to.
    Server {
        process: &'a Process,
        way: Way,
        call: Call,
        load: Load,
    },
    /// A program that makes its calls itself and prints a report.
    Program(process::Program),
}

/// What a load took, over all rounds.
pub(crate) struct Summary {
    /// Calls that were answered in a second: the median of the rounds.
    pub(crate) rate: f64,
    /// Time on all cores for each call: the median of the rounds.
    pub(crate) cpu: Duration,
    /// How long each call of every round took, the shortest first.
    waits: Vec<Duration>,
}

impl Contender<'_> {
    fn warm_up(&self, loader: &mut Loader) -> anyhow::Result<()> {
        match self {
            Self::Server {
                way, call, load, ..
            } => loader.run(way, call, load.warm_up()).map(drop),
            // It does so itself.
            Self::Program(_) => Ok(()),
        }
    }

    fn measure(&self, loader: &mut Loader) -> anyhow::Result<Sample> {
        match self {
            Self::Program(program) => program.run(),
            Self::Server {
                process,
                way,
                call,
                load,
            } => {
                let before = process.usage()?;
                let run = loader.run(way, call, *load)?;
                Ok(Sample {
                    took: run.took,
                    cpu: process.usage()?.cpu_since(&before),
                    waits: run.waits,
                })
            }
        }
    }

    /// What it holds now; of a program that has ended nothing is known.
    pub(crate) fn usage(&self) -> anyhow::Result<Option<Usage>> {
        match self {
            Self::Program(_) => Ok(None),
            Self::Server { process, .. } => process.usage().map(Some),
        }
    }
}

/// Measures each contender once in every round.
///
/// # Errors
///
/// When a call fails.
pub(crate) fn measure<const N: usize>(
    loader: &mut Loader,
    contenders: &[Contender<'_>; N],
    rounds: usize,
) -> anyhow::Result<[Summary; N]> {
    for contender in contenders {
        contender.warm_up(loader)?;
    }
    let mut samples = [const { Vec::new() }; N];
    for _ in 0..rounds {
        for (contender, samples) in contenders.iter().zip(&mut samples) {
            samples.push(contender.measure(loader)?);
        }
    }
    Ok(samples.map(Summary::of))
}

impl Summary {
    fn of(samples: Vec<Sample>) -> Self {
        let calls = |sample: &Sample| f64::from(u32::try_from(sample.waits.len()).unwrap_or(1));
        let mut rates: Vec<f64> = samples
            .iter()
            .map(|sample| calls(sample) / sample.took.as_secs_f64())
            .collect();
        rates.sort_unstable_by(f64::total_cmp);
        let mut cpu: Vec<Duration> = samples
            .iter()
            .map(|sample| sample.cpu.div_f64(calls(sample)))
            .collect();
        cpu.sort_unstable();
        let mut waits: Vec<_> = samples.into_iter().flat_map(|it| it.waits).collect();
        waits.sort_unstable();
        Self {
            rate: rates.get(rates.len() / 2).copied().unwrap_or_default(),
            cpu: cpu.get(cpu.len() / 2).copied().unwrap_or_default(),
            waits,
        }
    }

    /// The time within which this part of the calls was answered, from 0 to 1.
    pub(crate) fn within(&self, part: f64) -> Duration {
        let last = self.waits.len().saturating_sub(1);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "a place among some thousands"
        )]
        let index = (last as f64 * part).round() as usize;
        self.waits.get(index).copied().unwrap_or_default()
    }
}
