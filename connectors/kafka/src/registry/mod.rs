//! Formats whose schemas are in a schema registry that speaks Confluent's REST protocol.
//!
//! Requests run on the runtime of connections ([`io_runtime`](crate::client::io_runtime)). A source that meets a message with an unknown
//! schema waits with this message until the schema is there; a sink takes no rows until its schema is registered.

mod client;
mod lookups;
mod registration;

use std::sync::{Arc, OnceLock};

use arrow_schema::SchemaRef;
use weir_connectors::formats::avro::{ChangeDecoder, ChangeEncoder, RegisteredDecoder, RegisteredEncoder, SchemaId};
use weir_connectors::formats::{FormatOptions, RowDecoder, RowEncoder};
use weir_connectors::options;
use weir_dataflow::operator::OperatorError;

use self::client::Registry;
pub(crate) use self::lookups::Bell;
use self::lookups::Lookups;
pub(crate) use self::registration::Registrations;

/// Reads messages of a format into the columns at the positions `wanted`. `bell` rings when a schema has come. Errors: those of
/// [`FormatOptions::decoder`], and `CONN-OPTION` for an address that is none.
pub(crate) fn decoder(
    format: &FormatOptions,
    schema: &SchemaRef,
    wanted: &[usize],
    bell: &Arc<Bell>,
) -> Result<Box<dyn RowDecoder>, OperatorError> {
    let Some(options) = format.registry() else { return format.projecting_decoder(schema, wanted) };
    let source = Box::new(Lookups::new(Registry::new("source.kafka", options)?, Arc::clone(bell)));
    Ok(match format.has_changes() {
        true => Box::new(ChangeDecoder::new(options, schema, wanted, source)?),
        false => Box::new(RegisteredDecoder::new(options, schema, wanted, source)?),
    })
}

/// Writes rows as messages of a format. If their schema must be registered for that, this is added to `registrations`. Errors: those of
/// [`FormatOptions::encoder`], and `CONN-OPTION` without a subject.
pub(crate) fn encoder(
    format: &FormatOptions,
    schema: &SchemaRef,
    registrations: &mut Registrations,
) -> Result<Box<dyn RowEncoder>, OperatorError> {
    let Some(options) = format.registry() else { return format.encoder(schema) };
    let missing = || options::invalid("sink.kafka", "a format with a registry needs a subject");
    let subject = options.subject.clone().filter(|subject| !subject.is_empty()).ok_or_else(missing)?;
    let registry = Registry::new("sink.kafka", options)?;
    let id: Arc<OnceLock<SchemaId>> = Arc::default();
    let (encoder, text): (Box<dyn RowEncoder>, _) = match format.has_changes() {
        true => (Box::new(ChangeEncoder::new(options, schema, Arc::clone(&id))?), ChangeEncoder::schema(schema)?),
        false => (Box::new(RegisteredEncoder::new(options, schema, Arc::clone(&id))?), options.schema_of_rows(schema)?),
    };
    registrations.add(registry, subject, text, id);
    Ok(encoder)
}
