//! A ZooKeeper ensemble as the coordination system.
