//! The decisions: what a lease becomes when it is acquired, renewed, released or confirmed, given what it is and when.
//!
//! Pure functions without clock, lock or I/O. Every store runs these and nothing else: it loads a record together with
//! its own time, and writes the answer if nobody wrote in between.

use std::time::Duration;

use crate::error::{Cause, Error};
use crate::lease::{Epoch, Former, Handover, MAX_PAYLOAD, MAX_UNCONFIRMED, Moment, Record, Standing};
use crate::name::{Name, Owner};

/// What an owner asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Who asks.
    pub owner: Owner,
    /// For how long.
    pub term: Duration,
    /// What it may have in the air at once, in units of its choice; 0 if a late effect does no harm.
    pub reserve: u32,
}

/// The lease that is free, expired or the owner's own becomes the owner's, at a new epoch. The payload stays.
///
/// # Errors
/// `Held` by another owner; `Unconfirmed` when [`MAX_UNCONFIRMED`] former owners are already remembered.
pub fn acquire(
    name: &Name,
    current: Option<&Record>,
    now: Moment,
    claim: &Claim,
) -> Result<(Record, Handover), Error> {
    let ends = Moment { era: now.era, since: now.since.saturating_add(claim.term) };
    let Some(current) = current else {
        let record = Record {
            epoch: Epoch(1),
            version: 1,
            owner: claim.owner.clone(),
            released: false,
            ends,
            reserve: claim.reserve,
            unconfirmed: Vec::new(),
            payload: Vec::new(),
        };
        return Ok((record, Handover::First));
    };
    let handover = match current.standing(now) {
        Standing::Held { remaining } if current.owner == claim.owner => Handover::Again { remaining },
        Standing::Held { remaining } => {
            return Err(Cause::Held { owner: current.owner.clone(), epoch: current.epoch, remaining }.into());
        }
        Standing::Expired { since } => Handover::Expired { since },
        Standing::Released { since } => Handover::Clean { since },
    };
    let mut unconfirmed = current.unconfirmed.clone();
    if current.ends.era != now.era {
        unconfirmed.clear();
    } else if !current.released && current.reserve > 0 {
        if unconfirmed.len() >= MAX_UNCONFIRMED {
            return Err(Cause::Unconfirmed { name: name.clone(), former: unconfirmed.len() }.into());
        }
        unconfirmed.push(Former {
            epoch: current.epoch,
            owner: current.owner.clone(),
            reserve: current.reserve,
        });
    }
    let record = Record {
        epoch: Epoch(current.epoch.0 + 1),
        version: current.version + 1,
        owner: claim.owner.clone(),
        released: false,
        ends,
        reserve: claim.reserve,
        unconfirmed,
        payload: current.payload.clone(),
    };
    Ok((record, handover))
}

/// The owner of the current epoch has it for another `term`, even when its term had ended and nobody took it over.
///
/// # Errors
/// `Stale` for any other epoch, one that was given back, or one of an earlier era; `Input` for a payload that is too long.
pub fn renew(
    name: &Name,
    current: Option<&Record>,
    now: Moment,
    epoch: Epoch,
    term: Duration,
    payload: Option<&[u8]>,
) -> Result<Record, Error> {
    let current = owned(name, current, epoch)?;
    if current.released || current.ends.era != now.era {
        return Err(stale(name, current, epoch));
    }
    let ends = Moment { era: now.era, since: now.since.saturating_add(term) };
    Ok(Record {
        version: current.version + 1,
        ends,
        payload: last_word(current, payload)?,
        ..current.clone()
    })
}

/// The owner of the current epoch gives it back, having stopped. Doing so twice is no error.
///
/// # Errors
/// `Stale` for any other epoch; `Input` for a payload that is too long.
pub fn release(
    name: &Name,
    current: Option<&Record>,
    now: Moment,
    epoch: Epoch,
    payload: Option<&[u8]>,
) -> Result<Record, Error> {
    let current = owned(name, current, epoch)?;
    Ok(Record {
        version: current.version + 1,
        released: true,
        ends: now,
        payload: last_word(current, payload)?,
        ..current.clone()
    })
}

/// The former owner of `epoch` has nothing in the air any more; `None` if it is not among the unconfirmed.
pub fn confirm(current: Option<&Record>, epoch: Epoch) -> Option<Record> {
    let current = current.filter(|current| current.unconfirmed.iter().any(|former| former.epoch == epoch))?;
    let mut next = current.clone();
    next.version += 1;
    next.unconfirmed.retain(|former| former.epoch != epoch);
    Some(next)
}

fn owned<'a>(name: &Name, current: Option<&'a Record>, epoch: Epoch) -> Result<&'a Record, Error> {
    let current = current.ok_or_else(|| Cause::NeverHeld { name: name.clone(), asked: epoch })?;
    if current.epoch != epoch { Err(stale(name, current, epoch)) } else { Ok(current) }
}

fn stale(name: &Name, current: &Record, asked: Epoch) -> Error {
    Cause::Stale { name: name.clone(), asked, current: current.epoch, owner: current.owner.clone() }.into()
}

fn last_word(current: &Record, payload: Option<&[u8]>) -> Result<Vec<u8>, Error> {
    match payload {
        Some(payload) if payload.len() > MAX_PAYLOAD => {
            Err(Cause::Input { what: "payload", why: "has more than 65536 bytes" }.into())
        }
        Some(payload) => Ok(payload.to_vec()),
        None => Ok(current.payload.clone()),
    }
}

#[cfg(test)]
mod tests;
