//! The rules against a naive model: sequences of what owners ask, at times that need not be in order of eras.

use proptest::prelude::*;

use super::*;
use crate::error::ErrorKind;

#[derive(Debug, Clone)]
enum Ask {
    Acquire(u8, u32),
    Renew(u64),
    Release(u64, bool),
    Confirm(u64),
    Wait(u64),
    Reboot,
}

fn asks() -> impl Strategy<Value = Vec<Ask>> {
    let ask = prop_oneof![
        5 => (0..3u8, 0..3u32).prop_map(|(who, reserve)| Ask::Acquire(who, reserve)),
        3 => (0..3u64).prop_map(Ask::Renew),
        2 => (0..3u64, any::<bool>()).prop_map(|(back, pay)| Ask::Release(back, pay)),
        2 => (0..6u64).prop_map(Ask::Confirm),
        4 => (0..40u64).prop_map(Ask::Wait),
        1 => Just(Ask::Reboot),
    ];
    prop::collection::vec(ask, 0..80)
}

const TERM: u64 = 30;

/// What a person would write down: who has it until when, who is still out there.
#[derive(Debug, Default)]
struct Notes {
    epoch: u64,
    owner: u8,
    reserve: u32,
    until: Option<u64>,
    released: bool,
    out_there: Vec<u64>,
}

proptest! {
    #[test]
    fn they_do_what_the_notes_say(asks in asks()) {
        let name = Name::try_new("a").unwrap();
        let owner = |who: u8| Owner::try_new(format!("owner {who}")).unwrap();
        let mut record: Option<Record> = None;
        let mut notes = Notes::default();
        let (mut era, mut seconds) = (1u128, 100u64);
        for ask in asks {
            let now = Moment { era, since: Duration::from_secs(seconds) };
            let before = record.clone();
            let running = !notes.released && notes.until.is_some_and(|until| seconds < until);
            let asked = |back: u64| Epoch(notes.epoch.saturating_sub(back));
            let mut next = None;
            match ask {
                Ask::Wait(span) => seconds += span,
                Ask::Reboot => {
                    (era, seconds) = (era + 1, seconds % 50);
                    notes.until = None;
                }
                Ask::Acquire(who, reserve) => {
                    let claim = Claim { owner: owner(who), term: Duration::from_secs(TERM), reserve };
                    let result = acquire(&name, record.as_ref(), now, &claim);
                    let others = running && notes.owner != who;
                    if others {
                        let error = result.unwrap_err();
                        prop_assert_eq!(error.kind(), ErrorKind::Held);
                        let remaining = notes.until.map(|until| Duration::from_secs(until - seconds));
                        prop_assert_eq!(error.retry_after(), remaining);
                    } else {
                        let (got, handover) = result.unwrap();
                        let clean = record.is_none() || notes.released;
                        prop_assert_eq!(handover.is_clean(), clean);
                        prop_assert_eq!(matches!(handover, Handover::Again { .. }), running);
                        if !clean && notes.until.is_some() && notes.reserve > 0 {
                            notes.out_there.push(notes.epoch);
                        }
                        if record.as_ref().is_some_and(|record| record.ends.era != era) {
                            notes.out_there.clear();
                        }
                        prop_assert_eq!(got.epoch.0, notes.epoch + 1, "an epoch is never given twice");
                        let out_there = std::mem::take(&mut notes.out_there);
                        let until = Some(seconds + TERM);
                        notes = Notes { epoch: got.epoch.0, owner: who, reserve, until, released: false, out_there };
                        next = Some(got);
                    }
                }
                Ask::Renew(back) => {
                    let result = renew(&name, record.as_ref(), now, asked(back), Duration::from_secs(TERM), None);
                    let may = back == 0 && record.is_some() && !notes.released && notes.until.is_some();
                    prop_assert_eq!(result.is_ok(), may, "{:?}", result);
                    if may {
                        notes.until = Some(seconds + TERM);
                        next = result.ok();
                    } else {
                        prop_assert_eq!(result.unwrap_err().kind(), ErrorKind::Stale);
                    }
                }
                Ask::Release(back, pay) => {
                    let payload = pay.then_some(&b"stamps"[..]);
                    let result = release(&name, record.as_ref(), now, asked(back), payload);
                    let may = asked(back).0 == notes.epoch && record.is_some();
                    prop_assert_eq!(result.is_ok(), may, "{:?}", result);
                    if may {
                        (notes.released, notes.until) = (true, Some(seconds));
                        next = result.ok();
                        let kept = before.as_ref().map(|before| before.payload.clone()).unwrap_or_default();
                        let wanted = if pay { b"stamps".to_vec() } else { kept };
                        prop_assert_eq!(&next.as_ref().unwrap().payload, &wanted);
                    }
                }
                Ask::Confirm(back) => {
                    let epoch = asked(back);
                    next = confirm(record.as_ref(), epoch);
                    prop_assert_eq!(next.is_some(), notes.out_there.contains(&epoch.0));
                    notes.out_there.retain(|other| *other != epoch.0);
                }
            }
            if let Some(next) = next {
                if let Some(before) = &before {
                    prop_assert_eq!(next.version, before.version + 1);
                    prop_assert!(next.epoch >= before.epoch);
                }
                let listed: Vec<u64> = next.unconfirmed.iter().map(|former| former.epoch.0).collect();
                prop_assert_eq!(&listed, &notes.out_there);
                prop_assert_eq!(next.released, notes.released);
                record = Some(next);
            }
        }
    }
}

#[test]
fn too_many_who_did_not_confirm_are_not_forgotten() {
    let name = Name::try_new("a").unwrap();
    let claim = Claim { owner: Owner::try_new("o").unwrap(), term: Duration::from_secs(1), reserve: 1 };
    let at = |seconds| Moment { era: 0, since: Duration::from_secs(seconds) };
    let mut record = None;
    for seconds in 0..=MAX_UNCONFIRMED as u64 {
        record = Some(acquire(&name, record.as_ref(), at(2 * seconds), &claim).unwrap().0);
    }
    let late = at(1000);
    let full = acquire(&name, record.as_ref(), late, &claim).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::Unconfirmed);
    let record = confirm(record.as_ref(), Epoch(3)).unwrap();
    acquire(&name, Some(&record), late, &claim).unwrap();
    // A clean release adds nobody.
    let released = release(&name, Some(&record), late, record.epoch, None).unwrap();
    assert_eq!(
        acquire(&name, Some(&released), late, &claim).unwrap().0.unconfirmed.len(),
        MAX_UNCONFIRMED - 1
    );
}

#[test]
fn the_guard_is_what_is_left_of_the_window() {
    let second = Duration::from_secs(1);
    for (handover, guard) in [
        (Handover::First, 0),
        (Handover::Clean { since: 20 * second }, 40),
        (Handover::Expired { since: Duration::ZERO }, 60),
        (Handover::Expired { since: 59 * second }, 1),
        (Handover::Expired { since: 61 * second }, 0),
        (Handover::Again { remaining: 9 * second }, 69),
    ] {
        assert_eq!(handover.guard(60 * second), guard * second, "{handover:?}");
    }
}
