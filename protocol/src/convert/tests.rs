use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;

use crate::checkpoint::*;
use crate::job_graph::validate::tests::any_graph;
use crate::job_graph::{DataType, Field, JobVertex, OperatorDescriptor, Partitioning};
use crate::job_status::ExecutionState;
use crate::link::*;
use crate::pb::job_graph::v1 as pb_graph;
use crate::pb::link::v1 as pb;
use crate::{
    AllocationId, CheckpointId, ExecutionAttemptId, ExecutionVertexId, Generation, JobId, JobVertexId, LeaderEpoch, TaskManagerId,
};

prop_compose! {
    fn any_attempt()(job: u128, vertex: u128, subtask: u32, epoch: u64, attempt: u32) -> ExecutionAttemptId {
        ExecutionAttemptId {
            job: JobId(job),
            execution_vertex: ExecutionVertexId { vertex: JobVertexId(vertex), subtask },
            generation: Generation { epoch: LeaderEpoch(epoch), attempt },
        }
    }
}

fn any_kind() -> impl Strategy<Value = CheckpointKind> {
    prop::sample::select(vec![CheckpointKind::Checkpoint, CheckpointKind::Savepoint, CheckpointKind::Final, CheckpointKind::Stop])
}

fn any_handle() -> impl Strategy<Value = StateHandle> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| StateHandle::Inline(Bytes::from(bytes))),
        (".{0,10}", any::<u64>(), any::<u64>(), any::<u32>())
            .prop_map(|(path, offset, length, crc32c)| StateHandle::File(FileSegment { path, offset, length, crc32c })),
    ]
}

fn any_operator_snapshot() -> impl Strategy<Value = OperatorSnapshot> {
    let groups = prop::collection::vec((any::<u32>(), any_handle()), 0..3)
        .prop_map(|groups| groups.into_iter().map(|(key_group, state)| KeyGroupHandle { key_group, state }).collect());
    let names = (prop::option::of(".{0,5}"), prop::option::of(".{0,5}"));
    (names, prop::option::of(any_handle()), groups).prop_map(|((uid, kind), operator_state, key_groups)| OperatorSnapshot {
        uid,
        kind,
        operator_state,
        key_groups,
    })
}

fn any_snapshot() -> impl Strategy<Value = SubtaskSnapshot> {
    (any_attempt(), prop::collection::vec(any_operator_snapshot(), 0..3))
        .prop_map(|(attempt, operators)| SubtaskSnapshot { execution_vertex: attempt.execution_vertex, operators })
}

prop_compose! {
    fn any_metadata()(
        attempt in any_attempt(), id: u64, kind in any_kind(), epoch: u64, max_parallelism: u32, graph_crc32c: u32,
        triggered_at_ms: u64, completed_at_ms: u64, subtasks in prop::collection::vec(any_snapshot(), 0..3),
    ) -> CheckpointMetadata {
        CheckpointMetadata {
            job: attempt.job, id: CheckpointId(id), kind, epoch: LeaderEpoch(epoch), generation: attempt.generation,
            max_parallelism, graph_crc32c, triggered_at_ms, completed_at_ms, subtasks,
        }
    }
}

fn any_state() -> impl Strategy<Value = ExecutionState> {
    prop::sample::select(ExecutionState::ALL.to_vec())
}

fn any_metrics() -> impl Strategy<Value = TaskMetrics> {
    (any_attempt(), any::<[u64; 8]>(), any::<i64>()).prop_map(|(attempt, n, watermark_ms)| TaskMetrics {
        attempt,
        records_in: n[0],
        records_out: n[1],
        bytes_in: n[2],
        bytes_out: n[3],
        busy_ms: n[4],
        backpressured_ms: n[5],
        idle_ms: n[6],
        watermark_ms,
        late_records: n[7],
    })
}

