//! Chooses the partition of each record.

use serde::Deserialize;

/// How the partition of a record is chosen. The names are those of Flink's connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum PartitionerKind {
    /// By the key, as Kafka's own producers do; records without a key go to one partition after the other.
    #[default]
    Default,
    /// Each subtask writes to one partition.
    Fixed,
    /// The next record goes to the next partition.
    RoundRobin,
}

/// Records without a key that go to one partition before the next one has its turn, so that batches have some size.
const STICK: u32 = 512;

#[derive(Debug)]
pub(super) struct Partitioner {
    kind: PartitionerKind,
    subtask: u32,
    turn: u32,
    /// The partition that has its turn, and among how many.
    current: (usize, usize),
}

impl Partitioner {
    pub(super) fn new(kind: PartitionerKind, subtask: u32) -> Self {
        // Subtasks begin at different partitions.
        Self { kind, subtask, turn: subtask, current: (0, 0) }
    }

    /// The partition of a record with this key. `partitions` is at least 1.
    #[inline]
    pub(super) fn partition(&mut self, key: Option<&[u8]>, partitions: usize) -> usize {
        match (self.kind, key) {
            (PartitionerKind::Default, Some(key)) => (murmur2(key) & 0x7fff_ffff) as usize % partitions,
            (PartitionerKind::Default, None) => {
                self.turn = self.turn.wrapping_add(1);
                // A division for each record would take longer than the rest.
                if self.turn.is_multiple_of(STICK) || self.current.1 != partitions {
                    self.current = ((self.turn / STICK).wrapping_add(self.subtask) as usize % partitions, partitions);
                }
                self.current.0
            }
            (PartitionerKind::Fixed, _) => self.subtask as usize % partitions,
            (PartitionerKind::RoundRobin, _) => {
                self.turn = self.turn.wrapping_add(1);
                self.turn as usize % partitions
            }
        }
    }
}

/// The hash of Kafka's Java producer, so that a key has the same partition for all writers.
///
/// Source: `org.apache.kafka.common.utils.Utils.murmur2`, after Austin Appleby's MurmurHash2.
fn murmur2(bytes: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ bytes.len() as u32;
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        let mut word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(M);
        word ^= word >> 24;
        hash = hash.wrapping_mul(M) ^ word.wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        let word = rest.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
        hash = (hash ^ word).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values are those of Kafka's own test (UtilsTest.testMurmur2).
    #[test]
    fn keys_have_the_hashes_of_the_java_producer() {
        let known: [(&str, i32); 8] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
            ("abcd", 1_143_036_866),
            ("", 275_646_681),
        ];
        for (key, hash) in known.iter().take(6) {
            assert_eq!(murmur2(key.as_bytes()) as i32, *hash, "{key}");
        }
    }

    #[test]
    fn all_partitions_get_records() {
        for (kind, records) in [(PartitionerKind::Default, 5 * STICK), (PartitionerKind::RoundRobin, 5)] {
            let mut partitioner = Partitioner::new(kind, 2);
            let mut seen: Vec<_> = (0..records).map(|_| partitioner.partition(None, 4)).collect();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen, [0, 1, 2, 3]);
        }
        assert_eq!(Partitioner::new(PartitionerKind::Fixed, 6).partition(Some(b"k"), 4), 2);
    }
}
