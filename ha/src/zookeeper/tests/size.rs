//! Tests with many jobs and with large values.

use super::*;

#[tokio::test]
async fn ten_thousand_jobs_come_and_go_and_leave_nothing() {
    let Led { servers, members, mut elections, leader, leadership } = Led::start(1, 2, LONG_SESSION).await;
    let direct = servers.client().await;
    let root = format!("/weir{}", members.cluster_id);
    let count = async || direct.count_descendants_number(&root).await.expect("counts");
    let (provider, other) = (members.provider(leader).clone(), members.provider(1 - leader).clone());
    conformance::many_jobs::come_and_go(Arc::new(provider), Arc::new(other), &leadership, count).await;
    assert!(elections.iter_mut().all(|election| election.next().now_or_never().is_none()), "the load ended no leadership");
}

/// A list shows one moment even if keys are written meanwhile: keys of one commit always appear together.
#[tokio::test]
async fn a_list_shows_one_moment() {
    let Led { members, elections: _elections, leader, leadership, .. } = Led::start(1, 2, SESSION_TIMEOUT).await;
    let provider = members.provider(leader).clone();
    let writer = weir_world::spawn("writer", async move {
        for round in 0..60 {
            let operations = (0..20).flat_map(|key| put(&format!("l/{key}"), &round.to_string())).collect();
            assert!(committed(&provider.commit(&leadership, operations).await));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let mut moments = std::collections::BTreeSet::new();
    while !writer.is_finished() {
        for provider in [members.provider(0), members.provider(1)] {
            let found = provider.list("l/").await.expect("lists");
            let versions: std::collections::BTreeSet<_> = found.iter().map(|(_, value)| value.version).collect();
            assert!(
                versions.len() <= 1 && (found.is_empty() || found.len() == 20),
                "the list shows several moments: {versions:?}"
            );
            moments.extend(versions);
        }
    }
    writer.await.expect("the writer does not panic");
    assert!(moments.len() > 1, "no key was written while the lists were read");
}

/// ZooKeeper closes the connection on a request that is too large. Such a commit is rejected before it is sent, and the error
/// names the limit.
#[tokio::test]
async fn a_request_over_the_servers_limit_is_refused_before_it_is_sent() {
    let servers = Servers::start_with(1, weir_servers::ZooKeeperOptions::default());
    let mut members = Members::new(&servers, 1);
    let mut options = members.options(0);
    options.max_request_bytes = ZooKeeperOptions::new("n", "h", "/c").max_request_bytes;
    members.members[0].provider = Some(ZooKeeperProvider::start(&options).expect("starts"));
    let mut elections = members.campaign();
    let (_, leadership) = granted(&mut elections).await;
    let provider = members.provider(0);
    let value = |bytes: usize| put("k", &"v".repeat(bytes));
    let outcome = provider.commit(&leadership, value(1 << 20)).await;
    let refused = matches!(&outcome, CommitOutcome::Rejected(Rejection::OverLimit(reason)) if reason.contains("jute.maxbuffer"));
    assert!(refused, "{outcome:?}");
    // The server accepts a request just below the limit.
    let outcome = provider.commit(&leadership, value((1 << 20) - 1_024)).await;
    assert!(committed(&outcome), "{outcome:?}");
    let found = provider.get("k").await.expect("reads").expect("is there");
    assert_eq!(found.value.len(), (1 << 20) - 1_024);
}
