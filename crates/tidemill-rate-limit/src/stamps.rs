//! Stamps: what a later process must know of the sends of this one, 16 bytes each, written before the request.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::{Cause, Error};

/// Something a later process must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Record {
    /// A request leaves.
    Sent {
        /// When.
        at: SystemTime,
        /// With which key; see [`Builder::key_names`](crate::Builder::key_names).
        key: u32,
        /// Its cost.
        units: u32,
        /// A number that its answer repeats.
        ticket: u16,
    },
    /// The answer to it arrived.
    Answered {
        /// When.
        at: SystemTime,
        /// The key it was sent with.
        key: u32,
        /// Its cost.
        units: u32,
        /// The number of the send.
        ticket: u16,
    },
    /// The request never left: its send does not count.
    Cancelled {
        /// When that was known.
        at: SystemTime,
        /// The key it was to be sent with.
        key: u32,
        /// Its cost.
        units: u32,
        /// The number of the send.
        ticket: u16,
    },
    /// A key is not to be used.
    Held {
        /// Before this time.
        at: SystemTime,
        /// The key.
        key: u32,
    },
    /// A limit was learned.
    Learned {
        /// When.
        at: SystemTime,
        /// Hash of its scope, size and window as configured.
        limit: u32,
        /// The size in force, below 2^31.
        requests: u32,
        /// Whether sends are spaced by response-anchored slots.
        strict: bool,
    },
}

/// What earlier processes left behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// The records, oldest first; those that no longer matter may be missing.
    pub records: Vec<Record>,
    /// Sends before this time may be missing: the machine was restarted, or its clock was set.
    pub unknown_until: Option<SystemTime>,
}

impl History {
    /// As bytes, for whoever takes the keys over: 16 of a head and 16 a record.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = HISTORY.to_vec();
        bytes.extend(self.unknown_until.map_or(0, micros).to_le_bytes());
        bytes.extend(self.records.iter().flat_map(encode));
        bytes
    }

    /// What [`to_bytes`](Self::to_bytes) wrote; `None` for anything else, of which a successor knows nothing.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (head, body) = bytes.split_first_chunk::<16>()?;
        let (magic, unknown) = head.split_first_chunk::<8>()?;
        let unknown_until = u64::from_le_bytes(unknown.try_into().ok()?);
        let (entries, []) = body.as_chunks::<ENTRY>() else { return None };
        let records = entries.iter().map(decode).collect::<Option<Vec<_>>>()?;
        let unknown_until = Some(unknown_until).filter(|us| *us != 0).map(time);
        (*magic == HISTORY).then_some(Self { records, unknown_until })
    }
}

/// Where stamps are kept. Implement it to keep them elsewhere than in a file.
pub trait Stamps: fmt::Debug + Send + Sync {
    /// What earlier processes left that is not older than `horizon` at `now`. Called once, before anything is
    /// appended.
    ///
    /// # Errors
    /// When it cannot be read.
    fn load(&self, horizon: Duration, now: SystemTime) -> Result<History, Error>;

    /// Keeps a record so that it survives the death of this process; surviving that of the machine is not asked.
    ///
    /// # Errors
    /// When it cannot be written.
    fn append(&self, record: Record) -> Result<(), Error>;
}

/// Stamps in one file, which is rewritten when most of it is older than the horizon; it is locked by `PATH.lock`.
///
/// A stamp is one `write(2)` of 16 bytes without a sync, which survives `kill -9`. After a restart of the machine
/// (another boot id), or when the wall clock was set by more than two seconds, the past counts as unknown.
#[derive(Debug)]
pub struct FileStamps {
    path: PathBuf,
    clock: Clock,
    inner: Mutex<Inner>,
    _lock: File,
}

#[derive(Debug)]
struct Inner {
    file: File,
    entries: usize,
    /// Rewrite at so many entries.
    rewrite_at: usize,
    horizon: Duration,
    unknown_until: Option<SystemTime>,
}