fn any_registration() -> impl Strategy<Value = Registration> {
    let held = (any_attempt(), any_state(), any::<u32>(), any::<u128>()).prop_map(|(attempt, state, slot, allocation)| {
        HeldAttempt { attempt, state, slot, allocation: AllocationId(allocation) }
    });
    (".{0,10}", any::<u64>(), ".{0,10}", any::<u32>(), any::<u64>(), prop::collection::vec(held, 0..3)).prop_map(
        |(name, epoch, address, slots, memory_bytes, attempts)| Registration {
            task_manager: TaskManagerId(name),
            highest_epoch: LeaderEpoch(epoch),
            data_address: address.clone(),
            http_address: address,
            slots,
            memory_bytes,
            attempts,
        },
    )
}

fn any_report() -> impl Strategy<Value = ToJobManager> {
    let failure =
        (".{0,5}", ".{0,5}", any::<bool>()).prop_map(|(code, message, retryable)| TaskFailure { code, message, retryable });
    prop_oneof![
        any_registration().prop_map(ToJobManager::Register),
        prop::collection::vec(any_metrics(), 0..3).prop_map(|tasks| ToJobManager::Heartbeat(HeartbeatReport { tasks })),
        (any_attempt(), any_state(), prop::option::of(failure), prop::option::of(any_metrics())).prop_map(
            |(attempt, state, failure, counters)| ToJobManager::TaskState(TaskStateUpdate { attempt, state, failure, counters })
        ),
        (any_attempt(), any::<u64>(), any_snapshot(), any::<[u64; 5]>()).prop_map(|(attempt, id, snapshot, n)| {
            let stats = SubtaskCheckpointStats {
                alignment_us: n[0],
                sync_us: n[1],
                async_us: n[2],
                checkpointed_bytes: n[3],
                state_bytes: n[4],
            };
            ToJobManager::Acknowledge(CheckpointAcknowledgement { attempt, checkpoint: CheckpointId(id), snapshot, stats })
        }),
        (any_attempt(), any::<u64>(), ".{0,5}").prop_map(|(attempt, id, reason)| {
            ToJobManager::Decline(CheckpointDecline { attempt, checkpoint: CheckpointId(id), reason })
        }),
        any_attempt().prop_map(ToJobManager::InputEnded),
    ]
}

fn any_partitioning() -> impl Strategy<Value = Partitioning> {
    prop_oneof![
        Just(Partitioning::Forward),
        Just(Partitioning::Rebalance),
        Just(Partitioning::Broadcast),
        prop::collection::vec("[a-c]{0,2}", 0..3).prop_map(|keys| Partitioning::Hash { keys }),
    ]
}

fn any_restore() -> impl Strategy<Value = OperatorRestore> {
    (any::<u32>(), prop::collection::vec((any::<u32>(), any_operator_snapshot()), 0..3))
        .prop_map(|(former_parallelism, parts)| OperatorRestore { former_parallelism, parts })
}

prop_compose! {
    fn any_task()(
        attempt in any_attempt(), slot: u32, allocation: u128, graph in any_graph(),
        restore in prop::collection::vec(any_restore(), 0..2), partitioning in any_partitioning(), edge: u32, input: u32,
        peers in prop::collection::vec(any_attempt(), 0..3),
    ) -> TaskDeployment {
        let vertex = graph.vertices.into_iter().next().unwrap_or(JobVertex {
            uid: String::new(), name: String::new(), parallelism: 1, operators: vec![], output_schema: vec![], input_schemas: vec![],
        });
        let producers = peers.iter().map(|attempt| ProducerLocation {
            attempt: *attempt, task_manager: TaskManagerId("tm".to_owned()), data_address: "h:1".to_owned(),
        });
        let schema = vec![Field { name: "a".to_owned(), data_type: DataType::Int, nullable: false }];
        TaskDeployment {
            attempt, slot, allocation: AllocationId(allocation), vertex, restore,
            inputs: vec![InputDeployment { edge, input, schema, partitioning: partitioning.clone(), producers: producers.collect() }],
            outputs: vec![OutputDeployment { edge, partitioning, consumers: peers }],
        }
    }
}

