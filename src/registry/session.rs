//! Requests to one registry: authorization, redirects and retries.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use http::header::{
    ACCEPT, AUTHORIZATION, CACHE_CONTROL, LOCATION, RETRY_AFTER, USER_AGENT, WARNING, WWW_AUTHENTICATE,
};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Bytes;
use serde::Deserialize;

use super::answer::{
    Denied, Invalid, Outcome, RateLimit, RedirectFault, RegistryError, TlsFault, TokenServerFault, Trace, Unreachable,
};
use super::challenge::Challenge;
use super::credential::{Credential, shown};
use super::http_client::{Failure, HttpClient, Received};
use super::name::is_loopback;
use super::random::random_part;
use super::reader::Reader;
use super::settings::{HostSettings, Retries};
use super::token::{self, Authorization, Key, Tokens};
use super::url::{self, is_at, is_own_token_server, place};

const MAX_REDIRECTS: usize = 5;
const MAX_ERROR_BODY_BYTES: usize = 64 << 10;
const MAX_ERRORS: usize = 10;
const MAX_WARNINGS: usize = 10;
const AGENT: &str = concat!("pullthrough/", env!("CARGO_PKG_VERSION"));

/// A registry, and what is known of it.
pub(super) struct Session {
    /// With its port.
    pub(super) host: String,
    pub(super) http: HttpClient,
    pub(super) settings: HostSettings,
    /// Hosts with plain HTTP.
    pub(super) plain_hosts: Vec<String>,
    pub(super) token_servers: Vec<String>,
    pub(super) tokens: Tokens,
    pub(super) retries: Retries,
    /// Whether a loopback registry turned out to speak plain HTTP.
    pub(super) is_plain: AtomicBool,
}

/// A request, without its registry.
#[derive(Clone)]
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) accept: &'static str,
    /// The scope of its token.
    pub(super) scope: String,
    /// Whether a challenge is an answer, instead of what it asks for.
    pub(super) is_challenge_enough: bool,
    /// Whether a login is sent without a challenge.
    pub(super) sends_login: bool,
}

/// Why there is no response of the registry.
enum Stop {
    Failure(Failure),
    /// The token server gave another status than 2xx.
    TokenServer {
        host: String,
        status: StatusCode,
    },
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<Invalid> for Stop {
    fn from(invalid: Invalid) -> Self {
        Self::Failure(Failure::Invalid(invalid))
    }
}

impl Session {
    /// Asks with retries, and reads the answer. A body that fails on its way is asked for again.
    pub(super) async fn ask<R: Reader>(
        &self,
        ask: &Ask,
        credential: Option<&Credential>,
        trace: &mut Trace,
        reader: &R,
    ) -> Outcome<R::Output> {
        let mut attempt = 1;
        loop {
            let was_plain = self.is_plain();
            let received = self.attempt(ask, credential, trace).await;
            let outcome = match received {
                Ok(received) if is_answer(ask, &received) => match reader.read(received).await {
                    Ok(served) => return Outcome::Served(served),
                    Err(failure) => of_failure(failure),
                },
                Ok(received) => of_status(received.head.status, Denied::Registry),
                Err(Stop::Failure(failure)) => of_failure(failure),
                Err(Stop::TokenServer { host, status }) => of_status(status, Denied::TokenServer { host }),
            };
            if !was_plain && self.turned_out_plain(&outcome, trace) {
                self.is_plain.store(true, Ordering::Relaxed);
                continue;
            }
            let wait = trace.retry_after.unwrap_or_else(|| self.backoff(attempt));
            if attempt >= self.retries.attempts || !outcome.can_pass(trace.status) || wait > self.retries.max_wait {
                return outcome;
            }
            attempt += 1;
            tokio::time::sleep(wait).await;
        }
    }

    fn is_plain(&self) -> bool {
        self.settings.is_plain_http || self.is_plain.load(Ordering::Relaxed)
    }

    /// Returns whether a loopback registry speaks plain HTTP. Nothing but a TLS handshake was sent to it then.
    fn turned_out_plain<T>(&self, outcome: &Outcome<T>, trace: &Trace) -> bool {
        let is_plain = matches!(outcome, Outcome::Unreachable(Unreachable::Tls { fault: TlsFault::PlainHttp, .. }));
        is_plain && is_loopback(&self.host) && trace.host.as_ref() == Some(&self.host)
    }

    /// Returns a random part of the wait before the next attempt.
    fn backoff(&self, attempt: u32) -> Duration {
        let Retries { backoff, max_wait, .. } = self.retries;
        let longest = backoff.saturating_mul(1 << (attempt - 1).min(16)).min(max_wait);
        longest.mul_f64(random_part())
    }

    fn is_plain_allowed(&self, url: &Uri) -> bool {
        is_loopback(&place(url)) || self.plain_hosts.iter().any(|host| is_at(url, host))
    }

