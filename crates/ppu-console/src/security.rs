//! Who may talk to the console: loopback names and the public address, same origin for whatever changes state, and a token
//! in every form.

use std::hash::{BuildHasher as _, Hasher as _};
use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};

/// Sent with every answer. Only the console's own files are loaded, nothing inline runs, and nobody may frame the pages: the
/// policy is at the same time the proof that nothing comes from another host.
pub(crate) const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    // Not `no-referrer`: browsers would then send `Origin: null` with forms.
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
];

/// Why a request is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Forbidden {
    #[error("the address in the Host header is not one of this console's")]
    Host,
    #[error("the request does not come from a page of this console")]
    Origin,
    #[error("the form is not from this console, or the console was restarted since: load the page again")]
    Token,
}

/// What requests are checked against.
#[derive(Debug)]
pub(crate) struct Security {
    token: String,
    listen: SocketAddr,
    public: Option<PublicUrl>,
}

/// Origin and authority of the configured address.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PublicUrl {
    origin: String,
    authority: String,
}

impl Security {
    /// Checks for a console that listens here; `None` when the public address is not an http(s) URL.
    pub(crate) fn new(listen: SocketAddr, public_url: Option<&str>) -> Option<Self> {
        let public = match public_url {
            None => None,
            Some(url) => Some(parse(url)?),
        };
        Some(Self { token: random_token(), listen, public })
    }

    /// The token that every form carries.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Checks a request before anything else looks at it: the host always (a foreign name that resolves to this machine is
    /// an attack by DNS rebinding), the origin for whatever changes state and for WebSockets.
    pub(crate) fn check(&self, method: &Method, websocket: bool, headers: &HeaderMap) -> Result<(), Forbidden> {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).ok_or(Forbidden::Host)?;
        if !self.host_is_ours(host) {
            return Err(Forbidden::Host);
        }
        let reading = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        if reading && !websocket {
            return Ok(());
        }
        // Absent and `null` are refused with the rest: every browser sends the origin of its page here.
        let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok()).ok_or(Forbidden::Origin)?;
        let same = origin.strip_prefix("http://").is_some_and(|authority| authority.eq_ignore_ascii_case(host));
        let public = self.public.as_ref().is_some_and(|public| public.origin.eq_ignore_ascii_case(origin));
        if same || public { Ok(()) } else { Err(Forbidden::Origin) }
    }

    /// Checks the token of a form in time that does not depend on where it differs.
    pub(crate) fn check_token(&self, token: &str) -> Result<(), Forbidden> {
        let (ours, theirs) = (self.token.as_bytes(), token.as_bytes());
        let different = ours.iter().zip(theirs).fold(ours.len() ^ theirs.len(), |sum, (a, b)| sum | usize::from(a ^ b));
        if different == 0 { Ok(()) } else { Err(Forbidden::Token) }
    }

    fn host_is_ours(&self, host: &str) -> bool {
        if self.public.as_ref().is_some_and(|public| public.authority.eq_ignore_ascii_case(host)) {
            return true;
        }
        // The port is not compared: a tunnel may give loopback another one, and the origin is compared with the whole host.
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() => name,
            _ => host,
        };
        if name.eq_ignore_ascii_case("localhost") {
            return true;
        }
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        address.is_ok_and(|address| address.is_loopback() || address == self.listen.ip())
    }
}

fn parse(url: &str) -> Option<PublicUrl> {
    let url = url.trim();
    let (scheme, rest) = url.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let authority =
        rest.split(['/', '?', '#']).next().filter(|authority| !authority.is_empty() && !authority.contains('@'))?;
    matches!(scheme.as_str(), "http" | "https")
        .then(|| PublicUrl { origin: format!("{scheme}://{authority}"), authority: authority.to_owned() })
}

/// 128 bits from the keys of std's hasher, which the operating system's random source gives: no further crate is needed
/// for a token that lives as long as the process.
fn random_token() -> String {
    let draw = |index: u64| {
        let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
        hasher.write_u64(index);
        hasher.finish()
    };
    format!("{:016x}{:016x}", draw(1), draw(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(host: &str, origin: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        headers
    }

    fn security() -> Security {
        Security::new("127.0.0.1:8080".parse().unwrap(), Some("https://lab.example.org/console")).unwrap()
    }

    #[test]
    fn only_our_names_are_served() {
        let security = security();
        for (host, fine) in [
            ("127.0.0.1:8080", true),
            ("localhost:9000", true),
            ("[::1]:8080", true),
            ("lab.example.org", true),
            ("evil.example:8080", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example:8080", false),
            ("192.168.1.4:8080", false),
        ] {
            assert_eq!(security.check(&Method::GET, false, &headers(host, None)).is_ok(), fine, "{host}");
        }
    }

    #[test]
    fn changes_need_our_origin() {
        let security = security();
        let check = |host: &str, origin: Option<&str>, method: Method, socket: bool| {
            security.check(&method, socket, &headers(host, origin))
        };
        let host = "127.0.0.1:8080";
        assert_eq!(check(host, Some("http://127.0.0.1:8080"), Method::POST, false), Ok(()));
        assert_eq!(check("lab.example.org", Some("https://lab.example.org"), Method::POST, false), Ok(()));
        for origin in [
            None,
            Some("null"),
            Some("http://evil.example"),
            Some("http://127.0.0.1:3000"),
            Some("http://localhost:8080"),
        ] {
            assert_eq!(check(host, origin, Method::POST, false), Err(Forbidden::Origin), "{origin:?}");
            assert_eq!(check(host, origin, Method::GET, true), Err(Forbidden::Origin), "{origin:?}");
        }
        assert_eq!(check(host, None, Method::GET, false), Ok(()), "reading needs no origin");
    }

    #[test]
    fn tokens_differ_and_are_compared_whole() {
        let (one, other) = (security(), security());
        assert_ne!(one.token(), other.token());
        assert_eq!(one.check_token(one.token()), Ok(()));
        assert_eq!(one.check_token(""), Err(Forbidden::Token));
        assert_eq!(one.check_token(&one.token()[1..]), Err(Forbidden::Token));
        assert_eq!(one.check_token(other.token()), Err(Forbidden::Token));
    }

    #[test]
    fn a_public_address_is_a_url() {
        assert!(Security::new("127.0.0.1:0".parse().unwrap(), Some("lab.example.org")).is_none());
        assert!(Security::new("127.0.0.1:0".parse().unwrap(), Some("ftp://lab")).is_none());
    }
}
