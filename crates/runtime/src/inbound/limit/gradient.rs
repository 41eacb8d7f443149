//! How many requests the app may have at once: as many as it serves without getting much slower.
//!
//! The rule is the gradient of Netflix's concurrency-limits: after each window of samples
//! `limit = limit × min(1, tolerance × baseline ÷ latency) + √limit`. What differs, and why, is in ADR 10: the baseline is
//! not a long average, which overload would drag along with it, but what requests take when few are in flight. It is
//! learned from quiet windows; under pressure, a short probe holds the limit at its floor and measures it anew.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use tokio::time::Instant;

/// Never fewer at once: an app whose latency says nothing about its load must not be strangled.
pub(super) const FLOOR: usize = 10;
/// As many as a caller's own default for one callee.
const START: usize = 256;
const CEILING: usize = 16_384;
/// How much slower than the baseline is still well.
const TOLERANCE: f64 = 2.0;
/// The limit at most halves in one window.
const STEEPEST: f64 = 0.5;
/// A window ends when it has both.
const WINDOW: Duration = Duration::from_millis(100);
const WINDOW_SAMPLES: u32 = 32;
/// Or when it has become this old, for services with little traffic.
const LONGEST_WINDOW: Duration = Duration::from_secs(5);
/// Weight of a quiet window in the baseline.
const QUIET_WEIGHT: f64 = 0.2;
/// Time between probes; after one that clients who left have spoilt; and after one that an app was too slow for, which
/// would otherwise spend its time being probed.
const PROBE_EVERY: Duration = Duration::from_secs(15);
const PROBE_AGAIN: Duration = Duration::from_secs(2);
const PROBE_SELDOM: Duration = Duration::from_secs(60);
/// Weight of a window in the baseline of an app that can't be probed: its answers take long by themselves.
const SLOW_WEIGHT: f64 = 0.05;
const PROBE_SAMPLES: u32 = 50;
/// A probe that has this many samples may end after [`PROBE_LIMIT`]; with fewer it is given up after [`PROBE_GIVE_UP`].
const PROBE_FEW_SAMPLES: u32 = 10;
const PROBE_LIMIT: Duration = Duration::from_millis(500);
const PROBE_GIVE_UP: Duration = Duration::from_secs(3);

/// The limit and what is in flight under it.
#[derive(Debug)]
pub(crate) struct Limiter {
    in_flight: AtomicUsize,
    /// What is in force: [`FLOOR`] during a probe, and [`CEILING`] until there is a sample. An app that speaks in streams
    /// alone gives none, and is not limited.
    limit: AtomicUsize,
    /// Most in flight during the window.
    peak: AtomicUsize,
    /// Whether the window has turned somebody away.
    shed: AtomicBool,
    /// Shows the limit.
    gauge: Gauge,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limit: f64,
    /// Seconds that a request takes when few are in flight.
    baseline: Option<f64>,
    window: Window,
    probe: Option<Probe>,
    /// When the next one may be.
    probe_from: Instant,
    /// Whether the last one found the app too slow.
    slow: bool,
}

/// Samples since `start`.
#[derive(Debug, Clone, Copy)]
struct Window {
    start: Instant,
    count: u32,
    /// Seconds.
    sum: f64,
    /// How many of them were given up by their clients.
    abandoned: u32,
}

impl Window {
    fn new(start: Instant) -> Self {
        Self { start, count: 0, sum: 0.0, abandoned: 0 }
    }

    fn add(&mut self, seconds: f64) {
        self.count += 1;
        self.sum += seconds;
    }

    fn mean(&self) -> f64 {
        self.sum / f64::from(self.count.max(1))
    }
}

#[derive(Debug)]
struct Probe {
    since: Instant,
    /// Of requests that began when what had queued up was done; none until then.
    measured: Option<Window>,
}

/// How a probe ended.
#[derive(Debug, Clone, Copy)]
enum Probed {
    /// Seconds.
    Baseline(f64),
    /// Clients left during it.
    Spoilt,
    /// There were too few answers.
    TooSlow,
}

impl Limiter {
    pub(crate) fn new(now: Instant, gauge: Gauge) -> Self {
        Self {
            in_flight: AtomicUsize::new(0),
            limit: AtomicUsize::new(CEILING),
            peak: AtomicUsize::new(0),
            shed: AtomicBool::new(false),
            gauge,
            state: Mutex::new(State {
                limit: to_float(START),
                baseline: None,
                window: Window::new(now),
                probe: None,
                probe_from: now,
                slow: false,
            }),
        }
    }

    /// Whether one more may start `now`; of low priority only while a quarter of the limit is free for others.
    pub(crate) fn admits(&self, low_priority: bool, now: Instant) -> bool {
        let admitted = self.in_flight.load(Ordering::Relaxed) < self.limit_for(low_priority);
        if !admitted {
            self.shed.store(true, Ordering::Relaxed);
            // An app that answers nothing, or nothing that counts, would stay at the floor.
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let since = state.probe.as_ref().map(|probe| probe.since);
            if since.is_some_and(|since| now.saturating_duration_since(since) > PROBE_GIVE_UP) {
                self.end_probe(&mut state, Probed::TooSlow, now);
            }
        }
        admitted
    }

    fn limit_for(&self, low_priority: bool) -> usize {
        let limit = self.limit.load(Ordering::Relaxed);
        if low_priority { limit - limit / 4 } else { limit }
    }