fn any_order() -> impl Strategy<Value = ToTaskManager> {
    let attempts = || prop::collection::vec(any_attempt(), 0..3);
    let deployment = (any_attempt(), any::<u32>(), prop::option::of(any::<u64>()), prop::collection::vec(any_task(), 0..2))
        .prop_map(|(attempt, max_parallelism, restore, tasks)| Deployment {
            job: attempt.job,
            job_name: "job".to_owned(),
            max_parallelism,
            checkpoint_dir: "file:/c".to_owned(),
            restore_checkpoint: restore.map(CheckpointId),
            tasks,
        });
    let order = prop_oneof![
        Just(Order::Registered),
        Just(Order::HeartbeatAck),
        deployment.prop_map(Order::Deploy),
        attempts().prop_map(Order::Cancel),
        (attempts(), any::<u64>(), any_kind(), any::<u64>()).prop_map(|(attempts, id, kind, timestamp_ms)| {
            Order::TriggerCheckpoint { attempts, barrier: CheckpointBarrier { id: CheckpointId(id), kind, timestamp_ms } }
        }),
        (any::<u128>(), attempts(), any::<u64>(), any::<bool>()).prop_map(|(job, attempts, id, last)| {
            Order::NotifyCheckpointComplete { job: JobId(job), attempts, checkpoint: CheckpointId(id), last }
        }),
        (any::<u128>(), attempts(), any::<u64>()).prop_map(|(job, attempts, id)| Order::NotifyCheckpointAborted {
            job: JobId(job),
            attempts,
            checkpoint: CheckpointId(id)
        }),
    ];
    (any::<u64>(), order).prop_map(|(epoch, order)| ToTaskManager { epoch: LeaderEpoch(epoch), order })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_message_of_a_task_manager_survives_encoding(message in any_report()) {
        let bytes = pb::ToJobManager::from(message.clone()).encode_to_vec();
        let back = ToJobManager::try_from(pb::ToJobManager::decode(bytes.as_slice()).unwrap());
        prop_assert_eq!(back, Ok(message));
    }

    #[test]
    fn an_order_of_a_job_manager_survives_encoding(message in any_order()) {
        let bytes = pb::ToTaskManager::from(message.clone()).encode_to_vec();
        let back = ToTaskManager::try_from(pb::ToTaskManager::decode(bytes.as_slice()).unwrap());
        prop_assert_eq!(back, Ok(message));
    }

    #[test]
    fn checkpoint_metadata_survives_encoding(metadata in any_metadata()) {
        let bytes = metadata.encode_body();
        prop_assert_eq!(CheckpointMetadata::decode_body(bytes), Ok(metadata));
    }

    #[test]
    fn damaged_metadata_never_makes_the_decoder_panic(
        metadata in any_metadata(), at in any::<prop::sample::Index>(), with: u8, cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = metadata.encode_body().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = with;
        let _ = CheckpointMetadata::decode_body(Bytes::from(bytes.clone()));
        bytes.truncate(cut.index(bytes.len()));
        let _ = CheckpointMetadata::decode_body(Bytes::from(bytes));
    }

    #[test]
    fn a_damaged_message_never_makes_the_decoder_panic(
        report in any_report(), order in any_order(), at in any::<prop::sample::Index>(), with: u8,
    ) {
        let mut bytes = pb::ToJobManager::from(report).encode_to_vec();
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = with;
        }
        let _ = pb::ToJobManager::decode(bytes.as_slice()).map(ToJobManager::try_from);
        let mut bytes = pb::ToTaskManager::from(order).encode_to_vec();
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = with;
        }
        let _ = pb::ToTaskManager::decode(bytes.as_slice()).map(ToTaskManager::try_from);
    }

    #[test]
    fn random_bytes_never_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        let _ = pb::ToJobManager::decode(bytes.as_slice()).map(ToJobManager::try_from);
        let _ = pb::ToTaskManager::decode(bytes.as_slice()).map(ToTaskManager::try_from);
        let _ = CheckpointMetadata::decode_body(Bytes::from(bytes));
    }
}

