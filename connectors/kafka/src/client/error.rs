//! What can go wrong between a client and its brokers.

use kafka_protocol::ResponseError;
use weir_dataflow::operator::OperatorError;

/// An error of a request.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ClientError {
    /// No connection, or it broke.
    #[error("{address}: {reason}")]
    Connection { address: String, reason: String },
    #[error("{address}: no answer to {request} within {seconds} s")]
    Timeout { address: String, request: &'static str, seconds: u64 },
    /// A broker said no.
    #[error("{what}: {}", describe(*code))]
    Refused { what: String, code: i16 },
    /// The broker speaks another protocol, or is too old.
    #[error("{address}: {reason}")]
    Protocol { address: String, reason: String },
    #[error("{address}: {reason}")]
    Authentication { address: String, reason: String },
}

impl ClientError {
    pub(crate) fn refused(what: impl Into<String>, code: i16) -> Self {
        Self::Refused { what: what.into(), code }
    }

    /// The broker at this address did not answer, and another one has its work by now.
    pub(crate) fn moved(address: &str) -> Self {
        let reason = "no answer, and another broker has taken over".to_owned();
        Self::Connection { address: address.to_owned(), reason }
    }

    /// The code of a broker's refusal.
    pub(crate) fn code(&self) -> Option<ResponseError> {
        match self {
            Self::Refused { code, .. } => ResponseError::try_from_code(*code),
            _ => None,
        }
    }

    /// Whether the same request may succeed later, without a change by the user.
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            Self::Connection { .. } | Self::Timeout { .. } => true,
            // To Kafka's own client this one is no error at all: it always asks again.
            Self::Refused { code, .. } if *code == ResponseError::ConcurrentTransactions.code() => true,
            Self::Refused { code, .. } => ResponseError::try_from_code(*code).is_some_and(|code| code.is_retriable()),
            Self::Protocol { .. } | Self::Authentication { .. } => false,
        }
    }

    /// The error of an operator: `KAFKA-CONNECTION`, `KAFKA-REFUSED`, `KAFKA-PROTOCOL` or `KAFKA-AUTHENTICATION`.
    pub(crate) fn for_operator(&self, kind: &str) -> OperatorError {
        let code = match self {
            Self::Connection { .. } | Self::Timeout { .. } => "KAFKA-CONNECTION",
            Self::Refused { .. } => "KAFKA-REFUSED",
            Self::Protocol { .. } => "KAFKA-PROTOCOL",
            Self::Authentication { .. } => "KAFKA-AUTHENTICATION",
        };
        OperatorError { code, message: format!("{kind}: {self}"), retryable: self.is_temporary() }
    }
}

/// The name and number of a broker's error code.
pub(crate) fn describe(code: i16) -> String {
    ResponseError::try_from_code(code).map_or_else(|| "no error".to_owned(), |error| format!("{error:?} ({code})"))
}
