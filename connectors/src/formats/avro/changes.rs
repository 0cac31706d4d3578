//! Debezium's Avro: a message is a change of a row, with the row before and after it, after the number of its schema.

use std::sync::{Arc, OnceLock};

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use weir_dataflow::changelog::RowKind;
use weir_dataflow::operator::OperatorError;

use super::cursor::Cursor;
use super::derive::schema_of_changes;
use super::read::{Read, Resolver};
use super::registered::{Plans, begin};
use super::schema::{AvroSchema, Kind, NodeId};
use super::write::{Write, append_long, append_text};
use super::{RegistryOptions, SchemaId, SchemaSource, unusable};
use crate::formats::changes::Changes;
use crate::formats::{Messages, RowDecoder, RowEncoder};
use crate::options;
use crate::rows::RowBuffer;
use crate::rows::column::BadValue;

/// How the changes of one writer's schema are read.
#[derive(Debug)]
struct ChangePlan {
    schema: AvroSchema,
    /// Position of the record among the types of a union, and how many these are. Flink's schema of changes is a union.
    union: Option<(usize, usize)>,
    fields: Vec<(Part, NodeId)>,
    before: Option<Read>,
    after: Read,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Before,
    After,
    Operation,
    Other,
}

impl ChangePlan {
    fn new(schema: AvroSchema, columns: &Fields) -> Result<Self, String> {
        let (root, union) = match &schema.node(schema.root()).kind {
            Kind::Union(branches) => {
                let found = branches.iter().position(|branch| matches!(schema.node(*branch).kind, Kind::Record(_)));
                let position = found.ok_or_else(|| "it has no record".to_owned())?;
                (branches[position], Some((position, branches.len())))
            }
            _ => (schema.root(), None),
        };
        let Kind::Record(of_change) = &schema.node(root).kind else { return Err("it is no record".to_owned()) };
        let part = |name: &str| match name {
            "before" => Part::Before,
            "after" => Part::After,
            "op" => Part::Operation,
            _ => Part::Other,
        };
        let fields: Vec<_> = of_change.iter().map(|field| (part(&field.name), field.node)).collect();
        let resolver = Resolver { writer: &schema, reader: None };
        let row = |wanted: Part| {
            let found = fields.iter().find(|(part, _)| *part == wanted);
            found.map(|(_, node)| resolver.struct_of(*node, columns, None)).transpose()
        };
        let (before, after) = (row(Part::Before)?, row(Part::After)?.ok_or("it has no field \"after\"")?);
        if !fields.iter().any(|(part, _)| *part == Part::Operation) {
            return Err("it has no field \"op\"".to_owned());
        }
        Ok(Self { union, fields, before, after, schema })
    }

    fn decode(&self, bytes: &[u8], rows: &mut RowBuffer) -> Result<usize, BadValue> {
        let change = self.find(bytes)?;
        let missing = |member: &str| {
            BadValue(format!(
                "the change {:?} has no {member:?}; PostgreSQL writes it if the table's REPLICA IDENTITY is FULL",
                change.operation
            ))
        };
        let before = |kind, rows: &mut RowBuffer| match &self.before {
            Some(read) if self.push(read, change.before, kind, rows)? => Ok(()),
            _ => Err(missing("before")),
        };
        let after = |kind, rows: &mut RowBuffer| match self.push(&self.after, change.after, kind, rows)? {
            true => Ok(()),
            false => Err(missing("after")),
        };
        match change.operation {
            "c" | "r" => after(RowKind::Insert, rows).map(|()| 1),
            "u" => {
                before(RowKind::UpdateBefore, rows)?;
                after(RowKind::UpdateAfter, rows).map(|()| 2)
            }
            "d" => before(RowKind::Delete, rows).map(|()| 1),
            other => Err(BadValue(format!("the field \"op\" is {other:?}; it must be c, r, u or d"))),
        }
    }

    /// Completes the row at the front of `bytes`. Returns whether there is one.
    fn push(&self, read: &Read, bytes: &[u8], kind: RowKind, rows: &mut RowBuffer) -> Result<bool, BadValue> {
        if read.is_null(&mut Cursor::new(bytes))? {
            return Ok(false);
        }
        let Some((kinds, columns)) = rows.columns_mut().split_last_mut() else {
            return Err(BadValue("the rows have no column for their kind".to_owned()));
        };
        read.row(&self.schema, &mut Cursor::new(bytes), columns)?;
        kinds.push_i64(kind as i64)?;
        rows.commit_row(bytes.len());
        Ok(true)
    }

