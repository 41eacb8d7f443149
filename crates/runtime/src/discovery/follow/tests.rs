//! All on tokio's paused clock, with looks that answer from a script; hits are measured, too.

use std::sync::atomic::AtomicUsize;

use super::*;

type Answer = Result<Found, LookupError>;

/// What DNS says at the moment, and how often it was asked.
#[derive(Clone)]
struct Script {
    answer: Arc<Mutex<Answer>>,
    looks: Arc<AtomicUsize>,
    takes: Duration,
}

impl Script {
    fn new(answer: Answer) -> Self {
        let takes = Duration::from_millis(5);
        Self { answer: Arc::new(Mutex::new(answer)), looks: Arc::default(), takes }
    }

    fn says(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    fn looks(&self) -> usize {
        self.looks.load(Ordering::SeqCst)
    }

    fn followed(&self) -> Followed<Vec<SocketAddr>> {
        let script = self.clone();
        let look = move || -> BoxFuture<'static, Answer> {
            let script = script.clone();
            Box::pin(async move {
                script.looks.fetch_add(1, Ordering::SeqCst);
                sleep(script.takes).await;
                script.answer.lock().unwrap().clone()
            })
        };
        Followed::with("iam".to_owned(), Metrics::default(), look, |_, addresses| {
            Arc::new(addresses.to_vec())
        })
    }
}

fn pod(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 14001))
}

fn found(pods: &[u8], ttl: u64) -> Answer {
    Ok(Found { addresses: pods.iter().map(|n| pod(*n)).collect(), ttl: Duration::from_secs(ttl) })
}

fn dead() -> Answer {
    Err(LookupError::Failed("request timed out".to_owned()))
}

