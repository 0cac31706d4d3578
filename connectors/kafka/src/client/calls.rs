//! The requests of a task to the leaders of partitions: at most one to each broker at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::protocol::Request;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{ClientError, ClientSettings, Connection, Metadata, TopicPartition};

/// A request that lasts this much longer than expected may be with a broker that is frozen or cut off. Then it is worth asking the
/// others who leads its partitions.
const SLOW: Duration = Duration::from_secs(1);

/// A request to one broker.
#[derive(Debug)]
pub(crate) struct Call<R> {
    /// The newest version among these is used that the broker knows.
    pub(crate) versions: (i16, i16),
    pub(crate) request: R,
    /// What the request is about. The broker must lead all of them.
    pub(crate) partitions: Vec<TopicPartition>,
    /// How long the broker may hold the answer back.
    pub(crate) held_back: Duration,
}

/// Connections to brokers, and the calls that are under way on them.
#[derive(Default)]
pub(crate) struct BrokerCalls {
    idle: BTreeMap<i32, Connection>,
    under_way: BTreeMap<i32, UnderWay>,
}

struct UnderWay {
    partitions: Vec<TopicPartition>,
    slow_at: Instant,
    give_up: Option<oneshot::Sender<()>>,
}

impl BrokerCalls {
    pub(crate) fn is_busy(&self, broker: i32) -> bool {
        self.under_way.contains_key(&broker)
    }

    /// Begins a call to a broker that is not busy, at `host:port`. When the future has ended, [`Self::ended`] must be called.
    pub(crate) fn begin<R>(
        &mut self,
        settings: &ClientSettings,
        broker: i32,
        address: &str,
        call: Call<R>,
    ) -> impl Future<Output = Result<(Connection, R::Response), ClientError>> + Send + use<R>
    where
        R: Request + Send + Sync + 'static,
        R::Response: Send,
    {
        let Call { versions, request, partitions, held_back } = call;
        let (give_up, given_up) = oneshot::channel();
        let slow_at = Instant::now() + held_back + SLOW;
        self.under_way.insert(broker, UnderWay { partitions, slow_at, give_up: Some(give_up) });
        let connection = self.idle.remove(&broker).filter(|connection| connection.address() == address);
        let (settings, address) = (settings.clone(), address.to_owned());
        async move {
            let exchange = async {
                let mut connection = Connection::reuse(connection, &settings, &address).await?;
                let answer = connection.call_within(versions, &request, settings.request_timeout + held_back).await?;
                Ok((connection, answer))
            };
            tokio::select! {
                answer = exchange => answer,
                Ok(()) = given_up => Err(ClientError::moved(&address)),
            }
        }
    }

    /// A call has ended, and its connection can be used again unless it failed.
    pub(crate) fn ended(&mut self, broker: i32, connection: Option<Connection>) {
        self.under_way.remove(&broker);
        self.idle.extend(connection.map(|connection| (broker, connection)));
    }

    /// Whether a call lasts so long that its partitions may have another leader by now.
    pub(crate) fn are_slow(&self, now: Instant) -> bool {
        self.under_way.values().any(|call| call.slow_at <= now)
    }

    /// Gives up the calls to brokers that lead nothing of what they were asked for any more. The futures of these calls end with a
    /// temporary error. The broker may still do what it was asked for.
    pub(crate) fn give_up_moved(&mut self, metadata: &Metadata) {
        for (broker, call) in &mut self.under_way {
            let has_moved = |(topic, id): &TopicPartition| metadata.leader(topic, *id).is_some_and(|leader| leader != *broker);
            if call.partitions.iter().all(has_moved)
                && let Some(give_up) = call.give_up.take()
            {
                // The call may just have ended by itself.
                let _ = give_up.send(());
            }
        }
    }
}
