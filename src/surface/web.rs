//! Pages in browsers kept out: what a request over HTTP says of the host it is for, and of the page
//! it comes from.
//!
//! A browser runs pages of anybody, and reaches ports on loopback that nobody else does. It sends the
//! origin of the page with each call, and the name that it found this machine under, which a page's
//! owner may let point to 127.0.0.1.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use axum::{
    http::{
        HeaderMap, HeaderValue, Method, StatusCode, Uri, header, request::Parts, uri::Authority,
    },
    response::{IntoResponse, Response},
};

use super::{
    Caller, Entrance, Visitor, admit, answer::invalid_request, http::json, pages::Site, rest,
};
use crate::{
    config::{Listen, Several},
    metrics::Refusal,
};

/// What a page of `listen.allowed_origins` may do, and with which headers.
/// See <https://fetch.spec.whatwg.org/#http-cors-protocol>.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST");
const HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, discordd-secret, mcp-method, mcp-name, mcp-protocol-version",
);
/// Headers of an answer that it may read.
const READABLE: HeaderValue = HeaderValue::from_static("retry-after");
/// How long a browser may remember this, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// Which hosts and pages are taken.
pub struct Web {
    hosts: Vec<String>,
    origins: Vec<String>,
}

impl Web {
    /// Takes what the settings say.
    #[must_use]
    pub fn new(settings: &Listen) -> Self {
        let lower = |names: &Several| names.iter().map(str::to_ascii_lowercase).collect();
        Self {
            hosts: lower(&settings.allowed_hosts),
            origins: lower(&settings.allowed_origins),
        }
    }

    /// Says why a request that came in here is not taken, if it is not.
    pub(super) fn refuse(
        &self,
        head: &Parts,
        entrance: Entrance,
    ) -> Option<(Refusal, &'static str)> {
        if !self.takes_origin(head, entrance) {
            let why =
                "calls from web pages are not taken, but from those of listen.allowed_origins";
            return Some((Refusal::Origin, why));
        }
        if !self.takes_host(head, entrance) {
            let why = "the host is none of this machine's, and none of listen.allowed_hosts";
            return Some((Refusal::Host, why));
        }
        None
    }

    /// The page that a request comes from, if the settings name it.
    pub(super) fn named_origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        let named = origin.to_str().ok()?.to_ascii_lowercase();
        self.origins.contains(&named).then(|| origin.clone())
    }

    fn takes_origin(&self, head: &Parts, entrance: Entrance) -> bool {
        let Some(origin) = head.headers.get(header::ORIGIN) else {
            return true;
        };
        let Ok(origin) = origin.to_str().map(str::to_ascii_lowercase) else {
            return false;
        };
        // Nobody else serves pages at the daemon's own port.
        self.origins.contains(&origin) || is_own(&origin, entrance)
    }

    fn takes_host(&self, head: &Parts, entrance: Entrance) -> bool {
        let needed = match entrance {
            Entrance::Loopback { .. } => true,
            Entrance::Network => !self.hosts.is_empty(),
            Entrance::Unix => false,
        };
        let named = head.uri.authority().cloned().map(Ok);
        let named = named.or_else(|| {
            let header = head.headers.get(header::HOST)?;
            Some(Authority::try_from(header.as_bytes()))
        });
        match named {
            // No browser leaves it out.
            None => true,
            Some(_) if !needed => true,
            Some(Err(_)) => false,
            Some(Ok(named)) => {
                let of_list = |name: &str| self.hosts.contains(&name.to_ascii_lowercase());
                let is_loopback =
                    matches!(entrance, Entrance::Loopback { .. }) && is_loopback(named.host());
                is_loopback || of_list(named.host()) || of_list(named.as_str())
            }
        }
    }
}

/// Lets in a request, or gives the answer to it: to what a web page may have sent, to browsers that
/// ask whether a page may call, and to strangers.
pub(super) async fn let_in(
    (web, site): &(Web, Site),
    visitor: Arc<Visitor>,
    head: &Parts,
) -> Result<Caller, Response> {
    if let Some((refusal, why)) = web.refuse(head, visitor.entrance) {
        site.rpc.metrics().refuse(refusal);
        if rest::PATHS.iter().any(|(path, _)| *path == head.uri.path()) {
            return Err(rest::refuse(StatusCode::FORBIDDEN, why));
        }
        return Err(json(StatusCode::FORBIDDEN, invalid_request("null", why)));
    }
    if asks_whether_it_may(head) && web.named_origin(&head.headers).is_some() {
        let told = [
            (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS),
            (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE),
        ];
        return Err((StatusCode::NO_CONTENT, told).into_response());
    }
    admit::let_in(site, visitor, head).await
}