    async fn attempt(&self, ask: &Ask, credential: Option<&Credential>, trace: &mut Trace) -> Result<Received, Stop> {
        let scheme = if self.is_plain() { "http" } else { "https" };
        let start: Uri = format!("{scheme}://{}{}", self.host, ask.path)
            .parse()
            .map_err(|_| Invalid::Redirect(RedirectFault::NoLocation))?;
        let key = Key { registry: self.host.clone(), scope: ask.scope.clone(), credential: credential.cloned() };
        let slot = self.tokens.slot(&key);
        let mut authorization = match credential.filter(|_| ask.sends_login) {
            Some(credential) => Authorization::basic(credential),
            None => token::valid(&*slot.lock().await),
        };
        let mut is_challenged = false;
        let mut visited = vec![start.clone()];
        trace.redirects.clear();
        let mut url = start.clone();
        loop {
            let is_home = url.scheme() == start.scheme() && is_at(&url, &self.host);
            let mut request = Request::builder().method(ask.method.clone()).uri(&url).header(USER_AGENT, AGENT);
            request = request.header(ACCEPT, ask.accept);
            let sent = authorization.as_ref().filter(|_| is_home);
            if let Some(authorization) = sent {
                request = request.header(AUTHORIZATION, authorization.header.clone());
            }
            let request = request.body(Full::<Bytes>::default());
            let request = request.map_err(|_| Invalid::Redirect(RedirectFault::NoLocation))?;
            let received = self.send(&request, trace).await?;
            let status = received.head.status;
            let headers = &received.head.headers;
            if matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                url = self.next(&url, headers, &mut visited)?;
                trace.redirects.push(place(&url));
                received.body.discard().await;
                continue;
            }
            if is_answer(ask, &received) {
                return Ok(received);
            }
            let may_answer = status == StatusCode::UNAUTHORIZED && is_home && !is_challenged;
            if let Some(challenge) = challenge(headers).filter(|_| may_answer) {
                is_challenged = true;
                let mut slot = slot.lock().await;
                // Another request may have got a token in the meantime. A login that was rejected would be rejected again.
                let is_other = |one: &Authorization| sent.is_none_or(|sent| sent.header != one.header);
                let granted = match token::valid(&slot).filter(is_other) {
                    Some(newer) => Some(newer),
                    None => self.authorize(&challenge, &ask.scope, credential, trace).await?.filter(is_other),
                };
                slot.clone_from(&granted);
                drop(slot);
                if granted.is_some() {
                    authorization = granted;
                    received.body.discard().await;
                    continue;
                }
            }
            return Ok(self.with_errors(received, credential, authorization.as_ref(), trace).await);
        }
    }

    async fn send(&self, request: &Request<Full<Bytes>>, trace: &mut Trace) -> Result<Received, Failure> {
        trace.requests += 1;
        trace.host = Some(place(request.uri()));
        (trace.status, trace.retry_after, trace.first_byte) = (None, None, None);
        (trace.errors, trace.page) = (Vec::new(), None);
        let received = self.http.send(request).await?;
        trace.status = Some(received.head.status.as_u16());
        trace.first_byte = Some(received.first_byte);
        note(&received.head.headers, trace);
        Ok(received)
    }

    fn next(&self, url: &Uri, headers: &HeaderMap, visited: &mut Vec<Uri>) -> Result<Uri, Invalid> {
        let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let next = location.and_then(|location| url::target(url, location));
        let next = next.ok_or(Invalid::Redirect(RedirectFault::NoLocation))?;
        let is_plain = next.scheme_str() == Some("http");
        if is_plain && (url.scheme_str() == Some("https") || !self.is_plain_allowed(&next)) {
            return Err(Invalid::Redirect(RedirectFault::PlainHttp(place(&next))));
        }
        if visited.contains(&next) {
            return Err(Invalid::Redirect(RedirectFault::Circle(place(&next))));
        }
        if visited.len() > MAX_REDIRECTS {
            return Err(Invalid::Redirect(RedirectFault::TooMany(MAX_REDIRECTS)));
        }
        visited.push(next.clone());
        Ok(next)
    }

    /// Answers a challenge. Returns `None` if there is nothing to answer it with.
    async fn authorize(
        &self,
        challenge: &Challenge,
        scope: &str,
        credential: Option<&Credential>,
        trace: &mut Trace,
    ) -> Result<Option<Authorization>, Stop> {
        let (realm, service, of_challenge) = match challenge {
            Challenge::Basic => return Ok(credential.and_then(Authorization::basic)),
            Challenge::Bearer { realm, service, scope } => (realm, service, scope),
        };
        let fault = |fault| Stop::from(Invalid::TokenServer(fault));
        let realm: Uri = realm.parse().map_err(|_| fault(TokenServerFault::NoRealm))?;
        let host = place(&realm);
        match realm.scheme_str() {
            Some("https") => {}
            Some("http") if self.is_plain_allowed(&realm) => {}
            Some("http") => return Err(fault(TokenServerFault::PlainHttp(host))),
            _ => return Err(fault(TokenServerFault::NoRealm)),
        }
        let is_own = is_own_token_server(&self.host, &host) || self.token_servers.iter().any(|one| is_at(&realm, one));
        if credential.is_some() && !is_own {
            return Err(fault(TokenServerFault::Elsewhere(host)));
        }
        let scope = of_challenge.as_deref().unwrap_or(scope);
        let request = token::request(&realm, service.as_deref(), scope, credential);
        let mut request = request.ok_or_else(|| fault(TokenServerFault::NoRealm))?;
        request.headers_mut().insert(USER_AGENT, http::HeaderValue::from_static(AGENT));
        let received = self.send(&request, trace).await?;
        let status = received.head.status;
        if !status.is_success() {
            self.with_errors(received, credential, None, trace).await;
            return Err(Stop::TokenServer { host, status });
        }
        let token = token::read(received).await.ok_or_else(|| fault(TokenServerFault::NoToken(host)))?;
        Ok(Some(token))
    }

