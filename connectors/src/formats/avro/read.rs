//! Reads rows of one schema into columns: what is to be done for each value is found once, and then done for every row.

use std::collections::BTreeSet;

use arrow_schema::{DataType, Field, Fields, TimeUnit};
use serde_json::Value;
use weir_dataflow::schema::type_name;

use super::cursor::Cursor;
use super::schema::{AvroSchema, Kind, Logical, NodeId, RecordField};
use crate::rows::column::{BadValue, Column, Values, end};

/// How a value of the writer becomes one of a column.
#[derive(Debug)]
pub(super) enum Read {
    Null,
    Boolean,
    /// An int or long as a number.
    Integer,
    /// An int as a date, or as a time in milliseconds.
    Ordinal,
    TimeMicros,
    /// The unit of the writer.
    Timestamp(TimeUnit),
    Float,
    Double,
    Text,
    Bytes,
    Fixed(usize),
    Enum(Vec<String>),
    /// A number of bytes, or `None` if their length precedes them.
    Decimal(Option<usize>),
    Array(Box<Read>),
    Map(Box<Read>),
    Record(Vec<Step>),
    /// Types without a form in the column are errors once a value has them.
    Union(Vec<Result<Read, String>>),
}

/// What is done for a field of the writer's record, in its order, or for a column that the writer lacks.
#[derive(Debug)]
pub(super) enum Step {
    Column(usize, Read),
    Skip(NodeId),
    Default(usize, Absent),
}

/// What a column holds that the writer lacks.
#[derive(Debug)]
pub(super) enum Absent {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(String),
}

/// How values of a writer's schema are read.
pub(super) struct Resolver<'a> {
    pub(super) writer: &'a AvroSchema,
    /// The schema that the user gave, for the defaults of what the writer lacks.
    pub(super) reader: Option<&'a AvroSchema>,
}

impl Resolver<'_> {
    /// How rows with these columns are read. The error says why they can't.
    pub(super) fn rows(&self, columns: &Fields) -> Result<Read, String> {
        self.struct_of(self.writer.root(), columns, self.reader.map(AvroSchema::root))
    }

    /// How a type is read as a row with these columns.
    pub(super) fn struct_of(&self, node: NodeId, columns: &Fields, reader: Option<NodeId>) -> Result<Read, String> {
        let row = Field::new("row", DataType::Struct(columns.clone()), true);
        self.value(node, &row, reader)
    }

    fn value(&self, node: NodeId, column: &Field, reader: Option<NodeId>) -> Result<Read, String> {
        let found = self.writer.node(node);
        let no_form = || {
            let (writer, wanted) = (self.writer.type_name(node), type_name(column.data_type()));
            Err(format!("the schema of the message has {writer} for column {:?}, which is {wanted}", column.name()))
        };
        Ok(match (&found.kind, column.data_type()) {
            (Kind::Null, _) => Read::Null,
            (Kind::Union(branches), _) => {
                let branches: Vec<_> = branches.iter().map(|branch| self.value(*branch, column, reader)).collect();
                match branches.iter().find(|branch| matches!(branch, Ok(Read::Null) | Err(_))) {
                    // Nothing but nulls could be read.
                    Some(_) if !branches.iter().any(|branch| branch.as_ref().is_ok_and(|read| !matches!(read, Read::Null))) => {
                        return no_form();
                    }
                    _ => Read::Union(branches),
                }
            }
            (Kind::Boolean, DataType::Boolean) => Read::Boolean,
            (Kind::Int, DataType::Int8 | DataType::Int16 | DataType::Int32) => Read::Integer,
            (Kind::Int | Kind::Long, DataType::Int64 | DataType::Float32 | DataType::Float64) => Read::Integer,
            (Kind::Float, DataType::Float32 | DataType::Float64) => Read::Float,
            (Kind::Double, DataType::Float64) => Read::Double,
            (Kind::Text | Kind::Bytes, DataType::Utf8) if found.logical.is_none() => Read::Text,
            (Kind::Enum(symbols), DataType::Utf8) => Read::Enum(symbols.clone()),
            (Kind::Text | Kind::Bytes, DataType::Binary) => Read::Bytes,
            (Kind::Fixed(size), DataType::Binary) => Read::Fixed(*size),
            (Kind::Bytes | Kind::Fixed(_), DataType::Decimal128(_, scale)) => {
                let same =
                    |found| matches!(found, Logical::Decimal { scale: of_writer, .. } if i8::try_from(of_writer) == Ok(*scale));
                if !found.logical.is_none_or(same) {
                    return no_form();
                }
                Read::Decimal(if let Kind::Fixed(size) = found.kind { Some(size) } else { None })
            }
            (Kind::Int, DataType::Date32) if found.logical != Some(Logical::TimeMillis) => Read::Ordinal,
            (Kind::Int, DataType::Time32(_)) if found.logical != Some(Logical::Date) => Read::Ordinal,
            (Kind::Long, DataType::Time32(_)) if found.logical == Some(Logical::TimeMicros) => Read::TimeMicros,
            (Kind::Long, DataType::Timestamp(unit, _)) => match found.logical {
                Some(Logical::Timestamp(unit)) => Read::Timestamp(unit),
                None => Read::Timestamp(*unit),
                Some(_) => return no_form(),
            },
            (Kind::Array(items), DataType::List(item)) => {
                let of_reader = reader.and_then(|reader| inner(self.reader, reader));
                Read::Array(Box::new(self.value(*items, item, of_reader)?))
            }
            (Kind::Map(values), DataType::Map(entries, _)) => match entries.data_type() {
                DataType::Struct(fields) if fields.len() == 2 && *fields[0].data_type() == DataType::Utf8 => {
                    let of_reader = reader.and_then(|reader| inner(self.reader, reader));
                    Read::Map(Box::new(self.value(*values, &fields[1], of_reader)?))
                }
                _ => return no_form(),
            },
            (Kind::Record(fields), DataType::Struct(columns)) => Read::Record(self.steps(fields, columns, reader)?),
            _ => return no_form(),
        })
    }

    fn steps(&self, fields: &[RecordField], columns: &Fields, reader: Option<NodeId>) -> Result<Vec<Step>, String> {
        let of_reader = self.reader.zip(reader).and_then(|(schema, node)| schema.record(node)).unwrap_or_default();
        let of_reader = |name: &str| of_reader.iter().find(|field| field.name == name);
        let mut found = vec![false; columns.len()];
        let mut steps = Vec::with_capacity(fields.len());
        for field in fields {
            let column = columns.iter().position(|column| *column.name() == field.name).filter(|column| !found[*column]);
            steps.push(match column {
                None => Step::Skip(field.node),
                Some(index) => {
                    found[index] = true;
                    let reader = of_reader(&field.name).map(|field| field.node);
                    Step::Column(index, self.value(field.node, &columns[index], reader)?)
                }
            });
        }
        for (index, column) in columns.iter().enumerate().filter(|(index, _)| !found[*index]) {
            steps.push(Step::Default(index, absent(column, of_reader(column.name()))?));
        }
        Ok(steps)
    }
}

