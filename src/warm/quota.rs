//! What may be sent without going below a part of a rate limit that is kept for others. Pure.
//!
//! Several requests are in flight at once, and their answers come in any order. The count is therefore a lower bound: each request
//! that a header may not have counted yet is taken as counted.

use std::collections::HashMap;

use crate::registry::RateLimit;

/// The part of a limit that is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    Percent(u64),
    Requests(u64),
}

impl Keep {
    /// Parses `20%` or `50`.
    ///
    /// # Errors
    ///
    /// Returns the form to write.
    pub fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str = "write a percentage from 1% to 99%, such as 20%, or a number of requests";
        match text.strip_suffix('%') {
            Some(percent) => match percent.parse() {
                Ok(percent @ 1..100) => Ok(Self::Percent(percent)),
                _ => Err(FORM.to_owned()),
            },
            None => text.parse().map(Self::Requests).map_err(|_| FORM.to_owned()),
        }
    }

    fn of(self, limit: u64) -> u64 {
        match self {
            Self::Percent(percent) => limit.saturating_mul(percent).div_ceil(100),
            Self::Requests(requests) => requests,
        }
    }
}

/// Where the numbers are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// No answer yet.
    None,
    /// The answers to the requests themselves.
    Answers,
    /// A question to the upstream.
    Upstream,
    /// No answer reports a limit.
    Unlimited,
}

/// What a request has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Send it, with this number.
    Send(u64),
    /// Wait for the answer to another request.
    WaitForAnswer,
    /// Ask the upstream for its limit.
    AskUpstream,
    /// Wait until requests are available again.
    WaitForQuota,
}

/// The count of one rate limit.
#[derive(Debug)]
pub struct Quota {
    keep: Keep,
    source: Source,
    limit: Option<RateLimit>,
    /// The largest number seen, where a registry does not state its limit.
    most: u64,
    /// A lower bound of the requests that remain.
    remaining: u64,
    next: u64,
    /// The number of other requests in flight when each was sent. A header may not have counted them.
    in_flight: HashMap<u64, u64>,
    /// Requests were sent after the upstream was asked.
    is_old: bool,
}

impl Quota {
    pub fn new(keep: Keep) -> Self {
        Self {
            keep,
            source: Source::None,
            limit: None,
            most: 0,
            remaining: 0,
            next: 0,
            in_flight: HashMap::new(),
            is_old: true,
        }
    }

    /// Returns what a request has to do, and counts it if it is to be sent. `is_head`: it asks with HEAD, which rate limits of
    /// manifests do not count.
    pub fn step(&mut self, is_head: bool) -> Step {
        match self.look(is_head) {
            Step::Send(_) => self.send(),
            step => step,
        }
    }

    /// As [`Self::step`], without counting.
    pub fn look(&self, is_head: bool) -> Step {
        let send = Step::Send(self.next);
        match self.source {
            Source::Unlimited => send,
            Source::None if !self.in_flight.is_empty() => Step::WaitForAnswer,
            Source::None if is_head && self.next == 0 => send,
            Source::None => Step::AskUpstream,
            Source::Answers | Source::Upstream if self.remaining > self.kept() => send,
            // An answer may show that a request was not counted.
            _ if !self.in_flight.is_empty() => Step::WaitForAnswer,
            Source::Upstream if self.is_old => Step::AskUpstream,
            Source::Answers | Source::Upstream => Step::WaitForQuota,
        }
    }

    fn send(&mut self) -> Step {
        let number = self.next;
        self.next += 1;
        self.in_flight.insert(number, self.in_flight.len() as u64);
        self.remaining = self.remaining.saturating_sub(1);
        self.is_old = true;
        Step::Send(number)
    }

    /// Counts the answer to a request, or its failure.
    pub fn answered(&mut self, number: u64, limit: Option<RateLimit>) {
        let earlier = self.in_flight.remove(&number).unwrap_or_default();
        if let Some((limit, remaining)) = limit.and_then(|limit| Some((limit, limit.remaining?))) {
            let later = self.next - number - 1;
            self.saw(limit, remaining.saturating_sub(later + earlier));
            self.source = Source::Answers;
        }
    }

