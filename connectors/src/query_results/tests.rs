use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;
use weir_dataflow::operator::Operator;
use weir_dataflow::registry::BuiltOperator;
use weir_protocol::CheckpointId;

use super::*;
use crate::testing::{NoOutput, barrier, context, descriptor, restored, state};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)]))
}

fn collect(results: &Path, attempt: u32, unread_bytes: u64) -> Box<dyn Operator> {
    let options = json!({"path": results, "unread_bytes": unread_bytes});
    match sink::build(&descriptor("sink.collect", options), &context(0, 1, attempt, vec![schema()])).unwrap() {
        BuiltOperator::Sink(sink) => sink,
        _ => panic!("not a sink"),
    }
}

fn reader(results: &Path) -> ResultReader {
    ResultReader::new(directory_of(results, context(0, 1, 1, vec![]).attempt.job))
}

fn write(sink: &mut dyn Operator, rows: std::ops::Range<i64>) {
    let batch = RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from_iter_values(rows))]).unwrap();
    sink.process(0, batch, &mut NoOutput).unwrap();
}

fn checkpoint(sink: &mut dyn Operator, id: u64) -> Bytes {
    let bytes = state(sink.snapshot(&barrier(id)).unwrap());
    sink.notify_checkpoint_complete(CheckpointId(id)).unwrap();
    bytes
}

fn values(page: &ResultPage) -> Vec<i64> {
    page.batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

fn read_all(reader: &mut ResultReader, from: u64, page_rows: u64) -> Vec<i64> {
    let (mut at, mut rows) = (from, Vec::new());
    loop {
        let page = reader.read(at, page_rows, u64::MAX).unwrap();
        assert!(!page.has_gap && page.end - at <= page_rows);
        if page.end == at {
            return rows;
        }
        rows.extend(values(&page));
        at = page.end;
    }
}

#[test]
fn rows_appear_with_their_checkpoint_and_have_stable_numbers() {
    let place = tempfile::tempdir().unwrap();
    let mut sink = collect(place.path(), 1, 1 << 20);
    let mut reader = reader(place.path());
    write(sink.as_mut(), 0..5);
    assert_eq!(read_all(&mut reader, 0, 100), Vec::<i64>::new(), "nothing is committed");
    checkpoint(sink.as_mut(), 1);
    write(sink.as_mut(), 5..7);
    write(sink.as_mut(), 7..9);
    checkpoint(sink.as_mut(), 2);
    assert_eq!(read_all(&mut reader, 0, 2), (0..9).collect::<Vec<_>>());
    let page = reader.read(3, 3, u64::MAX).unwrap();
    assert_eq!((values(&page), page.end, page.has_more), (vec![3, 4, 5], 6, true));
    assert!(!reader.read(3, 6, u64::MAX).unwrap().has_more);
    assert!(reader.read(3, 3, u64::MAX).unwrap().has_more && reader.read(0, 5, u64::MAX).unwrap().has_more);
    assert_eq!(page.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["id"]);
    assert_eq!(values(&reader.read(3, 3, u64::MAX).unwrap()), [3, 4, 5], "a page can be read again");
    assert_eq!(values(&reader.read(5, 10, 1).unwrap()), [5, 6], "too few bytes for more than one frame");

    reader.discard(6).unwrap();
    assert_eq!(values(&reader.read(5, 10, u64::MAX).unwrap()), [5, 6, 7, 8], "the rest of a file stays");
    reader.discard(9).unwrap();
    assert_eq!(reader.read(9, 10, u64::MAX).unwrap(), ResultPage { end: 9, ..ResultPage::default() });
    write(sink.as_mut(), 9..10);
    checkpoint(sink.as_mut(), 3);
    assert_eq!(read_all(&mut reader, 9, 10), [9]);
}

#[test]
fn a_sink_takes_no_rows_while_too_many_are_unread() {
    let place = tempfile::tempdir().unwrap();
    let mut sink = collect(place.path(), 1, 100);
    let mut reader = reader(place.path());
    write(sink.as_mut(), 0..100);
    assert!(sink.has_room(), "what waits for a checkpoint can't be read, so it must not stop the barrier");
    let saved = checkpoint(sink.as_mut(), 1);
    assert!(!sink.has_room());
    sink.on_tick(1_000, &mut NoOutput).unwrap();
    assert!(!sink.has_room());

    // The next attempt sees the same.
    let mut next = collect(place.path(), 2, 100);
    next.restore(restored(&[saved], 0, 1)).unwrap();
    assert!(!next.has_room());
    reader.discard(100).unwrap();
    next.on_tick(1_000, &mut NoOutput).unwrap();
    assert!(next.has_room());
    write(next.as_mut(), 100..101);
    checkpoint(next.as_mut(), 2);
    assert_eq!(read_all(&mut reader, 100, 10), [100], "the numbers go on");
}

#[test]
fn a_missing_file_is_a_gap_and_a_damaged_one_an_error() {
    let place = tempfile::tempdir().unwrap();
    let mut sink = collect(place.path(), 1, 1 << 20);
    for (id, rows) in [(1, 0..3), (2, 3..6), (3, 6..9)] {
        write(sink.as_mut(), rows);
        checkpoint(sink.as_mut(), id);
    }
    let directory = directory_of(place.path(), context(0, 1, 1, vec![]).attempt.job);
    let file = |checkpoint: u64| {
        let begin = format!("part-0-{checkpoint}-");
        let mut files = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
        files.find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&begin)).unwrap()
    };
    let damaged = file(3);
    let bytes = std::fs::read(&damaged).unwrap();
    for at in 0..bytes.len() {
        let mut wrong = bytes.clone();
        wrong[at] ^= 0x40;
        std::fs::write(&damaged, &wrong).unwrap();
        let mut fresh = reader(place.path());
        let read = fresh.read(0, 100, u64::MAX);
        assert!(read.is_err() || read.is_ok_and(|page| page.has_gap && page.end == 6), "byte {at}");
    }
    for length in 0..bytes.len() {
        std::fs::write(&damaged, &bytes[..length]).unwrap();
        let read = reader(place.path()).read(0, 100, u64::MAX);
        assert!(read.is_err() || read.is_ok_and(|page| page.end == 6), "{length} bytes");
    }
    std::fs::write(&damaged, &bytes).unwrap();
    std::fs::remove_file(file(2)).unwrap();
    let page = reader(place.path()).read(0, 100, u64::MAX).unwrap();
    assert_eq!((values(&page), page.has_gap), (vec![0, 1, 2], true));
}

