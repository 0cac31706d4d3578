use proptest::prelude::*;
use weir_protocol::CheckpointId;

use super::*;
use crate::checkpoint::sample::{JOB, checkpoint, state_path};

const PATH: &str = "job/chk-7/_metadata";

fn sample() -> CheckpointMetadata {
    let (zero, one) = ([(state_path(0, 7), b"zero".as_slice())], [(state_path(1, 6), b"one".as_slice())]);
    checkpoint(7, [&zero, &one])
}

fn file() -> Bytes {
    encode(PATH, &sample()).unwrap()
}

/// A file with this body and correct checksums.
fn file_of(version: u32, body: &[u8]) -> Bytes {
    let mut file = BytesMut::new();
    file.put_slice(MAGIC);
    file.put_u32_le(version);
    file.put_u32_le(HEADER as u32);
    file.put_u64_le(body.len() as u64);
    file.put_u32_le(crc32c::crc32c(body));
    file.put_u32_le(crc32c::crc32c(&file));
    file.put_slice(body);
    file.freeze()
}

fn code(file: impl Into<Bytes>) -> &'static str {
    decode(PATH, Some(JOB), &file.into()).map_or_else(|error| error.code(), |_| "ok")
}

#[test]
fn a_written_file_reads_back_the_same() {
    assert_eq!(decode(PATH, Some(JOB), &file()), Ok(sample()));
    assert_eq!(decode(PATH, None, &file()), Ok(sample()));
    assert_eq!(file(), encode(PATH, &sample()).unwrap(), "the same checkpoint gives the same bytes");
}

#[test]
fn every_single_bit_flip_is_detected() {
    let good = file();
    for bit in 0..good.len() * 8 {
        let mut bad = good.to_vec();
        bad[bit / 8] ^= 1 << (bit % 8);
        let code = code(bad);
        let expected: &[&str] = match bit / 8 {
            0..8 => &["CKPT-MAGIC"],
            // A longer header may end after the end of a short file.
            12..16 => &["CKPT-CRC", "CKPT-TRUNCATED"],
            _ => &["CKPT-CRC"],
        };
        assert!(expected.contains(&code), "bit {bit}: {code}");
    }
}

#[test]
fn every_truncation_is_detected_and_so_are_bytes_after_the_end() {
    let good = file();
    for length in 0..good.len() {
        assert_eq!(code(good.slice(..length)), "CKPT-TRUNCATED", "{length} bytes");
    }
    assert_eq!(code([&good[..], b"x"].concat()), "CKPT-INVALID");
}

#[test]
fn other_files_are_recognised() {
    assert_eq!(code(Bytes::from_static(b"PK\x03\x04")), "CKPT-MAGIC");
    let flink = decode(PATH, None, &Bytes::from_static(&[0x49, 0x60, 0x67, 0x2d, 0, 0, 0, 4])).unwrap_err();
    assert!(flink.to_string().contains("Apache Flink"), "{flink}");
}

#[test]
fn a_newer_version_is_not_mistaken_for_damage() {
    let body = sample().encode_body();
    assert_eq!(code(file_of(FORMAT_VERSION, &body)), "ok");
    assert_eq!(code(file_of(FORMAT_VERSION + 1, &body)), "CKPT-VERSION");
    assert_eq!(code(file_of(0, &body)), "CKPT-VERSION");
    // A later version may have a longer header.
    let mut newer = BytesMut::new();
    newer.put_slice(MAGIC);
    newer.put_u32_le(FORMAT_VERSION + 1);
    newer.put_u32_le(40);
    newer.put_slice(&[7; 20]);
    newer.put_u32_le(crc32c::crc32c(&newer));
    assert_eq!(code(newer), "CKPT-VERSION");
}

/// A version 1 file, made byte by byte from the description of the format.
const VERSION_1: &str = "\
    57454952434b50540100000020000000a40000000000000005d888f25242634c0a1000000000000000000000000000000abc10071801200328033001\
    388001457856341248e80750b0095a390a104b0a972a9183d94f70814aae7821ad541a001a230a0b0a096f66667365742031371214121212100a0763\
    686b2d372f7318042577f7d42e5a3d0a104b0a972a9183d94f70814aae7821ad5410011a001a250a0b0a096f66667365742031371216084012121210\
    0a0763686b2d372f73180325e9b2942a";

