//! Which HTTP requests a process accepts. JobManagers and TaskManagers apply the same rules.
//!
//! A browser sends requests to any address that a web page names. So a page of any site could change a cluster on the same
//! machine or network. A page could also read answers if its own host name resolves to the cluster's address (DNS rebinding).
//! Three rules prevent this. The `Host` must be an address or a name of this process. A request of a page of another site
//! changes nothing. A request that changes something has a content type that a page can't send to another site unasked.

use std::net::IpAddr;

use tonic::codegen::http::{HeaderMap, Method, Uri, header};

/// The answer of every rule's breach names the option that permits more.
const HOSTS_OPTION: &str = "rest.allowed-hosts";
const ORIGINS_OPTION: &str = "rest.allowed-origins";

/// Longest piece of a request that an error repeats, in characters.
const MAX_SHOWN: usize = 100;

/// The host names under which a process may be addressed, and the origins whose pages may change something.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HttpAccess {
    hosts: Vec<String>,
    origins: Vec<String>,
}

/// The parts of a request that decide whether it is accepted.
#[derive(Debug, Clone, Copy, Default)]
pub struct RequestHead<'a> {
    pub method: &'a str,
    /// Every value of `Host`, and the host in the request's target if it has one.
    pub hosts: &'a [&'a str],
    pub origin: Option<&'a str>,
    /// `Sec-Fetch-Site`, with which newer browsers say where a request comes from.
    pub fetch_site: Option<&'a str>,
    pub referer: Option<&'a str>,
    pub content_type: Option<&'a str>,
    pub has_body: bool,
}

/// Why a request is refused. Nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessRefused {
    /// The request is for another host.
    #[error(
        "REST-HOST: this process does not answer for the host {0:?}; use its IP address or its advertised name, or add the name \
         to {HOSTS_OPTION}"
    )]
    Host(String),
    /// The request comes from a page of another site.
    #[error("REST-ORIGIN: a page of {0} may not do this; add its origin to {ORIGINS_OPTION} if it may")]
    Origin(String),
    /// The content type is not JSON.
    #[error("REST-CONTENT-TYPE: the content type is {0}; a request that changes something needs content-type: application/json")]
    ContentType(String),
    /// The request would change something, but reads.
    #[error("REST-GET: a GET changes nothing; cancel a job with PATCH /jobs/:id?mode=cancel")]
    Reads,
}

impl AccessRefused {
    /// The HTTP status of this refusal.
    pub fn http_status(&self) -> u16 {
        match self {
            Self::Host(_) | Self::Origin(_) => 403,
            Self::ContentType(_) => 415,
            Self::Reads => 405,
        }
    }
}

impl RequestHead<'_> {
    /// Takes the parts from a request, and gives them to `decide`.
    pub fn of<T>(method: &Method, uri: &Uri, headers: &HeaderMap, decide: impl FnOnce(&RequestHead<'_>) -> T) -> T {
        // What is no text equals nothing that is allowed.
        let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
        let mut hosts: Vec<&str> = headers.get_all(header::HOST).iter().map(|value| value.to_str().unwrap_or("?")).collect();
        hosts.extend(uri.authority().map(|authority| authority.as_str()));
        let has_length = text("content-length").is_some_and(|length| length != "0");
        decide(&RequestHead {
            method: method.as_str(),
            hosts: &hosts,
            origin: text("origin"),
            fetch_site: text("sec-fetch-site"),
            referer: text("referer"),
            content_type: text("content-type"),
            has_body: has_length || headers.contains_key(header::TRANSFER_ENCODING),
        })
    }
}

impl HttpAccess {
    /// Accepts requests for these host names. IP addresses and `localhost` are always accepted. `*` accepts every name, and a
    /// name that begins with a dot accepts all names below it. The origins have the form `http://host:port`; their pages may
    /// change something although they are of another site.
    pub fn new(hosts: impl IntoIterator<Item = String>, origins: impl IntoIterator<Item = String>) -> Self {
        let lower = |text: String| text.trim().to_ascii_lowercase();
        Self {
            hosts: hosts.into_iter().map(lower).filter(|host| !host.is_empty()).collect(),
            origins: origins.into_iter().map(|origin| lower(origin).trim_end_matches('/').to_owned()).collect(),
        }
    }

    /// The same rules, with a further host name.
    #[must_use]
    pub fn and_host(mut self, host: &str) -> Self {
        self.hosts.push(host.trim().to_ascii_lowercase());
        self
    }

    /// Checks a request before anything is done for it.
    pub fn check(&self, head: &RequestHead<'_>) -> Result<(), AccessRefused> {
        if let Some(foreign) = head.hosts.iter().find(|host| !self.is_own_host(host)) {
            return Err(AccessRefused::Host(shown(foreign)));
        }
        if matches!(head.method, "GET" | "HEAD" | "OPTIONS") {
            return Ok(());
        }
        match (head.origin, head.fetch_site) {
            // A browser that sends this header knows better than the host name, which a proxy may have changed.
            (_, Some("same-origin")) => {}
            (Some(origin), _) if !self.is_own_origin(origin, head.hosts) => return Err(AccessRefused::Origin(shown(origin))),
            (None, Some(site)) if site != "none" => return Err(AccessRefused::Origin(format!("another site ({})", shown(site)))),
            _ => {}
        }
        self.check_content_type(head)
    }