impl FileStamps {
    /// Opens or creates the file.
    ///
    /// # Errors
    /// `Stamps` when it cannot be opened, is no stamp file, or another process has it open.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_on(path.as_ref(), Clock::of_this_machine())
    }

    fn open_on(path: &Path, clock: Clock) -> Result<Self, Error> {
        let failed = |doing, source| Error::stamps(path, doing, source);
        let lock = File::create(beside(path, ".lock")).map_err(|source| failed("lock", source))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(format_error(path, "are in use by another process")),
            Err(TryLockError::Error(source)) => return Err(failed("lock", source)),
        }
        let file = OpenOptions::new().read(true).append(true).create(true).open(path);
        let file = file.map_err(|source| failed("open", source))?;
        let inner =
            Inner { file, entries: 0, rewrite_at: TURN, horizon: Duration::ZERO, unknown_until: None };
        Ok(Self { path: path.to_owned(), clock, inner: Mutex::new(inner), _lock: lock })
    }

    fn read(&self) -> Result<(Option<Header>, Vec<Record>), Error> {
        let bytes = fs::read(&self.path).map_err(|source| Error::stamps(&self.path, "read", source))?;
        if bytes.is_empty() {
            return Ok((None, Vec::new()));
        }
        let Some((header, body)) = bytes.split_first_chunk::<HEADER>() else {
            return Err(format_error(&self.path, "are cut off in the header; remove the file"));
        };
        let Some(header) = Header::decode(header) else {
            return Err(format_error(&self.path, "are of an unknown format; remove the file"));
        };
        // An entry with a wrong checksum was torn; the send it stood for has not happened yet.
        let records = body.as_chunks::<ENTRY>().0.iter().filter_map(decode).collect();
        Ok((Some(header), records))
    }

    /// Replaces the file by one of the records that still matter at `now`, in one rename.
    fn rewrite(&self, inner: &mut Inner, records: &mut Vec<Record>, now: SystemTime) -> Result<(), Error> {
        let failed = |source| Error::stamps(&self.path, "rewrite", source);
        let since = now.checked_sub(inner.horizon).unwrap_or(UNIX_EPOCH);
        let lasting = newest_lessons(records);
        records.retain(|record| !matches!(record, Record::Learned { .. }) && record.at() >= since);
        records.splice(0..0, lasting);
        let header = Header { clock: self.clock, unknown_until: inner.unknown_until };
        let mut bytes = header.encode().to_vec();
        bytes.extend(records.iter().flat_map(encode));
        let next = beside(&self.path, ".next");
        fs::write(&next, &bytes).map_err(failed)?;
        fs::rename(&next, &self.path).map_err(failed)?;
        inner.file = OpenOptions::new().append(true).open(&self.path).map_err(failed)?;
        inner.entries = records.len();
        inner.rewrite_at = TURN.max(records.len() * 2);
        Ok(())
    }
}

impl Stamps for FileStamps {
    fn load(&self, horizon: Duration, now: SystemTime) -> Result<History, Error> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let (header, mut records) = self.read()?;
        inner.horizon = horizon;
        inner.unknown_until = match header {
            // Nothing was ever sent from here.
            None => None,
            Some(header) if header.clock.same_as(&self.clock) => header.unknown_until,
            Some(header) => Some(self.clock.unknown_until(&header.clock, now)),
        };
        self.rewrite(&mut inner, &mut records, now)?;
        Ok(History { records, unknown_until: inner.unknown_until })
    }

    fn append(&self, record: Record) -> Result<(), Error> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.entries >= inner.rewrite_at && !matches!(record, Record::Held { .. }) {
            let (_, mut records) = self.read()?;
            self.rewrite(&mut inner, &mut records, record.at())?;
        }
        let written = inner.file.write_all(&encode(&record));
        written.map_err(|source| Error::stamps(&self.path, "write", source))?;
        inner.entries += 1;
        Ok(())
    }
}

impl Record {
    /// When it happened, or, for [`Held`](Self::Held), until when it holds.
    pub fn at(&self) -> SystemTime {
        match *self {
            Self::Sent { at, .. }
            | Self::Answered { at, .. }
            | Self::Cancelled { at, .. }
            | Self::Held { at, .. }
            | Self::Learned { at, .. } => at,
        }
    }
}

/// How the wall clock of this machine stands to its uptime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Clock {
    /// Hash of the boot id; 0 where there is none.
    boot: u64,
    /// When the machine was started, in seconds since 1970 by the wall clock; 0 where that is not known.
    started_s: u64,
}

impl Clock {
    fn of_this_machine() -> Self {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let boot =
            boot.trim().bytes().filter(u8::is_ascii_hexdigit).fold(0u64, |hash, byte| {
                hash.rotate_left(5).wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte)
            });
        let uptime = fs::read_to_string("/proc/uptime").ok();
        let uptime = uptime.as_deref().and_then(|text| text.split('.').next()?.parse().ok());
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self { boot, started_s: uptime.map_or(0, |uptime: u64| wall.saturating_sub(uptime)) }
    }

    fn same_as(&self, other: &Self) -> bool {
        self.boot == other.boot && self.started_s.abs_diff(other.started_s) <= 2
    }

    /// Until when stamps that `earlier` wrote may be missing or wrong.
    fn unknown_until(&self, earlier: &Self, now: SystemTime) -> SystemTime {
        // After a restart nothing was sent between the end of the old boot and the start of this one.
        let started = UNIX_EPOCH + Duration::from_secs(self.started_s.saturating_add(1));
        if self.boot != earlier.boot && self.started_s != 0 { started.min(now) } else { now }
    }
}

