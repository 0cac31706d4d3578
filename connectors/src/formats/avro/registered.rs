//! Messages that begin with the number of their schema: a zero byte, the number in four bytes, and the row in Avro's binary form. This is
//! the form of Confluent's schema registry.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use arrow_array::RecordBatch;
use arrow_schema::{Fields, Schema, SchemaRef};
use serde::Deserialize;
use weir_dataflow::operator::OperatorError;

use super::derive::{TimestampMapping, schema_of};
use super::read::Resolver;
use super::schema::AvroSchema;
use super::write::Write;
use super::{RowPlan, unusable};
use crate::formats::{Messages, RowDecoder, RowEncoder};
use crate::options;
use crate::rows::RowBuffer;
use crate::rows::column::BadValue;
use crate::rows::text::members_of;

/// How many schemas a decoder remembers. A topic has a few; more may be made up by bad messages.
const MAX_SCHEMAS: usize = 1_000;

/// The options of the formats whose schemas are in a registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryOptions {
    /// The address of the registry, such as `http://host:8081`. It can have a path.
    pub url: String,
    /// Under which name a sink registers its schema. A source needs none.
    #[serde(default)]
    pub subject: Option<String>,
    /// The schema in which a sink writes. A source takes from it what a column holds that messages lack. By default the columns decide.
    #[serde(default)]
    pub schema: Option<String>,
    /// `user:password` for the registry.
    #[serde(default)]
    pub basic_auth: Option<String>,
    #[serde(default)]
    pub bearer_token: Option<String>,
    /// A file of certificates in PEM form, by which the registry is known. By default the system's count.
    #[serde(default)]
    pub truststore: Option<String>,
    /// A file in PEM form with the certificates and the key that this client shows.
    #[serde(default)]
    pub keystore: Option<String>,
}

impl RegistryOptions {
    /// The schema in which rows with these columns are written. Errors: `CONN-TYPE`; `AVRO-SCHEMA` if the given one does not fit.
    pub fn schema_of_rows(&self, columns: &Schema) -> Result<String, OperatorError> {
        match &self.schema {
            Some(given) => Ok(given.clone()),
            None => schema_of(columns.fields(), TimestampMapping::Legacy),
        }
    }

    fn given_schema(&self) -> Result<Option<AvroSchema>, OperatorError> {
        self.schema.as_deref().map(AvroSchema::parse).transpose().map_err(unusable)
    }

    /// The error for the use of such a format without a registry.
    pub(crate) fn without_registry<T>() -> Result<T, OperatorError> {
        Err(options::invalid("format avro-confluent", "only Kafka's records have it"))
    }
}

/// The number of a schema in its registry.
pub type SchemaId = u32;

/// What is known about a schema.
#[derive(Debug, Clone)]
pub enum SchemaAnswer {
    /// Its JSON form.
    Known(Arc<str>),
    /// There is none that could be used, for this reason.
    Unusable(String),
    /// It has been asked for.
    Pending,
}

/// Where the schemas of messages come from. A call does not wait: an answer that takes time is [`SchemaAnswer::Pending`] until it is
/// there.
pub trait SchemaSource: Send {
    /// Error: that of the registry, if it gives no answer.
    fn schema(&mut self, id: SchemaId) -> Result<SchemaAnswer, OperatorError>;
}

/// The schema number of a message, and the rest of it.
pub(super) fn split(message: &[u8]) -> Result<(SchemaId, &[u8]), BadValue> {
    match message {
        [0, a, b, c, d, rest @ ..] => match i32::from_be_bytes([*a, *b, *c, *d]) {
            id @ 0.. => Ok((id.unsigned_abs(), rest)),
            id => Err(BadValue(format!("the number of the message's schema is {id}"))),
        },
        [0, ..] | [] => Err(BadValue(format!(
            "the message has {} bytes, too few for the number of a schema: was it written with a schema registry?",
            message.len()
        ))),
        [first, ..] => Err(BadValue(format!(
            "the message begins with the byte {first}, not with 0 and the number of a schema: was it written with a schema registry?"
        ))),
    }
}

/// What was made of the schemas that messages had so far.
pub(super) struct Plans<P> {
    source: Box<dyn SchemaSource>,
    /// A reason stands for a schema whose rows can't be read.
    known: BTreeMap<SchemaId, Result<Arc<P>, String>>,
    last: Option<(SchemaId, Arc<P>)>,
}

impl<P> Plans<P> {
    pub(super) fn new(source: Box<dyn SchemaSource>) -> Self {
        Self { source, known: BTreeMap::new(), last: None }
    }

