//! Entry ids and the moments they stand for.

use std::time::{Duration, SystemTime};

use broker_core::{Error, ErrorKind, MessageId, Receipt, Result, StartPosition};

/// An entry's id: milliseconds on the server's clock, and the order within that millisecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EntryId {
    pub(crate) ms: u64,
    pub(crate) seq: u64,
}

impl EntryId {
    /// Reads `ms-seq`, without an allocation.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let dash = text.iter().position(|byte| *byte == b'-')?;
        let (ms, seq) = text.split_at(dash);
        Some(Self {
            ms: number(ms)?,
            seq: number(seq.get(1..)?)?,
        })
    }

    /// The id right before this one.
    pub(crate) fn before(self) -> Self {
        match (self.ms, self.seq) {
            (0, 0) => self,
            (ms, 0) => Self {
                ms: ms - 1,
                seq: u64::MAX,
            },
            (ms, seq) => Self { ms, seq: seq - 1 },
        }
    }

    /// The message's id; the partition is part of it where there are several.
    pub(crate) fn to_message_id(self, partition: Option<u32>) -> MessageId {
        let Self { ms, seq } = self;
        match partition {
            None => MessageId::Entry { ms, seq },
            Some(partition) => MessageId::PartitionEntry { partition, ms, seq },
        }
    }

    /// The entry that `id` names.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidMessage`] where `id` is not one of this provider's.
    pub(crate) fn of(id: &MessageId) -> Result<Self> {
        match id {
            MessageId::Entry { ms, seq } | MessageId::PartitionEntry { ms, seq, .. } => {
                Ok(Self { ms: *ms, seq: *seq })
            }
            _ => Err(Error::new(
                ErrorKind::InvalidMessage,
                format!("`{id}` is not a Redis entry's id; `ms-seq` is expected"),
            )),
        }
    }

    /// The first id that an entry added at `time` or later can have.
    pub(crate) fn at(time: SystemTime) -> Self {
        Self {
            ms: millis_up(time),
            seq: 0,
        }
    }
}

impl std::fmt::Display for EntryId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// An id's text, written without an allocation or the formatting machinery: acks are full of them.
///
/// Many ids in a row share their millisecond, and follow on one another.
#[derive(Default)]
pub(crate) struct IdText {
    bytes: Vec<u8>,
    last: EntryId,
    /// How long the part is that tells the millisecond.
    prefix: usize,
}

impl IdText {
    pub(crate) fn write(&mut self, receipt: &Receipt) -> &[u8] {
        let id = EntryId {
            ms: receipt.major,
            seq: receipt.sequence,
        };
        if self.prefix == 0 || self.last.ms != id.ms {
            self.bytes.clear();
            append(id.ms, &mut self.bytes);
            self.bytes.push(b'-');
            self.prefix = self.bytes.len();
            append(id.seq, &mut self.bytes);
        } else if self.last.seq.checked_add(1) != Some(id.seq) || !self.count_up() {
            self.bytes.truncate(self.prefix);
            append(id.seq, &mut self.bytes);
        }
        self.last = id;
        &self.bytes
    }

    /// Makes the text the next id's; answers whether that needs no further digit.
    fn count_up(&mut self) -> bool {
        for digit in self.bytes.iter_mut().skip(self.prefix).rev() {
            if *digit < b'9' {
                *digit += 1;
                return true;
            }
            *digit = b'0';
        }
        false
    }
}

/// Reads ids one after the other: many in a row share their millisecond, whose text is then read once.
#[derive(Default)]
pub(crate) struct IdReader {
    /// The text up to the dash, that included.
    prefix: Vec<u8>,
    ms: u64,
}

impl IdReader {
    /// Reads `ms-seq`.
    pub(crate) fn read(&mut self, text: &[u8]) -> Option<EntryId> {
        if !self.prefix.is_empty()
            && let Some(seq) = text.strip_prefix(self.prefix.as_slice())
        {
            return Some(EntryId {
                ms: self.ms,
                seq: number(seq)?,
            });
        }
        let id = EntryId::parse(text)?;
        let dash = text.iter().position(|byte| *byte == b'-')?;
        self.prefix.clear();
        self.prefix.extend_from_slice(text.get(..=dash)?);
        self.ms = id.ms;
        Some(id)
    }
}

/// What `XGROUP CREATE` and `SETID` want for a position: the id before the first one to deliver.
pub(crate) fn group_start(position: &StartPosition) -> Result<String> {
    Ok(match position {
        StartPosition::Earliest => "0-0".to_owned(),
        StartPosition::Latest => "$".to_owned(),
        StartPosition::Id(id) => EntryId::of(id)?.before().to_string(),
        StartPosition::Time(time) => EntryId::at(*time).before().to_string(),
    })
}

/// Milliseconds since 1970, rounded up, so that nothing from before `time` is included.
pub(crate) fn millis_up(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let ms = millis(since);
    if since.subsec_nanos().is_multiple_of(1_000_000) {
        ms
    } else {
        ms.saturating_add(1)
    }
}

/// A duration in whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The moment that milliseconds since 1970 stand for.
pub(crate) fn moment(ms: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH
        .checked_add(Duration::from_millis(ms))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

fn append(mut number: u64, text: &mut Vec<u8>) {
    let begin = text.len();
    loop {
        text.push(b'0' + u8::try_from(number % 10).unwrap_or_default());
        number /= 10;
        if number == 0 {
            break;
        }
    }
    if let Some(digits) = text.get_mut(begin..) {
        digits.reverse();
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ids_survive_their_text(ms: u64, seqs: Vec<u64>, other: u64) {
            let mut text = IdText::default();
            let mut reader = IdReader::default();
            let same = seqs.iter().flat_map(|seq| {
                let next = seq.saturating_add(1);
                [EntryId { ms, seq: *seq }, EntryId { ms, seq: next }]
            });
            for id in same.chain([EntryId { ms: other, seq: 0 }, EntryId { ms, seq: 0 }]) {
                prop_assert_eq!(EntryId::parse(id.to_string().as_bytes()), Some(id));
                prop_assert_eq!(reader.read(id.to_string().as_bytes()), Some(id));
                let receipt = Receipt { major: id.ms, sequence: id.seq, ..Receipt::default() };
                prop_assert_eq!(text.write(&receipt), id.to_string().into_bytes());
            }
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = EntryId::parse(&bytes);
            let mut reader = IdReader::default();
            let _ = (reader.read(b"7-7"), reader.read(&bytes));
        }

        #[test]
        fn the_id_before_is_smaller_and_nothing_lies_between(ms: u64, seq in 0_u64..3) {
            prop_assume!(ms > 0 || seq > 0);
            let id = EntryId { ms, seq };
            prop_assert!(id.before() < id);
        }
    }

    #[test]
    fn counting_up_takes_on_digits() {
        let mut text = IdText::default();
        for seq in 0..1200 {
            let id = EntryId { ms: 5, seq };
            let receipt = Receipt {
                major: id.ms,
                sequence: id.seq,
                ..Receipt::default()
            };
            assert_eq!(text.write(&receipt), id.to_string().as_bytes());
        }
    }

    #[test]
    fn a_time_between_two_milliseconds_starts_at_the_later_one() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_micros(1_500);
        assert_eq!(EntryId::at(time), EntryId { ms: 2, seq: 0 });
    }
}
