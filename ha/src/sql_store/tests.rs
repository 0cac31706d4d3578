use super::*;
use crate::UnknownCommit;
use crate::contest::Contest;

const SESSION: SqlHandle = SqlHandle(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
const OPERATION: SqlHandle = SqlHandle(7);

/// A session and an operation of it, as one commit.
fn opened(text: &str) -> SqlChanges {
    let mut changes = SqlChanges::default();
    changes.put_session(SESSION, &text, None).unwrap();
    changes.put_operation(SESSION, OPERATION, &"running", None).unwrap();
    changes
}

#[test]
fn a_handle_is_a_uuid_and_nothing_else() {
    assert_eq!(SESSION.to_string(), "01234567-89ab-cdef-0123-456789abcdef");
    assert_eq!("01234567-89AB-cdef-0123-456789abcdef".parse(), Ok(SESSION));
    for wrong in [
        "",
        "x",
        "0123456789abcdef0123456789abcdef",
        "01234567-89ab-cdef-0123-456789abcde",
        "+1234567-89ab-cdef-0123-456789abcdef",
    ] {
        assert!(wrong.parse::<SqlHandle>().is_err(), "{wrong:?}");
    }
}

#[tokio::test]
async fn changes_are_applied_together_or_not_at_all() {
    let contest = Contest::start().await;
    let (store, leadership) = (SqlStore::new(contest.ha()), &contest.leadership);
    let Ok(SqlCommit::Applied { version: Some(version) }) = store.commit(leadership, opened("first")).await else {
        panic!("it is applied")
    };
    assert_eq!(store.session::<String>(SESSION).await, Ok(Some(Found { record: "first".to_owned(), version })));
    let mut changes = SqlChanges::default();
    changes.put_object(["c", "d", "t"], &"a table", None).unwrap();
    changes.put_session(SESSION, &"second", Some(version + 9)).unwrap();
    let outcome = store.commit(leadership, changes).await;
    assert!(matches!(outcome, Ok(SqlCommit::Conflict { .. })), "{outcome:?}");
    assert_eq!(store.catalog::<String, String>().await, Ok((Vec::new(), Vec::new())), "the table was not created either");
    assert_eq!(store.session::<String>(SESSION).await.unwrap().unwrap().record, "first");
}

#[tokio::test]
async fn a_later_leader_finds_what_was_recorded_and_a_former_one_changes_nothing() {
    let mut contest = Contest::start().await;
    let former = contest.leadership.clone();
    let store = SqlStore::new(contest.ha());
    store.commit(&former, opened("first")).await.unwrap();
    let leadership = contest.depose().await;
    let outcome = store.commit(&former, opened("late")).await;
    assert!(matches!(outcome, Err(StoreError::Superseded { .. })), "{outcome:?}");
    let later = SqlStore::new(contest.other_ha());
    let sessions = later.sessions::<String>().await.unwrap();
    assert_eq!(sessions.iter().map(|(id, found)| (*id, found.record.as_str())).collect::<Vec<_>>(), [(SESSION, "first")]);
    assert_eq!(later.operations::<String>(SESSION).await.unwrap()[0].1.record, "running");
    let mut changes = SqlChanges::default();
    changes.delete_session(SESSION);
    for _ in 0..2 {
        assert!(
            matches!(later.commit(&leadership, changes.clone()).await, Ok(SqlCommit::Applied { .. })),
            "a repetition is fine"
        );
    }
    assert_eq!(later.operation_handles().await, Ok(vec![(SESSION, OPERATION)]), "what a session leaves behind can be found");
}

#[tokio::test]
async fn an_unknown_outcome_is_resolved() {
    let contest = Contest::start().await;
    let (store, leadership) = (SqlStore::new(contest.ha()), &contest.leadership);
    contest.store.next_commit_unknown(UnknownCommit::Applied);
    let outcome = store.commit(leadership, opened("first")).await;
    assert_eq!(outcome, Ok(SqlCommit::Applied { version: None }));
    contest.store.next_commit_unknown(UnknownCommit::Lost);
    let mut changes = SqlChanges::default();
    changes.put_database("c", "d", &"a database").unwrap();
    let outcome = store.commit(leadership, changes).await;
    assert!(matches!(outcome, Ok(SqlCommit::Applied { version: Some(_) })), "{outcome:?}");
}

#[tokio::test]
async fn a_record_that_can_not_be_read_concerns_its_session_alone_and_in_the_catalogue_all() {
    let contest = Contest::start().await;
    let (store, leadership) = (SqlStore::new(contest.ha()), &contest.leadership);
    store.commit(leadership, opened("first")).await.unwrap();
    contest.damage(leadership, &keys::sql_session(SqlHandle(1)), "{").await;
    contest.damage(leadership, "sql/sessions/no-handle", "{}").await;
    assert_eq!(store.sessions::<String>().await.unwrap().len(), 1);
    assert!(matches!(store.session::<String>(SqlHandle(1)).await, Err(StoreError::Corrupt { .. })));
    contest.damage(leadership, &keys::catalog_object("c", "d", "t"), "{").await;
    assert!(matches!(store.catalog::<String, String>().await, Err(StoreError::Corrupt { .. })));
}
