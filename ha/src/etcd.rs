//! An etcd cluster as the coordination system.
