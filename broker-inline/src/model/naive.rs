//! All that a group knows, in the plainest form.

use broker_core::{Receipt, Settled};

use super::{How, LEASE, LIMIT};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum State {
    Unseen,
    Parked,
    Out { who: u32, deadline: u64 },
    Nacked { due: u64 },
    Expired,
    Returned,
    Done,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: Option<u8>,
    pub(super) state: State,
    pub(super) attempt: u32,
    pub(super) turn: u32,
}

/// One delivery as the model knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given {
    pub(super) generation: u32,
    pub(super) offset: u64,
    pub(super) attempt: u32,
    pub(super) turn: u32,
    pub(super) who: u32,
    pub(super) receipt: Receipt,
}

/// All that a group knows, in the plainest form.
#[derive(Debug, Default)]
pub(super) struct Naive {
    pub(super) entries: Vec<Entry>,
    pub(super) next: u64,
    pub(super) low: u64,
    pub(super) generation: u32,
}

impl Naive {
    pub(super) fn publish(&mut self, keys: &[Option<u8>]) {
        self.entries.extend(keys.iter().map(|key| Entry {
            key: *key,
            state: State::Unseen,
            attempt: 0,
            turn: 0,
        }));
    }

    pub(super) fn at(&mut self, offset: u64) -> &mut Entry {
        &mut self.entries[offset as usize]
    }

    fn is_first(&self, offset: u64) -> bool {
        let Some(key) = self.entries[offset as usize].key else {
            return true;
        };
        let before = &self.entries[self.low as usize..offset as usize];
        !before
            .iter()
            .any(|entry| entry.key == Some(key) && entry.state != State::Done)
    }

    pub(super) fn read(&mut self, now: u64, who: u32, max: u64, sequential: bool) -> Vec<(u64, u32)> {
        let mut out = Vec::new();
        let deadline = now + LEASE;
        for offset in self.low..self.next {
            if let State::Out { deadline, .. } = self.at(offset).state
                && deadline <= now
            {
                self.at(offset).state = State::Expired;
            }
        }
        for offset in self.low..self.next {
            let first = self.is_first(offset);
            let entry = self.at(offset);
            let ready = match entry.state {
                State::Nacked { due } => due <= now && (first || !sequential),
                State::Expired | State::Returned => first || !sequential,
                State::Parked => first,
                _ => false,
            };
            if ready && (out.len() as u64) < max {
                if entry.state == State::Returned {
                    entry.turn += 1;
                } else {
                    (entry.attempt, entry.turn) = (entry.attempt + 1, 0);
                }
                entry.state = State::Out { who, deadline };
                out.push((offset, entry.attempt));
            }
        }
        while (out.len() as u64) < max
            && self.next < self.entries.len() as u64
            && self.next - self.low < LIMIT as u64
        {
            let offset = self.next;
            let free = self.is_first(offset);
            self.next += 1;
            let entry = self.at(offset);
            if sequential && !free {
                entry.state = State::Parked;
            } else {
                (entry.state, entry.attempt) = (State::Out { who, deadline }, 1);
                out.push((offset, 1));
            }
        }
        out
    }

    pub(super) fn settle(&mut self, now: u64, given: &Given, who: u32, how: How) -> Settled {
        if given.generation != self.generation {
            return Settled::Stale;
        }
        if given.offset < self.low {
            return Settled::AlreadySettled;
        }
        let entry = self.at(given.offset);
        let current = (entry.attempt, entry.turn) == (given.attempt, given.turn);
        match entry.state {
            State::Done => return Settled::AlreadySettled,
            _ if !current => return Settled::Stale,
            State::Nacked { .. } | State::Returned => return Settled::AlreadySettled,
            State::Out { deadline, .. } if deadline <= now => return Settled::Stale,
            State::Out { who: holder, .. } if holder != who => return Settled::NotOwner,
            State::Out { .. } => {}
            State::Expired | State::Parked | State::Unseen => return Settled::Stale,
        }
        let usual = match how {
            How::Ack => {
                entry.state = State::Done;
                Settled::Acked
            }
            How::Requeue(delay) => {
                entry.state = State::Nacked { due: now + delay };
                Settled::Nacked
            }
            How::GiveBack => {
                entry.state = State::Returned;
                Settled::Nacked
            }
            How::Extend(by) => {
                if let State::Out { deadline, .. } = &mut entry.state {
                    *deadline = (*deadline).max(now + by);
                }
                Settled::Acked
            }
        };
        self.advance();
        usual
    }

    pub(super) fn release(&mut self, member: u32) -> u64 {
        let mut released = 0;
        for offset in self.low..self.next {
            if matches!(self.at(offset).state, State::Out { who, .. } if who == member) {
                self.at(offset).state = State::Expired;
                released += 1;
            }
        }
        released
    }

    pub(super) fn skip_to(&mut self, head: u64) -> Vec<u64> {
        let lost = (self.low..head)
            .filter(|offset| self.entries[*offset as usize].state != State::Done)
            .collect();
        for offset in self.low..head {
            self.at(offset).state = State::Done;
        }
        self.next = self.next.max(head);
        self.advance();
        lost
    }

    pub(super) fn restart(&mut self, offset: u64) {
        for entry in &mut self.entries[offset as usize..] {
            (entry.state, entry.attempt, entry.turn) = (State::Unseen, 0, 0);
        }
        (self.low, self.next) = (offset, offset);
        self.generation += 1;
    }

    fn advance(&mut self) {
        while self.low < self.next && self.at(self.low).state == State::Done {
            self.low += 1;
        }
    }

    pub(super) fn count(&self, which: impl Fn(State) -> bool) -> u64 {
        let window = &self.entries[self.low as usize..self.next as usize];
        window.iter().filter(|entry| which(entry.state)).count() as u64
    }
}
