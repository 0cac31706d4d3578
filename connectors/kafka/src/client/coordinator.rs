//! Talks to the broker that coordinates a transactional id or a consumer group, wherever it is.

use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::FindCoordinatorRequest;
use kafka_protocol::protocol::{Request, StrBytes};
use tokio::time::Instant;

use super::metadata::ask_any;
use super::settings::ClientSettings;
use super::{ClientError, Connection, Metadata, Patience};

/// A coordinator that does not answer for this long may be frozen or cut off. Then the others are asked who it is by now.
const SLOW: Duration = Duration::from_secs(1);

/// What is coordinated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CoordinatorKind {
    Group,
    Transaction,
}

/// The coordinator of one key. It is looked up again whenever it has moved.
pub(crate) struct Coordinator {
    settings: ClientSettings,
    kind: CoordinatorKind,
    key: String,
    connection: Option<Connection>,
}

impl Coordinator {
    pub(crate) fn of_transactional_id(settings: &ClientSettings, id: &str) -> Self {
        Self { settings: settings.clone(), kind: CoordinatorKind::Transaction, key: id.to_owned(), connection: None }
    }

    pub(crate) fn of_group(settings: &ClientSettings, group: &str) -> Self {
        Self { settings: settings.clone(), kind: CoordinatorKind::Group, key: group.to_owned(), connection: None }
    }

    /// What is coordinated: the transactional id or the group.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Sends a request until the coordinator gives an answer that is not temporary, or the deadline has passed. `code` reads the
    /// error code of an answer. Only for requests that may be sent twice.
    pub(crate) async fn call<R: Request>(
        &mut self,
        versions: (i16, i16),
        request: &R,
        deadline: Instant,
        code: impl Fn(&R::Response) -> i16,
    ) -> Result<R::Response, ClientError> {
        let mut patience = Patience::until(deadline);
        loop {
            match self.attempt(versions, request).await {
                Ok(answer) => {
                    let code = code(&answer);
                    match ResponseError::try_from_code(code) {
                        Some(ResponseError::NotCoordinator | ResponseError::CoordinatorNotAvailable) => self.connection = None,
                        Some(ResponseError::CoordinatorLoadInProgress | ResponseError::ConcurrentTransactions) => {}
                        // What else a coordinator says is for the caller.
                        None | Some(_) => return Ok(answer),
                    }
                    patience.bear(ClientError::refused(self.key.clone(), code)).await?;
                }
                Err(error) => {
                    self.connection = None;
                    patience.bear(error).await?;
                }
            }
        }
    }

    async fn attempt<R: Request>(&mut self, versions: (i16, i16), request: &R) -> Result<R::Response, ClientError> {
        let Self { settings, kind, key, connection } = self;
        let connection = match connection {
            Some(connection) => connection,
            none => {
                let address = locate(settings, *kind, key).await?;
                let opened = Connection::open(settings, &address);
                none.insert(unless_moved(settings, *kind, key, &address, opened).await?)
            }
        };
        let address = connection.address().to_owned();
        unless_moved(settings, *kind, key, &address, connection.call(versions, request)).await
    }

    /// The level of a feature of the cluster that the coordinator told last; `None` before the first answer.
    pub(crate) fn feature(&self, name: &str) -> Option<i16> {
        self.connection.as_ref().map(|connection| connection.feature(name))
    }
}

/// Waits for what a coordinator does, unless the coordinator is another broker by now.
async fn unless_moved<T>(
    settings: &ClientSettings,
    kind: CoordinatorKind,
    key: &str,
    address: &str,
    work: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    let moved = async {
        loop {
            tokio::time::sleep(SLOW).await;
            if locate(settings, kind, key).await.is_ok_and(|now| now != address) {
                return;
            }
        }
    };
    tokio::select! {
        done = work => done,
        () = moved => Err(ClientError::moved(address)),
    }
}

/// Asks for `host:port` of a coordinator.
async fn locate(settings: &ClientSettings, kind: CoordinatorKind, key: &str) -> Result<String, ClientError> {
    let request = FindCoordinatorRequest::default()
        .with_key_type(match kind {
            CoordinatorKind::Group => 0,
            CoordinatorKind::Transaction => 1,
        })
        .with_coordinator_keys(vec![StrBytes::from_string(key.to_owned())]);
    let answer = ask_any(settings, &Metadata::default(), (4, 4), &request).await?;
    let none = || ClientError::Protocol { address: key.to_owned(), reason: "no coordinator is named".to_owned() };
    let found = answer.coordinators.first().ok_or_else(none)?;
    if found.error_code != 0 {
        return Err(ClientError::refused(format!("the coordinator of {key:?}"), found.error_code));
    }
    Ok(format!("{}:{}", found.host.as_str(), found.port))
}
