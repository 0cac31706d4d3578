//! A source that reads rows of the test, as far as the test has released them.

use std::collections::BTreeMap;
use std::sync::Mutex;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use serde_json::json;
use weir_dataflow::changelog::kind_column;
use weir_dataflow::element::CheckpointBarrier;
use weir_dataflow::operator::{OperatorContext, OperatorError, RestoredState, StateSnapshot};
use weir_dataflow::registry::{BuiltOperator, OperatorRegistry};
use weir_dataflow::source::{Source, SourcePoll};
use weir_protocol::job_graph::{JobGraph, OperatorDescriptor};

const ROWS: &str = "x.rows";

/// Number of splits of each table. Row i is in split i modulo this number.
const SPLITS: usize = 4;

/// The rows of a table.
struct Rows {
    splits: Vec<RecordBatch>,
    /// Number of rows that may be read.
    released: usize,
    /// Whether the table ends after the released rows.
    ended: bool,
}

static TABLES: Mutex<BTreeMap<u64, Rows>> = Mutex::new(BTreeMap::new());

/// A table of the test.
pub(crate) struct Table {
    pub(crate) number: u64,
}

impl Table {
    /// Keeps the rows. `batch` makes one of the rows with these positions.
    pub(crate) fn new(number: u64, rows: usize, batch: impl Fn(Vec<usize>) -> RecordBatch) -> Self {
        let splits = (0..SPLITS).map(|split| batch((split..rows).step_by(SPLITS).collect())).collect();
        TABLES.lock().unwrap().insert(number, Rows { splits, released: 0, ended: false });
        Self { number }
    }

    /// The path that stands for the table in SQL.
    pub(crate) fn path(&self) -> String {
        format!("/table/{}", self.number)
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        TABLES.lock().unwrap().remove(&self.number);
    }
}

/// Lets the first `rows` rows of a table be read. No more will follow if it has `ended`.
pub(crate) fn release(table: &Table, rows: usize, ended: bool) {
    let mut tables = TABLES.lock().unwrap();
    let table = tables.get_mut(&table.number).unwrap();
    (table.released, table.ended) = (rows, ended);
}

/// Lets the sources of files with these paths, and of brokers that are called so, read the tables instead.
pub(crate) fn read_from(tables: &[&Table], graph: &mut JobGraph) {
    for operator in graph.vertices.iter_mut().flat_map(|vertex| vertex.operators.first_mut()) {
        let place = match operator.kind.as_str() {
            "source.file" => "path",
            "source.kafka" => "bootstrap_servers",
            _ => continue,
        };
        let table = tables.iter().find(|table| operator.options[place] == json!(table.path()));
        let table = table.expect("all tables are the test's");
        let (uid, columns) = (operator.uid.clone(), operator.options.get("columns").cloned());
        let options = BTreeMap::from([("number".to_owned(), json!(table.number)), ("columns".to_owned(), json!(columns))]);
        *operator = OperatorDescriptor::new(ROWS, options);
        operator.uid = uid;
    }
}

pub(super) fn register(registry: &mut OperatorRegistry) {
    registry.register(ROWS, |descriptor: &OperatorDescriptor, context: &OperatorContext| {
        let number = descriptor.options["number"].as_u64().unwrap();
        let tables = TABLES.lock().unwrap();
        let stored = tables[&number].splits[0].schema();
        let columns = match descriptor.options["columns"].as_array() {
            None => (0..stored.fields().len()).collect(),
            Some(names) => {
                let wanted = names.iter().map(|name| stored.index_of(name.as_str().unwrap()).unwrap());
                wanted.chain(kind_column(&stored)).collect::<Vec<_>>()
            }
        };
        let schema: SchemaRef = stored.project(&columns).unwrap().into();
        let next = (0..SPLITS).map(|_| None).collect();
        let mut source = Reader { number, columns, next };
        source.take((0..SPLITS).filter(|split| split % context.parallelism as usize == context.subtask() as usize));
        Ok(BuiltOperator::Source(Box::new(Sharing { reader: source, context: context.clone() }), schema))
    });
}

/// Reads some splits, row by row in the order of the table.
struct Reader {
    number: u64,
    columns: Vec<usize>,
    /// For each split of this subtask, the number of rows read.
    next: Vec<Option<usize>>,
}

/// A reader, and what it needs to know to share splits anew.
struct Sharing {
    reader: Reader,
    context: OperatorContext,
}

impl Reader {
    fn take(&mut self, splits: impl Iterator<Item = usize>) {
        splits.for_each(|split| self.next[split] = Some(0));
    }
}

impl Source for Sharing {
    fn poll(&mut self, _: u64, max_rows: usize) -> Result<SourcePoll, OperatorError> {
        let reader = &mut self.reader;
        let tables = TABLES.lock().unwrap();
        let table = &tables[&reader.number];
        let readable = |split: usize, next: usize| next * SPLITS + split < table.released;
        let open = reader.next.iter().enumerate().filter_map(|(split, next)| Some((split, (*next)?)));
        let Some((split, next)) =
            open.filter(|(split, next)| readable(*split, *next)).min_by_key(|(split, next)| next * SPLITS + split)
        else {
            return Ok(if table.ended { SourcePoll::End } else { SourcePoll::NothingUntil(u64::MAX) });
        };
        // Beyond the next row, the rows of another split may come first.
        let only_split = reader.next.iter().flatten().count() == 1;
        let most = if only_split { max_rows } else { 1 };
        let rows = (1..=most).take_while(|rows| readable(split, next + rows - 1)).last().unwrap_or(1);
        reader.next[split] = Some(next + rows);
        Ok(SourcePoll::Batch(table.splits[split].slice(next, rows).project(&reader.columns).unwrap()))
    }

    fn snapshot(&mut self, _: &CheckpointBarrier) -> Result<StateSnapshot, OperatorError> {
        let state = Bytes::from(serde_json::to_vec(&self.reader.next).unwrap());
        Ok(StateSnapshot { operator_state: Some(state), ..StateSnapshot::default() })
    }

    fn restore(&mut self, restored: RestoredState) -> Result<(), OperatorError> {
        for (_, bytes) in &restored.operator_state {
            let saved: Vec<Option<usize>> = serde_json::from_slice(bytes).unwrap();
            for (next, saved) in self.reader.next.iter_mut().zip(saved) {
                if let (Some(next), Some(saved)) = (next.as_mut(), saved) {
                    *next = saved;
                }
            }
        }
        let own = restored.former_parallelism == self.context.parallelism;
        assert!(!own || restored.operator_state.len() == 1, "a subtask gets its own state, unless it was rescaled");
        Ok(())
    }
}