    /// Checks a GET that Flink's web UI uses to change something. Only a page of this cluster itself may send it. A browser says
    /// so with `Sec-Fetch-Site`, or with `Referer` on connections without TLS.
    pub fn check_own_page(&self, head: &RequestHead<'_>) -> Result<(), AccessRefused> {
        let referer = head.referer.map(|referer| {
            let path = referer.find("://").and_then(|at| referer[at + 3..].find('/').map(|end| at + 3 + end));
            &referer[..path.unwrap_or(referer.len())]
        });
        match (head.fetch_site, referer) {
            (Some("same-origin"), _) => Ok(()),
            (_, Some(origin)) if self.is_listed(origin) => Ok(()),
            (Some(site), _) if site != "none" => Err(AccessRefused::Origin(format!("another site ({})", shown(site)))),
            (None, Some(origin)) if self.is_own_origin(origin, head.hosts) => Ok(()),
            (None, Some(origin)) => Err(AccessRefused::Origin(shown(origin))),
            _ => Err(AccessRefused::Reads),
        }
    }

    /// The origin of a request, if it is among the listed ones: its page may read the answer.
    pub fn reader<'a>(&self, head: &RequestHead<'a>) -> Option<&'a str> {
        head.origin.filter(|origin| self.is_listed(origin))
    }

    fn check_content_type(&self, head: &RequestHead<'_>) -> Result<(), AccessRefused> {
        match head.content_type {
            Some(kind) if is_json(kind) => Ok(()),
            // Before a browser sends another method than POST to another site, it asks. The answer is no.
            None if head.method != "POST" && !head.has_body => Ok(()),
            Some(kind) if kind.starts_with("multipart/") => {
                let advice = "; Weir runs no JARs, submit a job graph with `weir job submit`";
                Err(AccessRefused::ContentType(format!("{:?}{advice}", shown(kind))))
            }
            Some(kind) => Err(AccessRefused::ContentType(format!("{:?}", shown(kind)))),
            None => Err(AccessRefused::ContentType("missing".to_owned())),
        }
    }

    fn is_own_host(&self, host: &str) -> bool {
        let Some((name, _)) = split_port(host) else { return false };
        let name = name.to_ascii_lowercase();
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(&name);
        let name = name.strip_suffix('.').unwrap_or(&name);
        let is_listed = |own: &String| match own.strip_prefix('.') {
            Some(_) => name.len() > own.len() && name.ends_with(own.as_str()),
            None => own == "*" || own == name,
        };
        name == "localhost" || address.parse::<IpAddr>().is_ok() || self.hosts.iter().any(is_listed)
    }

    fn is_listed(&self, origin: &str) -> bool {
        self.origins.iter().any(|own| own == "*" || own.eq_ignore_ascii_case(origin))
    }

    /// Whether an origin is that of the request's own host, or is listed.
    fn is_own_origin(&self, origin: &str, hosts: &[&str]) -> bool {
        if self.is_listed(origin) {
            return true;
        }
        let Some((scheme, authority)) = origin.split_once("://") else { return false };
        let standard = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return false,
        };
        let place =
            |authority: &str| split_port(authority).map(|(name, port)| (name.to_ascii_lowercase(), port.unwrap_or(standard)));
        let own = place(authority);
        own.is_some() && !hosts.is_empty() && hosts.iter().all(|host| place(host) == own)
    }
}

/// Splits `name:port`, where the name may be an IPv6 address in brackets. `None` if the text has neither form.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let name_end = match authority.starts_with('[') {
        true => authority.find(']')? + 1,
        false => authority.find(':').unwrap_or(authority.len()),
    };
    let (name, rest) = authority.split_at(name_end);
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => None,
        None => return None,
        Some("") => None,
        Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => Some(digits.parse().ok()?),
        Some(_) => return None,
    };
    (!name.is_empty() && !name.contains(['@', '/', '\\', ' '])).then_some((name, port))
}

