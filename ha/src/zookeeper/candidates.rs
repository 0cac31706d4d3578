//! The candidates, and which of them leads next.

use std::collections::HashMap;

use zookeeper_client::{Client, Error};

use super::ensemble::{CALL_DEADLINE, Ensemble, barrier, data, pipelined, within};
use super::layout::sequence;
use crate::{Candidate, HaMember};

/// One candidate's znode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contestant {
    /// Name of the znode.
    pub node: String,
    /// The sequence number that ZooKeeper gave it.
    pub sequence: i64,
    /// The session that owns it; the znode ends with it.
    pub session: i64,
    pub candidate: Candidate,
}

impl Contestant {
    pub(super) fn member(&self) -> HaMember {
        HaMember {
            name: self.candidate.name.clone(),
            address: self.candidate.rpc_address.clone(),
            voter: true,
            // Its session is alive, but only ZooKeeper knows when it was last heard from.
            reachable: None,
            lag_entries: None,
        }
    }
}

/// The candidates that were read before. The content of a candidate's znode never changes, so each is read only once.
pub(super) type Known = HashMap<String, Contestant>;

/// All candidates, in the order in which they lead: the named successor first, then the others by their sequence numbers.
pub(super) async fn contestants(ensemble: &Ensemble, client: &Client, known: &mut Known) -> Result<Vec<Contestant>, Error> {
    let latches = ensemble.layout.latches();
    // All three requests are sent before the first answer. ZooKeeper answers them in this order.
    let (barrier, successor, children) =
        (barrier(client), data(client, &ensemble.layout.successor()), client.list_children(&latches));
    let looking = async { futures::try_join!(barrier, successor, children) };
    let ((), successor, nodes) = within(CALL_DEADLINE, looking).await?;
    known.retain(|node, _| nodes.contains(node));
    let new = nodes.iter().filter(|node| sequence(node).is_some() && !known.contains_key(*node));
    let reads: Vec<_> = new.map(|node| read(ensemble, client, node.clone())).collect();
    known.extend(pipelined(reads).await?.into_iter().flatten().map(|found| (found.node.clone(), found)));
    let mut all: Vec<_> = known.values().cloned().collect();
    let successor = successor.map(|(name, _)| String::from_utf8_lossy(&name).into_owned()).unwrap_or_default();
    sort(&mut all, &successor);
    Ok(all)
}

fn sort(contestants: &mut [Contestant], successor: &str) {
    contestants.sort_by_key(|contestant| (contestant.node != successor, contestant.sequence));
}

/// Reads one candidate. `None` if its znode does not exist any more.
async fn read(ensemble: &Ensemble, client: &Client, node: String) -> Result<Option<Contestant>, Error> {
    let Some((json, stat)) = data(client, &ensemble.layout.latch(&node)).await? else { return Ok(None) };
    let candidate = serde_json::from_slice(&json).unwrap_or_else(|error| {
        tracing::warn!(node, %error, "can't read the JSON of a candidate");
        Candidate { name: node.clone(), rpc_address: String::new(), rest_address: String::new() }
    });
    let Some(sequence) = sequence(&node) else { return Ok(None) };
    Ok(Some(Contestant { sequence, session: stat.ephemeral_owner, candidate, node }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_number_leads_unless_an_existing_successor_is_named() {
        let contestant = |sequence: i64| Contestant {
            node: format!("candidate-{sequence:010}"),
            sequence,
            session: sequence,
            candidate: Candidate { name: format!("jm-{sequence}"), rpc_address: String::new(), rest_address: String::new() },
        };
        let order = |successor: &str| {
            let mut all = vec![contestant(3), contestant(1), contestant(2)];
            sort(&mut all, successor);
            all.into_iter().map(|contestant| contestant.sequence).collect::<Vec<_>>()
        };
        assert_eq!(order(""), [1, 2, 3]);
        assert_eq!(order("candidate-0000000003"), [3, 1, 2]);
        assert_eq!(order("candidate-0000000009"), [1, 2, 3]);
    }
}
