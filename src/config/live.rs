//! What a reload of the settings replaces while it is in use.

use std::sync::Arc;

use tokio::sync::watch::Sender;

/// Something made from the settings that a reload may replace. Clones are the same thing.
pub struct Live<T>(Arc<Sender<Arc<T>>>);

impl<T> Live<T> {
    /// Something to begin with.
    pub fn new(value: T) -> Self {
        Self(Arc::new(Sender::new(Arc::new(value))))
    }

    /// As it is now.
    #[must_use]
    pub fn now(&self) -> Arc<T> {
        Arc::clone(&self.0.borrow())
    }

    /// Puts another in its place. Whoever holds the old one keeps it.
    pub fn replace(&self, value: T) {
        self.0.send_replace(Arc::new(value));
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_sees_what_is_put_in_its_place() {
        let live = Live::new(1);
        let (other, held) = (live.clone(), live.now());
        live.replace(2);
        assert_eq!((*held, *other.now()), (1, 2));
    }
}
