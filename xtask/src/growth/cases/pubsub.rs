//! Messages between clients.

use super::super::case::{Case, case};

pub const CASES: &[Case] = &[
    case("PSUBSCRIBE", "patterns, at once", &[], &["PSUBSCRIBE [p#]"]),
    case("PSUBSCRIBE", "patterns, one by one", &[], &["n times: PSUBSCRIBE p@"]),
    case("PUBLISH", "patterns that do not match", &["other: PSUBSCRIBE [p#]"], &["100 times: PUBLISH c m"]),
    case("PUBLISH", "subscribers", &["others: SUBSCRIBE c"], &["PUBLISH c m"]).from(1000),
    case("PUBLISH", "messages", &["other: SUBSCRIBE c"], &["n times: PUBLISH c m"]),
    case("PUBSUB CHANNELS", "channels", &["other: SUBSCRIBE [c#]"], &["PUBSUB CHANNELS"]),
    case("PUBSUB NUMPAT", "patterns", &["other: PSUBSCRIBE [p#]"], &["n times: PUBSUB NUMPAT"]),
    case("PUBSUB NUMSUB", "channels", &["other: SUBSCRIBE [c#]"], &["PUBSUB NUMSUB [c#]"]),
    case("PUBSUB SHARDCHANNELS", "channels", &["other: SSUBSCRIBE [c#]"], &["PUBSUB SHARDCHANNELS"]),
    case("PUBSUB SHARDNUMSUB", "channels", &["other: SSUBSCRIBE [c#]"], &["PUBSUB SHARDNUMSUB [c#]"]),
    case("PUNSUBSCRIBE", "patterns, all", &["PSUBSCRIBE [p#]"], &["PUNSUBSCRIBE"]),
    case("PUNSUBSCRIBE", "patterns, by name", &["PSUBSCRIBE [p#]"], &["PUNSUBSCRIBE [p#]"]),
    case("SPUBLISH", "subscribers", &["others: SSUBSCRIBE c"], &["SPUBLISH c m"]).from(1000),
    case("SSUBSCRIBE", "channels", &[], &["SSUBSCRIBE [c#]"]),
    case("SUBSCRIBE", "channels, at once", &[], &["SUBSCRIBE [c#]"]),
    case("SUBSCRIBE", "channels, one by one", &[], &["n times: SUBSCRIBE c@"]),
    case("SUBSCRIBE", "subscribers of a channel", &[], &["others: SUBSCRIBE c"]).from(1000),
    case("SUBSCRIBE", "channels when the client leaves", &["other: SUBSCRIBE [c#]"], &["close"]),
    case("SUNSUBSCRIBE", "channels", &["SSUBSCRIBE [c#]"], &["SUNSUBSCRIBE"]),
    case("UNSUBSCRIBE", "channels, all", &["SUBSCRIBE [c#]"], &["UNSUBSCRIBE"]),
    case("UNSUBSCRIBE", "channels, by name", &["SUBSCRIBE [c#]"], &["UNSUBSCRIBE [c#]"]),
    case("UNSUBSCRIBE", "subscribers of a channel that leave", &["others: SUBSCRIBE c"], &["close"]).from(1000),
];
