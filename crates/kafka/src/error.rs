//! What goes wrong: on the way, or by a broker's word.

use std::fmt;
use std::io;

use crate::wire::WireError;

/// A broker's word on a request (Kafka protocol guide, "Error Codes").
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code(pub i16);

macro_rules! codes {
    ($($constant:ident = $code:literal, $name:literal;)*) => {
        impl Code {
            $(#[doc = concat!("`", $name, "`")]
            pub const $constant: Self = Self($code);)*

            /// Its name in the protocol's documents.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($code => Some($name),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    NONE = 0, "NONE";
    OFFSET_OUT_OF_RANGE = 1, "OFFSET_OUT_OF_RANGE";
    CORRUPT_MESSAGE = 2, "CORRUPT_MESSAGE";
    UNKNOWN_TOPIC_OR_PARTITION = 3, "UNKNOWN_TOPIC_OR_PARTITION";
    LEADER_NOT_AVAILABLE = 5, "LEADER_NOT_AVAILABLE";
    NOT_LEADER_OR_FOLLOWER = 6, "NOT_LEADER_OR_FOLLOWER";
    REQUEST_TIMED_OUT = 7, "REQUEST_TIMED_OUT";
    MESSAGE_TOO_LARGE = 10, "MESSAGE_TOO_LARGE";
    COORDINATOR_LOAD_IN_PROGRESS = 14, "COORDINATOR_LOAD_IN_PROGRESS";
    COORDINATOR_NOT_AVAILABLE = 15, "COORDINATOR_NOT_AVAILABLE";
    NOT_COORDINATOR = 16, "NOT_COORDINATOR";
    INVALID_TOPIC = 17, "INVALID_TOPIC_EXCEPTION";
    RECORD_LIST_TOO_LARGE = 18, "RECORD_LIST_TOO_LARGE";
    NOT_ENOUGH_REPLICAS = 19, "NOT_ENOUGH_REPLICAS";
    NOT_ENOUGH_REPLICAS_AFTER_APPEND = 20, "NOT_ENOUGH_REPLICAS_AFTER_APPEND";
    ILLEGAL_GENERATION = 22, "ILLEGAL_GENERATION";
    INCONSISTENT_GROUP_PROTOCOL = 23, "INCONSISTENT_GROUP_PROTOCOL";
    INVALID_GROUP_ID = 24, "INVALID_GROUP_ID";
    UNKNOWN_MEMBER_ID = 25, "UNKNOWN_MEMBER_ID";
    INVALID_SESSION_TIMEOUT = 26, "INVALID_SESSION_TIMEOUT";
    REBALANCE_IN_PROGRESS = 27, "REBALANCE_IN_PROGRESS";
    TOPIC_AUTHORIZATION_FAILED = 29, "TOPIC_AUTHORIZATION_FAILED";
    GROUP_AUTHORIZATION_FAILED = 30, "GROUP_AUTHORIZATION_FAILED";
    CLUSTER_AUTHORIZATION_FAILED = 31, "CLUSTER_AUTHORIZATION_FAILED";
    UNSUPPORTED_SASL_MECHANISM = 33, "UNSUPPORTED_SASL_MECHANISM";
    ILLEGAL_SASL_STATE = 34, "ILLEGAL_SASL_STATE";
    UNSUPPORTED_VERSION = 35, "UNSUPPORTED_VERSION";
    INVALID_REQUIRED_ACKS = 21, "INVALID_REQUIRED_ACKS";
    UNSUPPORTED_FOR_MESSAGE_FORMAT = 43, "UNSUPPORTED_FOR_MESSAGE_FORMAT";
    POLICY_VIOLATION = 44, "POLICY_VIOLATION";
    SASL_AUTHENTICATION_FAILED = 58, "SASL_AUTHENTICATION_FAILED";
    FENCED_LEADER_EPOCH = 74, "FENCED_LEADER_EPOCH";
    UNKNOWN_LEADER_EPOCH = 75, "UNKNOWN_LEADER_EPOCH";
    UNSUPPORTED_COMPRESSION_TYPE = 76, "UNSUPPORTED_COMPRESSION_TYPE";
    MEMBER_ID_REQUIRED = 79, "MEMBER_ID_REQUIRED";
    FENCED_INSTANCE_ID = 82, "FENCED_INSTANCE_ID";
    INVALID_RECORD = 87, "INVALID_RECORD";
}

impl Code {
    /// Success is nothing, anything else an error.
    pub fn check(self) -> Result<(), Self> {
        if self == Self::NONE { Ok(()) } else { Err(self) }
    }

    /// Whether a record refused with it is refused for ever, however often and to whomever it is
    /// sent. What a person can mend at the broker, such as missing rights, is not.
    pub fn refuses_record(self) -> bool {
        matches!(
            self,
            Self::MESSAGE_TOO_LARGE
                | Self::RECORD_LIST_TOO_LARGE
                | Self::INVALID_TOPIC
                | Self::INVALID_RECORD
                | Self::UNSUPPORTED_FOR_MESSAGE_FORMAT
                | Self::UNSUPPORTED_COMPRESSION_TYPE
        )
    }

    /// Whether the record is too large for the topic.
    pub fn is_too_large(self) -> bool {
        matches!(self, Self::MESSAGE_TOO_LARGE | Self::RECORD_LIST_TOO_LARGE)
    }

    /// Whether another broker should have been asked, as the next metadata will tell.
    pub fn asks_for_metadata(self) -> bool {
        matches!(
            self,
            Self::UNKNOWN_TOPIC_OR_PARTITION
                | Self::LEADER_NOT_AVAILABLE
                | Self::NOT_LEADER_OR_FOLLOWER
                | Self::FENCED_LEADER_EPOCH
                | Self::UNKNOWN_LEADER_EPOCH
        )
    }

    /// Whether the group has, or will have, another coordinator.
    pub fn asks_for_coordinator(self) -> bool {
        matches!(
            self,
            Self::COORDINATOR_LOAD_IN_PROGRESS
                | Self::COORDINATOR_NOT_AVAILABLE
                | Self::NOT_COORDINATOR
        )
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "error {}", self.0),
        }
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a request has no answer, or no good one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No connection, or it broke.
    #[error("{broker}: {reason}")]
    Connection {
        /// Its address.
        broker: String,
        /// The system's words.
        reason: String,
    },
    /// No answer in time.
    #[error("{broker}: no answer within {seconds} s")]
    Timeout {
        /// Its address.
        broker: String,
        /// How long it had.
        seconds: u64,
    },
    /// An answer that is none of Kafka's.
    #[error("{broker}: not an answer of Kafka's: {reason}")]
    Protocol {
        /// Its address.
        broker: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A broker that is older than Kafka 2.1, or newer than this client can know.
    #[error("{broker}: it does not speak version {version} of {api}; brokers from Kafka 2.1 do")]
    Version {
        /// Its address.
        broker: String,
        /// The kind of request.
        api: &'static str,
        /// The version that is spoken here.
        version: i16,
    },
    /// It does not let us in.
    #[error("{broker}: authentication failed: {reason}")]
    Authentication {
        /// Its address.
        broker: String,
        /// The broker's words, or what is wrong with its proof.
        reason: String,
    },
    /// A broker's refusal.
    #[error("{what}: {code}")]
    Refused {
        /// What was asked.
        what: String,
        /// Its word.
        code: Code,
    },
}

impl Error {
    /// The broker's code, where it is a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    pub(crate) fn connection(broker: &str, error: &io::Error) -> Self {
        let reason = match error.kind() {
            io::ErrorKind::UnexpectedEof => "the broker closed the connection".to_owned(),
            _ => error.to_string(),
        };
        Self::Connection { broker: broker.to_owned(), reason }
    }

    pub(crate) fn wire(broker: &str, error: WireError) -> Self {
        Self::Protocol { broker: broker.to_owned(), reason: error.to_string() }
    }

    pub(crate) fn refused(what: impl Into<String>, code: Code) -> Self {
        Self::Refused { what: what.into(), code }
    }
}
