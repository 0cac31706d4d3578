//! Real coordination and storage servers on loopback, for tests, the demo and measurements: started on free ports in a directory of
//! their own, killed, paused and restarted at will, and gone when the value that stands for them is dropped.
//!
//! The programs themselves are installed by `ops/test-servers.sh`.

mod etcd;
mod http;
mod patience;
mod process;
mod proxy;
mod s3;
mod zookeeper;

pub use etcd::{EtcdCluster, EtcdOptions, EtcdTls};
pub use patience::{Patience, within};
pub use process::{ServerProcess, StartError, free_port};
pub use proxy::{Fault, Proxy};
pub use s3::{S3Server, installed};
pub use zookeeper::{ZooKeeperEnsemble, ZooKeeperOptions};
