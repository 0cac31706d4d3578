//! Two members that contend on one store in memory, for the tests of the typed stores.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    Candidate, CommitOutcome, CoordinationStore, Election, Expect, HaServices, LeaderElection, Leadership, MemoryProvider,
    MemoryStore, Operation,
};

/// Member `a`, which leads, and member `b`, which leads next.
pub(crate) struct Contest {
    pub(crate) store: MemoryStore,
    a: Arc<MemoryProvider>,
    b: Arc<MemoryProvider>,
    election_of_a: LeaderElection,
    election_of_b: LeaderElection,
    /// The first leadership that `a` was granted.
    pub(crate) leadership: Leadership,
}

fn candidate(name: &str) -> Candidate {
    Candidate { name: name.to_owned(), rpc_address: format!("{name}:1"), rest_address: format!("{name}:2") }
}

async fn granted(election: &mut LeaderElection) -> Leadership {
    election.granted().await.expect("the provider runs")
}

impl Contest {
    pub(crate) async fn start() -> Self {
        let store = MemoryStore::new();
        let (a, b) = (Arc::new(store.member("a")), Arc::new(store.member("b")));
        let mut election_of_a = a.campaign(candidate("a"));
        let leadership = granted(&mut election_of_a).await;
        let election_of_b = b.campaign(candidate("b"));
        Self { store, a, b, election_of_a, election_of_b, leadership }
    }

    /// The store as `a` uses it.
    pub(crate) fn ha(&self) -> HaServices {
        self.a.clone()
    }

    /// The store as `b` uses it.
    pub(crate) fn other_ha(&self) -> HaServices {
        self.b.clone()
    }

    /// `b` leads from now on; `a` may not know.
    pub(crate) async fn depose(&mut self) -> Leadership {
        self.store.revoke_leader();
        granted(&mut self.election_of_b).await
    }

    /// `a` leads again after [`Contest::depose`].
    pub(crate) async fn restore(&mut self) -> Leadership {
        self.store.revoke_leader();
        granted(&mut self.election_of_a).await
    }

    /// Every key and value.
    pub(crate) async fn dump(&self) -> Vec<(String, Bytes)> {
        let found = self.a.list("").await.unwrap();
        found.into_iter().map(|(key, found)| (key, found.value)).collect()
    }

    /// Writes a value without the typed stores.
    pub(crate) async fn damage(&self, leadership: &Leadership, key: &str, value: impl Into<Bytes>) {
        let put = Operation::Put { key: key.to_owned(), value: value.into(), expect: Expect::Any };
        assert!(matches!(self.a.commit(leadership, vec![put]).await, CommitOutcome::Committed { .. }));
    }
}
