//! Storing messages.

use broker_core::{
    Capabilities, Error, ErrorKind, Message, MessageId, Outcome, Published, Result, partition_for_key,
};
use broker_window::Moment;

use super::bounds::Place;
use super::state::{Full, State};
use super::stream::Stream;
use super::survey::{Survey, delay_of};
use crate::clock::Stamp;
use crate::log::Cut;

/// What the publishing broker claims.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) delays: bool,
    pub(crate) idempotent: bool,
}

/// What became of one message.
pub(crate) enum OneTried {
    Stored(MessageId),
    /// There is no room now.
    Full,
    /// It needs more care than the fast path has.
    Special,
}

impl Stream {
    /// Stores all of `messages`, in order, and takes them; `None` where there is no room now.
    ///
    /// # Errors
    ///
    /// What can never be stored; then nothing was.
    #[inline]
    pub(crate) fn try_publish(
        &self,
        messages: &mut Vec<Message>,
        rules: Rules,
        place: Option<&Place<'_>>,
    ) -> Result<Option<Published>> {
        let survey = Survey::of(messages);
        self.check(&survey, rules)?;
        let count = messages.len();
        let at = Stamp::now();
        // Dropped after the lock is given back.
        let _cut: Option<Cut>;
        let mut state = self.lock();
        let admitted = self.admit_before(&mut state);
        if !state.is_turn_of(place) {
            return Ok(None);
        }
        _cut = match state.make_room(&self.limits, count, survey.bytes) {
            Ok(cut) => cut,
            Err(Full) => return Ok(None),
        };
        state.live = true;
        state.kept += count;
        state.bytes += survey.bytes;
        let messages = std::mem::take(messages);
        let plain = self.partitions() == 1 && !survey.delays && !(survey.ids && rules.idempotent);
        let published = match state.logs.first_mut().filter(|_| plain) {
            Some(log) => {
                let first = log.append(messages, survey.bytes, at);
                self.publish_settled(0, log);
                self.publish_tail(0, log);
                Published::run(0, first, count)
            }
            None => Published::each(self.publish_each(&mut state, messages, rules, at)),
        };
        let mut tell = count as u64 + admitted;
        if survey.delays && self.publish_due(&state) {
            // Those who wait have set their clocks for later.
            tell = u64::MAX;
        }
        Self::unlock_and_tell(state, tell);
        Ok(Some(published))
    }

    /// Stores one message that has neither delay nor id, on a stream of one partition, and takes it.
    #[inline(always)]
    pub(crate) fn try_publish_one(&self, slot: &mut Option<Message>, rules: Rules) -> OneTried {
        let mut survey = Survey::default();
        slot.iter().for_each(|message| survey.add(message));
        let special = survey.delays || (survey.ids && rules.idempotent);
        if special || self.partitions() > 1 || survey.bytes > self.limits.capacity_bytes {
            return OneTried::Special;
        }
        let at = Stamp::now();
        // Dropped after the lock is given back.
        let mut _cut: Option<Cut> = None;
        let mut state = self.lock_fresh();
        let admitted = self.admit_before(&mut state);
        if !state.is_turn_of(None) {
            return OneTried::Full;
        }
        if !state.has_room(&self.limits, 1, survey.bytes) {
            self.settle(&mut state);
            match state.make_room(&self.limits, 1, survey.bytes) {
                Ok(cut) => _cut = cut,
                Err(Full) => return OneTried::Full,
            }
        }
        let Some(log) = state.logs.first_mut() else {
            return OneTried::Special;
        };
        if log.is_fresh_full(survey.bytes) {
            log.settle();
            self.publish_settled(0, log);
        }
        let Some(message) = slot.take() else {
            return OneTried::Special;
        };
        let offset = log.push_fresh(message, survey.bytes, at);
        self.publish_tail(0, log);
        state.live = true;
        state.kept += 1;
        state.bytes += survey.bytes;
        Self::unlock_and_tell(state, 1 + admitted);
        OneTried::Stored(MessageId::Offset { partition: 0, offset })
    }

    /// How many of `messages`, from the front, may be stored at once: a larger batch than the stream is stored in pieces.
    pub(crate) fn piece(&self, messages: &[Message]) -> usize {
        let mut bytes = 0;
        messages
            .iter()
            .take(self.limits.capacity)
            .take_while(|message| {
                bytes += message.size();
                bytes <= self.limits.capacity_bytes
            })
            .count()
            .max(1)
    }

    /// Lets delayed messages that are due go first.
    #[inline]
    fn admit_before(&self, state: &mut State) -> u64 {
        if self.delayed_due() == Moment::NEVER {
            return 0;
        }
        self.admit_locked(state, self.clock.now())
    }

    fn check(&self, survey: &Survey, rules: Rules) -> Result<()> {
        if survey.delays && !rules.delays {
            return Err(Error::unsupported(Capabilities::DELAYED_DELIVERY));
        }
        if survey.largest > self.limits.capacity_bytes {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "a message has {} bytes; stream `{}` keeps {} in all (capacity_bytes)",
                    survey.largest, self.name, self.limits.capacity_bytes
                ),
            ));
        }
        Ok(())
    }

    /// Stores messages that go to different places, with one answer each.
    fn publish_each(
        &self,
        state: &mut State,
        messages: Vec<Message>,
        rules: Rules,
        at: Stamp,
    ) -> Vec<Outcome> {
        let now = self.clock.now();
        let mut outcomes = Vec::with_capacity(messages.len());
        let mut batches: Vec<(Vec<Message>, usize)> = state
            .logs
            .iter()
            .map(|_| (Vec::with_capacity(messages.len() / state.logs.len() + 1), 0))
            .collect();
        for message in messages {
            let size = message.size();
            let id = message.message_id().filter(|_| rules.idempotent);
            if let Some(stored) = id.and_then(|id| state.ids.get(id)) {
                outcomes.push(Outcome::Stored(stored.clone()));
                state.kept -= 1;
                state.bytes -= size;
                continue;
            }
            let remembered = id.map(Box::<str>::from);
            let partition = self.partition_of(state, &message);
            let stored = match delay_of(&message) {
                Some(delay) => state.delayed.push(message, partition, now.after(delay)),
                None => {
                    let place = partition as usize;
                    let tail = state.logs.get(place).map_or(0, crate::log::Log::tail);
                    match batches.get_mut(place) {
                        Some((batch, bytes)) => {
                            let offset = tail + batch.len() as u64;
                            batch.push(message);
                            *bytes += size;
                            MessageId::Offset { partition, offset }
                        }
                        None => continue,
                    }
                }
            };
            if let Some(id) = remembered {
                state.ids.remember(&id, stored.clone());
            }
            outcomes.push(Outcome::Stored(stored));
        }
        for (partition, (batch, bytes)) in batches.into_iter().enumerate() {
            if let Some(log) = state.logs.get_mut(partition).filter(|_| !batch.is_empty()) {
                log.append(batch, bytes, at);
                self.publish_settled(partition, log);
                self.publish_tail(partition, log);
            }
        }
        outcomes
    }

    fn partition_of(&self, state: &mut State, message: &Message) -> u32 {
        let partitions = self.limits.partitions;
        match message.message_key() {
            Some(key) => partition_for_key(key, partitions),
            None => {
                let turn = state.turn;
                state.turn = (turn + 1) % partitions.max(1);
                turn
            }
        }
    }
}