    /// One more is in flight, unless that would be too many: of those who were admitted while their bodies were still
    /// coming, more can be complete at once than the app can take.
    pub(crate) fn try_enter(&self, low_priority: bool) -> bool {
        self.enter();
        let fits = self.in_flight.load(Ordering::Relaxed) <= self.limit_for(low_priority);
        if !fits {
            self.leave();
            self.shed.store(true, Ordering::Relaxed);
        }
        fits
    }

    /// One more is in flight.
    pub(crate) fn enter(&self) {
        let now = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        if now > self.peak.load(Ordering::Relaxed) {
            self.peak.store(now, Ordering::Relaxed);
        }
    }

    /// One is not any more.
    pub(crate) fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    fn put(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
        self.gauge.set(i64::try_from(limit).unwrap_or(i64::MAX));
    }

    /// A request that began at `started` was answered at `now`.
    pub(crate) fn sample(&self, started: Instant, now: Instant) {
        let seconds = now.saturating_duration_since(started).as_secs_f64();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.probe.is_some() {
            self.probe(&mut state, started, seconds, now);
        } else {
            self.add(&mut state, seconds, now);
        }
    }

    /// The client of a request that began at `started` gave up at `now`: it would have taken at least that long. An app so
    /// slow that nobody waits for it would tell nothing otherwise.
    pub(crate) fn abandoned(&self, started: Instant, now: Instant) {
        let seconds = now.saturating_duration_since(started).as_secs_f64();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.probe.is_some() {
            self.end_probe(&mut state, Probed::Spoilt, now);
        }
        // Who leaves sooner than that leaves for another reason.
        if state.baseline.is_none_or(|baseline| seconds > baseline) {
            state.window.abandoned += 1;
            self.add(&mut state, seconds, now);
        }
    }

    fn add(&self, state: &mut State, seconds: f64, now: Instant) {
        state.window.add(seconds);
        let age = now.saturating_duration_since(state.window.start);
        if age < WINDOW || state.window.count < WINDOW_SAMPLES && age < LONGEST_WINDOW {
            return;
        }
        self.close_window(state, now);
    }

    fn close_window(&self, state: &mut State, now: Instant) {
        let Window { start: _, count, sum: _, abandoned } = state.window;
        let latency = state.window.mean();
        state.window = Window::new(now);
        let peak = self.peak.swap(self.in_flight.load(Ordering::Relaxed), Ordering::Relaxed);
        let shed = self.shed.swap(false, Ordering::Relaxed);
        if to_float(peak) * 2.0 < state.limit && !shed && abandoned == 0 {
            // Quiet: the limit decides nothing, and this is what requests take.
            state.baseline = Some(match state.baseline {
                Some(baseline) => baseline + (latency - baseline) * QUIET_WEIGHT,
                None => latency,
            });
            self.put(to_count(state.limit));
            return;
        }
        if shed && abandoned == 0 && now >= state.probe_from {
            state.probe = Some(Probe { since: now, measured: None });
            self.put(FLOOR);
            return;
        }
        if state.slow && abandoned == 0 {
            let baseline = state.baseline.unwrap_or(latency);
            state.baseline = Some(baseline + (latency - baseline) * SLOW_WEIGHT);
        }
        let gradient = match state.baseline {
            Some(baseline) => Some(TOLERANCE * baseline / latency.max(f64::MIN_POSITIVE)),
            // Nothing to compare with; but half of the clients can't be wrong.
            None => (abandoned * 2 >= count).then_some(STEEPEST),
        };
        if let Some(gradient) = gradient {
            let gradient = gradient.clamp(STEEPEST, 1.0);
            state.limit =
                (state.limit * gradient + state.limit.sqrt()).clamp(to_float(FLOOR), to_float(CEILING));
        }
        self.put(to_count(state.limit));
    }

    fn probe(&self, state: &mut State, started: Instant, seconds: f64, now: Instant) {
        let Some(probe) = &mut state.probe else { return };
        let age = now.saturating_duration_since(probe.since);
        let Some(measured) = &mut probe.measured else {
            // What had queued up is still being served, at the app's full speed.
            if self.in_flight.load(Ordering::Relaxed) <= FLOOR {
                probe.measured = Some(Window::new(now));
            } else if age >= PROBE_GIVE_UP {
                self.end_probe(state, Probed::TooSlow, now);
            }
            return;
        };
        if started >= measured.start {
            measured.add(seconds);
        }
        let enough = measured.count >= PROBE_SAMPLES
            || measured.count >= PROBE_FEW_SAMPLES
                && now.saturating_duration_since(measured.start) >= PROBE_LIMIT;
        if enough {
            let baseline = measured.mean();
            self.end_probe(state, Probed::Baseline(baseline), now);
        } else if age >= PROBE_GIVE_UP {
            self.end_probe(state, Probed::TooSlow, now);
        }
    }

    fn end_probe(&self, state: &mut State, probed: Probed, now: Instant) {
        let pause = match probed {
            Probed::Baseline(baseline) => {
                state.baseline = Some(baseline);
                state.slow = false;
                PROBE_EVERY
            }
            Probed::Spoilt => PROBE_AGAIN,
            Probed::TooSlow => {
                state.slow = true;
                PROBE_SELDOM
            }
        };
        state.probe_from = now + pause;
        state.probe = None;
        state.window = Window::new(now);
        self.peak.store(0, Ordering::Relaxed);
        self.shed.store(false, Ordering::Relaxed);
        self.put(to_count(state.limit));
    }
}

/// Exact: limits are far below 2^53.
#[allow(clippy::cast_precision_loss)]
fn to_float(count: usize) -> f64 {
    count as f64
}

/// In range: clamped between [`FLOOR`] and [`CEILING`].
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn to_count(limit: f64) -> usize {
    limit as usize
}

#[cfg(test)]
mod tests;
