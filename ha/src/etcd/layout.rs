//! The keys of a cluster in etcd.

use super::StartError;

/// The keys of one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    base: String,
}

/// What a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    /// The leader's latch: its holder leads.
    Latch,
    /// The highest epoch ever granted.
    Epoch,
    /// The published leader record.
    Leader,
    /// The name of the candidate that is to contend first.
    HandOver,
    /// The candidate of this name.
    Candidate(&'a str),
    /// This key of the typed stores.
    Store(&'a str),
    /// A key that Weir does not write.
    Unknown,
}

impl Layout {
    pub(crate) fn new(root: &str, cluster_id: &str) -> Result<Self, StartError> {
        let (root, cluster_id) = (root.trim_matches('/'), cluster_id.trim_matches('/'));
        if root.is_empty() || cluster_id.is_empty() {
            return Err(StartError::Invalid("the root path and the cluster id must not be empty".into()));
        }
        Ok(Self { base: format!("/{root}/{cluster_id}/") })
    }

    pub(crate) fn latch(&self) -> String {
        format!("{}latch", self.base)
    }

    pub(crate) fn epoch(&self) -> String {
        format!("{}epoch", self.base)
    }

    pub(crate) fn leader(&self) -> String {
        format!("{}leader", self.base)
    }

    pub(crate) fn hand_over(&self) -> String {
        format!("{}hand-over", self.base)
    }

    pub(crate) fn candidate(&self, name: &str) -> String {
        format!("{}{name}", self.candidates())
    }

    /// Prefix of all candidates.
    pub(crate) fn candidates(&self) -> String {
        format!("{}candidates/", self.base)
    }

    /// A key of the typed stores, or a prefix of such keys.
    pub(crate) fn store(&self, key: &str) -> String {
        format!("{}store/{key}", self.base)
    }

    /// The range of the keys for elections: its first key and its end. All of them sort before the typed stores' keys.
    pub(crate) fn election(&self) -> (String, String) {
        (self.base.clone(), self.store(""))
    }

    /// What a key holds.
    pub(crate) fn place<'a>(&self, key: &'a str) -> Place<'a> {
        match key.strip_prefix(&self.base) {
            Some("latch") => Place::Latch,
            Some("epoch") => Place::Epoch,
            Some("leader") => Place::Leader,
            Some("hand-over") => Place::HandOver,
            Some(rest) => match rest.split_once('/') {
                Some(("candidates", name)) => Place::Candidate(name),
                Some(("store", key)) => Place::Store(key),
                _ => Place::Unknown,
            },
            None => Place::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_recognized_and_slashes_around_the_names_do_not_matter() {
        let layout = Layout::new("/weir/", "/default").expect("is legal");
        assert_eq!(layout, Layout::new("weir", "default").expect("is legal"));
        assert_eq!(layout.latch(), "/weir/default/latch");
        let keys = [layout.latch(), layout.epoch(), layout.leader(), layout.hand_over()];
        let places = keys.each_ref().map(|key| layout.place(key));
        assert_eq!(places, [Place::Latch, Place::Epoch, Place::Leader, Place::HandOver]);
        assert_eq!(layout.place(&layout.candidate("jm/1")), Place::Candidate("jm/1"));
        assert_eq!(layout.place(&layout.store("jobs/1/graph")), Place::Store("jobs/1/graph"));
        assert_eq!(layout.place("/weir/other/latch"), Place::Unknown);
        let (first, end) = layout.election();
        let elects = |key: &String| (first.as_str()..end.as_str()).contains(&key.as_str());
        assert!(keys.iter().all(elects) && elects(&layout.candidate("z")));
        assert!(!elects(&layout.store("a")));
    }

    #[test]
    fn empty_names_are_refused() {
        assert!(Layout::new("/", "x").is_err() && Layout::new("x", "/").is_err());
    }
}
