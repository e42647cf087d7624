//! How a record is written in SQL, the same in SQLite and PostgreSQL, and the steps that lead to this schema.

use crate::error::{Cause, Error};
use crate::lease::{Epoch, Former, MAX_PAYLOAD, MAX_UNCONFIRMED};
use crate::name::{Name, Owner};

/// The version of the tables that this program writes.
pub(crate) const VERSION: i64 = 1;

/// Which steps of `steps` are still to be done on tables of version `found`; a newer version is not touched.
pub(crate) fn pending<'a>(found: i64, steps: &'a [&'a str]) -> Result<&'a [&'a str], Error> {
    usize::try_from(found).ok().and_then(|found| steps.get(found..)).ok_or_else(|| {
        Error::schema(format!("has version {found}, this program knows up to {VERSION}; use a newer one"))
    })
}

/// The row of a record, in the types that both databases have.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) epoch: i64,
    pub(crate) version: i64,
    pub(crate) owner: String,
    pub(crate) released: bool,
    pub(crate) reserve: i64,
    pub(crate) unconfirmed: String,
    pub(crate) payload: Vec<u8>,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct FormerText {
    epoch: u64,
    owner: String,
    reserve: u32,
}

/// The list of former owners as a JSON text, so that SQL can read it.
pub(crate) fn unconfirmed_text(former: &[Former]) -> Result<String, Error> {
    let list: Vec<_> = former
        .iter()
        .map(|former| FormerText {
            epoch: former.epoch.0,
            owner: former.owner.as_str().to_owned(),
            reserve: former.reserve,
        })
        .collect();
    serde_json::to_string(&list).map_err(|error| Error::unavailable("write the former owners", error))
}

/// An integer for a column; beyond 2^63 there is none.
pub(crate) fn integer(number: u64) -> Result<i64, Error> {
    i64::try_from(number).map_err(|_| Cause::Input { what: "epoch", why: "is above 2^63" }.into())
}

impl Row {
    /// Epoch, version, owner, released, reserve, former owners and payload, each checked against its bound.
    pub(crate) fn read(self, name: &Name) -> Result<Checked, Error> {
        let broken =
            |what: &str| Error::schema(format!("holds a broken {what} under {name}; repair the row"));
        let former: Vec<FormerText> =
            serde_json::from_str(&self.unconfirmed).map_err(|_| broken("list of former owners"))?;
        if former.len() > MAX_UNCONFIRMED || self.payload.len() > MAX_PAYLOAD {
            return Err(broken("row: it is too long"));
        }
        let former = former.into_iter().map(|former| {
            let owner = Owner::try_new(former.owner).map_err(|_| broken("former owner"))?;
            Ok(Former { epoch: Epoch(former.epoch), owner, reserve: former.reserve })
        });
        Ok(Checked {
            epoch: Epoch(u64::try_from(self.epoch).map_err(|_| broken("epoch"))?),
            version: u64::try_from(self.version).map_err(|_| broken("version"))?,
            owner: Owner::try_new(self.owner).map_err(|_| broken("owner"))?,
            released: self.released,
            reserve: u32::try_from(self.reserve).map_err(|_| broken("reserve"))?,
            unconfirmed: former.collect::<Result<_, Error>>()?,
            payload: self.payload,
        })
    }
}

/// A row whose values are within their bounds; the end of the term is each database's own.
pub(crate) struct Checked {
    pub(crate) epoch: Epoch,
    pub(crate) version: u64,
    pub(crate) owner: Owner,
    pub(crate) released: bool,
    pub(crate) reserve: u32,
    pub(crate) unconfirmed: Vec<Former>,
    pub(crate) payload: Vec<u8>,
}

impl Checked {
    pub(crate) fn ending(self, ends: crate::lease::Moment) -> crate::lease::Record {
        let Self { epoch, version, owner, released, reserve, unconfirmed, payload } = self;
        crate::lease::Record { epoch, version, owner, released, ends, reserve, unconfirmed, payload }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn versions_only_go_forward() {
        let steps = ["one", "two"];
        assert_eq!(pending(0, &steps).unwrap(), ["one", "two"]);
        assert_eq!(pending(1, &steps).unwrap(), ["two"]);
        assert!(pending(2, &steps).unwrap().is_empty());
        for newer in [3, i64::MAX, -1] {
            assert_eq!(pending(newer, &steps).unwrap_err().kind(), ErrorKind::Schema);
        }
    }

    #[test]
    fn a_row_that_somebody_broke_is_told_and_not_used() {
        let name = Name::try_new("a").unwrap();
        let row = || Row {
            epoch: 1,
            version: 1,
            owner: "o".into(),
            released: false,
            reserve: 0,
            unconfirmed: "[]".into(),
            payload: Vec::new(),
        };
        assert!(row().read(&name).is_ok());
        for broken in [
            Row { epoch: -1, ..row() },
            Row { version: -1, ..row() },
            Row { owner: String::new(), ..row() },
            Row { reserve: -1, ..row() },
            Row { unconfirmed: "{".into(), ..row() },
            Row { unconfirmed: r#"[{"epoch":1,"owner":"","reserve":1}]"#.into(), ..row() },
            Row { payload: vec![0; MAX_PAYLOAD + 1], ..row() },
        ] {
            let text = format!("{broken:?}");
            assert_eq!(broken.read(&name).err().map(|error| error.kind()), Some(ErrorKind::Schema), "{text}");
        }
    }
}
