//! Members that were removed from the group.

use super::*;

fn remove(member: &Member) -> MemberChange {
    MemberChange::Remove { name: member.name.clone() }
}

fn knows_and_does_not_stand(provider: &RaftProvider) -> bool {
    let status = provider.status();
    let names_nobody = status.members.is_empty() && status.leader.is_none() && !status.has_quorum;
    status.removed && names_nobody && !provider.inner.group.peer_status().stands
}

/// Asks the members in turn until one of them, which leads, has made the change. On a busy machine the leader may change.
async fn change_members(group: &TestGroup, change: impl Fn(usize) -> MemberChange) -> usize {
    let changing = async {
        loop {
            for number in 0..group.members.len() {
                match group.provider(number).change_members(change(number)).await {
                    Ok(()) => return number,
                    Err(MembershipError::Refused(reason)) if reason.contains("no member") => return number,
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        }
    };
    weir_servers::within(SOON, changing).await.expect("the membership is changed")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_member_learns_of_it_and_stands_in_no_election_until_it_is_added_again() {
    let mut group = TestGroup::new(3);
    let mut elections = group.campaign();
    let (leader, _) = granted(&mut elections).await;
    let victim = (leader + 1) % 3;
    let member = group.members[victim].clone();
    change_members(&group, |_| remove(&member)).await;
    eventually("it knows that it was removed", || knows_and_does_not_stand(group.provider(victim))).await;
    // A restart changes nothing: the log of the member still counts it among the voters.
    group.kill(victim).await;
    group.restart(victim);
    let _campaign = group.campaign_of(victim);
    eventually("it learns of it again", || knows_and_does_not_stand(group.provider(victim))).await;
    let others = || (0..3).filter(|number| *number != victim).map(|number| group.provider(number).status());
    eventually("the others go on", || others().all(|status| !status.removed && status.members.len() == 2)).await;
    let add = MemberChange::Add { name: member.name, address: member.address };
    change_members(&group, |_| add.clone()).await;
    let takes_part = || {
        let status = group.provider(victim).status();
        !status.removed && status.members.len() == 3 && group.provider(victim).inner.group.peer_status().stands
    };
    eventually("it takes part again", takes_part).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_member_without_a_candidate_learns_of_it_when_it_reads() {
    let group = TestGroup::new(3);
    // Only one member wants to lead, so the others ask for no votes.
    let mut elections = vec![group.campaign_of(0)];
    granted(&mut elections).await;
    change_members(&group, |_| remove(&group.members[1])).await;
    let refused = group.provider(1).get("k").await;
    assert!(matches!(refused, Err(ReadError::Unavailable(_))), "{refused:?}");
    eventually("it knows that it was removed", || knows_and_does_not_stand(group.provider(1))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_removes_itself_learns_of_it() {
    let group = TestGroup::new(3);
    let mut elections = group.campaign();
    granted(&mut elections).await;
    let victim = change_members(&group, |number| remove(&group.members[number])).await;
    eventually("it knows that it was removed", || knows_and_does_not_stand(group.provider(victim))).await;
    let other = (victim + 1) % 3;
    let leads = |leader: String| leader != group.members[victim].name;
    eventually("another leads", || group.provider(other).status().leader.is_some_and(leads)).await;
}
