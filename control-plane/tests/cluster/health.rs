//! Liveness, readiness, and who answers for the coordination group.

use serde_json::json;

use super::{Cluster, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_process_is_ready_while_it_can_reach_a_leader_and_live_in_any_case() {
    let cluster = Cluster::start(2);
    let leader = cluster.leader().await;
    for at in 0..2 {
        eventually("it is ready", || async { (cluster.get(at, "/readyz").await.0 == 200).then_some(()) }).await;
    }
    let becomes = async |at: usize, ready: bool| {
        let code = if ready { 200 } else { 503 };
        eventually(&format!("readiness is {ready}"), || async { (cluster.get(at, "/readyz").await.0 == code).then_some(()) })
            .await;
    };
    // A member that was removed from its group, or is cut off from it, still knows the last leader. But it can read no more.
    cluster.store.set_reads_available(false);
    becomes(1 - leader, false).await;
    let refusal = cluster.get(1 - leader, "/readyz").await.1["errors"][0].as_str().unwrap_or_default().to_string();
    assert!(refusal.starts_with("HA-NOT-READY: "), "{refusal}");
    cluster.store.set_reads_available(true);
    becomes(1 - leader, true).await;

    cluster.store.set_away(true);
    for at in 0..2 {
        becomes(at, false).await;
        for path in ["/livez", "/healthz"] {
            let (code, body) = cluster.get(at, path).await;
            assert_eq!((code, &body["status"]), (200, &json!("ok")), "{path}");
        }
    }
    cluster.store.set_away(false);
    for at in 0..2 {
        becomes(at, true).await;
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_leader_answers_for_the_group() {
    let cluster = Cluster::start(3);
    let leader = cluster.leader().await;
    for at in 0..3 {
        let (code, body) = cluster.get(at, "/weir/v1/ha/group").await;
        assert_eq!((code, &body["answered_by"]), (200, &json!(format!("jm-{}", leader + 1))));
        let (_, own) = cluster.get(at, "/weir/v1/ha").await;
        assert_eq!(own["answered_by"], format!("jm-{}", at + 1));
    }
    cluster.stop().await;
}