/// Fewest entries before the file is rewritten.
const TURN: usize = 4096;

const MAGIC: [u8; 8] = *b"TRLSTMP1";
const HISTORY: [u8; 8] = *b"TRLHIST1";
const HEADER: usize = 32;
const ENTRY: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    clock: Clock,
    unknown_until: Option<SystemTime>,
}

impl Header {
    /// Magic with the format's number, boot, start and end of the unknown past (us, 0 for none); little endian.
    fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&self.clock.boot.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.clock.started_s.to_le_bytes());
        bytes[24..].copy_from_slice(&self.unknown_until.map_or(0, micros).to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; HEADER]) -> Option<Self> {
        let word = |i: usize| {
            let (chunks, _) = bytes.as_chunks::<8>();
            u64::from_le_bytes(chunks[i])
        };
        let clock = Clock { boot: word(1), started_s: word(2) };
        let unknown_until = Some(word(3)).filter(|us| *us != 0).map(time);
        (bytes[..8] == MAGIC).then_some(Self { clock, unknown_until })
    }
}

/// `time in us (52 bits), kind (4), checksum (8) | key or limit (32) | units (16), ticket (16)`, little endian.
fn encode(record: &Record) -> [u8; ENTRY] {
    let pair = |units: u32, ticket: u16| (units.min(0xffff) << 16) | u32::from(ticket);
    let (kind, name, rest) = match *record {
        Record::Sent { key, units, ticket, .. } => (1u64, key, pair(units, ticket)),
        Record::Answered { key, units, ticket, .. } => (2, key, pair(units, ticket)),
        Record::Cancelled { key, units, ticket, .. } => (5, key, pair(units, ticket)),
        Record::Held { key, .. } => (3, key, 0),
        Record::Learned { limit, requests, strict, .. } => (4, limit, (requests << 1) | u32::from(strict)),
    };
    let head = micros(record.at()) & ((1 << 52) - 1) | (kind << 52);
    let mut bytes = [0; ENTRY];
    bytes[..8].copy_from_slice(&head.to_le_bytes());
    bytes[8..12].copy_from_slice(&name.to_le_bytes());
    bytes[12..].copy_from_slice(&rest.to_le_bytes());
    bytes[7] = checksum(&bytes);
    bytes
}

fn decode(bytes: &[u8; ENTRY]) -> Option<Record> {
    if bytes[7] != checksum(bytes) {
        return None;
    }
    let all = u128::from_le_bytes(*bytes);
    let at = time((all as u64) & ((1 << 52) - 1));
    let (name, rest) = ((all >> 64) as u32, (all >> 96) as u32);
    let (units, ticket) = (rest >> 16, rest as u16);
    match (all as u64 >> 52) & 0xf {
        1 => Some(Record::Sent { at, key: name, units, ticket }),
        2 => Some(Record::Answered { at, key: name, units, ticket }),
        3 => Some(Record::Held { at, key: name }),
        4 => Some(Record::Learned { at, limit: name, requests: rest >> 1, strict: rest & 1 == 1 }),
        5 => Some(Record::Cancelled { at, key: name, units, ticket }),
        _ => None,
    }
}

fn checksum(bytes: &[u8; ENTRY]) -> u8 {
    let others = bytes.iter().enumerate().filter(|(i, _)| *i != 7);
    others.fold(0xa5u8, |sum, (_, byte)| sum.rotate_left(3) ^ byte)
}

fn newest_lessons(records: &[Record]) -> Vec<Record> {
    let mut newest: Vec<Record> = Vec::new();
    for record in records {
        if let Record::Learned { limit, .. } = record {
            newest.retain(|other| !matches!(other, Record::Learned { limit: same, .. } if same == limit));
            newest.push(*record);
        }
    }
    newest
}

fn micros(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

fn time(micros: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(micros)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(suffix);
    name.into()
}

fn format_error(path: &Path, why: &'static str) -> Error {
    Cause::StampsFormat { path: path.display().to_string(), why }.into()
}

#[cfg(test)]
mod tests;
