//! Writes rows in Avro's binary form.

use arrow_schema::{DataType, Field, Fields, TimeUnit};
use weir_dataflow::operator::OperatorError;
use weir_dataflow::schema::type_name;

use super::read::in_unit;
use super::schema::{AvroSchema, Kind, Logical, NodeId};
use crate::rows::view::{Member, Values, View};

/// How a value of a column is written.
#[derive(Debug)]
pub(super) enum Write {
    /// A value of a fixed form: numbers, booleans, texts and bytes.
    Plain,
    Fixed(usize),
    Enum(Vec<String>),
    /// The number of bytes, if it is fixed.
    Decimal(Option<usize>),
    TimeMicros,
    Timestamp(TimeUnit),
    Array(Box<Write>),
    Map(Box<Write>),
    /// The position of the column of each field, in the order of the schema.
    Record(Vec<(usize, Write)>),
    /// The positions of null and of the value.
    Optional {
        null: u8,
        value: u8,
        write: Box<Write>,
    },
}

impl Write {
    /// How rows with these columns are written with this schema. The error says why they can't.
    pub(super) fn rows(schema: &AvroSchema, columns: &Fields) -> Result<Self, String> {
        let row = Field::new("row", DataType::Struct(columns.clone()), false);
        Self::of(schema, schema.root(), &row)
    }

    pub(super) fn of(schema: &AvroSchema, node: NodeId, column: &Field) -> Result<Self, String> {
        let is_null = |branch: &NodeId| matches!(schema.node(*branch).kind, Kind::Null);
        let optional = |null, value, branch: &NodeId| {
            Ok(Self::Optional { null, value, write: Box::new(Self::present(schema, *branch, column)?) })
        };
        match &schema.node(node).kind {
            Kind::Union(branches) => match branches.as_slice() {
                [first, second] if is_null(first) => optional(0, 1, second),
                [first, second] if is_null(second) => optional(1, 0, first),
                _ => no_form(schema, node, column),
            },
            _ if column.is_nullable() => {
                Err(format!("the schema has {} for column {:?}, which can be NULL", schema.type_name(node), column.name()))
            }
            _ => Self::present(schema, node, column),
        }
    }

    /// How a value that is not null is written.
    fn present(schema: &AvroSchema, node: NodeId, column: &Field) -> Result<Self, String> {
        let found = schema.node(node);
        let no_form = || no_form(schema, node, column);
        let timestamp = |unit: &TimeUnit| match found.logical {
            Some(Logical::Timestamp(unit)) => Ok(Self::Timestamp(unit)),
            None => Ok(Self::Timestamp(*unit)),
            Some(_) => no_form(),
        };
        Ok(match (&found.kind, column.data_type()) {
            (Kind::Boolean, DataType::Boolean)
            | (Kind::Int, DataType::Int8 | DataType::Int16 | DataType::Int32)
            | (Kind::Long, DataType::Int64)
            | (Kind::Float, DataType::Float32)
            | (Kind::Double, DataType::Float64)
            | (Kind::Text, DataType::Utf8)
            | (Kind::Bytes, DataType::Binary)
                if found.logical.is_none() =>
            {
                Self::Plain
            }
            (Kind::Int, DataType::Date32) if matches!(found.logical, None | Some(Logical::Date)) => Self::Plain,
            (Kind::Int, DataType::Time32(_)) if matches!(found.logical, None | Some(Logical::TimeMillis)) => Self::Plain,
            (Kind::Long, DataType::Time32(_)) if found.logical == Some(Logical::TimeMicros) => Self::TimeMicros,
            (Kind::Long, DataType::Timestamp(unit, _)) => timestamp(unit)?,
            (Kind::Enum(symbols), DataType::Utf8) => Self::Enum(symbols.clone()),
            (Kind::Fixed(size), DataType::Binary) if found.logical.is_none() => Self::Fixed(*size),
            (Kind::Bytes | Kind::Fixed(_), DataType::Decimal128(precision, scale)) => match found.logical {
                Some(Logical::Decimal { precision: most, scale: wanted })
                    if i8::try_from(wanted) == Ok(*scale) && *precision <= most =>
                {
                    Self::Decimal(if let Kind::Fixed(size) = found.kind { Some(size) } else { None })
                }
                _ => return no_form(),
            },
            (Kind::Array(items), DataType::List(item)) => Self::Array(Box::new(Self::of(schema, *items, item)?)),
            (Kind::Map(values), DataType::Map(entries, _)) => match entries.data_type() {
                DataType::Struct(fields) if fields.len() == 2 && *fields[0].data_type() == DataType::Utf8 => {
                    Self::Map(Box::new(Self::of(schema, *values, &fields[1])?))
                }
                _ => return no_form(),
            },
            (Kind::Record(_), DataType::Struct(columns)) => Self::Record(Self::fields(schema, node, columns)?),
            _ => return no_form(),
        })
    }

