//! The circuit breaker, with opossum's semantics to the letter, so that a team that moves its breaker from the app into
//! the runtime keeps the behaviour it knows. `tests/opossum` recorded what opossum 10 does with generated histories; the
//! test below replays them.
//!
//! What there is to know: every call counts in the window when it starts, refused ones too; the breaker looks at the
//! window when a call fails, and opens when there are `minRequests` in it and *more* than `errorPercent` of them failed;
//! after `resetAfter` one call is let through, and the next result, whoever's it is, decides; closing forgets nothing.
//!
//! What counts is the final result of a call, after its repetitions. Refusals of the bulkhead and calls whose client went
//! away are taken back as if they had never been, which opossum has no notion of.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use goodgo_runtime_config::CircuitBreaker;
use tokio::time::Instant;

use super::metrics::CallMetrics;
use super::window::{Slot, Window};

/// One call's breaker.
#[derive(Debug)]
pub(super) struct Breaker {
    settings: CircuitBreaker,
    state: Mutex<State>,
    metrics: Arc<CallMetrics>,
}

#[derive(Debug)]
struct State {
    position: Position,
    window: Window,
    /// How often it was half open: tells one probe from the next.
    half_opens: u64,
    /// The metric is not its any more: it decides only for the calls that began under its policy.
    retired: bool,
}

/// Where the breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    /// Calls pass.
    Closed,
    /// Calls are refused until then.
    Open { until: Instant },
    /// One call may pass, or is under way.
    HalfOpen { probing: bool },
}

impl Position {
    /// As the metric tells it: 0 closed, 1 half open, 2 open.
    fn number(self) -> i64 {
        match self {
            Self::Closed => 0,
            Self::HalfOpen { .. } => 1,
            Self::Open { .. } => 2,
        }
    }
}

impl Breaker {
    pub(super) fn new(settings: CircuitBreaker, metrics: Arc<CallMetrics>, now: Instant) -> Arc<Self> {
        let window = Window::new(Duration::from_millis(settings.window_ms), now);
        let state = State { position: Position::Closed, window, half_opens: 0, retired: false };
        metrics.breaker(Position::Closed.number());
        Arc::new(Self { settings, state: Mutex::new(state), metrics })
    }

    /// Another policy is in force, with a breaker of its own or with none.
    pub(super) fn retire(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).retired = true;
    }

    /// What it was made with; another breaker is needed for other settings.
    pub(super) fn settings(&self) -> &CircuitBreaker {
        &self.settings
    }

    /// Lets a call through, or says how long it refuses further ones.
    ///
    /// # Errors
    /// The time until a call may pass; a second when that depends on the call that is being tried.
    pub(super) fn enter(self: &Arc<Self>, now: Instant) -> Result<Ticket, Duration> {
        let mut state = self.state(now);
        let slot = state.window.add(now);
        let probe = match state.position {
            Position::Closed => None,
            Position::HalfOpen { probing: false } => {
                state.position = Position::HalfOpen { probing: true };
                Some(state.half_opens)
            }
            Position::HalfOpen { probing: true } => return Err(Duration::from_secs(1)),
            Position::Open { until } => return Err(until.saturating_duration_since(now)),
        };
        drop(state);
        Ok(Ticket { breaker: Some(Arc::clone(self)), slot, probe })
    }

    fn settle(&self, failed: bool, now: Instant) {
        let mut state = self.state(now);
        let half_open = matches!(state.position, Position::HalfOpen { .. });
        if failed {
            state.window.mark(now);
            if half_open || (state.position == Position::Closed && self.exceeded(&mut state.window, now)) {
                let until = now + Duration::from_millis(self.settings.reset_after_ms);
                self.set(&mut state, Position::Open { until });
            }
        } else if half_open {
            self.set(&mut state, Position::Closed);
        }
    }

    fn exceeded(&self, window: &mut Window, now: Instant) -> bool {
        let counts = window.sum(now);
        // opossum divides first, in doubles; so does this, as 7 of 25 is more than 28 % there.
        counts.all >= self.settings.min_requests
            && f64::from(counts.marked) / f64::from(counts.all) * 100.0
                > f64::from(self.settings.error_percent)
    }

    fn abandon(&self, slot: Slot, probe: Option<u64>, now: Instant) {
        let mut state = self.state(now);
        state.window.take_back(slot, now);
        // Nobody would ever decide otherwise, and the breaker refuse for ever.
        if probe == Some(state.half_opens) && state.position == (Position::HalfOpen { probing: true }) {
            state.position = Position::HalfOpen { probing: false };
        }
    }

    fn set(&self, state: &mut State, position: Position) {
        state.position = position;
        if !state.retired {
            self.metrics.breaker(position.number());
        }
    }

    /// The state as of `now`.
    fn state(&self, now: Instant) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Position::Open { until } = state.position
            && now >= until
        {
            state.half_opens += 1;
            self.set(&mut state, Position::HalfOpen { probing: false });
        }
        state
    }

    #[cfg(test)]
    pub(super) fn position(&self, now: Instant) -> Position {
        self.state(now).position
    }
}