/// The type of the elements of an array or map, or of the only one in a union with null.
fn inner(schema: Option<&AvroSchema>, node: NodeId) -> Option<NodeId> {
    let schema = schema?;
    let of = |node: NodeId| match &schema.node(node).kind {
        Kind::Array(inner) | Kind::Map(inner) => Some(*inner),
        _ => None,
    };
    match &schema.node(node).kind {
        Kind::Union(branches) => branches.iter().copied().find_map(of),
        _ => of(node),
    }
}

fn absent(column: &Field, reader: Option<&RecordField>) -> Result<Absent, String> {
    let unusable = |default: &Value| {
        format!("the default {default} of column {:?} is none of {}", column.name(), type_name(column.data_type()))
    };
    match (reader.and_then(|field| field.default.as_ref()), column.data_type()) {
        (None | Some(Value::Null), _) if column.is_nullable() => Ok(Absent::Null),
        (None, _) => Err(format!("the schema of the message has no field {:?}, and the column is NOT NULL", column.name())),
        (Some(Value::Bool(value)), DataType::Boolean) => Ok(Absent::Boolean(*value)),
        (Some(Value::String(value)), DataType::Utf8) => Ok(Absent::Text(value.clone())),
        (Some(default @ Value::Number(number)), data_type) => match data_type {
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
                number.as_i64().map(Absent::Integer).ok_or_else(|| unusable(default))
            }
            DataType::Float32 | DataType::Float64 => number.as_f64().map(Absent::Float).ok_or_else(|| unusable(default)),
            _ => Err(unusable(default)),
        },
        (Some(default), _) => Err(unusable(default)),
    }
}

impl Read {
    /// Reads a row, and pushes one value into each column. After an error, some may have one.
    pub(super) fn row(&self, schema: &AvroSchema, cursor: &mut Cursor<'_>, columns: &mut [Column]) -> Result<(), BadValue> {
        match self {
            Self::Record(steps) => record(steps, schema, cursor, columns, true),
            Self::Union(branches) => branch(branches, cursor)?.row(schema, cursor, columns),
            _ => Err(BadValue("the row is null".to_owned())),
        }
    }

    /// Whether the row is null. If not, [`Self::row`] reads it from the cursor.
    pub(super) fn is_null(&self, cursor: &mut Cursor<'_>) -> Result<bool, BadValue> {
        match self {
            Self::Null => Ok(true),
            Self::Union(branches) => Ok(matches!(branch(branches, cursor)?, Self::Null)),
            _ => Ok(false),
        }
    }