#[test]
fn only_one_subtask_can_collect() {
    let options = json!({"path": "/tmp"});
    let error = sink::build(&descriptor("sink.collect", options), &context(0, 2, 1, vec![schema()])).err().unwrap();
    assert!(error.code == "CONN-OPTION" && error.message.contains("parallelism 1"), "{error}");
}

/// What happens to a query between two reads.
#[derive(Debug, Clone)]
enum Happening {
    Write(u8),
    Checkpoint,
    /// The checkpoint is durable, but the attempt dies before it commits.
    LostNotice,
    Crash,
    Read(u8),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        (1..20_u8).prop_map(Happening::Write),
        Just(Happening::Checkpoint),
        Just(Happening::LostNotice),
        Just(Happening::Crash),
        (1..30_u8).prop_map(Happening::Read),
    ]
}

proptest! {
    /// The rows that a client has read are always the first rows of the query, each once, whatever dies in between.
    #[test]
    fn a_client_reads_every_row_once_and_in_order(happenings in prop::collection::vec(happening(), 1..60)) {
        let place = tempfile::tempdir().unwrap();
        let (mut attempt, mut id) = (1, 0);
        let mut sink = collect(place.path(), attempt, 1 << 30);
        let (mut written, mut saved, mut read) = (0_i64, None::<(Bytes, i64)>, Vec::<i64>::new());
        for happening in happenings {
            match happening {
                Happening::Write(rows) => {
                    write(sink.as_mut(), written..written + i64::from(rows));
                    written += i64::from(rows);
                }
                Happening::Checkpoint => {
                    id += 1;
                    saved = Some((checkpoint(sink.as_mut(), id), written));
                }
                Happening::LostNotice | Happening::Crash => {
                    if matches!(happening, Happening::LostNotice) {
                        id += 1;
                        saved = Some((state(sink.snapshot(&barrier(id)).unwrap()), written));
                    }
                    drop(sink);
                    attempt += 1;
                    sink = collect(place.path(), attempt, 1 << 30);
                    written = 0;
                    if let Some((bytes, rows)) = &saved {
                        sink.restore(restored(std::slice::from_ref(bytes), 0, 1)).unwrap();
                        written = *rows;
                    }
                }
                Happening::Read(rows) => {
                    // Every reader is new, as that of a new leader.
                    let mut reader = reader(place.path());
                    let from = read.len() as u64;
                    reader.discard(from).unwrap();
                    let page = reader.read(from, u64::from(rows), u64::MAX).unwrap();
                    prop_assert!(!page.has_gap);
                    read.extend(values(&page));
                }
            }
        }
        id += 1;
        checkpoint(sink.as_mut(), id);
        let from = read.len() as u64;
        read.extend(read_all(&mut reader(place.path()), from, 1_000));
        prop_assert_eq!(read, (0..written).collect::<Vec<_>>());
    }
}