    /// Reads the body of an error into the trace.
    async fn with_errors(
        &self,
        received: Received,
        credential: Option<&Credential>,
        authorization: Option<&Authorization>,
        trace: &mut Trace,
    ) -> Received {
        let Received { head, first_byte, mut body } = received;
        let mut bytes = Vec::new();
        while let Ok(Some(chunk)) = body.next().await {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MAX_ERROR_BODY_BYTES {
                break;
            }
        }
        bytes.truncate(MAX_ERROR_BODY_BYTES);
        let basic = credential.and_then(Authorization::basic);
        let secrets = [
            credential.map(Credential::secret),
            basic.as_ref().map(Authorization::secret),
            authorization.map(Authorization::secret),
        ];
        let clean = |text: &str| shown(text, secrets.iter().copied().flatten());
        match serde_json::from_slice::<Errors>(&bytes) {
            Ok(Errors { errors }) => {
                let errors = errors.into_iter().take(MAX_ERRORS);
                let clean = |error: RawError| RegistryError {
                    code: clean(&error.code.unwrap_or_default()),
                    message: clean(&error.message.unwrap_or_default()),
                };
                trace.errors = errors.map(clean).collect();
            }
            Err(_) if bytes.is_empty() => {}
            Err(_) => trace.page = Some(clean(&String::from_utf8_lossy(&bytes))),
        }
        for warning in &mut trace.warnings {
            *warning = clean(warning);
        }
        Received { head, first_byte, body }
    }
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<RawError>,
}

#[derive(Deserialize)]
struct RawError {
    code: Option<String>,
    message: Option<String>,
}

/// Returns whether a response is what was asked for.
fn is_answer(ask: &Ask, received: &Received) -> bool {
    let is_challenge =
        || received.head.status == StatusCode::UNAUTHORIZED && challenge(&received.head.headers).is_some();
    received.head.status.is_success() || (ask.is_challenge_enough && is_challenge())
}

fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    Challenge::preferred(headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()))
}

fn of_failure<T>(failure: Failure) -> Outcome<T> {
    match failure {
        Failure::Unreachable(unreachable) => Outcome::Unreachable(unreachable),
        Failure::Invalid(invalid) => Outcome::Invalid(invalid),
    }
}

fn of_status<T>(status: StatusCode, denied: Denied) -> Outcome<T> {
    let is_token_server = matches!(denied, Denied::TokenServer { .. });
    match status.as_u16() {
        401 | 403 => Outcome::Denied(denied),
        404 if !is_token_server => Outcome::Missing,
        429 => Outcome::RateLimited,
        _ => Outcome::Other,
    }
}

/// Notes what headers say besides the answer.
fn note(headers: &HeaderMap, trace: &mut Trace) {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    for warning in headers.get_all(WARNING).iter().filter_map(|value| value.to_str().ok()) {
        let warning = shown(warning_text(warning), []);
        if trace.warnings.len() < MAX_WARNINGS && !trace.warnings.contains(&warning) {
            trace.warnings.push(warning);
        }
    }
    let (limit, remaining) = (text("ratelimit-limit"), text("ratelimit-remaining"));
    if limit.is_some() || remaining.is_some() {
        let number = |text: Option<&str>| text?.split([';', ',']).next()?.trim().parse().ok();
        let window =
            |text: Option<&str>| text?.split(';').find_map(|part| part.trim().strip_prefix("w=")?.parse().ok());
        trace.rate_limit = Some(RateLimit {
            limit: number(limit),
            remaining: number(remaining),
            window_secs: window(limit).or_else(|| window(remaining)),
        });
    }
    trace.cache_control = text(CACHE_CONTROL.as_str()).map(|value| shown(value, []));
    trace.retry_after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(retry_after);
}

/// Returns the text of `299 - "text"`.
fn warning_text(header: &str) -> &str {
    let quoted = header.split_once('"').map(|(_, rest)| rest.rsplit_once('"').map_or(rest, |(text, _)| text));
    quoted.unwrap_or(header)
}

/// Reads seconds or a date.
fn retry_after(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Ok(secs) = text.parse() {
        return Some(Duration::from_secs(secs));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    Some(until.duration_since(SystemTime::now()).unwrap_or_default())
}
