//! The cases, each a function from handles on one store to what is wrong with it.

use std::sync::Arc;
use std::time::Duration;

use super::Failure;
use crate::config::Config;
use crate::error::{Error, ErrorKind};
use crate::lease::{Epoch, Former, Handover, MAX_PAYLOAD, MAX_UNCONFIRMED, Moment, Record, Standing};
use crate::leases::Leases;
use crate::name::{MAX_NAME, Name, Owner};
use crate::store::Store;

/// What is tried, in this order.
pub const CASES: &[&str] = &[
    "a record comes back as it was written",
    "a write needs the epoch and the version it expects",
    "of writers that expect the same, one is told true",
    "names are exact, bounded and in the order of their bytes",
    "the clock runs and does not go back",
    "one owner at a time, and epochs rise for ever",
    "a stale epoch is refused",
    "a term ends, and the lease is taken over",
    "an unclean end is remembered until it is confirmed",
];

type Handle = Arc<dyn Store>;
type Judged = Result<(), String>;

/// Terms that are waited for; long enough for a slow disk to renew in.
const SHORT: Duration = Duration::from_millis(600);

pub(super) async fn run<F, O>(open: &F) -> Result<(), Failure>
where
    F: Fn() -> O,
    O: Future<Output = Result<Handle, Error>>,
{
    for (index, case) in CASES.iter().enumerate() {
        judge(index, open).await.map_err(|says| Failure { case, says })?;
    }
    Ok(())
}

async fn judge<F, O>(index: usize, open: &F) -> Judged
where
    F: Fn() -> O,
    O: Future<Output = Result<Handle, Error>>,
{
    let (a, b) = (open().await.map_err(told)?, open().await.map_err(told)?);
    match index {
        0 => comes_back(a, b).await,
        1 => conditional(a, b).await,
        2 => races(a, b).await,
        3 => names(a, b).await,
        4 => clock(a, b).await,
        5 => epochs(a, b).await,
        6 => stale(a, b).await,
        7 => takeover(a, b).await,
        _ => unconfirmed(a, b).await,
    }
}

async fn comes_back(a: Handle, b: Handle) -> Judged {
    let name = fresh(&a, "comes back").await?;
    let now = a.load(&name).await.map_err(told)?.now;
    let former = (0..MAX_UNCONFIRMED as u64).map(|epoch| Former {
        epoch: Epoch(epoch),
        owner: owner(&format!("former \"{epoch}\" \\ ' %")),
        reserve: u32::MAX,
    });
    let mut records = vec![
        Record {
            epoch: Epoch(1),
            version: 1,
            owner: owner(&"\u{4e2d}".repeat(MAX_NAME / 3)),
            released: false,
            ends: Moment { since: now.since + Duration::from_micros(1_234_567), ..now },
            reserve: u32::MAX,
            unconfirmed: former.collect(),
            payload: (0..MAX_PAYLOAD).map(|byte| byte as u8).collect(),
        },
        record(2, 2, now),
        Record {
            epoch: Epoch(i64::MAX as u64),
            version: i64::MAX as u64,
            released: true,
            ..record(3, 3, now)
        },
    ];
    let mut last: Option<Record> = None;
    for record in records.drain(..) {
        ensure(a.swap(&name, last.as_ref(), &record).await.map_err(told)?, "a write was not done")?;
        for (handle, which) in [(&a, "the writer"), (&b, "another handle")] {
            let found = handle.load(&name).await.map_err(told)?.record;
            // Ends may be kept to the microsecond, rounded up.
            let found = found.map(|mut found| {
                if found.ends.since.saturating_sub(record.ends.since) < Duration::from_micros(1) {
                    found.ends.since = record.ends.since;
                }
                found
            });
            ensure(
                found.as_ref() == Some(&record),
                &format!("{which} reads another record than was written"),
            )?;
        }
        last = Some(record);
    }
    Ok(())
}