    /// Whether it is known how such a message is read, or why it can't be. If not, its schema was asked for. `make` gets a schema.
    pub(super) fn is_ready(
        &mut self,
        message: &[u8],
        make: impl FnOnce(AvroSchema) -> Result<P, String>,
    ) -> Result<bool, OperatorError> {
        let Ok((id, _)) = split(message) else { return Ok(true) };
        if self.last.as_ref().is_some_and(|(last, _)| *last == id) || self.known.contains_key(&id) {
            return Ok(true);
        }
        let plan = match self.source.schema(id)? {
            SchemaAnswer::Pending => return Ok(false),
            SchemaAnswer::Known(text) => AvroSchema::parse(&text)
                .and_then(make)
                .map(Arc::new)
                .map_err(|reason| format!("the rows of schema {id} can't be read: {reason}")),
            SchemaAnswer::Unusable(reason) => Err(reason),
        };
        if self.known.len() >= MAX_SCHEMAS {
            self.known.clear();
        }
        self.known.insert(id, plan);
        Ok(true)
    }

    /// How a message is read, and the bytes of its row.
    pub(super) fn of<'a>(&mut self, message: &'a [u8]) -> Result<(Arc<P>, &'a [u8]), BadValue> {
        let (id, bytes) = split(message)?;
        if let Some((last, plan)) = &self.last
            && *last == id
        {
            return Ok((Arc::clone(plan), bytes));
        }
        let plan = match self.known.get(&id) {
            Some(Ok(plan)) => Arc::clone(plan),
            Some(Err(reason)) => return Err(BadValue(reason.clone())),
            None => return Err(BadValue(format!("the schema {id} was not asked for; please report this"))),
        };
        self.last = Some((id, Arc::clone(&plan)));
        Ok((plan, bytes))
    }
}

/// Reads rows of whatever schemas messages have.
pub struct RegisteredDecoder {
    columns: Fields,
    reader: Option<AvroSchema>,
    plans: Plans<RowPlan>,
}

impl RegisteredDecoder {
    /// Reads the columns at the positions `wanted`. Errors: `AVRO-SCHEMA` if the given schema can't be read.
    pub fn new(
        options: &RegistryOptions,
        schema: &Schema,
        wanted: &[usize],
        source: Box<dyn SchemaSource>,
    ) -> Result<Self, OperatorError> {
        let columns = schema.project(wanted).map_err(|error| unusable(error.to_string()))?;
        Ok(Self { columns: columns.fields().clone(), reader: options.given_schema()?, plans: Plans::new(source) })
    }
}

impl RowDecoder for RegisteredDecoder {
    fn is_ready(&mut self, message: &[u8]) -> Result<bool, OperatorError> {
        let (columns, reader) = (&self.columns, self.reader.as_ref());
        self.plans.is_ready(message, |writer| {
            let read = Resolver { writer: &writer, reader }.rows(columns)?;
            Ok(RowPlan { read, schema: Arc::new(writer) })
        })
    }

    fn decode(&mut self, message: &[u8], rows: &mut RowBuffer) -> Result<usize, BadValue> {
        let (plan, bytes) = self.plans.of(message)?;
        plan.decode(bytes, rows)
    }
}

/// The number that a sink's schema got when it was registered.
pub(super) fn begin(out: &mut Vec<u8>, id: &OnceLock<SchemaId>) -> Result<(), OperatorError> {
    let missing =
        || OperatorError::retryable("AVRO-SCHEMA", "the schema was not registered before the rows came; please report this");
    let id = id.get().ok_or_else(missing)?;
    out.push(0);
    out.extend_from_slice(&id.to_be_bytes());
    Ok(())
}

/// Writes rows in one schema.
pub struct RegisteredEncoder {
    write: Write,
    id: Arc<OnceLock<SchemaId>>,
}

impl RegisteredEncoder {
    /// `id` must be set before the first row. Errors: `CONN-TYPE`; `AVRO-SCHEMA` if the given schema does not fit the columns.
    pub fn new(options: &RegistryOptions, schema: &SchemaRef, id: Arc<OnceLock<SchemaId>>) -> Result<Self, OperatorError> {
        let avro = AvroSchema::parse(&options.schema_of_rows(schema)?).map_err(unusable)?;
        Ok(Self { write: Write::rows(&avro, schema.fields()).map_err(unusable)?, id })
    }
}

impl RowEncoder for RegisteredEncoder {
    fn encode(&mut self, batch: &RecordBatch, out: &mut Messages) -> Result<(), OperatorError> {
        let columns = members_of(batch)?;
        for row in 0..batch.num_rows() {
            begin(out.buffer(), &self.id)?;
            self.write.row(out.buffer(), &columns, row)?;
            out.end_message();
        }
        Ok(())
    }
}
