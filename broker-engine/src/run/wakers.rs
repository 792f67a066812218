//! Which lanes want to go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Wake, Waker};

use futures_util::task::AtomicWaker;

/// Lanes per word of marks.
const WORD: usize = 64;

/// Which lanes were woken: only these are asked again, however many there are.
#[derive(Debug)]
pub(crate) struct Woken {
    words: Box<[AtomicU64]>,
    runner: AtomicWaker,
}

impl Woken {
    /// For so many lanes.
    pub(crate) fn new(lanes: usize) -> Arc<Self> {
        Arc::new(Self {
            words: (0..lanes.div_ceil(WORD)).map(|_| AtomicU64::new(0)).collect(),
            runner: AtomicWaker::new(),
        })
    }

    /// Who is woken when a lane is.
    pub(crate) fn register(&self, waker: &Waker) {
        self.runner.register(waker);
    }

    /// The lanes that were woken since they were last asked for.
    pub(crate) fn take(&self) -> impl Iterator<Item = usize> {
        self.words.iter().enumerate().flat_map(|(number, word)| {
            // Most words are zero most of the time: looking costs less than taking.
            let mut marks = match word.load(Ordering::Relaxed) {
                0 => 0,
                _ => word.swap(0, Ordering::AcqRel),
            };
            std::iter::from_fn(move || {
                let bit = (marks != 0).then(|| marks.trailing_zeros() as usize)?;
                marks &= marks - 1;
                Some(number * WORD + bit)
            })
        })
    }

    /// The waker of one lane.
    pub(crate) fn waker(self: &Arc<Self>, lane: usize) -> Waker {
        Waker::from(Arc::new(LaneWaker {
            woken: Arc::clone(self),
            lane,
        }))
    }
}

struct LaneWaker {
    woken: Arc<Woken>,
    lane: usize,
}

impl Wake for LaneWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(word) = self.woken.words.get(self.lane / WORD) {
            word.fetch_or(1 << (self.lane % WORD), Ordering::AcqRel);
        }
        self.woken.runner.wake();
    }
}