    /// Takes the upstream's answer.
    pub fn upstream(&mut self, limit: Option<RateLimit>) {
        match limit.and_then(|limit| Some((limit, limit.remaining?))) {
            Some((limit, remaining)) => {
                self.saw(limit, remaining.saturating_sub(self.in_flight.len() as u64));
                (self.source, self.is_old) = (Source::Upstream, false);
            }
            None => self.source = Source::Unlimited,
        }
    }

    fn saw(&mut self, limit: RateLimit, remaining: u64) {
        self.most = self.most.max(limit.remaining.unwrap_or_default());
        (self.limit, self.remaining) = (Some(limit), remaining);
    }

    /// Asks again with the next request, after a wait.
    pub fn forget(&mut self) {
        match self.source {
            Source::Upstream => self.is_old = true,
            Source::None | Source::Answers | Source::Unlimited => {
                (self.source, self.next) = (Source::None, 0);
                self.in_flight.clear();
            }
        }
    }

    pub fn is_asked_of_upstream(&self) -> bool {
        self.source == Source::Upstream
    }

    /// Returns the number of requests that are not used.
    pub fn kept(&self) -> u64 {
        let limit = self.limit.and_then(|limit| limit.limit);
        self.keep.of(limit.unwrap_or(self.most))
    }

    /// Returns what was seen last.
    pub fn limit(&self) -> Option<RateLimit> {
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limit(remaining: u64) -> Option<RateLimit> {
        Some(RateLimit { limit: Some(10), remaining: Some(remaining), window_secs: Some(60) })
    }

    #[test]
    fn parts_are_read() {
        for (text, kept) in [("20%", 20), ("1%", 1), ("99%", 99), ("0", 0), ("7", 7)] {
            assert_eq!(Keep::parse(text).unwrap().of(100), kept, "{text}");
        }
        assert_eq!(Keep::Percent(20).of(11), 3);
        for text in ["", "%", "0%", "100%", "-1", "20 %", "1.5%", "a"] {
            assert!(Keep::parse(text).unwrap_err().starts_with("write a percentage"), "{text}");
        }
    }

    #[test]
    fn the_first_request_is_alone_if_it_is_a_head() {
        let mut quota = Quota::new(Keep::Percent(20));
        assert_eq!(quota.step(false), Step::AskUpstream);
        assert_eq!(quota.step(true), Step::Send(0));
        assert_eq!(quota.step(true), Step::WaitForAnswer);
        quota.answered(0, None);
        assert_eq!(quota.step(true), Step::AskUpstream);
        quota.upstream(None);
        assert_eq!(quota.step(false), Step::Send(1));
    }

    #[test]
    fn the_upstream_is_asked_again_before_a_wait() {
        let mut quota = Quota::new(Keep::Requests(8));
        quota.upstream(limit(10));
        assert_eq!((quota.step(false), quota.step(false)), (Step::Send(0), Step::Send(1)));
        assert_eq!(quota.step(false), Step::WaitForAnswer);
        quota.answered(0, None);
        quota.answered(1, None);
        assert_eq!(quota.step(false), Step::AskUpstream);
        quota.upstream(limit(9));
        assert_eq!(quota.step(false), Step::Send(2));
        quota.answered(2, None);
        quota.upstream(limit(8));
        assert_eq!(quota.step(false), Step::WaitForQuota);
        quota.forget();
        assert_eq!(quota.step(false), Step::AskUpstream);
    }

    proptest! {
        /// Whatever the order in which a server counts requests and answers them, what is kept is kept.
        #[test]
        fn what_is_kept_is_never_used(choices in prop::collection::vec((0..3_u8, any::<prop::sample::Index>()), 1..200)) {
            let mut quota = Quota::new(Keep::Percent(30));
            quota.upstream(limit(10));
            let (mut sent, mut counted) = (Vec::new(), Vec::new());
            let mut remaining: u64 = 10;
            for (choice, index) in choices {
                match choice {
                    0 => if let Step::Send(number) = quota.step(false) {
                        sent.push(number);
                    },
                    1 if !sent.is_empty() => {
                        remaining = remaining.saturating_sub(1);
                        counted.push((sent.swap_remove(index.index(sent.len())), remaining));
                    }
                    2 if !counted.is_empty() => {
                        let (number, header) = counted.swap_remove(index.index(counted.len()));
                        quota.answered(number, limit(header));
                    }
                    _ => {}
                }
                prop_assert!(remaining >= 3);
            }
        }
    }
}
