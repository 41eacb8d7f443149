//! Random inputs with a memory: those in `corpus/<target>/` are tried first as they are, then damaged at random. One that
//! comes to an outcome that none before it came to is damaged further; with `GOODGO_CORPUS=keep` it is also written down,
//! and so is one that fails, so that every later run begins with it.

// Each test program uses its own part of this.
#![allow(dead_code)]

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

/// Random inputs of a run: a hundred thousand, or what `make soak` asks for.
pub(crate) fn executions() -> u64 {
    executions_or(100_000)
}

/// The same where one input takes a hundred microseconds: `few`, or what `make soak` asks for.
pub(crate) fn executions_or(few: u64) -> u64 {
    std::env::var("GOODGO_EXECUTIONS").ok().and_then(|count| count.parse().ok()).unwrap_or(few)
}

/// Longest input, in bytes: damage must not only make them longer.
const LONGEST: usize = 8 * 1024;
/// Inputs that are damaged further; outcomes that a target tells apart are fewer.
const MOST: usize = 500;

/// What is known about one target.
pub(crate) struct Corpus {
    folder: PathBuf,
    inputs: Vec<Vec<u8>>,
    outcomes: BTreeSet<String>,
    keeps: bool,
}

impl Corpus {
    /// Of the target whose folder is `folder` below the crate in `manifest`.
    pub(crate) fn open(manifest: &str, folder: &str) -> Self {
        let folder = Path::new(manifest).join("corpus").join(folder);
        let mut paths: Vec<_> = fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        assert!(!paths.is_empty(), "{} is empty", folder.display());
        let inputs = paths.iter().map(|path| fs::read(path).unwrap()).collect();
        let keeps = std::env::var_os("GOODGO_CORPUS").is_some_and(|value| value == "keep");
        Self { folder, inputs, outcomes: BTreeSet::new(), keeps }
    }

    /// Holds every kept input, then `executions` damaged ones, against `check`, which names what the input came to and
    /// panics when it shows a defect. `tokens` are words of the target's language. Returns how many outcomes there were.
    pub(crate) fn run(
        mut self,
        executions: u64,
        tokens: &[&str],
        mut check: impl FnMut(&[u8]) -> String,
    ) -> usize {
        for input in self.inputs.clone() {
            let outcome = self.attempt(&input, &mut check);
            self.outcomes.insert(outcome);
        }
        let mut random = fastrand::Rng::with_seed(20_261_125);
        for _ in 0..executions {
            let mut input = random.choice(&self.inputs).unwrap().clone();
            for _ in 0..random.u8(1..4) {
                damage(&mut input, tokens, &mut random);
            }
            input.truncate(LONGEST);
            let outcome = self.attempt(&input, &mut check);
            if self.inputs.len() < MOST && self.outcomes.insert(outcome.clone()) {
                self.keep(&slug(&outcome), &input);
                self.inputs.push(input);
            }
        }
        self.outcomes.len()
    }

    fn attempt(&self, input: &[u8], check: &mut impl FnMut(&[u8]) -> String) -> String {
        match catch_unwind(AssertUnwindSafe(|| check(input))) {
            Ok(outcome) => outcome,
            Err(panic) => {
                self.keep(&format!("failed-{:016x}", fingerprint(input)), input);
                println!("failed on {:?}", String::from_utf8_lossy(input));
                resume_unwind(panic)
            }
        }
    }

    fn keep(&self, name: &str, input: &[u8]) {
        let path = self.folder.join(name);
        if self.keeps && !path.exists() {
            fs::write(path, input).unwrap();
        }
    }
}

/// One change: something cut out, replaced, doubled, flipped, or a word put in.
fn damage(input: &mut Vec<u8>, tokens: &[&str], random: &mut fastrand::Rng) {
    let at = random.usize(0..=input.len());
    let to = (at + random.usize(0..12)).min(input.len());
    match random.u8(0..6) {
        0 => drop(input.drain(at..to)),
        1 => drop(input.splice(at..to, random.choice(tokens).unwrap().bytes())),
        2 => drop(input.splice(at..at, random.choice(tokens).unwrap().bytes())),
        3 if random.u8(0..4) == 0 => input.truncate(at),
        4 if at < input.len() => input[at] ^= 1 << random.u8(0..8),
        _ => {
            let piece = input[at..to].to_vec();
            drop(input.splice(at..at, piece));
        }
    }
}

/// An outcome as the name of a file.
fn slug(outcome: &str) -> String {
    let letters =
        outcome.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' });
    let mut slug = String::new();
    for letter in letters.filter(|c| !c.is_ascii_digit()).take(100) {
        if letter != '-' || !slug.ends_with('-') {
            slug.push(letter);
        }
    }
    slug.trim_matches('-').to_owned()
}

/// FNV-1a: the same on every machine and in every version.
fn fingerprint(input: &[u8]) -> u64 {
    input.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
