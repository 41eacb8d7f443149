//! What a waiting person sees: bars on a terminal, plain lines elsewhere (a log keeps every line).
#![allow(clippy::print_stderr, reason = "this module is the one that talks to a person")]

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// A plain log says again that it is alive after this long.
const PLAIN_INTERVAL: Duration = Duration::from_secs(30);

/// One thing that takes time.
#[derive(Debug)]
pub struct Step {
    title: String,
    started: Instant,
    bar: Option<ProgressBar>,
    spoke: Mutex<Instant>,
}

fn screen() -> Option<&'static MultiProgress> {
    static SCREEN: OnceLock<Option<MultiProgress>> = OnceLock::new();
    SCREEN.get_or_init(|| std::io::stderr().is_terminal().then(MultiProgress::new)).as_ref()
}

/// Says one line without disturbing the bars.
pub fn say(line: &str) {
    match screen() {
        Some(bars) => drop(bars.println(line)),
        None => eprintln!("{line}"),
    }
}

impl Step {
    /// Begins a step; `usual` is how long it took last time.
    pub fn begin(title: &str, usual: Option<Duration>) -> Self {
        let hint = usual.map(|time| format!(" (last time {})", short(time))).unwrap_or_default();
        let bar = screen().map(|bars| {
            let bar = bars.add(ProgressBar::new_spinner());
            bar.set_style(style("{spinner} {prefix} {elapsed} {wide_msg}"));
            bar.set_prefix(format!("{title}{hint}"));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if bar.is_none() {
            eprintln!("… {title}{hint}");
        }
        Self { title: title.to_owned(), started: Instant::now(), bar, spoke: Mutex::new(Instant::now()) }
    }

    /// Says how far it is: `done` of `total` units, and what is happening.
    pub fn advance(&self, done: u64, total: Option<u64>, message: &str) {
        if let Some(bar) = &self.bar {
            if let Some(total) = total.filter(|total| *total > 0) {
                bar.set_style(style("{spinner} {prefix} [{bar:24}] {elapsed} {wide_msg}"));
                bar.set_length(total.max(done));
                bar.set_position(done);
            }
            bar.set_message(message.to_owned());
            return;
        }
        let mut spoke = self.spoke.lock().unwrap_or_else(PoisonError::into_inner);
        if spoke.elapsed() >= PLAIN_INTERVAL {
            *spoke = Instant::now();
            eprintln!("  {} {}: {message}", self.title, short(self.started.elapsed()));
        }
    }

    /// How long it has taken so far.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Ends it well.
    pub fn done(self, message: &str) {
        self.end('✓', message);
    }

    /// Ends it badly; the error itself is reported by whoever returns it.
    pub fn failed(self) {
        self.end('✗', "failed");
    }

    fn end(self, mark: char, message: &str) {
        let line = format!("{mark} {} {message} ({})", self.title, short(self.started.elapsed()));
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        say(&line);
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// `3m12s`, `4.2s`: what a person reads at a glance.
pub fn short(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds >= 60 {
        format!("{}m{:02}s", seconds / 60, seconds % 60)
    } else {
        format!("{:.1}s", time.as_secs_f64())
    }
}