async fn conditional(a: Handle, b: Handle) -> Judged {
    let name = fresh(&a, "conditional").await?;
    let now = a.load(&name).await.map_err(told)?.now;
    let first = record(5, 5, now);
    let next = record(6, 6, now);
    ensure(
        !a.swap(&name, Some(&first), &next).await.map_err(told)?,
        "a record that is not there was replaced",
    )?;
    ensure(a.swap(&name, None, &first).await.map_err(told)?, "a new name was not written")?;
    ensure(!b.swap(&name, None, &next).await.map_err(told)?, "a name was made that is there")?;
    for (epoch, version) in [(4, 5), (6, 5), (5, 4), (5, 6), (0, 0)] {
        let wrong = record(epoch, version, now);
        let done = b.swap(&name, Some(&wrong), &next).await.map_err(told)?;
        ensure(!done, &format!("epoch 5, version 5 was replaced by who expected {epoch} and {version}"))?;
    }
    let found = a.load(&name).await.map_err(told)?.record;
    ensure(found.is_some_and(|found| found.epoch == Epoch(5)), "a refused write left something behind")?;
    ensure(b.swap(&name, Some(&first), &next).await.map_err(told)?, "a write was refused for nothing")
}

async fn races(a: Handle, b: Handle) -> Judged {
    let name = fresh(&a, "races").await?;
    let now = a.load(&name).await.map_err(told)?.now;
    let mut expected: Option<Record> = None;
    for round in 1..=12u64 {
        let mut tasks = tokio::task::JoinSet::new();
        for racer in 0..8u32 {
            let handle = if racer % 2 == 0 { a.clone() } else { b.clone() };
            let (name, expected) = (name.clone(), expected.clone());
            let next = Record { reserve: racer, ..record(round, round, now) };
            tasks.spawn(async move {
                handle.swap(&name, expected.as_ref(), &next).await.map(|won| won.then_some(next))
            });
        }
        let mut winners = Vec::new();
        while let Some(done) = tasks.join_next().await {
            winners.extend(done.map_err(|error| error.to_string())?.map_err(told)?);
        }
        ensure(winners.len() == 1, &format!("{} of 8 writers won round {round}", winners.len()))?;
        expected = b.load(&name).await.map_err(told)?.record;
        ensure(
            expected.as_ref().map(|record| record.reserve) == winners.first().map(|record| record.reserve),
            "a winner's record is not the one that stands there",
        )?;
    }
    Ok(())
}

async fn names(a: Handle, b: Handle) -> Judged {
    let now = a.load(&name("conformance/names/")).await.map_err(told)?.now;
    // In the order of their bytes: capitals first, accents last, no number is a number.
    let mut texts =
        ["!", "10", "9", "B", "a", "a b", "a%", "a'", "a/", "a_", "aa", "b", "\u{e9}", "\u{4e2d}"]
            .map(|text| format!("conformance/names/{text}"))
            .to_vec();
    texts.push(format!("conformance/names/{}", "\u{4e2d}".repeat((MAX_NAME - 18) / 3)));
    for text in texts.iter().rev() {
        let name = name(text);
        let found = a.load(&name).await.map_err(told)?.record;
        if found.is_none() {
            ensure(a.swap(&name, None, &record(1, 1, now)).await.map_err(told)?, "a name was not written")?;
        }
    }
    let absent = b.load(&name("conformance/names/A")).await.map_err(told)?.record;
    ensure(absent.is_none(), "`A` is found where only `a` was written")?;
    for limit in [1, 4, 256] {
        let (mut seen, mut after) = (Vec::new(), name("conformance/names/"));
        loop {
            let page = b.page(Some(&after), limit).await.map_err(told)?;
            ensure(page.records.len() <= limit, "a page is longer than its limit")?;
            let full = page.records.len() == limit;
            let ours = page.records.into_iter().map(|(name, _)| name);
            seen.extend(ours.filter(|name| name.as_str().starts_with("conformance/names/")));
            match seen.last() {
                Some(last) if full && seen.len() <= texts.len() && *last != after => after = last.clone(),
                _ => break,
            }
        }
        let seen: Vec<_> = seen.iter().map(|name| name.as_str().to_owned()).collect();
        ensure(seen == texts, &format!("pages of {limit} list {seen:?}"))?;
    }
    let first = b.page(None, 256).await.map_err(told)?;
    let sorted = first.records.windows(2).all(|pair| pair[0].0 < pair[1].0);
    ensure(sorted && !first.records.is_empty(), "a list without a start is not in order")?;
    let end = b.page(Some(&name(&"\u{10ffff}".repeat(MAX_NAME / 4))), 1).await.map_err(told)?;
    ensure(end.records.is_empty() && end.now.since >= now.since, "behind the last name stands another")
}

