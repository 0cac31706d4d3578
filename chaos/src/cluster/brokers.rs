//! Kafka beside the cluster: three nodes, of which each is a broker and a controller, and a consumer that reads the results all the
//! time.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use weir_servers::{KafkaCluster, KafkaOptions, ServerProcess, StartError};

use crate::workload::kafka::{RESULTS, TOPICS};

const NODES: usize = 3;
const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";
const TRANSACTIONS: &str = "org.apache.kafka.tools.TransactionsCommand";
/// The consumer that reads the results at the end waits this long for more of them, in milliseconds; the next times if it has read
/// fewer than the other one. Markers of commits are written after the commit is acknowledged.
const NO_MORE_MS: [&str; 3] = ["5000", "20000", "60000"];

/// The nodes and their consumer. They end when this is dropped.
#[derive(Debug)]
pub struct Brokers {
    pub nodes: KafkaCluster,
    consumed: PathBuf,
    _consumer: ServerProcess,
}

impl Brokers {
    /// Starts the nodes, creates the topics, and starts the consumer. `host` is the address at which the cluster reaches the nodes.
    /// What the consumer reads goes to a file in the directory `consumed`.
    pub fn start(host: Option<IpAddr>, directory: &Path, consumed: &Path) -> io::Result<Self> {
        let options = KafkaOptions { host, ..KafkaOptions::default() };
        let nodes = KafkaCluster::start_with(NODES, &directory.join("kafka"), options).map_err(io::Error::other)?;
        for (topic, partitions) in TOPICS {
            let (brokers, partitions) = (nodes.bootstrap_servers(), partitions.to_string());
            let arguments = ["--bootstrap-server", &brokers, "--create", "--topic", topic, "--partitions", &partitions];
            nodes.tool("org.apache.kafka.tools.TopicCommand", &arguments)?;
        }
        std::fs::create_dir_all(consumed)?;
        let consumed = consumed.join("results");
        let brokers = nodes.bootstrap_servers();
        let consumer = nodes.spawn_tool(CONSUMER, &committed(&brokers), &consumed).map_err(io::Error::other)?;
        Ok(Self { nodes, consumed, _consumer: consumer })
    }

    /// How many results the consumer has read so far.
    pub fn consumed(&self) -> usize {
        let text = std::fs::read_to_string(&self.consumed).unwrap_or_default();
        text.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())).count()
    }

    /// Reads all committed results, once more and from the beginning. A busy machine may need longer for it.
    pub fn committed_lines(&self) -> io::Result<Vec<String>> {
        let brokers = self.nodes.bootstrap_servers();
        let mut lines = Vec::new();
        for no_more_ms in NO_MORE_MS {
            let arguments = [&committed(&brokers)[..], &["--timeout-ms", no_more_ms]].concat();
            lines = self.nodes.tool(CONSUMER, &arguments)?.lines().map(str::to_owned).collect();
            if lines.len() >= self.consumed() {
                break;
            }
        }
        Ok(lines)
    }

    /// The node that coordinates a transaction under way; `None` if there is none now.
    pub fn coordinator(&self) -> io::Result<Option<usize>> {
        let brokers = self.nodes.bootstrap_servers();
        let listed = self.nodes.tool(TRANSACTIONS, &["--bootstrap-server", &brokers, "list"])?;
        Ok(coordinator(&listed))
    }

    /// Writes into a directory how transactions and producers stand, and what the nodes have logged. One who looks for missing
    /// results needs it.
    pub fn note_state(&self, logs: &Path) -> io::Result<()> {
        let brokers = self.nodes.bootstrap_servers();
        let ask = |arguments: &[&str]| {
            let asked = self.nodes.tool(TRANSACTIONS, &[&["--bootstrap-server", &brokers], arguments].concat());
            format!("{}:\n{}\n", arguments.join(" "), asked.unwrap_or_else(|error| error.to_string()))
        };
        let mut text = ask(&["list"]);
        for (topic, partitions) in TOPICS {
            for partition in 0..partitions {
                text += &ask(&["describe-producers", "--topic", topic, "--partition", &partition.to_string()]);
            }
        }
        std::fs::write(logs.join("transactions.log"), text)?;
        for node in 0..self.nodes.size() {
            std::fs::copy(self.nodes.log(node), logs.join(format!("broker-{node}.log")))?;
        }
        Ok(())
    }

    /// Starts killed nodes again, and waits until all serve.
    pub fn restart(&mut self, killed: &[usize]) -> Result<(), StartError> {
        killed.iter().try_for_each(|node| self.nodes.restart(*node))?;
        killed.iter().try_for_each(|node| self.nodes.await_serving(*node))
    }
}

/// The arguments of a consumer of what is committed of the results.
fn committed(brokers: &str) -> Vec<&str> {
    vec!["--bootstrap-server", brokers, "--topic", RESULTS, "--from-beginning", "--isolation-level", "read_committed"]
}

/// From the listing of transactions: transactional id, coordinator, producer id and state, in columns.
fn coordinator(listed: &str) -> Option<usize> {
    let columns = listed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut open = columns.filter(|columns| columns.get(3) == Some(&"Ongoing"));
    open.find_map(|columns| columns[1].parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coordinator_of_an_open_transaction_is_found() {
        let listed = "TransactionalId\tCoordinator\tProducerId\tTransactionState\n\
                      weir-a-0\t0\t17\tCompleteCommit\nweir-a-1  2  18  Ongoing  \n";
        assert_eq!(coordinator(listed), Some(2));
        assert_eq!(coordinator("TransactionalId Coordinator ProducerId TransactionState"), None);
    }
}