#[test]
fn every_kind_of_invalid_message_has_its_code() {
    let code = |message: pb::ToJobManager| ToJobManager::try_from(message).map_err(|error| error.code());
    use pb::to_job_manager::Message as M;
    assert_eq!(code(pb::ToJobManager { message: None }), Err("PB-MISSING"));
    let state = |attempt, state| pb::ToJobManager {
        message: Some(M::TaskState(pb::TaskState { attempt, state, failure: None, counters: None })),
    };
    let id = Bytes::from_static(&[0; 16]);
    let attempt = pb::AttemptId { job: id.clone(), vertex: id, subtask: 0, generation_epoch: 1, generation_attempt: 1 };
    assert_eq!(code(state(None, 1)), Err("PB-MISSING"));
    assert_eq!(code(state(Some(attempt.clone()), 0)), Err("PB-RANGE"));
    assert_eq!(code(state(Some(attempt.clone()), 99)), Err("PB-RANGE"));
    assert_eq!(code(state(Some(attempt.clone()), -1)), Err("PB-RANGE"));
    assert!(code(state(Some(attempt.clone()), 5)).is_ok());
    let short = pb::AttemptId { job: Bytes::from_static(b"short"), ..attempt };
    assert_eq!(code(state(Some(short), 5)), Err("PB-RANGE"));
}

#[test]
fn the_bytes_of_an_operator_are_pinned_and_a_uid_adds_to_the_former_ones() {
    let mut operator = OperatorDescriptor::new("filter", [("predicate".to_owned(), "a".into())].into());
    let without = pb_graph::Operator::from(operator.clone()).encode_to_vec();
    assert_eq!(without, b"\x0a\x06filter\x12\x10\x0a\x09predicate\x12\x03\x32\x01a");
    operator.uid = Some("f".to_owned());
    let with = pb_graph::Operator::from(operator).encode_to_vec();
    assert_eq!(with, [&without[..], b"\x1a\x01f"].concat());
}

#[test]
fn every_kind_of_invalid_encoded_graph_has_its_code() {
    use crate::job_graph::JobGraph;
    let code = |bytes: &[u8]| JobGraph::decode(bytes).map_err(|error| error.code());
    assert_eq!(code(b""), Err("PB-MAGIC"));
    assert_eq!(code(b"{\"version\": 1}"), Err("PB-MAGIC"));
    assert_eq!(code(b"WEIR-JG\n"), Err("PB-MALFORMED"));
    assert_eq!(code(b"WEIR-JG\n\0\0\0\x02"), Err("PB-VERSION"));
    assert_eq!(code(b"WEIR-JG\n\0\0\0\0"), Err("PB-VERSION"));
    // Field 6 of the graph is an edge. This one is empty.
    assert_eq!(code(b"WEIR-JG\n\0\0\0\x01\x32\0"), Err("PB-MISSING"));
    assert_eq!(code(b"WEIR-JG\n\0\0\0\x01\xff"), Err("PB-MALFORMED"));
    assert_eq!(code(&vec![0; JobGraph::MAX_ENCODED_BYTES + 1]), Err("PB-TOO-LARGE"));
}

#[test]
fn a_leader_and_no_leader_survive_encoding() {
    let leader = LeaderAddress {
        epoch: LeaderEpoch(3),
        name: "jm-1".to_owned(),
        rpc_address: "h:6123".to_owned(),
        rest_address: "h:8081".to_owned(),
    };
    for leader in [None, Some(leader)] {
        assert_eq!(Option::<LeaderAddress>::from(pb::LeaderInfo::from(leader.clone())), leader);
    }
}
