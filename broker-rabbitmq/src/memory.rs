//! What this process knows of messages beyond what the server may have kept.
//!
//! An ack has no answer. The server's channel says when it has gone past it, and its queue works it in later: a
//! connection that breaks, or a server that goes down in between, has the message come again. So do the original of a
//! copy whose ack was lost, and, from a classic queue of a killed server, a message as if it had never been handed out.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, LazyLock, Mutex, Weak};
use std::task::Waker;
use std::time::Duration;

use lapin::types::ShortString;
use tokio::time::Instant;

use crate::client::lock;
use crate::config::RabbitMqConfig;
use crate::entry::Entry;
use crate::meta::{Identity, generation};

/// How many messages are remembered for each queue. A classic queue may write as many acks at once, late.
const KEPT: usize = 65_536;

/// How long a message is remembered while all goes well.
const LONG: Duration = Duration::from_secs(60);

/// How long what was remembered stays after a connection was lost: the server may be away for a while.
const AFTER_LOSS: Duration = Duration::from_secs(600);

/// The memories of queues that this process reads at this moment: brokers of one process share them, as what one of
/// them settled may come again to another.
static MEMORIES: LazyLock<Mutex<HashMap<String, Weak<Memory>>>> = LazyLock::new(Mutex::default);

/// What is known of the messages of one queue.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    known: HashMap<(u64, u64), Known>,
    /// Messages in hand of which there may be two, as one was written anew and nobody knows whether it was before.
    in_hand: HashSet<Identity>,
    /// Who waits for one of them to be settled or given up.
    waiting: Vec<Waker>,
    /// The oldest first; one that was noted anew since is here twice.
    order: VecDeque<((u64, u64), Instant)>,
    lost: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    copy: u32,
    fate: Fate,
    noted: Instant,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was handed out as this attempt, and its channel was lost.
    Seen(u32),
    /// A copy took its place.
    Moved,
    /// It is done.
    Done,
}

impl Memory {
    /// The memory of a queue, which is kept for as long as somebody has it.
    pub(crate) fn of(config: &RabbitMqConfig, queue: &ShortString) -> Arc<Self> {
        let name = format!("{:?} {} {queue}", config.servers(), config.vhost());
        let mut memories = lock(&MEMORIES);
        if let Some(memory) = memories.get(&name).and_then(Weak::upgrade) {
            return memory;
        }
        memories.retain(|_, memory| memory.strong_count() > 0);
        let memory = Arc::default();
        memories.insert(name, Arc::downgrade(&memory));
        memory
    }

    /// Notes what became of messages; of another program's it can't be known which is which.
    pub(crate) fn note(&self, messages: impl IntoIterator<Item = Identity>, fate: Fate) {
        let noted = Instant::now();
        let mut state = lock(&self.0);
        for Identity { id, copy } in messages {
            let known = Known { copy, fate, noted };
            match state.known.get_mut(&id) {
                Some(older) if older.outlasts(&known) => continue,
                Some(older) => *older = known,
                None => drop(state.known.insert(id, known)),
            }
            state.order.push_back((id, noted));
        }
        state.fade(noted);
    }

    /// Notes that a connection was lost.
    pub(crate) fn lost(&self) {
        lock(&self.0).lost = Some(Instant::now());
    }

    /// Forgets what the server has kept by now.
    pub(crate) fn fade(&self) {
        lock(&self.0).fade(Instant::now());
    }

    /// What to do with a message that may be there twice.
    pub(crate) fn twin(self: &Arc<Self>, entry: &mut Entry) -> Twin {
        if self.is_settled(entry) {
            return Twin::Settled;
        }
        let Some(identity) = entry.identity() else {
            return Twin::None(None);
        };
        if identity.copy == 0 && entry.attempt == 1 {
            return Twin::None(None);
        }
        if !lock(&self.0).in_hand.insert(identity) {
            return Twin::InHand;
        }
        Twin::None(Some(Arc::new(InHand {
            memory: Arc::clone(self),
            identity,
        })))
    }

    /// Whether one of these has its twin in hand no more; where none has, `waker` is woken when that may have changed.
    pub(crate) fn is_any_free<'a>(&self, twins: impl Iterator<Item = &'a Entry>, waker: &Waker) -> bool {
        let mut state = lock(&self.0);
        let mut identities = twins.filter_map(Entry::identity).peekable();
        let has_twins = identities.peek().is_some();
        if identities.any(|identity| !state.in_hand.contains(&identity)) {
            return true;
        }
        if has_twins && !state.waiting.iter().any(|known| known.will_wake(waker)) {
            state.waiting.push(waker.clone());
        }
        false
    }

    /// Whether a message that came is to be settled once more instead of being handed out; what was seen of it counts.
    pub(crate) fn is_settled(&self, entry: &mut Entry) -> bool {
        let Some(Identity { id, copy }) = entry.identity() else {
            return false;
        };
        let state = lock(&self.0);
        let Some(known) = state.known.get(&id) else {
            return false;
        };
        match known.fate {
            Fate::Done => generation(copy) <= generation(known.copy),
            Fate::Moved => copy <= known.copy,
            Fate::Seen(attempt) => {
                if copy == known.copy {
                    entry.was_seen(attempt);
                }
                false
            }
        }
    }
}

/// What became of a message's twin.
pub(crate) enum Twin {
    /// There is none in hand: this is the one, for as long as what this holds is kept.
    None(Option<Arc<InHand>>),
    /// It is in hand, so that this one waits for what becomes of it.
    InHand,
    /// It is settled, and so is this one.
    Settled,
}

/// That a message is in hand.
#[derive(Debug)]
pub(crate) struct InHand {
    memory: Arc<Memory>,
    identity: Identity,
}

