//! Opening a directory: whose it is, whether what it holds may be believed, and what of it is whole.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use super::frame::{self, Event};
use super::log::{Limits, Log};
use crate::generation::Struck;

/// What an open found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Recovered {
    /// Values that are there.
    pub values: u64,
    /// Frames that were damaged, each with what it may have replaced.
    pub damaged: u64,
    /// Bytes at the end that were being written when the process ended.
    pub cut_bytes: u64,
    /// The machine had gone down, or the directory is another's: nothing in it was believed.
    pub cold: bool,
}

/// How long an open waits for the directory's last owner.
const PATIENCE: Duration = Duration::from_millis(500);

/// Locks the directory; the file is the lock.
pub(super) fn lock(dir: &Path) -> io::Result<File> {
    fs::create_dir_all(dir)?;
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(dir.join("LOCK"))?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            // One that was just dropped may still be writing.
            Err(TryLockError::WouldBlock) if began.elapsed() < PATIENCE => std::thread::sleep(PATIENCE / 100),
            Err(TryLockError::WouldBlock) => {
                let says = "another process has this directory: give each cache one of its own";
                return Err(io::Error::new(io::ErrorKind::WouldBlock, says));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// Reads what is there; the directory is locked.
pub(super) fn recover(dir: &Path, limits: Limits, now_ms: u64) -> io::Result<(Log, Recovered)> {
    let mut log = Log::new(dir.to_owned(), limits);
    let mut found = Recovered::default();
    let boot = boot_id();
    let state = State::read(dir);
    let numbers = numbers(dir)?;
    let believed = match (&state, numbers.last()) {
        (_, None) => true,
        (Some(state), _) if boot.is_some() && state.boot == boot => true,
        (Some(State { clean: Some((number, len)), .. }), Some(last)) => {
            number == last && fs::metadata(log.path(*last)).is_ok_and(|file| file.len() == *len)
        }
        _ => false,
    };
    if !believed {
        found.cold = true;
        for number in &numbers {
            fs::remove_file(log.path(*number))?;
        }
    }
    // Before anything is written: a machine that goes down from now on leaves nothing to believe.
    State { boot, clean: None }.write(dir)?;
    if believed {
        adopt(&mut log, &numbers, &mut found, now_ms)?;
    }
    found.values = log.entries() as u64;
    log.begin(now_ms);
    Ok((log, found))
}

fn adopt(log: &mut Log, numbers: &[u32], found: &mut Recovered, now_ms: u64) -> io::Result<()> {
    for (place, number) in numbers.iter().enumerate() {
        let path = log.path(*number);
        let bytes = fs::read(&path)?;
        let gap = place > 0 && numbers[place - 1].saturating_add(1) != *number;
        if gap {
            // What stood between them may have replaced what is older.
            found.damaged += 1;
            log.disown_all();
        }
        let is_last = place + 1 == numbers.len();
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        log.adopt(*number, file.try_clone()?, 0);
        let whole = frame::scan(&bytes, |event| match event {
            Event::Put { at, len, hash, brief, .. } => {
                log.generations.restore(brief.generation, None);
                if brief.end_ms > now_ms {
                    log.adopt_value(hash, at, len, brief.end_ms);
                } else {
                    log.disown(hash);
                }
            }
            Event::Remove { hash } => log.disown(hash),
            Event::Strike { at, generation } => {
                let tag = u32::try_from(at).map_or(Struck::Everything, Struck::Tag);
                log.generations.restore(generation, Some(tag));
            }
            Event::Damaged { hash } => {
                found.damaged += 1;
                log.disown(hash);
            }
            Event::Lost => {
                found.damaged += 1;
                log.disown_all();
            }
        });
        if whole < bytes.len() {
            if is_last {
                found.cut_bytes += (bytes.len() - whole) as u64;
                file.set_len(whole as u64)?;
            } else {
                found.damaged += 1;
                log.disown_all();
            }
        }
        log.adopted(whole as u64);
        if is_last && whole <= frame::FILE_HEADER {
            fs::remove_file(&path)?;
            log.release_last();
        }
    }
    Ok(())
}

/// Of the segments, from the oldest.
fn numbers(dir: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".tmseg")).map(str::parse);
        if let Some(Ok(number)) = number {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// What the last owner left: under which boot of the machine it wrote, and whether it closed.
pub(super) struct State {
    pub(super) boot: Option<String>,
    /// The last segment and its length, all of which is on the disk.
    pub(super) clean: Option<(u32, u64)>,
}

impl State {
    fn read(dir: &Path) -> Option<Self> {
        let text = fs::read_to_string(dir.join("STATE")).ok().filter(|text| text.len() < 256)?;
        let mut lines = text.lines();
        if lines.next() != Some("tidemill cache 1") {
            return None;
        }
        let boot = lines.next()?.strip_prefix("boot ")?;
        let clean = match lines.next()?.strip_prefix("clean ")? {
            "no" => None,
            end => {
                let (number, len) = end.split_once(' ')?;
                Some((number.parse().ok()?, len.parse().ok()?))
            }
        };
        // Its last line: a file that was being written has none.
        (lines.next() == Some("end")).then(|| Self { boot: (boot != "-").then(|| boot.to_owned()), clean })
    }

    pub(super) fn write(&self, dir: &Path) -> io::Result<()> {
        let boot = self.boot.as_deref().unwrap_or("-");
        let clean = self.clean.map_or_else(|| "no".to_owned(), |(number, len)| format!("{number} {len}"));
        let (new, path) = (dir.join("STATE.new"), dir.join("STATE"));
        let mut file = File::create(&new)?;
        write!(file, "tidemill cache 1\nboot {boot}\nclean {clean}\nend\n")?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(dir)?.sync_all()
    }
}

/// Of this boot of the machine: what its page cache holds is as good as on the disk. `None`: nobody knows.
pub(super) fn boot_id() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let id = id.trim();
    (!id.is_empty() && id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_graphic()))
        .then(|| id.to_owned())
}
