//! A simulated app under the limit, at a clock of its own.

use std::collections::VecDeque;

use super::*;

fn fresh(start: Instant) -> Limiter {
    Limiter::new(start, Gauge::default())
}

fn in_force(limiter: &Limiter) -> usize {
    limiter.limit.load(Ordering::Relaxed)
}

/// An app with `workers` and a queue, asked `per_ms` times a millisecond by clients with `patience_ms`; what a client
/// has given up is worked on all the same.
struct App<F> {
    workers: usize,
    service_ms: F,
    per_ms: f64,
    patience_ms: u64,
}

impl<F: Fn(u64) -> u64> App<F> {
    /// In steps of a millisecond. Tells for each second how many were served in time, the limit at its end, and the
    /// worst latency in milliseconds.
    fn run(&self, limiter: &Limiter, start: Instant, seconds: u64) -> Vec<(u64, usize, u64)> {
        let at = |ms: u64| start + Duration::from_millis(ms);
        let (mut queue, mut busy) = (VecDeque::new(), Vec::<(u64, u64)>::new());
        // By their arrival: how many have been given up.
        let mut waiting = VecDeque::new();
        let (mut owed, mut report) = (0.0, Vec::new());
        for second in 0..seconds {
            let (mut served, mut worst) = (0, 0);
            for ms in second * 1000..(second + 1) * 1000 {
                while waiting.front().is_some_and(|arrival| ms - arrival >= self.patience_ms) {
                    let arrival = waiting.pop_front().unwrap();
                    limiter.leave();
                    limiter.abandoned(at(arrival), at(ms));
                }
                busy.retain(|(arrival, done)| {
                    if *done > ms {
                        return true;
                    }
                    if let Some(place) = waiting.iter().position(|waiting| waiting == arrival) {
                        waiting.remove(place);
                        served += 1;
                        worst = worst.max(ms - arrival);
                        limiter.leave();
                        limiter.sample(at(*arrival), at(ms));
                    }
                    false
                });
                owed += self.per_ms;
                while owed >= 1.0 {
                    owed -= 1.0;
                    if limiter.admits(false, at(ms)) {
                        limiter.enter();
                        queue.push_back(ms);
                        waiting.push_back(ms);
                    }
                }
                while busy.len() < self.workers && !queue.is_empty() {
                    busy.push((queue.pop_front().unwrap(), ms + (self.service_ms)(ms)));
                }
            }
            report.push((served, in_force(limiter), worst));
        }
        report
    }
}

#[test]
fn at_three_times_the_capacity_the_app_stays_busy_and_quick() {
    let start = Instant::now();
    for (workers, ms) in [(8, 20), (1, 5), (100, 100), (4, 200)] {
        let limiter = fresh(start);
        let capacity = workers as u64 * 1000 / ms;
        let app = App { workers, service_ms: |_| ms, per_ms: capacity as f64 * 0.003, patience_ms: 2000 };
        let report = app.run(&limiter, start, 60);
        let late = 5 + 20 * ms / 100;
        let after: Vec<_> = report.iter().skip(usize::try_from(late).unwrap()).collect();
        let served: u64 = after.iter().map(|(served, ..)| served).sum();
        assert!(served * 10 >= capacity * after.len() as u64 * 9, "{workers} × {ms} ms: {report:?}");
        // Few workers have a queue even at the floor.
        let well = (ms * 8).max(ms * 5 * FLOOR as u64 / workers as u64);
        let worst = after.iter().map(|(.., worst)| *worst).max().unwrap();
        assert!(worst <= well, "{workers} × {ms} ms: {worst} ms; {report:?}");
    }
}

#[test]
fn an_app_so_slow_that_all_clients_give_up_is_found_out_all_the_same() {
    let start = Instant::now();
    let limiter = fresh(start);
    let (calm, storm) = (0.08, 0.3);
    let app = |per_ms| App { workers: 4, service_ms: |_| 40, per_ms, patience_ms: 1000 };
    app(calm).run(&limiter, start, 5);
    let report = app(storm).run(&limiter, start + Duration::from_secs(5), 30);
    let served: u64 = report.iter().skip(5).map(|(served, ..)| served).sum();
    assert!(served >= 25 * 90, "{served} of 2500: {report:?}");
}

#[test]
fn an_app_that_got_slower_for_good_is_not_strangled() {
    let start = Instant::now();
    let limiter = fresh(start);
    // Waits for something slow, 400 at once at ease: first 100 ms, later 1 s.
    let slower = |ms| if ms < 20_000 { 100 } else { 1000 };
    let app = App { workers: 10_000, service_ms: slower, per_ms: 0.4, patience_ms: 10_000 };
    let report = app.run(&limiter, start, 120);
    assert_eq!(report[19].0, 400, "{report:?}");
    let (served, limit, _) = report[119];
    assert!(served >= 390 && limit >= 400, "{report:?}");
}

#[test]
fn an_app_whose_answers_take_long_by_themselves_is_not_probed_to_death() {
    let start = Instant::now();
    let limiter = fresh(start);
    // Long polls: 600 at once at ease.
    let app = App { workers: 10_000, service_ms: |_| 10_000, per_ms: 0.06, patience_ms: 60_000 };
    let report = app.run(&limiter, start, 300);
    let served: u64 = report.iter().skip(240).map(|(served, ..)| served).sum();
    assert!(served >= 60 * 60 * 9 / 10, "{served} of 3600: {report:?}");
}

#[test]
fn a_probe_that_nothing_answers_ends_by_itself() {
    let start = Instant::now();
    let limiter = fresh(start);
    let later = |ms| start + Duration::from_millis(ms);
    limiter.put(1);
    limiter.enter();
    assert!(!limiter.admits(false, start));
    for _ in 0..WINDOW_SAMPLES {
        limiter.sample(start, later(150));
    }
    assert_eq!(in_force(&limiter), FLOOR, "a probe has begun");
    for _ in 0..FLOOR {
        limiter.enter();
    }
    assert!(!limiter.admits(false, later(1000)));
    assert!(!limiter.admits(false, later(4000)), "it ends with this refusal");
    assert!(limiter.admits(false, later(4000)));
}

#[test]
fn the_limit_never_falls_below_its_floor_and_low_priority_goes_first() {
    let start = Instant::now();
    let limiter = fresh(start);
    let app = App { workers: 1, service_ms: |ms| 5 + ms / 100, per_ms: 2.0, patience_ms: 1000 };
    app.run(&limiter, start, 30);
    assert!(in_force(&limiter) >= FLOOR);
    let limiter = fresh(start);
    limiter.limit.store(START, Ordering::Relaxed);
    while limiter.admits(true, start) {
        limiter.enter();
    }
    assert_eq!(limiter.in_flight.load(Ordering::Relaxed), START - START / 4);
    assert!(limiter.admits(false, start), "a quarter is left for normal work");
    while limiter.admits(false, start) {
        limiter.enter();
    }
    assert_eq!(limiter.in_flight.load(Ordering::Relaxed), START);
}
