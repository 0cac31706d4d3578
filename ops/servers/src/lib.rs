//! Real coordination, storage and Kafka servers and schema registries on loopback, for tests, the demo and measurements. They start on
//! free ports, in their own directories. They can be killed, paused and restarted, and they end when their value is dropped.
//!
//! The programs themselves are installed by `ops/test-servers.sh`.

mod etcd;
mod http;
mod installed;
mod kafka;
mod patience;
mod port;
mod process;
mod proxy;
mod s3;
mod schema_registry;
mod zookeeper;

pub use etcd::{EtcdCluster, EtcdOptions, EtcdTls};
pub use installed::{ZooKeeperVersion, etcd, etcd_3_4, etcd_3_5, etcd_3_7, installed};
pub use kafka::{KafkaCluster, KafkaOptions};
pub use patience::{Patience, within};
pub use port::{ReservedPort, free_port};
pub use process::{ServerProcess, StartError};
pub use proxy::{Fault, Proxy};
pub use s3::S3Server;
pub use schema_registry::SchemaRegistry;
pub use zookeeper::{ZooKeeperEnsemble, ZooKeeperOptions};
