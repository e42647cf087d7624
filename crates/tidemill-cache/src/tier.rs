//! A tier below memory: what it is asked, in bytes, and what it may answer.

use std::pin::Pin;
use std::sync::Weak;
use std::time::Duration;

/// What a tier's methods return.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, TierError>> + Send + 'a>>;

/// Why a tier gave no answer. Nobody but the breaker and the counts sees it: the cache goes on to the next tier.
pub type TierError = Box<dyn std::error::Error + Send + Sync>;

/// Keeps values as bytes beyond this process's memory: a shared server, a disk.
///
/// A tier judges ages and generations itself, for it alone knows the clock and the counter they were written under. A
/// method that fails changes what the tier has for the key to its new value, to nothing, or not at all.
pub trait Tier: Send + Sync + 'static {
    /// `redis`: its name in the statistics.
    fn name(&self) -> &'static str;

    /// What it has for the key. With `claim`, a tier that several processes share may let one of them load.
    fn read<'a>(&'a self, key: &'a [u8], claim: bool) -> Answer<'a, Read>;

    /// Keeps a value. With a claim: only if nothing has touched the key since it was given; says whether it did.
    fn write<'a>(&'a self, key: &'a [u8], record: Record, claim: Option<Claim>) -> Answer<'a, bool>;

    /// Gives a claim back without a value, so that others need not wait for its end.
    fn release<'a>(&'a self, key: &'a [u8], claim: Claim) -> Answer<'a, ()>;

    /// Forgets the key, and every claim on it.
    fn remove<'a>(&'a self, key: &'a [u8]) -> Answer<'a, ()>;

    /// Makes all records with this tag absent.
    fn invalidate_tag(&self, tag: u32) -> Answer<'_, ()>;

    /// Forgets every key that matches, and every claim on one, in steps: `*` is any bytes, `?` one byte, and a
    /// backslash takes the next byte as it is. Keys that come meanwhile may stay.
    fn remove_matching<'a>(&'a self, pattern: &'a [u8]) -> Answer<'a, u64>;

    /// Makes all records absent.
    fn invalidate_all(&self) -> Answer<'_, ()>;

    /// What a load that begins now has to say when it ends.
    fn generation(&self) -> u64;

    /// Whom to tell what other processes change, from now on. Of a tier that nobody else writes, nothing.
    fn listen(&self, _peers: Weak<dyn Peers>) {}

    /// Entries and bytes, where that is known without asking anybody.
    fn size(&self) -> (u64, u64) {
        (0, 0)
    }
}

/// The tiers above, which forget what another process has changed. None of these waits.
pub trait Peers: Send + Sync {
    /// This key.
    fn changed(&self, key: &[u8]);
    /// Whatever has a tag whose hash has these low twelve bits.
    fn changed_tag(&self, tag: u32);
    /// Perhaps everything.
    fn changed_everything(&self);
}

/// What a tier has for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// A value within its life.
    Found(Record),
    /// Nothing; with a claim, the caller is the one who loads.
    Absent(Option<Claim>),
    /// Somebody else loads: ask again.
    Claimed,
}

/// A value as a tier keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The value, encoded.
    pub bytes: Vec<u8>,
    /// How long ago its load began.
    pub age: Duration,
    /// Its life from then on; `None` is for ever.
    pub life: Option<Duration>,
    /// Whether that life is its own, and not the cache's at the time.
    pub own: bool,
    /// Its tags, hashed.
    pub tags: Vec<u32>,
    /// The tier's generation when its load began.
    pub generation: u64,
}

/// The right to fill a key, until it ends or something touches the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim(pub u128);
