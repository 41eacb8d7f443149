use tokio::time::{advance, sleep};

use super::*;

fn peers(count: usize) -> Vec<Health> {
    (0..count).map(|_| Health::default()).collect()
}

fn note(all: &[Health], which: usize, verdict: Verdict) {
    all[which].note(verdict, || all.iter());
}

fn out(all: &[Health]) -> Vec<usize> {
    (0..all.len()).filter(|which| all[*which].is_out()).collect()
}

#[tokio::test(start_paused = true)]
async fn silence_ejects_after_three_in_a_row() {
    let all = peers(4);
    for _ in 0..100 {
        note(&all, 0, Verdict::Silent);
        note(&all, 0, Verdict::Silent);
        note(&all, 0, Verdict::Well);
    }
    assert!(out(&all).is_empty());
    for _ in 0..3 {
        note(&all, 1, Verdict::Silent);
    }
    assert_eq!(out(&all), [1]);
    // A client that went away says nothing about the peer.
    for _ in 0..100 {
        note(&all, 2, Verdict::Nothing);
    }
    assert_eq!(out(&all), [1]);
}

#[tokio::test(start_paused = true)]
async fn at_most_half_are_out_and_a_single_one_never_is() {
    for (count, most) in [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (10, 5)] {
        let all = peers(count);
        for which in 0..count {
            for _ in 0..10 {
                note(&all, which, Verdict::Silent);
            }
        }
        assert_eq!(out(&all).len(), most, "of {count}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_worse_than_the_others_is_ejected_and_nobody_when_all_are_bad() {
    // One that always fails: six answers are enough.
    let all = peers(4);
    for _ in 0..6 {
        note(&all, 3, Verdict::Failing);
        for well in 0..3 {
            note(&all, well, Verdict::Well);
        }
    }
    assert_eq!(out(&all), [3]);

    // One that fails every other request.
    let all = peers(4);
    for _ in 0..20 {
        note(&all, 0, Verdict::Failing);
        note(&all, 0, Verdict::Well);
    }
    assert_eq!(out(&all), [0]);

    // One in twenty is no outlier.
    let all = peers(4);
    for _ in 0..1000 {
        note(&all, 0, Verdict::Failing);
        for _ in 0..19 {
            note(&all, 0, Verdict::Well);
        }
    }
    assert!(out(&all).is_empty());

    // A request that fails wherever it goes.
    let all = peers(4);
    for _ in 0..1000 {
        for which in 0..4 {
            note(&all, which, Verdict::Failing);
        }
    }
    assert!(out(&all).is_empty());
}

#[tokio::test(start_paused = true)]
async fn ejections_grow_from_five_seconds_to_a_minute_and_end_with_one_probe() {
    let all = peers(4);
    for _ in 0..3 {
        note(&all, 0, Verdict::Silent);
    }
    for seconds in [5, 10, 20, 40, 60, 60] {
        assert_eq!(all[0].admission(), Admission::Out);
        sleep(Duration::from_secs(seconds) - Duration::from_millis(2)).await;
        assert_eq!(all[0].admission(), Admission::Out, "before {seconds} s");
        sleep(Duration::from_millis(4)).await;
        assert_eq!(all[0].admission(), Admission::Probe, "after {seconds} s");
        assert_eq!(all[0].admission(), Admission::Out, "a second probe at the same time");
        // Whoever made the probe went away: the next one is it.
        note(&all, 0, Verdict::Nothing);
        assert_eq!(all[0].admission(), Admission::Probe);
        note(&all, 0, Verdict::Failing);
    }
    advance(Duration::from_secs(61)).await;
    assert_eq!(all[0].admission(), Admission::Probe);
    note(&all, 0, Verdict::Well);
    assert_eq!(all[0].admission(), Admission::In);

    // Well for an hour, it starts with five seconds again.
    advance(Duration::from_secs(3600)).await;
    for _ in 0..3 {
        note(&all, 0, Verdict::Silent);
    }
    advance(Duration::from_secs(6)).await;
    assert_eq!(all[0].admission(), Admission::Probe);
}
