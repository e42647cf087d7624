//! The changes of one commit as the payload of a journal's frame: version, then kind, lengths, key and value of each.

/// Of the layout below.
const VERSION: u8 = 1;
const PUT: u8 = 1;
const REMOVE: u8 = 2;

/// What a change is in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bytes {
    pub(super) key: Vec<u8>,
    /// `None`: it was removed.
    pub(super) value: Option<Vec<u8>>,
}

/// What a change adds to a frame.
const HEADER: usize = 1 + 4 + 4;

impl Bytes {
    pub(super) fn len(&self) -> usize {
        HEADER + self.key.len() + self.value.as_ref().map_or(0, Vec::len)
    }
}

pub(super) fn begin() -> Vec<u8> {
    vec![VERSION]
}

/// Keys and values are shorter than 2^32 bytes.
pub(super) fn push(frame: &mut Vec<u8>, change: &Bytes) {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
    let value = change.value.as_deref().unwrap_or(&[]);
    frame.push(if change.value.is_some() { PUT } else { REMOVE });
    frame.extend_from_slice(&length(&change.key));
    frame.extend_from_slice(&length(value));
    frame.extend_from_slice(&change.key);
    frame.extend_from_slice(value);
}

/// `None`: it is no frame of this release.
pub(super) fn parse(frame: &[u8]) -> Option<Vec<Bytes>> {
    let (&version, mut rest) = frame.split_first()?;
    if version != VERSION {
        return None;
    }
    let mut changes = Vec::new();
    while let Some((&kind, more)) = rest.split_first() {
        let (key, more) = more.split_first_chunk()?;
        let (value, more) = more.split_first_chunk()?;
        let length = |bytes: &[u8; 4]| usize::try_from(u32::from_le_bytes(*bytes)).ok();
        let (key, more) = more.split_at_checked(length(key)?)?;
        let (value, more) = more.split_at_checked(length(value)?)?;
        let value = match kind {
            PUT => Some(value.to_vec()),
            REMOVE => None,
            _ => return None,
        };
        changes.push(Bytes { key: key.to_vec(), value });
        rest = more;
    }
    Some(changes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            changes in prop::collection::vec((any::<Vec<u8>>(), any::<Option<Vec<u8>>>()), 0..6),
            foreign in any::<Vec<u8>>(),
        ) {
            let changes: Vec<Bytes> = changes.into_iter().map(|(key, value)| Bytes { key, value }).collect();
            let mut frame = begin();
            changes.iter().for_each(|change| push(&mut frame, change));
            prop_assert_eq!(frame.len(), 1 + changes.iter().map(Bytes::len).sum::<usize>());
            prop_assert_eq!(parse(&frame), Some(changes));
            parse(&foreign);
            let mut cut = frame.clone();
            cut.truncate(frame.len() / 2);
            parse(&cut);
        }
    }
}