/// The version 2 file of the same checkpoint with kinds, and a uid on the second operator.
const VERSION_2: &str = "\
    57454952434b50540200000020000000d40000000000000033fc52a9e4f508960a1000000000000000000000000000000abc10071801200328033001\
    388001457856341248e80750b0095a510a104b0a972a9183d94f70814aae7821ad541a08220666696c7465721a330a0b0a096f666673657420313712\
    14121212100a0763686b2d372f7318042577f7d42e1a05636f756e742207782e636f756e745a550a104b0a972a9183d94f70814aae7821ad5410011a\
    08220666696c7465721a350a0b0a096f666673657420313712160840121212100a0763686b2d372f73180325e9b2942a1a05636f756e742207782e63\
    6f756e74";

fn bytes_of(digits: &str) -> Bytes {
    let digit = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(digit).collect::<Vec<_>>().into()
}

/// The same checkpoint with kinds, and `uid` on the second operator.
fn named(mut metadata: CheckpointMetadata, uid: Option<&str>) -> CheckpointMetadata {
    for subtask in &mut metadata.subtasks {
        subtask.operators[0].kind = Some("filter".to_owned());
        subtask.operators[1].kind = Some("x.count".to_owned());
        subtask.operators[1].uid = uid.map(str::to_owned);
    }
    metadata
}

#[test]
fn the_bytes_of_both_versions_are_pinned_and_a_checkpoint_without_uids_is_written_as_before() {
    let path = || "chk-7/s".to_owned();
    let metadata = checkpoint(7, [&[(path(), b"zero")], &[(path(), b"one")]]);
    assert_eq!(decode(PATH, Some(JOB), &bytes_of(VERSION_1)), Ok(metadata.clone()));
    assert_eq!(encode(PATH, &metadata), Ok(bytes_of(VERSION_1)));
    let with_uid = named(metadata.clone(), Some("count"));
    assert_eq!(decode(PATH, Some(JOB), &bytes_of(VERSION_2)), Ok(with_uid.clone()));
    assert_eq!(encode(PATH, &with_uid), Ok(bytes_of(VERSION_2)));
    // A build that reads only version 1 ignores the kinds.
    let without_uid = encode(PATH, &named(metadata, None)).unwrap();
    assert_eq!(without_uid[8..12], [1, 0, 0, 0]);
}

#[test]
fn a_checkpoint_whose_operators_contradict_each_other_is_refused() {
    let metadata = checkpoint(7, [&[], &[]]);
    let change = |subtask: usize, operator: usize, uid: &str| {
        let mut bad = named(metadata.clone(), Some("count"));
        bad.subtasks[subtask].operators[operator].uid = Some(uid.to_owned());
        bad
    };
    let mut shorter = metadata.clone();
    shorter.subtasks[1].operators.pop();
    let mut other_kind = named(metadata.clone(), None);
    other_kind.subtasks[1].operators[0].kind = None;
    let mut elsewhere = named(metadata.clone(), Some("count"));
    let mut moved = elsewhere.subtasks[0].clone();
    moved.execution_vertex.vertex.0 = u128::MAX;
    elsewhere.subtasks.push(moved);
    let mut illegal = named(metadata.clone(), Some(""));
    illegal.subtasks.truncate(1);
    for bad in [change(1, 1, "other"), change(1, 0, "only there"), shorter, other_kind, elsewhere, illegal] {
        assert_eq!(code(file_of(FORMAT_VERSION, &bad.encode_body())), "CKPT-INVALID", "{bad:?}");
        assert_eq!(encode(PATH, &bad).unwrap_err().code(), "CKPT-INVALID");
    }
}

