//! What a group has committed, by the word of the server: one more question of Kafka's protocol, asked past every adapter.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use crate::torture::Position;

/// How long the broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The question's key and version, a correlation, and no client's name.
const OFFSET_FETCH: &[u8] = b"\0\x09\0\x02\0\0\0\x07\xff\xff";
/// In place of topics: all.
const ALL: &[u8] = b"\xff\xff\xff\xff";

/// What every text of the adapter begins with, as `docs/wire-formats.md` has it.
const MARK: &str = "b1.";

/// Where a group is in each partition that it has committed of, by the word of the broker that listens at `port`
/// without password and TLS.
pub(super) fn positions(port: u16, group: &str) -> io::Result<Vec<Position>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let name = u16::try_from(group.len()).unwrap_or(u16::MAX).to_be_bytes();
    let question = [OFFSET_FETCH, &name, group.as_bytes(), ALL].concat();
    let length = u32::try_from(question.len()).unwrap_or_default().to_be_bytes();
    stream.write_all(&[&length[..], &question].concat())?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap_or_default()];
    stream.read_exact(&mut answer)?;
    parse(&answer).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no answer about positions"))
}

fn parse(answer: &[u8]) -> Option<Vec<Position>> {
    let mut rest = answer.get(4..)?;
    let rest = &mut rest;
    let mut positions = Vec::new();
    for _ in 0..number(rest, 4)? {
        let name = number(rest, 2)?;
        rest.split_off(..usize::try_from(name).ok()?)?;
        for _ in 0..number(rest, 4)? {
            let partition = u32::try_from(number(rest, 4)?).ok()?;
            let offset = number(rest, 8)?;
            let length = usize::try_from(number(rest, 2)?).ok()?;
            // A length of -1 stands for no text.
            let text = match length {
                0xffff => &[][..],
                length => rest.split_off(..length)?,
            };
            let refused = number(rest, 2)? != 0;
            if refused {
                return None;
            }
            // -1 stands for no commit.
            if offset <= i64::MAX as u64 {
                let text = std::str::from_utf8(text).ok()?;
                positions.push(Position {
                    partition,
                    low: offset,
                    beyond: settled_beyond(offset, text).unwrap_or_default(),
                });
            }
        }
    }
    let refused = number(rest, 2)? != 0;
    (!refused).then_some(positions)
}

/// The offsets beyond the committed one that its text says are settled.
fn settled_beyond(low: u64, text: &str) -> Option<Vec<u64>> {
    let bytes = from_base64(text.strip_prefix(MARK)?)?;
    let mut bytes = bytes.as_slice();
    let bytes = &mut bytes;
    let (form, _generation, count) = (varint(bytes)?, varint(bytes)?, varint(bytes)?);
    let mut settled = Vec::new();
    let mut at = low;
    for index in 0..count {
        let (length, state) = match form {
            0 => {
                let packed = varint(bytes)?;
                (packed >> 2, packed & 3)
            }
            _ => {
                let byte = *bytes.get(usize::try_from(index / 4).ok()?)?;
                (1, u64::from(byte >> (index % 4 * 2) & 3))
            }
        };
        if state == 0 {
            settled.extend(at..at.checked_add(length)?);
        }
        at = at.checked_add(length)?;
    }
    Some(settled)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// The URL-safe form without padding.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for letter in text.bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    Some(bytes)
}

/// Takes a big-endian number of `len` bytes.
fn number(bytes: &mut &[u8], len: usize) -> Option<u64> {
    let taken = bytes.split_off(..len)?;
    Some(
        taken
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_read_as_the_wire_formats_tell() {
        // Form 0, generation 1, three runs: one out, two settled, one passed over.
        assert_eq!(from_base64("AAEDBggF").unwrap(), [0, 1, 3, 6, 8, 5]);
        assert_eq!(settled_beyond(10, "b1.AAEDBggF"), Some(vec![11, 12]));
        assert_eq!(settled_beyond(10, "another client's"), None);
        // Form 1, generation 1, four offsets: out, settled, settled, passed over.
        assert_eq!(from_base64("AQEEQg").unwrap(), [1, 1, 4, 0b0100_0010]);
        assert_eq!(settled_beyond(10, "b1.AQEEQg"), Some(vec![11, 12]));
    }

    #[test]
    fn the_answer_is_taken_apart() {
        let mut answer = vec![0, 0, 0, 7, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 2];
        answer.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0]);
        answer.extend([0, 0, 0, 1]);
        answer.extend([0xff; 8]);
        answer.extend([0xff, 0xff, 0, 0, 0, 0]);
        let positions = parse(&answer).unwrap();
        assert_eq!(positions.len(), 1);
        assert_eq!((positions[0].partition, positions[0].low), (0, 9));
        assert!(parse(&answer[..20]).is_none());
    }
}