    fn value(&self, schema: &AvroSchema, cursor: &mut Cursor<'_>, column: &mut Column) -> Result<(), BadValue> {
        match self {
            Self::Null => column.push_null(),
            Self::Boolean => column.push_bool(cursor.boolean()?),
            Self::Integer => column.push_i64(cursor.long()?),
            Self::Ordinal => column.push_ordinal(cursor.int()?.into()),
            Self::TimeMicros => column.push_ordinal(cursor.long()?.div_euclid(1_000)),
            Self::Timestamp(unit) => timestamp(cursor.long()?, *unit, column),
            Self::Float => column.push_f64(cursor.float()?.into()),
            Self::Double => column.push_f64(cursor.double()?),
            Self::Text => column.push_text(cursor.bytes()?),
            Self::Bytes => column.push_bytes(cursor.bytes()?),
            Self::Fixed(size) => column.push_bytes(cursor.fixed(*size)?),
            Self::Enum(symbols) => column.push_str(&symbols[cursor.position(symbols.len(), "the symbol")?]),
            Self::Decimal(size) => {
                let bytes = match size {
                    Some(size) => cursor.fixed(*size),
                    None => cursor.bytes(),
                };
                decimal(bytes?, column)
            }
            Self::Array(read) => match column.values_mut() {
                Values::List { ends, items } => {
                    cursor.items(|cursor| read.value(schema, cursor, items))?;
                    ends.push(end(items.len())?);
                    Ok(())
                }
                _ => Err(other_column(column)),
            },
            Self::Map(read) => match column.values_mut() {
                Values::Map { ends, keys, values } => {
                    let mut seen = BTreeSet::new();
                    cursor.items(|cursor| {
                        let key = cursor.bytes()?;
                        if !seen.insert(key) {
                            return Err(BadValue(format!("a map has the key {:?} twice", String::from_utf8_lossy(key))));
                        }
                        keys.push_text(key)?;
                        read.value(schema, cursor, values)
                    })?;
                    ends.push(end(keys.len())?);
                    Ok(())
                }
                _ => Err(other_column(column)),
            },
            Self::Record(steps) => match column.values_mut() {
                Values::Row(fields, rows) => {
                    record(steps, schema, cursor, fields, false)?;
                    *rows += 1;
                    Ok(())
                }
                _ => Err(other_column(column)),
            },
            Self::Union(branches) => branch(branches, cursor)?.value(schema, cursor, column),
        }
    }
}

fn record(
    steps: &[Step],
    schema: &AvroSchema,
    cursor: &mut Cursor<'_>,
    columns: &mut [Column],
    names_columns: bool,
) -> Result<(), BadValue> {
    for step in steps {
        match step {
            Step::Skip(node) => cursor.skip(schema, *node)?,
            Step::Column(index, read) => {
                let column = &mut columns[*index];
                if let Err(reason) = read.value(schema, cursor, column) {
                    // Only the outermost row names its column.
                    let named = || BadValue(format!("{reason}; column {:?}", column.name()));
                    return Err(if names_columns { named() } else { reason });
                }
            }
            Step::Default(index, absent) => {
                let column = &mut columns[*index];
                match absent {
                    Absent::Null => column.push_null(),
                    Absent::Boolean(value) => column.push_bool(*value),
                    Absent::Integer(value) => column.push_i64(*value),
                    Absent::Float(value) => column.push_f64(*value),
                    Absent::Text(value) => column.push_str(value),
                }?;
            }
        }
    }
    Ok(())
}

fn branch<'a>(branches: &'a [Result<Read, String>], cursor: &mut Cursor<'_>) -> Result<&'a Read, BadValue> {
    branches[cursor.position(branches.len(), "the type")?].as_ref().map_err(|reason| BadValue(reason.clone()))
}

fn other_column(column: &Column) -> BadValue {
    BadValue(format!("column {:?} holds no such values", column.name()))
}

fn timestamp(value: i64, from: TimeUnit, column: &mut Column) -> Result<(), BadValue> {
    let Values::Timestamp(values, to) = column.values_mut() else { return Err(other_column(column)) };
    let converted = in_unit(value, from, *to);
    values.push(converted.ok_or_else(|| BadValue(format!("the timestamp {value} is out of range")))?);
    Ok(())
}

/// The time in another unit; parts of a unit are cut off, into the past. `None`: it does not fit.
pub(super) fn in_unit(value: i64, from: TimeUnit, to: TimeUnit) -> Option<i64> {
    let per_second = |unit: TimeUnit| match unit {
        TimeUnit::Second => 1_i64,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    };
    let (from, to) = (per_second(from), per_second(to));
    if to >= from { value.checked_mul(to / from) } else { Some(value.div_euclid(from / to)) }
}

/// The number whose two's complement these bytes are, the most significant one first. As in Flink, one with too many digits is null.
fn decimal(bytes: &[u8], column: &mut Column) -> Result<(), BadValue> {
    let negative = bytes.first().is_some_and(|byte| *byte >= 0x80);
    let filler = if negative { 0xff } else { 0 };
    let (above, low) = bytes.split_at(bytes.len().saturating_sub(16));
    let mut all = [filler; 16];
    all[16 - low.len()..].copy_from_slice(low);
    let value = i128::from_be_bytes(all);
    let Values::Decimal { precision, .. } = column.values_mut() else { return Err(other_column(column)) };
    let fits = above.iter().all(|byte| *byte == filler) && (value < 0) == negative;
    let limit = 10_u128.pow(u32::from((*precision).min(38)));
    if fits && value.unsigned_abs() < limit { column.push_unscaled(value) } else { column.push_null() }
}
