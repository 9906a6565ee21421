//! The daemon's life: it serves the doors, says that it is ready, waits for the stop, and lets the
//! calls under way finish.

use std::{io, sync::Arc};

use anyhow::Context;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::Settings,
    discord::Exit,
    listener::{Door, Reception},
    metrics::Metrics,
    notify,
    operation::Hall,
    surface::{Rpc, Web},
};

/// Serves `doors` until the process is told to stop. `upstream` is what `health` calls the far side.
///
/// # Errors
///
/// When the daemon cannot start.
pub async fn run(settings: Settings, doors: Vec<Door>, upstream: String) -> anyhow::Result<()> {
    let mut stops = Stops::listen().context("listen for signals")?;
    let far_side = TaskTracker::new();
    let ended = CancellationToken::new();
    let metrics = Arc::new(Metrics::default());
    let hall = Arc::new(Hall {
        exit: Exit::open(&settings.discord, ended.clone(), &far_side)?,
        metrics: Arc::clone(&metrics),
        upstream,
    });
    let (stop, calls) = (CancellationToken::new(), TaskTracker::new());
    let rpc = Arc::new(Rpc::new(hall, settings.limits.clone(), calls.clone()));
    let web = Web::new(&settings.listen);
    let reception = Reception::new(rpc, web, &settings.limits, calls.clone(), stop.clone());
    for door in doors {
        let address = door.socket.to_string();
        tracing::info!(door = door.name, address, "listening");
        let served = reception.clone().serve(door);
        calls.spawn(async move {
            if let Err(err) = served.await {
                tracing::error!(%err, address, "the door could not be served");
            }
        });
    }
    notify::ready();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "ready");

    let signal = stops.next().await;
    metrics.begin_draining();
    notify::stopping();
    tracing::info!(signal, in_flight = metrics.in_flight(), "stopping");
    stop.cancel();
    calls.close();
    tokio::select! {
        drained = timeout(settings.limits.drain_timeout, calls.wait()) => if drained.is_err() {
            tracing::warn!(in_flight = metrics.in_flight(), "calls were cut: their time was over");
        },
        signal = stops.next() => {
            tracing::warn!(signal, in_flight = metrics.in_flight(), "calls were cut: told twice");
        }
    }
    ended.cancel();
    tracing::info!("stopped");
    Ok(())
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
