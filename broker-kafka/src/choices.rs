//! What settings can be that have a few values to choose from.

use serde::Deserialize;

/// How to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
pub enum SaslMechanism {
    /// By name and password as they are: over TLS only.
    #[serde(rename = "PLAIN", alias = "plain")]
    Plain,
    /// By a proof of the password, with SHA-256.
    #[serde(rename = "SCRAM-SHA-256", alias = "scram_sha_256")]
    ScramSha256,
    /// By a proof of the password, with SHA-512.
    #[serde(rename = "SCRAM-SHA-512", alias = "scram_sha_512")]
    ScramSha512,
    /// By Kerberos; what it needs is set in the table `kafka`.
    #[serde(rename = "GSSAPI", alias = "gssapi")]
    Gssapi,
}

/// How many copies a message must have before it counts as stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum Acks {
    /// All that the stream's replicas in sync hold.
    #[default]
    All,
    /// The leader's own.
    Leader,
}

/// How messages are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// By gzip, with the feature `zlib`.
    Gzip,
    /// By snappy.
    Snappy,
    /// By lz4.
    Lz4,
    /// By zstd, with the feature `zstd`.
    Zstd,
}

/// How partitions are shared among a group's members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum Assignment {
    /// Only what moves is taken away from its member.
    #[default]
    CooperativeSticky,
    /// All partitions are taken away and given anew, neighbours to one member.
    Range,
    /// All partitions are taken away and given anew, in turn.
    Roundrobin,
}

/// Where a group goes on whose position its log no longer has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum OffsetReset {
    /// At the first message that is still there.
    #[default]
    Earliest,
    /// Behind the last message.
    Latest,
    /// Nowhere: reading answers an error until the group is moved.
    Error,
}

/// Whether messages of transactions that are not committed are seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// Only what is committed.
    #[default]
    ReadCommitted,
    /// Everything.
    ReadUncommitted,
}
