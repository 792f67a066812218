//! What is wrong with a broker.

use serde::Deserialize;

/// One known bug, as brokers of this field had them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fault {
    /// One message in a hundred is answered `Stored` and is not.
    DropsSome,
    /// One message in a hundred is stored twice.
    DuplicatesSome,
    /// Neighbours in a batch change places.
    SwapsOrder,
    /// What is over 64 KiB is cut off there.
    TruncatesPayload,
    /// Headers are left out.
    DropsHeaders,
    /// Every message has the same id.
    OneIdForAll,
    /// The same message id is stored each time.
    ForgetsIds,
    /// Messages are answered `Stored` first and stored later; closing drops them.
    StoresLater,
    /// A publish that is dropped half-way leaves its answer to the next one.
    MixesUpAnswers,
    /// Every delivery says it is the first.
    AttemptsAlwaysOne,
    /// All groups of a stream are one.
    SharesGroups,
    /// Leases never end.
    LeaseNeverEnds,
    /// Leases end at once.
    LeaseEndsAtOnce,
    /// A read error is an empty batch.
    SwallowsReadErrors,
    /// What is read is settled, whatever becomes of it.
    PopsOnRead,
    /// A read that waits does not notice what comes.
    SleepsThroughMessages,
    /// Publishing waits for the reader that waits.
    ReadersBlockPublishers,
    /// A read hands out more than was asked for.
    HandsOutMore,
    /// Messages of a parked key are handed out.
    IgnoresParkedKeys,
    /// An ack covers every earlier message of its partition.
    AckCoversEarlier,
    /// A second ack is answered as the first was.
    DoubleAckIsAcked,
    /// Whoever has a receipt can settle by it.
    AnybodySettles,
    /// A late ack settles the delivery that followed.
    LateAckSettlesLater,
    /// Acks are answered and forgotten.
    ForgetsAcks,
    /// Nacks are answered and forgotten.
    ForgetsNacks,
    /// A nacked message comes again at once, whatever delay was asked for.
    IgnoresDelay,
    /// What is given back counts as an attempt.
    GivingBackCounts,
    /// Dead letters are settled at their source and written nowhere.
    LosesDeadLetters,
    /// Dead letters are replayed to every group.
    ReplaysToAllGroups,
    /// Purging some dead letters purges all.
    PurgesAll,
    /// A page of dead letters has the oldest first.
    ListsOldestFirst,
    /// Moving a group moves all groups of the stream.
    MovesAllGroups,
    /// Trimming does not ask what groups still need.
    TrimsWhatIsNeeded,
    /// Leases are said to be extended, and are not.
    ForgetsExtensions,
    /// What a transaction publishes stays when it can't settle.
    TransactsInParts,
    /// What a transaction settles is forgotten.
    TransactsPublishesOnly,
    /// Whoever had a transactor before goes on.
    ForgetsFences,
    /// There is never any lag.
    HidesLag,
    /// A ping is answered although the server is down.
    AnswersPingWhenDown,
    /// What is not claimed is answered `Ok`.
    UnsupportedIsOk,
}
