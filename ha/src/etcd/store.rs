//! Reads and fenced writes.

use bytes::Bytes;
use etcd_client::{
    Client, Compare, CompareOp, Error, GetOptions, GetResponse, KeyValue, SortOrder, SortTarget, Txn, TxnOp, TxnOpResponse,
    TxnResponse,
};
use weir_protocol::LeaderEpoch;

use super::connection::{CallError, Fault, OPERATION_DEADLINE};
use super::layout::Place;
use super::member::Member;
use super::view::{Entry, parse_epoch};
use crate::{CommitOutcome, Expect, Leadership, Operation, ReadError, Rejection, Versioned};

/// Maximum number of keys in one page of a list. Each value may be 1 MiB.
const PAGE: i64 = 200;
/// Maximum size of one answer in bytes: a page of the largest values.
pub(crate) const MAX_ANSWER_BYTES: usize = 256 << 20;
/// Maximum number of attempts at a list whose revision is compacted while it is read.
const LIST_ATTEMPTS: u32 = 5;

impl From<CallError> for ReadError {
    fn from(error: CallError) -> Self {
        Self::Unavailable(error.reason)
    }
}

/// A key and its value as the rest of the provider uses them. `None` if the key is not text.
pub(crate) fn entry(pair: &KeyValue) -> Option<Entry<'_>> {
    let key = pair.key_str().ok()?;
    Some(Entry { key, value: pair.value(), created: pair.create_revision(), lease: pair.lease() })
}

fn versioned(pair: &KeyValue) -> Versioned {
    Versioned { value: Bytes::copy_from_slice(pair.value()), version: pair.mod_revision().cast_unsigned() }
}

async fn range(client: Client, key: Vec<u8>, options: GetOptions) -> Result<GetResponse, Error> {
    client.kv_client().max_decoding_message_size(MAX_ANSWER_BYTES).get(key, Some(options)).await
}

async fn transact(client: Client, txn: Txn) -> Result<TxnResponse, Error> {
    client.kv_client().max_decoding_message_size(MAX_ANSWER_BYTES).txn(txn).await
}

impl Member {
    /// A linearizable read of `key`, or of the range that begins at it.
    pub(crate) async fn range(&self, key: impl Into<Vec<u8>>, options: GetOptions) -> Result<GetResponse, CallError> {
        let key = key.into();
        self.connection.retry(|client| range(client, key.clone(), options.clone())).await
    }

    /// Sends one transaction, without a retry.
    pub(crate) async fn transact(&self, txn: Txn) -> Result<TxnResponse, CallError> {
        self.connection.call(OPERATION_DEADLINE, |client| transact(client, txn)).await
    }

    pub(crate) async fn get(&self, key: &str) -> Result<Option<Versioned>, ReadError> {
        let found = self.range(self.layout.store(key), GetOptions::new()).await?;
        Ok(found.kvs().first().map(versioned))
    }

    /// All keys under `prefix` at one revision, that of the first page.
    pub(crate) async fn list(&self, prefix: &str) -> Result<Vec<(String, Versioned)>, ReadError> {
        let mut attempt = 1;
        loop {
            match self.read_pages(prefix).await {
                Err(error) if error.fault == Fault::Compacted && attempt < LIST_ATTEMPTS => attempt += 1,
                Err(error) => return Err(error.into()),
                Ok(pairs) => return pairs.iter().map(|pair| self.listed(pair)).collect(),
            }
        }
    }

    fn listed(&self, pair: &KeyValue) -> Result<(String, Versioned), ReadError> {
        match pair.key_str().map(|key| self.layout.place(key)) {
            Ok(Place::Store(key)) => Ok((key.to_owned(), versioned(pair))),
            _ => Err(ReadError::Corrupt(format!("a key is not text: {:?}", String::from_utf8_lossy(pair.key())))),
        }
    }

    async fn read_pages(&self, prefix: &str) -> Result<Vec<KeyValue>, CallError> {
        let first = self.layout.store(prefix);
        let end = prefix_end(&first);
        let (mut from, mut revision, mut pairs) = (first.into_bytes(), 0, Vec::new());
        loop {
            let options = GetOptions::new()
                .with_range(end.clone())
                .with_sort(SortTarget::Key, SortOrder::Ascend)
                .with_revision(revision)
                .with_limit(PAGE);
            let mut page = self.range(from, options).await?;
            revision = page.header().map_or(revision, |header| if revision == 0 { header.revision() } else { revision });
            let more = page.more();
            pairs.append(&mut page.take_kvs());
            match pairs.last() {
                // The next page begins with the smallest key after the last one.
                Some(last) if more => from = [last.key(), &[0]].concat(),
                _ => return Ok(pairs),
            }
        }
    }

    /// The conditions under which `epoch` leads: it is the newest epoch, and its latch is still held.
    fn fence(&self, epoch: LeaderEpoch) -> Vec<Compare> {
        let newest = Compare::value(self.layout.epoch(), CompareOp::Equal, epoch.to_string());
        // The latch is known only for this process's own grants. The epoch alone is enough; the latch only fences sooner.
        let latch = self.latch_of(epoch);
        let held = latch.map(|latch| Compare::create_revision(self.layout.latch(), CompareOp::Equal, latch));
        std::iter::once(newest).chain(held).collect()
    }

