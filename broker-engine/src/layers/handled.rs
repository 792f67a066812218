//! What a layer handles, a message or a batch, so that each layer says its thing once.

use crate::handler::{BoxError, IncomingBatch, Outcome, Outcomes};
use crate::incoming::Incoming;

/// What becomes of one message.
pub(crate) type Answered = Result<Outcome, BoxError>;

/// What a layer's service is called with: a message, or a batch.
pub trait Handled: sealed::Handled<<Self as Handled>::Answer> {
    /// What its handler answers.
    type Answer: sealed::Answer;
}

impl Handled for Incoming {
    type Answer = Outcome;
}

impl Handled for IncomingBatch {
    type Answer = Outcomes;
}

pub(crate) mod sealed {
    use super::{Answered, BoxError, Incoming};

    pub trait Handled<A: Answer>: Sized + Send + Sync + 'static {
        /// Whether these are messages that are handled together.
        const IS_BATCH: bool;

        /// Each message.
        fn messages(&self) -> &[Incoming];

        /// The same once more, for a layer that may have to hand it in again.
        fn again(&self) -> Self;

        /// What is left to handle, if anything is, when `told` has said of each message what becomes of it, or nothing.
        fn part(self, told: impl FnMut(&Incoming) -> Option<Answered>) -> (Option<Self>, A::Told);
    }

    pub trait Answer: Sized + Send + 'static {
        /// What was told of messages before they were handled.
        type Told: Send;
        /// An outcome for each message.
        type Each: AsRef<[Answered]> + AsMut<[Answered]> + IntoIterator<Item = Answered> + Send;

        /// Puts together what was told and what the rest was answered with.
        fn join(told: Self::Told, answer: Option<Result<Self, BoxError>>) -> Result<Self, BoxError>;

        /// An outcome for each of `count` messages, whatever was answered.
        fn each(answer: Result<Self, BoxError>, count: usize) -> Self::Each;

        /// The answer that these outcomes are.
        fn of(each: Self::Each) -> Result<Self, BoxError>;

        /// The outcomes of an answer, or the error of all.
        fn outcomes(answer: &mut Result<Self, BoxError>) -> Result<&mut [Answered], &BoxError>;
    }
}

impl sealed::Handled<Outcome> for Incoming {
    const IS_BATCH: bool = false;

    fn messages(&self) -> &[Incoming] {
        std::slice::from_ref(self)
    }

    fn again(&self) -> Self {
        self.view()
    }

    #[inline]
    fn part(self, mut told: impl FnMut(&Incoming) -> Option<Answered>) -> (Option<Self>, Option<Answered>) {
        match told(&self) {
            None => (Some(self), None),
            told => (None, told),
        }
    }
}

impl sealed::Handled<Outcomes> for IncomingBatch {
    const IS_BATCH: bool = true;

    fn messages(&self) -> &[Incoming] {
        self
    }

    fn again(&self) -> Self {
        self.view()
    }

    fn part(
        self,
        mut told: impl FnMut(&Incoming) -> Option<Answered>,
    ) -> (Option<Self>, Vec<Option<Answered>>) {
        let mut left = Vec::with_capacity(self.len());
        let told = self.into_iter().map(|incoming| {
            let told = told(&incoming);
            if told.is_none() {
                left.push(incoming);
            }
            told
        });
        let told = told.collect();
        let left = (!left.is_empty()).then(|| left.into_iter().collect());
        (left, told)
    }
}

impl sealed::Answer for Outcome {
    type Told = Option<Answered>;
    type Each = [Answered; 1];

    #[inline]
    fn join(told: Self::Told, answer: Option<Answered>) -> Answered {
        told.or(answer).unwrap_or(Ok(Self::Skip))
    }

    fn each(answer: Answered, _: usize) -> Self::Each {
        [answer]
    }

    fn of([answer]: Self::Each) -> Answered {
        answer
    }

    fn outcomes(answer: &mut Answered) -> Result<&mut [Answered], &BoxError> {
        Ok(std::slice::from_mut(answer))
    }
}

impl sealed::Answer for Outcomes {
    type Told = Vec<Option<Answered>>;
    type Each = Vec<Answered>;

    fn join(told: Self::Told, answer: Option<Result<Self, BoxError>>) -> Result<Self, BoxError> {
        let count = told.iter().filter(|told| told.is_none()).count();
        // What was told before stands, whatever became of the rest.
        let answers = answer.map_or_else(Self::default, |answer| Self::each(answer, count));
        let mut answers = answers.into_iter();
        let own = |told: Option<_>| told.or_else(|| answers.next()).unwrap_or(Ok(Outcome::Skip));
        Ok(told.into_iter().map(own).collect())
    }

    fn each(answer: Result<Self, BoxError>, count: usize) -> Self::Each {
        Self::each(answer, count).into_iter().collect()
    }

    fn of(each: Self::Each) -> Result<Self, BoxError> {
        Ok(each.into_iter().collect())
    }

    fn outcomes(answer: &mut Result<Self, BoxError>) -> Result<&mut [Answered], &BoxError> {
        match answer {
            Ok(outcomes) => Ok(outcomes.as_mut_slice()),
            Err(error) => Err(error),
        }
    }
}
