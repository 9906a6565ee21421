//! Tells systemd how the daemon is. Does nothing where there is no systemd.

use sd_notify::NotifyState;

/// Every door is open and served.
pub fn ready() {
    tell(NotifyState::Ready);
}

/// The doors are closed and calls are being finished.
pub fn stopping() {
    tell(NotifyState::Stopping);
}

fn tell(state: NotifyState<'_>) {
    if let Err(err) = sd_notify::notify(&[state]) {
        tracing::warn!(%err, "systemd could not be told");
    }
}