#[test]
fn a_body_that_is_not_a_checkpoint_is_refused() {
    assert_eq!(code(file_of(FORMAT_VERSION, b"")), "CKPT-BODY");
    assert_eq!(code(file_of(FORMAT_VERSION, &[0xff; 100])), "CKPT-BODY");
}

#[test]
fn another_jobs_file_is_refused() {
    let error = decode(PATH, Some(JobId(1)), &file()).unwrap_err();
    assert_eq!(error, CheckpointError::ForeignJob { path: PATH.to_owned(), found: JOB, expected: JobId(1) });
}

#[test]
fn references_outside_the_directory_are_refused_by_encode_and_decode() {
    for path in ["/etc/passwd", "../other-job/chk-1/x.state", "chk-7/../../x", "chk-7\\x", "", "a\0b"] {
        let bad = checkpoint(7, [&[(path.to_owned(), b"x")], &[]]);
        assert_eq!(code(file_of(FORMAT_VERSION, &bad.encode_body())), "CKPT-PATH", "{path:?}");
        assert_eq!(encode(PATH, &bad).unwrap_err().code(), "CKPT-PATH", "{path:?}");
    }
}

#[test]
fn metadata_that_breaks_a_rule_is_refused() {
    let state = |group: u32| [(state_path(0, 7), b"x".as_slice()), (state_path(0, group.into()), b"y".as_slice())];
    let mut doubled = checkpoint(7, [&state(7), &[]]);
    doubled.subtasks[0].operators[1].key_groups[1].key_group = 0;
    let mut beyond = checkpoint(7, [&state(7), &[]]);
    beyond.max_parallelism = 1;
    let mut across = checkpoint(7, [&state(7), &state(7)]);
    across.subtasks[1].operators[1].key_groups[0].key_group = 0;
    let mut unordered = checkpoint(7, [&[], &[]]);
    unordered.subtasks.reverse();
    let mut twice = checkpoint(7, [&[], &[]]);
    twice.subtasks[1] = twice.subtasks[0].clone();
    let mut endless = checkpoint(7, [&state(7), &[]]);
    if let StateHandle::File(segment) = &mut endless.subtasks[0].operators[1].key_groups[0].state {
        segment.offset = u64::MAX;
    }
    for bad in [doubled, beyond, across, unordered, twice, endless] {
        assert_eq!(code(file_of(FORMAT_VERSION, &bad.encode_body())), "CKPT-INVALID", "{bad:?}");
        assert_eq!(encode(PATH, &bad).unwrap_err().code(), "CKPT-INVALID");
    }
}

#[test]
fn files_over_the_limit_are_refused_by_encode_and_decode() {
    let over = METADATA_LIMIT as usize + 1;
    assert_eq!(code(vec![0; over]), "CKPT-SIZE");
    let mut big = sample();
    big.subtasks[0].operators[1].operator_state = Some(StateHandle::Inline(vec![0; over].into()));
    assert_eq!(encode(PATH, &big).unwrap_err().code(), "CKPT-SIZE");
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(decode(PATH, None, &bytes.into()).is_err());
    }

    #[test]
    fn arbitrary_bodies_with_correct_checksums_never_panic(body in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = decode(PATH, None, &file_of(FORMAT_VERSION, &body));
    }

    #[test]
    fn a_damaged_body_with_correct_checksums_never_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut body = sample().encode_body().to_vec();
        let at = at.index(body.len());
        body[at] = byte;
        let _ = decode(PATH, Some(JOB), &file_of(FORMAT_VERSION, &body));
    }

    #[test]
    fn arbitrary_headers_after_the_magic_never_panic(rest in proptest::collection::vec(any::<u8>(), 0..128)) {
        prop_assert!(decode(PATH, None, &[&MAGIC[..], &rest].concat().into()).is_err());
    }

    #[test]
    fn any_checkpoint_reads_back_the_same(id in any::<u64>(), state in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut metadata = checkpoint(7, [&[(state_path(0, id), &state)], &[]]);
        metadata.id = CheckpointId(id);
        let file = encode(PATH, &metadata).unwrap();
        prop_assert_eq!(decode(PATH, Some(JOB), &file), Ok(metadata));
    }
}