    /// A fenced commit in one transaction. If its conditions fail, the transaction reads the keys that show why.
    pub(crate) async fn commit(&self, epoch: LeaderEpoch, operations: &[Operation]) -> CommitOutcome {
        let mut compares = self.fence(epoch);
        let mut reads = self.fence_reads();
        let mut changes = Vec::with_capacity(operations.len());
        for operation in operations {
            let (key, expect) = operation.key_and_expect();
            let key = self.layout.store(key);
            match expect {
                Expect::Any => {}
                Expect::Absent => compares.push(Compare::create_revision(key.clone(), CompareOp::Equal, 0)),
                Expect::Version(version) => {
                    // etcd revisions are positive i64s. Any other value must never match, so compare with `i64::MAX`.
                    let version = i64::try_from(version).ok().filter(|version| *version > 0).unwrap_or(i64::MAX);
                    compares.push(Compare::mod_revision(key.clone(), CompareOp::Equal, version));
                }
            }
            if expect != Expect::Any {
                reads.push(TxnOp::get(key.clone(), Some(GetOptions::new().with_keys_only())));
            }
            changes.push(match operation {
                Operation::Put { value, .. } => TxnOp::put(key, value.as_ref(), None),
                Operation::Delete { .. } => TxnOp::delete(key, None),
            });
        }
        let txn = Txn::new().when(compares).and_then(changes).or_else(reads);
        self.decide(epoch, operations, self.transact(txn).await)
    }

    /// Publishes the leader's addresses.
    pub(crate) async fn publish(&self, leadership: &Leadership) -> CommitOutcome {
        let record = match serde_json::to_vec(&leadership.record()) {
            Ok(record) => record,
            Err(error) => return CommitOutcome::Rejected(Rejection::OverLimit(error.to_string())),
        };
        let epoch = leadership.epoch();
        let put = TxnOp::put(self.layout.leader(), record, None);
        let txn = Txn::new().when(self.fence(epoch)).and_then([put]).or_else(self.fence_reads());
        let outcome = self.decide(epoch, &[], self.transact(txn).await);
        if let CommitOutcome::Committed { version } = outcome {
            self.set_published(epoch, version);
        }
        outcome
    }

    /// Makes every later epoch exceed `floor`.
    pub(crate) async fn raise_epoch(&self, epoch: LeaderEpoch, floor: LeaderEpoch) -> CommitOutcome {
        let put = TxnOp::put(self.layout.epoch(), floor.max(epoch).to_string(), None);
        let txn = Txn::new().when(self.fence(epoch)).and_then([put]).or_else(self.fence_reads());
        let outcome = self.decide(epoch, &[], self.transact(txn).await);
        if floor > epoch && matches!(outcome, CommitOutcome::Committed { .. }) {
            self.resign.send_replace(epoch);
        }
        outcome
    }

    fn fence_reads(&self) -> Vec<TxnOp> {
        vec![TxnOp::get(self.layout.epoch(), None), TxnOp::get(self.layout.latch(), None)]
    }

    fn decide(&self, epoch: LeaderEpoch, operations: &[Operation], answer: Result<TxnResponse, CallError>) -> CommitOutcome {
        let answer = match answer {
            Ok(answer) => answer,
            Err(CallError { fault: Fault::TooMuch, reason }) => return CommitOutcome::Rejected(Rejection::OverLimit(reason)),
            Err(error) => return CommitOutcome::Unknown { reason: error.reason },
        };
        if answer.succeeded() {
            return match answer.header() {
                Some(header) => CommitOutcome::Committed { version: header.revision().cast_unsigned() },
                None => CommitOutcome::Unknown { reason: "etcd's answer contains no revision".into() },
            };
        }
        let responses = answer.op_responses();
        let mut found = responses.iter().map(|response| match response {
            TxnOpResponse::Get(found) => found.kvs().first(),
            _ => None,
        });
        let current = found.next().flatten().and_then(|pair| parse_epoch(pair.value())).unwrap_or_default();
        let latch = found.next().flatten().map_or(0, KeyValue::create_revision);
        if current != epoch || self.latch_of(epoch).is_some_and(|mine| mine != latch) {
            return CommitOutcome::Rejected(Rejection::StaleEpoch { epoch, current });
        }
        let conditional = operations.iter().map(Operation::key_and_expect).filter(|(_, expect)| *expect != Expect::Any);
        let conflict = conditional.zip(found).find(|((_, expect), pair)| match expect {
            Expect::Any => false,
            Expect::Absent => pair.is_some(),
            Expect::Version(version) => pair.is_none_or(|pair| pair.mod_revision().cast_unsigned() != *version),
        });
        match conflict {
            Some(((key, _), _)) => CommitOutcome::Rejected(Rejection::Conflict { key: key.to_owned() }),
            None => CommitOutcome::Unknown { reason: "etcd refused the transaction, and its answer does not show why".into() },
        }
    }
}

/// The first key after all keys that start with `prefix`. The prefix is text, so its last byte is below 0xff.
pub(crate) fn prefix_end(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}
