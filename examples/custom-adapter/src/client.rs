//! All that touches the folder.
//!
//! ```text
//! <folder>/~/                           files that are not finished
//! <folder>/orders/messages/<number>     one message, numbered from zero without a gap
//! <folder>/orders/groups/billing/<n>    an empty file: its name is the next message for the group
//! ```
//!
//! Both steps that matter are one rename each, so that several processes share a folder without a lock: a message
//! takes a number that nobody has, and a group moves on from the position it was seen at.

use std::io::{ErrorKind, Result, Write as _};
use std::path::{Path, PathBuf};
use std::{fs, io};

use broker_core::base::Membership;
use broker_core::{Message, StartPosition, StreamName};
use tempfile::NamedTempFile;

use crate::codec;

pub(crate) struct Client {
    pub(crate) folder: PathBuf,
    unfinished: PathBuf,
}

impl Client {
    pub(crate) fn new(folder: PathBuf) -> Self {
        // No stream's name has a `~`, so that neither can be taken for the other.
        Self {
            unfinished: folder.join("~"),
            folder,
        }
    }

    pub(crate) fn connect(&self) -> Result<()> {
        fs::create_dir_all(&self.unfinished)
    }

    pub(crate) fn ping(&self) -> Result<()> {
        fs::metadata(&self.unfinished).map(drop)
    }

    /// Stores in order and answers the numbers; the error is that of the first which is not stored.
    pub(crate) fn store(&self, stream: &StreamName, files: &[Vec<u8>]) -> (Vec<u64>, Option<io::Error>) {
        let mut stored = Vec::with_capacity(files.len());
        let mut next = self.tail(stream);
        for file in files {
            match next.and_then(|number| self.store_from(stream, number, file)) {
                Ok(number) => stored.push(number),
                Err(error) => return (stored, Some(error)),
            }
            next = Ok(stored.last().map_or(0, |number| number + 1));
        }
        (stored, None)
    }

    /// Up to `max` messages from a number on; `None` in place of one that is not ours.
    pub(crate) fn load(&self, stream: &StreamName, from: u64, max: usize) -> Result<Vec<Option<Message>>> {
        let mut found = Vec::new();
        for number in (from..).take(max) {
            match fs::read(self.message(stream, number)) {
                Ok(file) => found.push(codec::decode(file)),
                Err(error) if error.kind() == ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// The number of a group's next message; a group that is not there is made.
    pub(crate) fn position(&self, member: &Membership) -> Result<u64> {
        let group = self.group(member);
        if !group.try_exists()? {
            self.create_group(member, &group)?;
        }
        let mut newest = None;
        for entry in fs::read_dir(group)? {
            let number = entry?.file_name().to_str().and_then(|name| name.parse().ok());
            newest = newest.max(number);
        }
        newest.ok_or_else(|| io::Error::new(ErrorKind::ResourceBusy, "the group is being moved"))
    }

    /// Moves a group; answers `false` where it was not at `from` any more.
    pub(crate) fn advance(&self, member: &Membership, from: u64, to: u64) -> Result<bool> {
        let group = self.group(member);
        match fs::rename(group.join(from.to_string()), group.join(to.to_string())) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            moved => moved.map(|()| true),
        }
    }

    /// Makes a group with its position in it; a rename onto one that is there fails, and that one is kept.
    fn create_group(&self, member: &Membership, group: &Path) -> Result<()> {
        let position = match member.start {
            StartPosition::Latest => self.tail(&member.stream)?,
            _ => 0,
        };
        let unfinished = tempfile::tempdir_in(&self.unfinished)?;
        fs::write(unfinished.path().join(position.to_string()), "")?;
        fs::create_dir_all(group.parent().unwrap_or(group))?;
        match fs::rename(&unfinished, group) {
            Err(_) if group.is_dir() => Ok(()),
            made => made,
        }
    }

    /// Stores one message under the first free number from `number` on.
    fn store_from(&self, stream: &StreamName, mut number: u64, bytes: &[u8]) -> Result<u64> {
        let mut file = NamedTempFile::new_in(&self.unfinished)?;
        file.write_all(bytes)?;
        loop {
            match file.persist_noclobber(self.message(stream, number)) {
                Err(taken) if taken.error.kind() == ErrorKind::AlreadyExists => file = taken.file,
                stored => return stored.map(|_| number).map_err(|failed| failed.error),
            }
            number += 1;
        }
    }

    /// The first free number, by doubling and then halving: numbers have no gaps.
    fn tail(&self, stream: &StreamName) -> Result<u64> {
        fs::create_dir_all(self.messages(stream))?;
        let taken = |number| self.message(stream, number).try_exists();
        let mut high = 0;
        while taken(high)? {
            high = high * 2 + 1;
        }
        let mut low = high.div_ceil(2);
        while low < high {
            let middle = low.midpoint(high);
            if taken(middle)? {
                low = middle + 1
            } else {
                high = middle
            }
        }
        Ok(low)
    }

    fn messages(&self, stream: &StreamName) -> PathBuf {
        self.folder.join(stream.as_str()).join("messages")
    }

    fn message(&self, stream: &StreamName, number: u64) -> PathBuf {
        self.messages(stream).join(number.to_string())
    }

    fn group(&self, member: &Membership) -> PathBuf {
        self.folder
            .join(member.stream.as_str())
            .join("groups")
            .join(member.group.as_str())
    }
}
