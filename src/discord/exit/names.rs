//! Where the upstream's name leads: looked up once for all calls of some seconds, since every call has
//! a connection of its own.
//!
//! A name tells nothing of a call. What cannot be reached is looked up again by the next connection.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
    vec,
};

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tokio::{sync::Mutex, time::Instant};
use tower_service::Service;

/// How long the addresses of a name are used.
const FRESH: Duration = Duration::from_secs(10);

/// Looks names up.
#[derive(Clone, Default)]
pub(super) struct Names(Arc<Mutex<Option<Known>>>);

/// What came of the last look-up, and when.
struct Known {
    name: String,
    found: Result<Vec<SocketAddr>, Unknown>,
    since: Instant,
}

/// Why a name leads nowhere.
#[derive(Clone)]
struct Unknown {
    kind: io::ErrorKind,
    why: String,
}

impl Known {
    /// Whether it may be used by who began to ask then. A failure is only for those who waited for it.
    fn is_for(&self, name: &Name, began: Instant) -> bool {
        let is_fresh = self.found.is_ok() && self.since.elapsed() < FRESH;
        self.name == name.as_str() && (is_fresh || self.since >= began)
    }

    fn found(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        let Unknown { kind, why } = match &self.found {
            Ok(addresses) => return Ok(addresses.clone().into_iter()),
            Err(unknown) => unknown.clone(),
        };
        Err(io::Error::new(kind, why))
    }
}

impl Names {
    /// Looks up anew what is asked for next.
    pub(super) async fn forget(&self) {
        *self.0.lock().await = None;
    }

    /// Gives the addresses; calls that begin at once wait for one look-up.
    async fn addresses(self, name: Name) -> io::Result<vec::IntoIter<SocketAddr>> {
        let began = Instant::now();
        let mut known = self.0.lock().await;
        if let Some(known) = known.as_ref().filter(|it| it.is_for(&name, began)) {
            return known.found();
        }
        // A call that is given up here leaves nothing known, and the next one looks.
        *known = None;
        let found = GaiResolver::new().call(name.clone()).await;
        let found = found.map(Iterator::collect).map_err(|err| Unknown {
            kind: err.kind(),
            why: err.to_string(),
        });
        let looked = Known {
            name: name.to_string(),
            found,
            since: Instant::now(),
        };
        known.insert(looked).found()
    }
}

impl Service<Name> for Names {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        Box::pin(self.clone().addresses(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_is_looked_up_again_when_it_is_old_or_leads_nowhere() {
        let names = Names::default();
        let here: Name = "localhost".parse().unwrap();
        let found = names.clone().addresses(here.clone()).await.unwrap();
        assert!(found.clone().all(|address| address.ip().is_loopback()) && found.len() > 0);
        // What is known is believed.
        let believed = SocketAddr::from(([192, 0, 2, 1], 0));
        let believe = async |since| {
            let mut known = names.0.lock().await;
            let known = known.as_mut().unwrap();
            (known.found, known.since) = (Ok(vec![believed]), since);
        };
        let addresses = async || names.clone().addresses(here.clone()).await.unwrap();
        believe(Instant::now()).await;
        assert_eq!(addresses().await.as_slice(), [believed]);
        names.forget().await;
        assert_eq!(addresses().await.as_slice(), found.as_slice());
        believe(Instant::now() - FRESH).await;
        assert_eq!(addresses().await.as_slice(), found.as_slice());
        believe(Instant::now()).await;
        let other: Name = "ip6-localhost".parse().unwrap();
        let found = names.clone().addresses(other).await;
        assert!(found.is_err() || found.unwrap().as_slice() != [believed]);
    }

    #[test]
    fn a_failure_is_told_to_those_who_waited_for_it_and_to_nobody_later() {
        let (name, began) = ("nowhere".parse().unwrap(), Instant::now());
        let kind = io::ErrorKind::NotFound;
        let why = "made up".to_owned();
        let known = Known {
            name: "nowhere".to_owned(),
            found: Err(Unknown { kind, why }),
            since: began + Duration::from_millis(1),
        };
        assert!(known.is_for(&name, began));
        assert_eq!(known.found().unwrap_err().to_string(), "made up");
        assert!(!known.is_for(&name, began + FRESH));
    }
}