async fn clock(a: Handle, b: Handle) -> Judged {
    let name = name("conformance/clock");
    let begun = a.load(&name).await.map_err(told)?.now;
    let mut last = begun;
    for round in 0..40 {
        let handle = if round % 2 == 0 { &a } else { &b };
        let now = handle.load(&name).await.map_err(told)?.now;
        ensure(now.era == last.era, "two handles live in different eras")?;
        ensure(now.since >= last.since, "the clock went back from one handle to the other")?;
        last = now;
    }
    let pause = Duration::from_millis(50);
    tokio::time::sleep(pause).await;
    let now = a.load(&name).await.map_err(told)?.now;
    ensure(now.since >= last.since + pause * 9 / 10, "the clock runs too slowly")
}

async fn epochs(a: Handle, b: Handle) -> Judged {
    let name = name("conformance/epochs");
    let (x, y) = (leases(&a, "x", 0, LONG)?, leases(&b, "y", 0, LONG)?);
    give_back(&a, &name).await?;
    let mut last = Epoch(0);
    for round in 0..4u8 {
        let held = x.acquire(&name).await.map_err(told)?;
        ensure(held.epoch() > last, "an epoch did not rise")?;
        ensure(round == 0 || held.inherited() == [round - 1], "the last payload was not handed over")?;
        ensure(held.handover().is_clean(), "a clean handover is not told as one")?;
        let refused = y.acquire(&name).await.err();
        let wait =
            refused.as_ref().filter(|error| error.kind() == ErrorKind::Held).and_then(Error::retry_after);
        ensure(
            wait.is_some_and(|wait| wait > Duration::ZERO && wait <= LONG),
            "another owner acquired a held lease",
        )?;
        x.renew(&held, Some(&[99])).await.map_err(told)?;
        x.release(&held, Some(&[round])).await.map_err(told)?;
        ensure(!held.may_act(Duration::ZERO), "a released guard lets act")?;
        x.release(&held, Some(&[round])).await.map_err(told)?;
        last = held.epoch();
        let held = y.acquire(&name).await.map_err(told)?;
        ensure(held.epoch() > last && held.inherited() == [round], "a released lease was not handed over")?;
        // The same owner again, as after a crash: at a new epoch, and the old one is fenced off.
        let again = y.acquire(&name).await.map_err(told)?;
        ensure(
            matches!(again.handover(), Handover::Again { .. }),
            "an owner's second life is not told as one",
        )?;
        let fenced = y.renew(&held, None).await.err();
        ensure(fenced.is_some_and(|error| error.kind() == ErrorKind::Stale), "a former life renewed")?;
        y.release(&again, None).await.map_err(told)?;
        last = again.epoch();
    }
    Ok(())
}

async fn stale(a: Handle, b: Handle) -> Judged {
    let name = name("conformance/stale");
    give_back(&a, &name).await?;
    let (x, y) = (leases(&a, "x", 0, SHORT)?, leases(&b, "y", 0, LONG)?);
    let old = x.acquire(&name).await.map_err(told)?;
    let new = take_over(&y, &name).await?;
    let is_stale = |result: Result<(), Error>| result.is_err_and(|error| error.kind() == ErrorKind::Stale);
    ensure(is_stale(x.renew(&old, Some(b"old")).await), "a stale epoch renewed")?;
    ensure(is_stale(x.release(&old, Some(b"old")).await), "a stale epoch released")?;
    let now = y.read(&name).await.map_err(told)?;
    let now = now.ok_or("the lease is gone")?;
    ensure(now.epoch == new.epoch() && now.payload != b"old", "a stale epoch wrote")?;
    ensure(matches!(now.standing, Standing::Held { .. }), "the new owner lost it")?;
    y.release(&new, None).await.map_err(told)
}

async fn takeover(a: Handle, b: Handle) -> Judged {
    let name = name("conformance/takeover");
    give_back(&a, &name).await?;
    let (x, y) = (leases(&a, "x", 0, SHORT)?, leases(&b, "y", 0, SHORT)?);
    let held = x.acquire(&name).await.map_err(told)?;
    x.renew(&held, Some(b"stamps")).await.map_err(told)?;
    let renewed = x.now();
    let new = take_over(&y, &name).await?;
    ensure(!held.may_act(x.now()), "it was taken over while its owner might act")?;
    ensure(x.now() - renewed + Duration::from_millis(50) >= SHORT, "it was taken over before its end")?;
    ensure(new.inherited() == b"stamps", "the payload was lost at the takeover")?;
    let Handover::Expired { since } = *new.handover() else {
        return Err("an unclean end is not told as one".into());
    };
    ensure(since < Duration::from_secs(60), "the end lies too far back")?;
    // Nobody took it: the same epoch may go on even after its end.
    wait_for_the_end(&y, &name).await?;
    y.renew(&new, None).await.map_err(told)?;
    ensure(new.may_act(y.now()), "a renewal after the end gives no term")?;
    y.release(&new, None).await.map_err(told)
}