fn is_json(content_type: &str) -> bool {
    content_type.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn shown(text: &str) -> String {
    text.chars().take(MAX_SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const JSON: Option<&str> = Some("application/json; charset=UTF-8");

    fn access() -> HttpAccess {
        HttpAccess::new(["jm-1".into(), ".streams.example.org".into()], ["https://console.example.org/".into()])
    }

    fn post<'a>(hosts: &'a [&'a str]) -> RequestHead<'a> {
        RequestHead { method: "POST", hosts, content_type: JSON, has_body: true, ..RequestHead::default() }
    }

    #[test]
    fn addresses_and_own_names_are_accepted_as_hosts() {
        for host in [
            "127.0.0.1:8081",
            "10.1.2.3",
            "[::1]:8081",
            "localhost:8081",
            "LOCALHOST",
            "JM-1:8081",
            "jm-1.",
            "a.streams.example.org",
        ] {
            assert_eq!(access().check(&post(&[host])), Ok(()), "{host}");
        }
        assert_eq!(access().check(&post(&[])), Ok(()), "a browser always sends a host");
    }

    #[test]
    fn other_hosts_are_refused_for_every_method() {
        for host in [
            "evil.example:8081",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "streams.example.org",
            "xstreams.example.org",
            "jm-1@evil.example",
            "jm-1:80:80",
            "[::1]evil.example",
            "",
            ":8081",
        ] {
            for method in ["GET", "HEAD", "OPTIONS", "POST", "PATCH", "DELETE"] {
                for hosts in [&[host][..], &["jm-1", host], &[host, "jm-1"]] {
                    let refused = access().check(&RequestHead { method, ..post(hosts) });
                    assert!(matches!(refused, Err(AccessRefused::Host(_))), "{method} {host}");
                }
            }
        }
        assert_eq!(HttpAccess::new(["*".into()], []).check(&post(&["evil.example"])), Ok(()));
    }

    #[test]
    fn only_own_and_listed_origins_may_change_something() {
        let check = |origin, host| access().check(&RequestHead { origin: Some(origin), ..post(&[host]) });
        for (origin, host) in [
            ("http://jm-1:8081", "jm-1:8081"),
            ("http://jm-1", "jm-1:80"),
            ("https://a.streams.example.org", "a.streams.example.org"),
            ("http://[::1]:8081", "[::1]:8081"),
            ("https://console.example.org", "jm-1:8081"),
        ] {
            assert_eq!(check(origin, host), Ok(()), "{origin} at {host}");
        }
        for origin in ["null", "", "http://jm-1:8082", "https://jm-1:8081x", "http://jm-1", "http://evil.example", "file://"] {
            assert!(matches!(check(origin, "jm-1:8081"), Err(AccessRefused::Origin(_))), "{origin}");
        }
        // Without a host there is nothing that an origin could equal.
        let head = RequestHead { origin: Some("http://jm-1"), ..post(&[]) };
        assert!(matches!(access().check(&head), Err(AccessRefused::Origin(_))));
        // A proxy changed the host, but the browser says where the request comes from.
        let head = RequestHead { origin: Some("http://proxy"), fetch_site: Some("same-origin"), ..post(&["jm-1"]) };
        assert_eq!(access().check(&head), Ok(()));
        let head = RequestHead { fetch_site: Some("cross-site"), ..post(&["jm-1"]) };
        assert!(matches!(access().check(&head), Err(AccessRefused::Origin(_))));
    }

    #[test]
    fn a_get_that_changes_something_must_come_from_an_own_page() {
        let check = |fetch_site, referer| {
            access().check_own_page(&RequestHead {
                method: "GET",
                fetch_site,
                referer,
                hosts: &["jm-1:8081"],
                ..RequestHead::default()
            })
        };
        assert_eq!(check(Some("same-origin"), None), Ok(()));
        assert_eq!(check(None, Some("http://jm-1:8081/#/job")), Ok(()));
        assert_eq!(check(Some("same-site"), Some("https://console.example.org/x")), Ok(()));
        assert_eq!(check(None, None), Err(AccessRefused::Reads));
        assert_eq!(check(Some("none"), None), Err(AccessRefused::Reads));
        for (site, referer) in [
            (Some("cross-site"), None),
            (Some("same-site"), Some("http://jm-1:8081/")),
            (None, Some("http://jm-1:8081.evil.example/")),
            (None, Some("http://evil.example/http://jm-1:8081/")),
        ] {
            assert!(matches!(check(site, referer), Err(AccessRefused::Origin(_))), "{site:?} {referer:?}");
        }
    }

    proptest! {
        /// What a page can make a browser send to another site. Only a request of no page, and of a type that no page can send
        /// unasked, is accepted.
        #[test]
        fn no_simple_request_of_another_site_changes_anything(
            host in prop::sample::select(vec!["jm-1:8081", "127.0.0.1:8081", "localhost", "[::1]:80"]),
            site in "[a-z]{1,8}\\.[a-z]{2,5}(:[0-9]{1,5})?",
            kind in prop::option::of(prop::sample::select(vec!["application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=application/json"])),
            fetch_site in prop::option::of(prop::sample::select(vec!["cross-site", "same-site"])),
            with_origin: bool,
            has_body: bool,
        ) {
            let origin = format!("http://{site}");
            let head = RequestHead {
                method: "POST",
                hosts: &[host],
                origin: with_origin.then_some(origin.as_str()),
                fetch_site,
                content_type: kind,
                has_body,
                ..RequestHead::default()
            };
            let is_of_no_page = !with_origin && fetch_site.is_none() && kind == Some("application/json");
            prop_assert_eq!(access().check(&head).is_ok(), is_of_no_page);
        }

        #[test]
        fn no_text_makes_the_rules_panic(text in ".{0,60}", method in "GET|POST|PATCH") {
            let some = Some(text.as_str());
            let head = RequestHead { method: &method, hosts: &[&text], origin: some, fetch_site: some, referer: some, content_type: some, has_body: true };
            let _ = access().check(&head);
            let _ = access().check_own_page(&head);
            let _ = access().check(&RequestHead { hosts: &["jm-1"], ..head });
        }
    }
}