    /// The parts of a change. Those of rows are at the front of their bytes.
    fn find<'a>(&self, bytes: &'a [u8]) -> Result<Change<'a>, BadValue> {
        let mut cursor = Cursor::new(bytes);
        if let Some((record, count)) = self.union
            && cursor.position(count, "the type")? != record
        {
            return Err(BadValue("the change is null".to_owned()));
        }
        let mut change = Change { operation: "", before: &[], after: &[] };
        for (part, node) in &self.fields {
            match part {
                Part::Before => change.before = cursor.rest(),
                Part::After => change.after = cursor.rest(),
                Part::Operation => {
                    change.operation = self.operation(*node, &mut cursor)?;
                    continue;
                }
                Part::Other => {}
            }
            cursor.skip(&self.schema, *node)?;
        }
        cursor.end()?;
        Ok(change)
    }

    fn operation<'a>(&self, node: NodeId, cursor: &mut Cursor<'a>) -> Result<&'a str, BadValue> {
        match &self.schema.node(node).kind {
            Kind::Text => std::str::from_utf8(cursor.bytes()?).map_err(|_| BadValue("the field \"op\" is not UTF-8".to_owned())),
            Kind::Union(branches) => {
                let branch = branches[cursor.position(branches.len(), "the type")?];
                match &self.schema.node(branch).kind {
                    Kind::Text => self.operation(branch, cursor),
                    _ => Err(BadValue("the field \"op\" is null".to_owned())),
                }
            }
            _ => Err(BadValue("the field \"op\" is no text".to_owned())),
        }
    }
}

struct Change<'a> {
    operation: &'a str,
    before: &'a [u8],
    after: &'a [u8],
}

/// Reads changes of whatever schemas messages have.
pub struct ChangeDecoder {
    columns: Fields,
    plans: Plans<ChangePlan>,
}

impl ChangeDecoder {
    /// Reads the columns at the positions `wanted`. Error: `CONN-OPTION` if a schema is given.
    pub fn new(
        options: &RegistryOptions,
        schema: &Schema,
        wanted: &[usize],
        source: Box<dyn SchemaSource>,
    ) -> Result<Self, OperatorError> {
        refuse_schema(options)?;
        let columns = schema.project(wanted).map_err(|error| unusable(error.to_string()))?;
        Ok(Self { columns: columns.fields().clone(), plans: Plans::new(source) })
    }
}

impl RowDecoder for ChangeDecoder {
    fn is_ready(&mut self, message: &[u8]) -> Result<bool, OperatorError> {
        let columns = &self.columns;
        self.plans.is_ready(message, |writer| ChangePlan::new(writer, columns))
    }

    fn decode(&mut self, message: &[u8], rows: &mut RowBuffer) -> Result<usize, BadValue> {
        if message.is_empty() {
            // It stands for a deletion that another message has told of.
            return Ok(0);
        }
        let (plan, bytes) = self.plans.of(message)?;
        let before = rows.rows();
        let decoded = plan.decode(bytes, rows);
        if decoded.is_err() {
            rows.truncate(before);
        }
        decoded
    }
}

fn refuse_schema(options: &RegistryOptions) -> Result<(), OperatorError> {
    match options.schema {
        Some(_) => Err(options::invalid("format debezium-avro-confluent", "schema can't be given: the columns decide")),
        None => Ok(()),
    }
}

/// Writes changes as Flink does: an update is the deletion of one row and the creation of another.
pub struct ChangeEncoder {
    write: Write,
    id: Arc<OnceLock<SchemaId>>,
}

impl ChangeEncoder {
    /// The schema of changes of rows with these columns. Error: `CONN-TYPE`.
    pub fn schema(columns: &Schema) -> Result<String, OperatorError> {
        schema_of_changes(columns.fields())
    }

    /// `schema` is without the kinds of rows. `id` must be set before the first row. Errors: `CONN-TYPE`; `CONN-OPTION` if a schema is
    /// given.
    pub fn new(options: &RegistryOptions, schema: &SchemaRef, id: Arc<OnceLock<SchemaId>>) -> Result<Self, OperatorError> {
        refuse_schema(options)?;
        let avro = AvroSchema::parse(&Self::schema(schema)?).map_err(unusable)?;
        let after = avro.record(avro.root()).unwrap_or_default().iter().find(|field| field.name == "after");
        let after = after.ok_or_else(|| unusable("there is no row after a change".to_owned()))?;
        let row = Field::new("after", DataType::Struct(schema.fields().clone()), true);
        Ok(Self { write: Write::of(&avro, after.node, &row).map_err(unusable)?, id })
    }
}

impl RowEncoder for ChangeEncoder {
    fn encode(&mut self, batch: &RecordBatch, out: &mut Messages) -> Result<(), OperatorError> {
        let changes = Changes::of(batch)?;
        for row in 0..batch.num_rows() {
            let is_after = changes.is_after(row)?;
            let bytes = out.buffer();
            begin(bytes, &self.id)?;
            // The change, the row before or after it, and the operation are the second types of their unions; the other row is null.
            append_long(bytes, 1);
            let operation = if is_after {
                append_long(bytes, 0);
                self.write.row(bytes, &changes.columns, row)?;
                "c"
            } else {
                self.write.row(bytes, &changes.columns, row)?;
                append_long(bytes, 0);
                "d"
            };
            append_long(bytes, 1);
            append_text(bytes, operation);
            out.end_message();
        }
        Ok(())
    }
}
