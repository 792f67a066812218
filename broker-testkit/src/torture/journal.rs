//! What a consumer process saw and did, in a file that outlives it.
//!
//! One line per event. A line is written before the process goes on: it is there when the process is killed a moment
//! later. A last line without its end was never said.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use broker_core::Settled;

use super::clock::Moment;
use crate::Entry;

/// Something that happened in a consumer process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) at: Moment,
    pub(super) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A message came.
    Delivered {
        entry: Entry,
        attempt: u32,
        key: String,
        /// Its partition and offset, where it has these.
        place: Option<(u32, u64)>,
    },
    /// It is about to be acked.
    Acking { entry: Entry },
    /// It is about to be nacked.
    Nacking { entry: Entry },
    /// Settling it was answered.
    Settled { entry: Entry, answer: Settled },
    /// Settling it failed: it may be settled or not.
    Unsettled { entry: Entry },
    /// What came was not of this run.
    Foreign,
    /// What came was changed on its way.
    Corrupted,
}

/// Where a consumer process writes.
pub(super) struct Journal {
    file: File,
    lines: String,
}

impl Journal {
    pub(super) fn append_to(path: &Path) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        Ok(Self {
            file,
            lines: String::new(),
        })
    }

    pub(super) fn note(&mut self, what: &What) {
        let at = Moment::now().0;
        // Writing to a string does not fail.
        let _ = match what {
            What::Delivered {
                entry,
                attempt,
                key,
                place,
            } => {
                let place = place.map_or("-".to_owned(), |(partition, offset)| {
                    format!("{partition}:{offset}")
                });
                writeln!(
                    self.lines,
                    "D {at} {} {} {attempt} {place} {key}",
                    entry.publisher, entry.sequence
                )
            }
            What::Acking { entry } => {
                writeln!(self.lines, "A {at} {} {}", entry.publisher, entry.sequence)
            }
            What::Nacking { entry } => {
                writeln!(self.lines, "N {at} {} {}", entry.publisher, entry.sequence)
            }
            What::Settled { entry, answer } => {
                let answer = word(*answer);
                writeln!(
                    self.lines,
                    "S {at} {} {} {answer}",
                    entry.publisher, entry.sequence
                )
            }
            What::Unsettled { entry } => {
                writeln!(self.lines, "U {at} {} {}", entry.publisher, entry.sequence)
            }
            What::Foreign => writeln!(self.lines, "F {at}"),
            What::Corrupted => writeln!(self.lines, "C {at}"),
        };
    }

    /// Hands what was noted to the operating system, which keeps it when this process dies.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.file.write_all(self.lines.as_bytes())?;
        self.lines.clear();
        Ok(())
    }
}

/// Follows a journal that another process writes.
pub(super) struct Follower {
    file: File,
    begun: Vec<u8>,
}

impl Follower {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .read(true)
            .open(path)?;
        Ok(Self {
            file,
            begun: Vec::new(),
        })
    }

    /// The events of the lines that were completed since the last call.
    pub(super) fn next(&mut self) -> io::Result<Vec<Event>> {
        self.file.read_to_end(&mut self.begun)?;
        let complete = self
            .begun
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let lines: Vec<u8> = self.begun.drain(..complete).collect();
        String::from_utf8_lossy(&lines)
            .lines()
            .map(|line| {
                parse(line).ok_or_else(|| {
                    io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!("`{line}` is no line of a journal"),
                    )
                })
            })
            .collect()
    }
}

const ANSWERS: [(Settled, &str); 6] = [
    (Settled::Acked, "acked"),
    (Settled::Nacked, "nacked"),
    (Settled::AlreadySettled, "already_settled"),
    (Settled::NotPending, "not_pending"),
    (Settled::NotOwner, "not_owner"),
    (Settled::Stale, "stale"),
];

fn word(answer: Settled) -> &'static str {
    let found = ANSWERS.iter().find(|(one, _)| *one == answer);
    found.map_or("stale", |(_, word)| *word)
}

fn parse(line: &str) -> Option<Event> {
    let mut words = line.splitn(7, ' ');
    let kind = words.next()?;
    let at = Moment(words.next()?.parse().ok()?);
    let entry = |words: &mut std::str::SplitN<'_, char>| {
        Some(Entry {
            publisher: words.next()?.parse().ok()?,
            sequence: words.next()?.parse().ok()?,
        })
    };
    let what = match kind {
        "D" => What::Delivered {
            entry: entry(&mut words)?,
            attempt: words.next()?.parse().ok()?,
            place: match words.next()? {
                "-" => None,
                place => {
                    let (partition, offset) = place.split_once(':')?;
                    Some((partition.parse().ok()?, offset.parse().ok()?))
                }
            },
            key: words.next()?.to_owned(),
        },
        "S" => {
            let (entry, said) = (entry(&mut words)?, words.next()?);
            let answer = ANSWERS.iter().find(|(_, word)| *word == said)?.0;
            What::Settled { entry, answer }
        }
        "A" => What::Acking {
            entry: entry(&mut words)?,
        },
        "N" => What::Nacking {
            entry: entry(&mut words)?,
        },
        "U" => What::Unsettled {
            entry: entry(&mut words)?,
        },
        "F" => What::Foreign,
        "C" => What::Corrupted,
        _ => return None,
    };
    Some(Event { at, what })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_a_line_without_its_end_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut journal, mut follower) = (Journal::append_to(&path).unwrap(), Follower::of(&path).unwrap());
        let entry = Entry {
            publisher: 3,
            sequence: 14,
        };
        let key = "customer 7".to_owned();
        let all = [
            What::Delivered {
                entry,
                attempt: 2,
                key: key.clone(),
                place: None,
            },
            What::Delivered {
                entry,
                attempt: 1,
                key,
                place: Some((3, 141)),
            },
            What::Acking { entry },
            What::Nacking { entry },
            What::Settled {
                entry,
                answer: Settled::NotOwner,
            },
            What::Unsettled { entry },
            What::Foreign,
            What::Corrupted,
        ];
        all.iter().for_each(|what| journal.note(what));
        journal.flush().unwrap();
        journal.lines.push_str("D 17 3");
        journal.flush().unwrap();
        let read: Vec<_> = follower
            .next()
            .unwrap()
            .into_iter()
            .map(|event| event.what)
            .collect();
        assert_eq!(read, all);
        journal.lines.push_str(" 15 1 - k\n");
        journal.flush().unwrap();
        assert_eq!(follower.next().unwrap().len(), 1);
    }
}
