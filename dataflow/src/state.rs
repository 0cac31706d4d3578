//! Keyed state: key groups, versioned snapshots.