async fn unconfirmed(a: Handle, b: Handle) -> Judged {
    let name = name("conformance/unconfirmed");
    give_back(&a, &name).await?;
    let (x, y) = (leases(&a, "x", 8, SHORT)?, leases(&b, "y", 3, SHORT)?);
    let old = x.acquire(&name).await.map_err(told)?;
    let new = take_over(&y, &name).await?;
    let mine: Vec<_> = new.unconfirmed().iter().filter(|former| former.epoch == old.epoch()).collect();
    ensure(mine.len() == 1 && mine[0].reserve == 8, "the former owner's reserve is not on record")?;
    ensure(!x.confirm(&name, new.epoch()).await.map_err(told)?, "the present owner was confirmed as gone")?;
    ensure(x.confirm(&name, old.epoch()).await.map_err(told)?, "the former owner was not confirmed")?;
    ensure(!x.confirm(&name, old.epoch()).await.map_err(told)?, "it was confirmed twice")?;
    y.renew(&new, None).await.map_err(told)?;
    let now = y.read(&name).await.map_err(told)?.ok_or("the lease is gone")?;
    ensure(
        now.unconfirmed.iter().all(|former| former.epoch != old.epoch()),
        "a confirmed owner is still listed",
    )?;
    y.release(&new, None).await.map_err(told)
}

const LONG: Duration = Duration::from_secs(60);

fn leases(store: &Handle, who: &str, reserve: u32, term: Duration) -> Result<Leases, String> {
    let config = Config { reserve, timeout: term / 3, ..Config::with_term(term) };
    Leases::builder(config, store.clone(), owner(&format!("conformance {who}"))).build().map_err(told)
}

/// A name with a record that no earlier run left behind, however often this one was run.
async fn fresh(store: &Handle, case: &str) -> Result<Name, String> {
    for run in 0..10_000 {
        let name = name(&format!("conformance/{case}/{run}"));
        if store.load(&name).await.map_err(told)?.record.is_none() {
            return Ok(name);
        }
    }
    Err("it was judged too often".into())
}

/// Makes the lease free, whatever an earlier run left.
async fn give_back(store: &Handle, name: &Name) -> Judged {
    let found = store.load(name).await.map_err(told)?;
    let Some(record) = found.record.filter(|record| !record.released) else { return Ok(()) };
    let next = Record { released: true, version: record.version + 1, ends: found.now, ..record.clone() };
    let done = store.swap(name, Some(&record), &next).await.map_err(told)?;
    ensure(done, "somebody else uses the names of this suite")
}

async fn take_over(leases: &Leases, name: &Name) -> Result<crate::held::Held, String> {
    let begun = std::time::Instant::now();
    loop {
        match leases.acquire(name).await {
            Ok(held) => return Ok(held),
            Err(error) if error.kind() == ErrorKind::Held && begun.elapsed() < LONG => {
                tokio::time::sleep(error.retry_after().unwrap_or(Duration::ZERO)).await;
            }
            Err(error) => return Err(told(error)),
        }
    }
}

async fn wait_for_the_end(leases: &Leases, name: &Name) -> Judged {
    let begun = std::time::Instant::now();
    while begun.elapsed() < LONG {
        match leases.read(name).await.map_err(told)?.map(|lease| lease.standing) {
            Some(Standing::Held { remaining }) => tokio::time::sleep(remaining).await,
            _ => return Ok(()),
        }
    }
    Err("a term does not end".into())
}

fn record(epoch: u64, version: u64, now: Moment) -> Record {
    Record {
        epoch: Epoch(epoch),
        version,
        owner: owner("conformance"),
        released: true,
        ends: now,
        reserve: 0,
        unconfirmed: Vec::new(),
        payload: Vec::new(),
    }
}

fn name(text: &str) -> Name {
    Name::try_new(text).unwrap_or_else(|error| unreachable!("{text}: {error}"))
}

fn owner(text: &str) -> Owner {
    Owner::try_new(text).unwrap_or_else(|error| unreachable!("{text}: {error}"))
}

fn ensure(holds: bool, says: &str) -> Judged {
    if holds { Ok(()) } else { Err(says.to_owned()) }
}

fn told(error: Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