/// A call that was let through. Dropped without a result, it was never there.
#[derive(Debug)]
pub(super) struct Ticket {
    breaker: Option<Arc<Breaker>>,
    slot: Slot,
    probe: Option<u64>,
}

impl Ticket {
    /// The call's final result.
    pub(super) fn settle(mut self, failed: bool, now: Instant) {
        if let Some(breaker) = self.breaker.take() {
            breaker.settle(failed, now);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(breaker) = self.breaker.take() {
            breaker.abandon(self.slot, self.probe, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde::Deserialize;

    use super::*;

    /// One generated history; see tests/opossum/record.mjs.
    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct History {
        /// errorPercent, windowMs, minRequests, resetAfterMs
        settings: (u8, u64, u32, u64),
        /// Milliseconds since the event before, what happened, which call, and what opossum did: `250c7+c`.
        events: String,
    }

    fn event(text: &str) -> (u64, &str, u32, &str) {
        let is_what = |c: char| c.is_ascii_alphabetic();
        let (pause, rest) = text.split_at(text.find(is_what).unwrap());
        let (what, rest) = rest.split_at(1);
        let (call, did) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap());
        (pause.parse().unwrap(), what, call.parse().unwrap(), did)
    }

    fn breaker(settings: CircuitBreaker, now: Instant) -> Arc<Breaker> {
        Breaker::new(settings, CallMetrics::unregistered(), now)
    }

    /// Which of opossum's states, by its initial.
    fn initial(position: Position) -> &'static str {
        match position {
            Position::Closed => "c",
            Position::Open { .. } => "o",
            Position::HalfOpen { .. } => "h",
        }
    }

    #[test]
    fn it_does_what_opossum_does() {
        let recorded = include_str!("../../tests/opossum/traces.json");
        let histories: Vec<History> = serde_json::from_str(recorded).unwrap();
        assert!(histories.len() >= 200, "{} histories", histories.len());
        let (mut refusals, mut half_opens, mut steps) = (0, 0, 0);
        for (number, History { settings, events }) in histories.into_iter().enumerate() {
            let (error_percent, window_ms, min_requests, reset_after_ms) = settings;
            let mut now = Instant::now();
            let breaker =
                breaker(CircuitBreaker { error_percent, window_ms, min_requests, reset_after_ms }, now);
            let mut open = HashMap::new();
            for (index, (pause, what, call, did)) in events.split(' ').map(event).enumerate() {
                now += Duration::from_millis(pause);
                let let_through = match what {
                    "c" => match breaker.enter(now) {
                        Ok(ticket) => open.insert(call, ticket).map_or("+", |_| "?"),
                        Err(_) => "-",
                    },
                    "s" | "f" => {
                        open.remove(&call).unwrap().settle(what == "f", now);
                        ""
                    }
                    _ => "",
                };
                let position = initial(breaker.position(now));
                assert_eq!(format!("{let_through}{position}"), did, "history {number}, event {index}");
                refusals += u32::from(let_through == "-");
                half_opens += u32::from(position == "h");
                steps += 1;
            }
            // What opossum never settled is not an abandoned call here.
            open.into_values().for_each(std::mem::forget);
        }
        assert!(refusals > 500 && half_opens > 500, "the histories are tame: {refusals}, {half_opens}");
        assert!(steps > 10_000, "{steps} steps");
    }

    fn opened(now: Instant) -> Arc<Breaker> {
        let breaker = breaker(CircuitBreaker { min_requests: 1, ..CircuitBreaker::default() }, now);
        breaker.enter(now).unwrap().settle(true, now);
        breaker
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_call_learns_when_to_come_back() {
        let start = Instant::now();
        let breaker = opened(start);
        let left = breaker.enter(start + Duration::from_secs(12)).unwrap_err();
        assert_eq!(left, Duration::from_secs(18));
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_whose_client_went_away_makes_room_for_the_next() {
        let breaker = opened(Instant::now());
        tokio::time::advance(Duration::from_secs(30)).await;
        let probe = breaker.enter(Instant::now()).unwrap();
        assert!(breaker.enter(Instant::now()).is_err(), "one at a time");
        drop(probe);
        let next = breaker.enter(Instant::now()).unwrap();
        next.settle(false, Instant::now());
        assert_eq!(breaker.position(Instant::now()), Position::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_abandoned_neither_helps_nor_harms() {
        let now = Instant::now();
        let settings = CircuitBreaker { min_requests: 4, ..CircuitBreaker::default() };
        let breaker = breaker(settings, now);
        for _ in 0..100 {
            drop(breaker.enter(now).unwrap());
        }
        for _ in 0..4 {
            assert_eq!(breaker.position(now), Position::Closed);
            breaker.enter(now).unwrap().settle(true, now);
        }
        assert!(matches!(breaker.position(now), Position::Open { .. }));
    }
}