    fn fields(schema: &AvroSchema, node: NodeId, columns: &Fields) -> Result<Vec<(usize, Self)>, String> {
        let fields = schema.record(node).unwrap_or_default();
        if let Some(column) = columns.iter().find(|column| fields.iter().all(|field| field.name != *column.name())) {
            return Err(format!("the schema has no field for column {:?}", column.name()));
        }
        let field = |field: &super::schema::RecordField| {
            let missing = || format!("the schema has a field {:?}, for which there is no column", field.name);
            let column = columns.iter().position(|column| *column.name() == field.name).ok_or_else(missing)?;
            Ok((column, Self::of(schema, field.node, &columns[column])?))
        };
        fields.iter().map(field).collect()
    }

    /// Writes a row. Error: `AVRO-VALUE` for a value that the schema has no form for.
    pub(super) fn row(&self, out: &mut Vec<u8>, members: &[Member<'_>], row: usize) -> Result<(), OperatorError> {
        match self {
            Self::Record(fields) => fields.iter().try_for_each(|(column, write)| write.value(out, &members[*column].view, row)),
            Self::Optional { value, write, .. } => {
                append_long(out, (*value).into());
                write.row(out, members, row)
            }
            _ => Err(unfit("a row")),
        }
    }

    fn value(&self, out: &mut Vec<u8>, view: &View<'_>, row: usize) -> Result<(), OperatorError> {
        if let Self::Optional { null, value, write } = self {
            let is_null = view.is_null(row);
            append_long(out, i64::from(if is_null { *null } else { *value }));
            return if is_null { Ok(()) } else { write.value(out, view, row) };
        }
        if view.is_null(row) {
            return Err(unfit("NULL"));
        }
        match (self, view.values()) {
            (Self::Plain, values) => return plain(out, values, row),
            (Self::Fixed(size), Values::Bytes(values)) if values.value(row).len() == *size => {
                out.extend_from_slice(values.value(row));
            }
            (Self::Fixed(size), Values::Bytes(values)) => {
                return Err(unfit(&format!("{} bytes where the schema has fixed({size})", values.value(row).len())));
            }
            (Self::Enum(symbols), Values::Text(values)) => {
                let text = values.value(row);
                let symbol = symbols.iter().position(|symbol| symbol == text);
                append_long(out, symbol.ok_or_else(|| unfit(&format!("{text:?}, which is no symbol of the enum")))? as i64);
            }
            (Self::Decimal(size), Values::Decimal(values, _)) => decimal(out, values.value(row), *size)?,
            (Self::TimeMicros, Values::Time(values)) => append_long(out, i64::from(values.value(row)) * 1_000),
            (Self::Timestamp(to), Values::Timestamp(values, from, _)) => {
                let value = in_unit(values[row], *from, *to);
                append_long(out, value.ok_or_else(|| unfit(&format!("the timestamp {}", values[row])))?);
            }
            (Self::Array(write), Values::List(list, items)) => {
                let offsets = list.value_offsets();
                let range = offsets[row] as usize..offsets[row + 1] as usize;
                block(out, range, |out, item| write.value(out, items, item))?;
            }
            (Self::Map(write), Values::Map(map, keys, values)) => {
                let offsets = map.value_offsets();
                let range = offsets[row] as usize..offsets[row + 1] as usize;
                block(out, range, |out, entry| {
                    if keys.is_null(entry) {
                        return Err(unfit("a map with a NULL key"));
                    }
                    plain(out, keys.values(), entry)?;
                    write.value(out, values, entry)
                })?;
            }
            (Self::Record(_), Values::Row(members)) => return self.row(out, members, row),
            _ => return Err(unfit("a value of another type")),
        }
        Ok(())
    }
}

/// Writes elements as one block, and the end of blocks.
fn block(
    out: &mut Vec<u8>,
    range: std::ops::Range<usize>,
    write: impl Fn(&mut Vec<u8>, usize) -> Result<(), OperatorError>,
) -> Result<(), OperatorError> {
    if !range.is_empty() {
        append_long(out, range.len() as i64);
        range.into_iter().try_for_each(|element| write(out, element))?;
    }
    out.push(0);
    Ok(())
}

fn plain(out: &mut Vec<u8>, values: &Values<'_>, row: usize) -> Result<(), OperatorError> {
    match values {
        Values::Boolean(values) => out.push(values.value(row).into()),
        Values::Tinyint(values) => append_long(out, values.value(row).into()),
        Values::Smallint(values) => append_long(out, values.value(row).into()),
        Values::Int(values) => append_long(out, values.value(row).into()),
        Values::Bigint(values) => append_long(out, values.value(row)),
        Values::Float(values) => out.extend_from_slice(&values.value(row).to_le_bytes()),
        Values::Double(values) => out.extend_from_slice(&values.value(row).to_le_bytes()),
        Values::Text(values) => append_bytes(out, values.value(row).as_bytes()),
        Values::Bytes(values) => append_bytes(out, values.value(row)),
        Values::Date(values) => append_long(out, values.value(row).into()),
        Values::Time(values) => append_long(out, values.value(row).into()),
        _ => return Err(unfit("a value of another type")),
    }
    Ok(())
}

/// The two's complement, the most significant byte first, in as few bytes as there can be, or in as many as there must be.
fn decimal(out: &mut Vec<u8>, value: i128, size: Option<usize>) -> Result<(), OperatorError> {
    let all = value.to_be_bytes();
    let filler = if value < 0 { 0xff } else { 0 };
    let is_needless = |at: &usize| all[*at] == filler && (all[at + 1] >= 0x80) == (value < 0);
    let start = (0..15).take_while(is_needless).count();
    let bytes = &all[start..];
    match size {
        None => append_bytes(out, bytes),
        Some(size) if bytes.len() <= size => {
            out.resize(out.len() + size - bytes.len(), filler);
            out.extend_from_slice(bytes);
        }
        Some(size) => return Err(unfit(&format!("a decimal of {} bytes where the schema has fixed({size})", bytes.len()))),
    }
    Ok(())
}

fn append_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    append_long(out, bytes.len() as i64);
    out.extend_from_slice(bytes);
}

pub(super) fn append_text(out: &mut Vec<u8>, text: &str) {
    append_bytes(out, text.as_bytes());
}

#[inline]
pub(super) fn append_long(out: &mut Vec<u8>, value: i64) {
    let mut bits = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while bits >= 0x80 {
        out.push((bits & 0x7f) as u8 | 0x80);
        bits >>= 7;
    }
    out.push(bits as u8);
}

fn no_form(schema: &AvroSchema, node: NodeId, column: &Field) -> Result<Write, String> {
    let (avro, given) = (schema.type_name(node), type_name(column.data_type()));
    Err(format!("the schema has {avro} for column {:?}, which is {given}", column.name()))
}

fn unfit(what: &str) -> OperatorError {
    OperatorError::fatal("AVRO-VALUE", format!("format avro: a row has {what}, which the schema has no form for"))
}