/// Lets a browser show an answer to the page that asked, if the settings name that.
pub(super) fn show(mut answer: Response, origin: Option<HeaderValue>) -> Response {
    if let Some(origin) = origin {
        let headers = answer.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, READABLE);
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
    answer
}

/// Whether this is a browser's question before it lets a page send the request itself.
fn asks_whether_it_may(head: &Parts) -> bool {
    let asked = &header::ACCESS_CONTROL_REQUEST_METHOD;
    head.method == Method::OPTIONS && head.headers.contains_key(asked)
}

/// Whether an origin is that of the loopback port itself.
fn is_own(origin: &str, entrance: Entrance) -> bool {
    let Entrance::Loopback { port: own } = entrance else {
        return false;
    };
    let Ok(uri) = origin.parse::<Uri>() else {
        return false;
    };
    let usual = match uri.scheme_str() {
        Some("http") => 80,
        Some("https") => 443,
        Some(_) | None => return false,
    };
    let port = uri.port_u16().unwrap_or(usual);
    is_loopback(uri.host().unwrap_or_default()) && port == own
}

/// Whether a name is this machine's to itself, whatever any name server says.
/// See <https://www.rfc-editor.org/rfc/rfc6761#section-6.3>.
fn is_loopback(host: &str) -> bool {
    let inner = host.trim_start_matches('[').trim_end_matches(']');
    host.parse::<IpAddr>().is_ok_and(|it| it.is_loopback())
        || inner.parse::<Ipv6Addr>().is_ok_and(|it| it.is_loopback())
        || is_localhost(&host.trim_end_matches('.').to_ascii_lowercase())
}

fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: Entrance = Entrance::Loopback { port: 9091 };

    fn check(web: &Web, entrance: Entrance, headers: &[(&str, &str)], taken: bool) {
        let mut request = axum::http::Request::get("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        assert_eq!(web.refuse(&head, entrance).is_none(), taken, "{headers:?}");
    }

    #[test]
    fn on_loopback_only_its_own_names_are_taken() {
        let web = Web::new(&Listen::default());
        for host in [
            "localhost:9091",
            "127.0.0.1",
            "127.8.8.8:1",
            "[::1]:9091",
            "a.localhost",
            "LOCALHOST.",
        ] {
            check(&web, LOOPBACK, &[("host", host)], true);
        }
        for host in [
            "evil.example",
            "evil.example:9091",
            "192.0.2.1",
            "localhost.evil.example",
            "",
            "a b",
        ] {
            check(&web, LOOPBACK, &[("host", host)], false);
            check(&web, Entrance::Network, &[("host", host)], true);
            check(&web, Entrance::Unix, &[("host", host)], true);
        }
        check(&web, LOOPBACK, &[], true);
    }

    #[test]
    fn a_host_may_be_set_and_is_then_the_only_one_elsewhere() {
        let settings = Listen {
            allowed_hosts: "Discord-Api,b:1".into(),
            ..Listen::default()
        };
        let web = Web::new(&settings);
        for (host, on_loopback, elsewhere) in [
            ("discord-api:9091", true, true),
            ("b:1", true, true),
            ("b:2", false, false),
            ("localhost", true, false),
        ] {
            check(&web, LOOPBACK, &[("host", host)], on_loopback);
            check(&web, Entrance::Network, &[("host", host)], elsewhere);
        }
    }

    #[test]
    fn a_page_is_taken_if_it_is_set_or_the_ports_own() {
        let settings = Listen {
            allowed_origins: "https://good.example".into(),
            ..Listen::default()
        };
        let web = Web::new(&settings);
        for (origin, on_loopback, elsewhere) in [
            ("https://good.example", true, true),
            ("http://localhost:9091", true, false),
            ("http://127.0.0.1:9091", true, false),
            ("http://localhost:8080", false, false),
            ("https://localhost:9091", true, false),
            ("ftp://localhost:9091", false, false),
            ("http://evil.example:9091", false, false),
            ("null", false, false),
        ] {
            check(&web, LOOPBACK, &[("origin", origin)], on_loopback);
            check(&web, Entrance::Unix, &[("origin", origin)], elsewhere);
        }
    }
}
