//! Label sets known when the program is built: enums whose series stand in a table, found by an index and no look-up.

use std::marker::PhantomData;
use std::panic::Location;

use crate::error::Error;
use crate::family::{Family, Instrument};

/// The most series a table may have.
const MOST: usize = 4096;

/// A label, or several, of which every value is known. Made by [`labels!`](crate::labels); pairs and triples of them
/// are label sets too.
pub trait LabelSet: Copy {
    /// How many values there are.
    const COUNT: usize;

    /// The number of this value, below [`COUNT`](Self::COUNT).
    fn index(self) -> usize;

    /// Appends names and values of the number `index`.
    fn push(index: usize, labels: &mut Vec<(&'static str, &'static str)>);
}

/// The series of all values of a label set, made at once.
///
/// ```
/// use tidemill_metrics::{Registry, labels};
///
/// labels! {
///     /// Who answered.
///     pub enum Provider: "provider" { Vendor = "vendor", Backup = "backup" }
/// }
/// labels! {
///     /// How it ended.
///     pub enum Outcome: "outcome" { Kept = "kept", Refused = "refused" }
/// }
///
/// let registry = Registry::new();
/// let requests = registry.counter("requests_total", "Requests.").by::<(Provider, Outcome)>()?;
/// requests.get((Provider::Vendor, Outcome::Refused)).inc();
/// assert!(registry.to_text().contains("requests_total{outcome=\"refused\",provider=\"vendor\"} 1\n"));
/// assert_eq!(registry.stats().series, 4);
/// # Ok::<(), tidemill_metrics::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct By<L, I> {
    all: Box<[I]>,
    labels: PhantomData<fn(L)>,
}

impl<L: LabelSet, I> By<L, I> {
    /// The series of these labels.
    #[inline]
    #[must_use]
    pub fn get(&self, labels: L) -> &I {
        &self.all[labels.index()]
    }
}

impl<I: Instrument> Family<I> {
    /// A series for every value of a label set, exposed from now on, at zero where nothing was counted.
    ///
    /// # Errors
    /// As for [`with`](Self::with), and more than 4096 values.
    #[track_caller]
    pub fn by<L: LabelSet>(&self) -> Result<By<L, I>, Error> {
        if L::COUNT > MOST {
            let name = self.name()?;
            return Err(Error::name("label set of", name, "more than 4096 values", Location::caller()));
        }
        let mut all = Vec::with_capacity(L::COUNT);
        let mut labels = Vec::new();
        for index in 0..L::COUNT {
            labels.clear();
            L::push(index, &mut labels);
            all.push(self.with(&labels)?);
        }
        Ok(By { all: all.into(), labels: PhantomData })
    }
}

impl<A: LabelSet, B: LabelSet> LabelSet for (A, B) {
    const COUNT: usize = A::COUNT * B::COUNT;

    #[inline]
    fn index(self) -> usize {
        self.0.index() * B::COUNT + self.1.index()
    }

    fn push(index: usize, labels: &mut Vec<(&'static str, &'static str)>) {
        A::push(index / B::COUNT, labels);
        B::push(index % B::COUNT, labels);
    }
}

impl<A: LabelSet, B: LabelSet, C: LabelSet> LabelSet for (A, B, C) {
    const COUNT: usize = A::COUNT * B::COUNT * C::COUNT;

    #[inline]
    fn index(self) -> usize {
        (self.0, (self.1, self.2)).index()
    }

    fn push(index: usize, labels: &mut Vec<(&'static str, &'static str)>) {
        <(A, (B, C))>::push(index, labels);
    }
}

/// Defines an enum that is a label: its name, and a text for each value. See [`By`](crate::By).
#[macro_export]
macro_rules! labels {
    ($(#[$meta:meta])* $vis:vis enum $name:ident: $label:literal { $($variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        $vis enum $name {
            $(#[doc = $text] $variant),+
        }

        impl $crate::LabelSet for $name {
            const COUNT: usize = [$($text),+].len();

            #[inline]
            fn index(self) -> usize {
                self as usize
            }

            fn push(index: usize, labels: &mut ::std::vec::Vec<(&'static str, &'static str)>) {
                const VALUES: &[&str] = &[$($text),+];
                labels.push(($label, VALUES[index]));
            }
        }
    };
}
