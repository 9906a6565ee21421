//! The daemon's life: it serves the doors, says that it is ready, reads its settings again when it is
//! told to, waits for the stop, and lets the calls under way finish.

use std::{io, sync::Arc, time::Duration};

use anyhow::Context;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
    time::{error::Elapsed, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::{Environment, Settings},
    discord::Exit,
    listener::{self, Door, Keeper, Reception, Reload},
    log,
    metrics::Metrics,
    notify,
    operation::Hall,
    surface::{Rpc, Web},
    threads::Threads,
};

/// How long calls are still taken, when the doors are closed, on connections that were made before:
/// who has just got through to this process is not sent away.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Where the settings came from, to read them there again.
pub struct Source {
    /// The settings as they were read at start.
    pub begun_with: Settings,
    /// Reads them.
    pub read: Box<dyn Fn() -> anyhow::Result<Settings> + Send + Sync>,
    /// What they may refer to.
    pub environment: Environment,
}

/// Serves `doors` on `threads` until the process is told to stop. `upstream` is what `health` calls the
/// far side.
///
/// # Errors
///
/// When the daemon cannot start, or cannot go on.
pub async fn run(
    mut settings: Settings,
    source: Source,
    doors: Vec<Door>,
    threads: Threads,
    upstream: String,
) -> anyhow::Result<()> {
    let mut hangups = signal(SignalKind::hangup()).context("listen for signals")?;
    let mut stops = Stops::listen().context("listen for signals")?;
    listener::fit(&mut settings.limits);
    let far_side = TaskTracker::new();
    let ended = CancellationToken::new();
    let metrics = Arc::new(Metrics::default());
    let hall = Arc::new(Hall {
        exit: Exit::open_on(&threads, &settings.discord, &metrics, &ended, &far_side)?,
        metrics: Arc::clone(&metrics),
        upstream,
    });
    let keepers: Vec<Keeper> = doors.iter().map(Door::keeper).collect();
    let mut serving = Serving::begin(&settings, doors, &threads, hall);
    notify::ready(&status(&metrics));
    tokio::spawn({
        let metrics = Arc::clone(&metrics);
        notify::keep_alive(threads, move || status(&metrics))
    });
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "ready");

    let (reason, lost) = loop {
        tokio::select! {
            signal = stops.next() => break (signal, false),
            _ = serving.doors.join_next() => break ("a door is lost", true),
            _ = hangups.recv() => {
                notify::reloading();
                source.reload(&keepers);
                notify::ready(&status(&metrics));
            }
        }
    };
    notify::stopping(&status(&metrics));
    tokio::select! {
        drained = serving.finish(reason, settings.limits.drain_timeout) => if drained.is_err() {
            tracing::warn!(in_flight = metrics.in_flight(), "calls were cut: their time was over");
        },
        signal = stops.next() => {
            tracing::warn!(signal, in_flight = metrics.in_flight(), "calls were cut: told twice");
        }
    }
    ended.cancel();
    tracing::info!("stopped");
    anyhow::ensure!(!lost, "a door could no longer be served");
    Ok(())
}

impl Source {
    /// Puts in force what is in the settings now, or says why not; then what was stays.
    fn reload(&self, keepers: &[Keeper]) {
        match self.try_reload(keepers) {
            Ok(settings) => {
                tracing::info!("the settings were read again");
                for what in self.begun_with.needs_restart(&settings) {
                    tracing::warn!(what, "this change waits for a restart");
                }
            }
            Err(err) => {
                let error = format!("{err:#}");
                tracing::error!(error, "the settings were not reloaded: those before stay");
            }
        }
    }

    fn try_reload(&self, keepers: &[Keeper]) -> anyhow::Result<Settings> {
        let settings = (self.read)()?;
        let reload = Reload::read(keepers, &settings, &self.environment)?;
        log::reload(&settings.log)?;
        reload.put_in_force();
        Ok(settings)
    }
}

/// What `systemctl status` shows.
fn status(metrics: &Metrics) -> String {
    let doing = if metrics.draining() {
        "stopping"
    } else {
        "serving"
    };
    format!("{doing}, calls under way: {}", metrics.in_flight())
}

/// Doors that are served, and the calls that came through them.
struct Serving {
    /// One task for each door, which ends before it is told to only if the door is lost.
    doors: JoinSet<()>,
    calls: TaskTracker,
    close: CancellationToken,
    stop: CancellationToken,
    metrics: Arc<Metrics>,
}

impl Serving {
    fn begin(settings: &Settings, doors: Vec<Door>, threads: &Threads, hall: Arc<Hall>) -> Self {
        let (close, stop) = (CancellationToken::new(), CancellationToken::new());
        let (calls, metrics) = (TaskTracker::new(), Arc::clone(&hall.metrics));
        let rpc = Arc::new(Rpc::new(hall, settings.limits.clone(), calls.clone()));
        let web = Web::new(&settings.listen);
        let tokens = (close.clone(), stop.clone());
        let reception = Reception::new(rpc, web, &settings.limits, calls.clone(), tokens);
        let mut serving = Self {
            doors: JoinSet::new(),
            calls,
            close,
            stop,
            metrics,
        };
        for door in doors {
            let address = door.socket.to_string();
            let inherited = door.inherited;
            tracing::info!(door = door.settings.name, address, inherited, "listening");
            let served = reception.clone().serve(door, threads.clone());
            serving.doors.spawn(async move {
                if let Err(err) = served.await {
                    tracing::error!(%err, address, "the door could not be served");
                }
            });
        }
        serving
    }

    /// Closes the doors first and refuses calls after that, then waits for those under way.
    async fn finish(&mut self, reason: &str, time: Duration) -> Result<(), Elapsed> {
        self.close.cancel();
        while self.doors.join_next().await.is_some() {}
        if !self.calls.is_empty() {
            sleep(LAST_WORDS).await;
        }
        self.metrics.begin_draining();
        tracing::info!(reason, in_flight = self.metrics.in_flight(), "stopping");
        self.stop.cancel();
        self.calls.close();
        timeout(time, self.calls.wait()).await
    }
}

/// The signals that end the daemon.
struct Stops {
    interrupt: Signal,
    terminate: Signal,
}

impl Stops {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}