impl Drop for InHand {
    fn drop(&mut self) {
        let waiting = {
            let mut state = lock(&self.memory.0);
            state.in_hand.remove(&self.identity);
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Known {
    /// Whether it says more than what is noted later: what is done stays so, and a copy tells of its original.
    fn outlasts(&self, later: &Self) -> bool {
        if generation(self.copy) == generation(later.copy)
            && (self.fate == Fate::Done || later.fate == Fate::Done)
        {
            return self.fate == Fate::Done;
        }
        self.copy > later.copy || (self.copy == later.copy && self.fate == Fate::Moved)
    }
}

impl State {
    fn fade(&mut self, now: Instant) {
        let is_lost = self
            .lost
            .is_some_and(|lost| now.duration_since(lost) < AFTER_LOSS);
        let long = if is_lost { AFTER_LOSS } else { LONG };
        while let Some((id, noted)) = self.order.front().copied() {
            if self.order.len() <= KEPT && now.duration_since(noted) < long {
                break;
            }
            self.order.pop_front();
            if self.known.get(&id).is_some_and(|known| known.noted == noted) {
                self.known.remove(&id);
            }
        }
        if self.order.is_empty() {
            // A queue that was busy once keeps no room for ever.
            self.order = VecDeque::new();
            self.known = HashMap::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker_core::{Message, MessageId};
    use lapin::message::Delivery;

    use crate::codec;
    use crate::config::QueueType;
    use crate::meta::Meta;

    fn entry(seq: u64, copy: u32) -> Entry {
        let meta = Meta {
            copy,
            ..Meta::new(MessageId::Entry { ms: 1, seq })
        };
        let (properties, table) = codec::encode(&Message::text("x"), &meta, true).unwrap();
        let mut delivery = Delivery::mock(1, "".into(), "".into(), false, Vec::new());
        delivery.properties = codec::finish(properties, table);
        Entry::new(delivery, QueueType::Quorum)
    }

    fn note(memory: &Memory, seq: u64, copy: u32, fate: Fate) {
        memory.note(entry(seq, copy).identity(), fate);
    }

    fn settled(memory: &Memory, seq: u64, copy: u32) -> bool {
        memory.is_settled(&mut entry(seq, copy))
    }

    #[tokio::test]
    async fn what_is_done_never_comes_again_in_any_copy_until_it_is_replayed() {
        let memory = Memory::default();
        note(&memory, 1, 1, Fate::Done);
        assert!(settled(&memory, 1, 0) && settled(&memory, 1, 1) && settled(&memory, 1, 2));
        assert!(!settled(&memory, 2, 1));
        let letter = entry(1, 2).meta;
        assert!(!settled(&memory, 1, letter.replayed().copy));
    }

    #[tokio::test]
    async fn an_original_gives_way_to_its_copy_and_not_the_other_way_round() {
        let memory = Memory::default();
        note(&memory, 1, 3, Fate::Moved);
        assert!(settled(&memory, 1, 3) && settled(&memory, 1, 2));
        assert!(!settled(&memory, 1, 4));
        note(&memory, 1, 2, Fate::Moved);
        note(&memory, 1, 3, Fate::Seen(1));
        assert!(settled(&memory, 1, 3), "less is known of it by the later notes");
        note(&memory, 1, 4, Fate::Done);
        note(&memory, 1, 5, Fate::Seen(1));
        assert!(settled(&memory, 1, 5), "what is done stays done");
    }

    #[tokio::test]
    async fn what_was_seen_counts_where_the_server_forgot() {
        let memory = Memory::default();
        note(&memory, 1, 0, Fate::Seen(2));
        let mut again = entry(1, 0);
        assert!(!memory.is_settled(&mut again));
        assert_eq!((again.attempt, again.uncounted), (3, true));
        let mut copy = entry(1, 1);
        assert!(!memory.is_settled(&mut copy));
        assert_eq!((copy.attempt, copy.uncounted), (1, false));
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_bounded_in_time_and_number() {
        let memory = Memory::default();
        for seq in 0..KEPT as u64 + 10 {
            note(&memory, seq, 0, Fate::Done);
        }
        assert!(!settled(&memory, 9, 0) && settled(&memory, 10, 0));
        memory.lost();
        tokio::time::advance(LONG).await;
        memory.fade();
        assert!(settled(&memory, 10, 0), "the server may be away for long");
        tokio::time::advance(AFTER_LOSS).await;
        memory.fade();
        assert!(!settled(&memory, 10, 0));
        assert!(lock(&memory.0).known.is_empty());
    }

    #[tokio::test]
    async fn of_two_alike_one_waits_until_the_other_is_settled_or_given_up() {
        let memory = Arc::new(Memory::default());
        let Twin::None(Some(in_hand)) = memory.twin(&mut entry(1, 1)) else {
            panic!("there is no other yet");
        };
        assert!(matches!(memory.twin(&mut entry(1, 1)), Twin::InHand));
        drop(in_hand);
        let Twin::None(Some(in_hand)) = memory.twin(&mut entry(1, 1)) else {
            panic!("the other was given up");
        };
        note(&memory, 1, 1, Fate::Done);
        drop(in_hand);
        assert!(matches!(memory.twin(&mut entry(1, 1)), Twin::Settled));
        assert!(matches!(memory.twin(&mut entry(2, 0)), Twin::None(None)));
    }

    #[tokio::test]
    async fn brokers_of_one_process_share_what_they_know_of_a_queue() {
        let config = RabbitMqConfig::default();
        let (one, other) = (
            Memory::of(&config, &"shared".into()),
            Memory::of(&config, &"shared".into()),
        );
        note(&one, 1, 0, Fate::Done);
        assert!(settled(&other, 1, 0));
        assert!(!settled(&Memory::of(&config, &"another".into()), 1, 0));
    }
}