/// Uses the name every 100 ms for `time`; every use must be a hit.
async fn hits(followed: &Followed<Vec<SocketAddr>>, time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        assert!(followed.get().is_some(), "a request had to wait");
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_burst_shares_one_look() {
    let script = Script::new(found(&[1], 5));
    let followed = script.followed();
    assert!(followed.get().is_none());
    assert_eq!(script.looks(), 0, "a name that nobody uses was looked up");
    let waiting = (0..1000).map(|_| followed.wait());
    for answer in futures::future::join_all(waiting).await {
        assert_eq!(*answer.unwrap(), [pod(1)]);
    }
    assert_eq!(script.looks(), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_goes_away_does_not_end_the_look_of_the_others() {
    let script = Script::new(found(&[1], 5));
    let followed = script.followed();
    let impatient = tokio::time::timeout(Duration::from_millis(1), followed.wait());
    let (gone, answer) = tokio::join!(impatient, followed.wait());
    assert!(gone.is_err());
    assert!(answer.is_ok());
    assert_eq!(script.looks(), 1);
}

#[tokio::test(start_paused = true)]
async fn answers_are_renewed_before_they_expire_and_no_request_waits() {
    let script = Script::new(found(&[1], 5));
    let followed = script.followed();
    followed.wait().await.unwrap();
    hits(&followed, Duration::from_secs(10)).await;
    script.says(found(&[1, 2, 3, 4], 5));
    hits(&followed, Duration::from_secs(5)).await;
    assert_eq!(followed.get().unwrap().len(), 4, "new pods were not found within the TTL");
    hits(&followed, Duration::from_secs(45)).await;
    // A minute of a TTL of five seconds, each time 70 to 85 % of it.
    assert!((14..=18).contains(&script.looks()), "{} looks", script.looks());
}

#[tokio::test(start_paused = true)]
async fn the_ttl_counts_between_one_and_thirty_seconds() {
    for (ttl, looks) in [(0, 60..=86), (3600, 2..=3)] {
        let script = Script::new(found(&[1], ttl));
        let followed = script.followed();
        followed.wait().await.unwrap();
        hits(&followed, Duration::from_secs(60)).await;
        assert!(looks.contains(&script.looks()), "TTL {ttl}: {} looks in a minute", script.looks());
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_dns_is_not_noticed_for_minutes_and_news_arrive_when_it_is_back() {
    let script = Script::new(found(&[1, 2], 5));
    let followed = script.followed();
    followed.wait().await.unwrap();
    script.says(dead());
    hits(&followed, Duration::from_secs(300)).await;
    assert!(script.looks() <= 65, "{} looks at a dead server in five minutes", script.looks());
    script.says(found(&[3], 5));
    hits(&followed, Duration::from_secs(6)).await;
    assert_eq!(*followed.get().unwrap(), [pod(3)]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_too_old_is_not_used() {
    let script = Script::new(found(&[1], 5));
    let followed = script.followed();
    followed.wait().await.unwrap();
    script.says(dead());
    hits(&followed, STALE_LIMIT - Duration::from_secs(5)).await;
    sleep(Duration::from_secs(20)).await;
    assert_eq!(followed.wait().await.unwrap_err(), dead().unwrap_err());
}

#[tokio::test(start_paused = true)]
async fn an_absent_name_fails_at_once_and_is_looked_up_once_a_second() {
    let script = Script::new(Err(LookupError::Absent));
    let followed = script.followed();
    assert_eq!(followed.wait().await, Err(LookupError::Absent));
    let begun = Instant::now();
    for _ in 0..100 {
        assert_eq!(followed.wait().await, Err(LookupError::Absent));
        sleep(Duration::from_millis(100)).await;
    }
    assert!(script.looks() <= 11, "{} looks in ten seconds", script.looks());
    assert!(begun.elapsed() < Duration::from_millis(10_100), "a negative answer was waited for");
    script.says(found(&[1], 5));
    sleep(Duration::from_millis(1_100)).await;
    assert_eq!(*followed.wait().await.unwrap(), [pod(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_name_is_gone_when_dns_says_so_twice() {
    let script = Script::new(found(&[1], 1));
    let followed = script.followed();
    followed.wait().await.unwrap();
    // A server that has just started does not know all names yet.
    script.says(Err(LookupError::Absent));
    sleep(Duration::from_millis(1_100)).await;
    assert!(followed.get().is_some());
    script.says(found(&[2], 1));
    sleep(Duration::from_millis(1_100)).await;
    assert_eq!(*followed.get().unwrap(), [pod(2)]);
    script.says(Err(LookupError::Absent));
    for _ in 0..25 {
        followed.get();
        sleep(Duration::from_millis(100)).await;
    }
    assert!(followed.get().is_none());
    assert_eq!(followed.wait().await, Err(LookupError::Absent));
}

#[tokio::test(start_paused = true)]
async fn a_name_that_nobody_uses_rests_and_is_not_used_again_unseen() {
    let script = Script::new(found(&[1], 5));
    let followed = script.followed();
    followed.wait().await.unwrap();
    sleep(REST_AFTER + Duration::from_secs(15)).await;
    let looks = script.looks();
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(script.looks(), looks, "an idle name was looked up");
    // The address may belong to somebody else by now.
    assert!(followed.get().is_none());
    script.says(found(&[2], 5));
    assert_eq!(*followed.wait().await.unwrap(), [pod(2)]);
    // Better an old address than none when DNS is dead at that very moment.
    sleep(REST_AFTER + Duration::from_secs(15)).await;
    script.says(dead());
    assert_eq!(*followed.wait().await.unwrap(), [pod(2)]);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_holds_any_more_is_not_followed() {
    let script = Script::new(found(&[1], 5));
    let followed = script.followed();
    followed.wait().await.unwrap();
    let looks = script.looks();
    drop(followed);
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(script.looks(), looks);
}

/// `cargo test --release -p goodgo-runtime a_hit -- --nocapture` prints the figures.
#[tokio::test(start_paused = true)]
async fn a_hit_asks_nobody_and_is_measured() {
    let script = Script::new(found(&[1, 2, 3, 4], 5));
    let followed = script.followed();
    followed.wait().await.unwrap();
    let mut took: Vec<_> = (0..100_000)
        .map(|_| {
            let begun = std::time::Instant::now();
            assert_eq!(followed.get().unwrap().len(), 4);
            begun.elapsed()
        })
        .collect();
    took.sort_unstable();
    println!("discovery hit: p50 {:?}, p99 {:?}, p99.9 {:?}", took[50_000], took[99_000], took[99_900]);
    assert_eq!(script.looks(), 1);
}
