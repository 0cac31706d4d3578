//! Avro schemas, read from their JSON form.
//!
//! Only what rows need is kept: documentation and properties that are no logical types are left out.

use std::collections::BTreeMap;

use arrow_schema::TimeUnit;
use serde_json::{Map, Value};

/// Most types of a union. Each is resolved by itself, and those of a real schema differ in kind or name.
const MAX_BRANCHES: usize = 100;

/// A schema. Named types are read once and shared, so a schema can be recursive.
#[derive(Debug)]
pub(super) struct AvroSchema {
    nodes: Vec<Node>,
    root: NodeId,
}

/// A type within its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeId(usize);

#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) logical: Option<Logical>,
}

#[derive(Debug)]
pub(super) enum Kind {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    /// The number of bytes.
    Fixed(usize),
    /// What its symbols are called, by their numbers.
    Enum(Vec<String>),
    Array(NodeId),
    Map(NodeId),
    Union(Vec<NodeId>),
    Record(Vec<RecordField>),
}

#[derive(Debug)]
pub(super) struct RecordField {
    pub(super) name: String,
    pub(super) node: NodeId,
    pub(super) default: Option<Value>,
}

/// What a number or bytes stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Logical {
    Date,
    TimeMillis,
    TimeMicros,
    Timestamp(TimeUnit),
    Decimal { precision: u8, scale: u8 },
}

impl AvroSchema {
    /// Reads the JSON form. The error says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
        let mut parser = Parser { nodes: Vec::new(), names: BTreeMap::new() };
        let root = parser.node(&value, "")?;
        Ok(Self { nodes: parser.nodes, root })
    }

    pub(super) fn root(&self) -> NodeId {
        self.root
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// The fields of a record, or of the record that is the only type of a union besides null.
    pub(super) fn record(&self, id: NodeId) -> Option<&[RecordField]> {
        match &self.node(id).kind {
            Kind::Record(fields) => Some(fields),
            Kind::Union(branches) => {
                let mut others = branches.iter().filter(|branch| !matches!(self.node(**branch).kind, Kind::Null));
                match (others.next(), others.next()) {
                    (Some(only), None) => match &self.node(*only).kind {
                        Kind::Record(fields) => Some(fields),
                        _ => None,
                    },
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The name of a type, for messages.
    pub(super) fn type_name(&self, id: NodeId) -> String {
        let node = self.node(id);
        let name = match &node.kind {
            Kind::Null => "null",
            Kind::Boolean => "boolean",
            Kind::Int => "int",
            Kind::Long => "long",
            Kind::Float => "float",
            Kind::Double => "double",
            Kind::Bytes => "bytes",
            Kind::Text => "string",
            Kind::Fixed(_) => "fixed",
            Kind::Enum(_) => "enum",
            Kind::Array(_) => "array",
            Kind::Map(_) => "map",
            Kind::Record(_) => "record",
            Kind::Union(branches) => {
                let names: Vec<_> = branches.iter().map(|branch| self.type_name(*branch)).collect();
                return format!("union of {}", names.join(", "));
            }
        };
        match node.logical {
            Some(Logical::Decimal { precision, scale }) => format!("{name}, a decimal({precision}, {scale})"),
            Some(Logical::Date) => format!("{name}, a date"),
            Some(Logical::TimeMillis | Logical::TimeMicros) => format!("{name}, a time of day"),
            Some(Logical::Timestamp(_)) => format!("{name}, a timestamp"),
            None => name.to_owned(),
        }
    }
}

struct Parser {
    nodes: Vec<Node>,
    /// Named types by their full names.
    names: BTreeMap<String, NodeId>,
}

impl Parser {
    /// JSON is nested at most 128 levels deep, and so is this.
    fn node(&mut self, value: &Value, namespace: &str) -> Result<NodeId, String> {
        match value {
            Value::String(name) => self.named(name, namespace),
            Value::Array(branches) if branches.len() > MAX_BRANCHES => {
                Err(format!("a union has {} types, more than {MAX_BRANCHES}", branches.len()))
            }
            Value::Array(branches) => {
                let branches = branches.iter().map(|branch| self.node(branch, namespace)).collect::<Result<_, _>>()?;
                Ok(self.add(Kind::Union(branches), None))
            }
            Value::Object(object) => match object.get("type") {
                Some(Value::String(name)) => self.object(object, name, namespace),
                Some(inner) => self.node(inner, namespace),
                None => Err("an object has no member \"type\"".to_owned()),
            },
            other => Err(format!("{other} is no type")),
        }
    }

    fn add(&mut self, kind: Kind, logical: Option<Logical>) -> NodeId {
        self.nodes.push(Node { kind, logical });
        NodeId(self.nodes.len() - 1)
    }

    /// A primitive type, or one that was defined before.
    fn named(&mut self, name: &str, namespace: &str) -> Result<NodeId, String> {
        if let Some(kind) = primitive(name) {
            return Ok(self.add(kind, None));
        }
        let found = self.names.get(&full_name(name, namespace)).or_else(|| self.names.get(name));
        found.copied().ok_or_else(|| format!("there is no type {name:?}"))
    }

    fn object(&mut self, object: &Map<String, Value>, name: &str, namespace: &str) -> Result<NodeId, String> {
        match name {
            "record" | "error" => self.record(object, namespace),
            "enum" => {
                let symbols = member(object, "symbols")?.as_array().ok_or("\"symbols\" is no array")?;
                let symbol = |symbol: &Value| symbol.as_str().map(str::to_owned).ok_or("a symbol is no text");
                let symbols = symbols.iter().map(symbol).collect::<Result<_, _>>()?;
                let id = self.add(Kind::Enum(symbols), None);
                self.define(object, namespace, id).map(|_| id)
            }
            "fixed" => {
                let size = member(object, "size")?.as_u64().and_then(|size| usize::try_from(size).ok());
                let kind = Kind::Fixed(size.ok_or("\"size\" is no number of bytes")?);
                let logical = logical(object, &kind);
                let id = self.add(kind, logical);
                self.define(object, namespace, id).map(|_| id)
            }
            "array" => {
                let items = self.node(member(object, "items")?, namespace)?;
                Ok(self.add(Kind::Array(items), None))
            }
            "map" => {
                let values = self.node(member(object, "values")?, namespace)?;
                Ok(self.add(Kind::Map(values), None))
            }
            _ => match primitive(name) {
                Some(kind) => {
                    let logical = logical(object, &kind);
                    Ok(self.add(kind, logical))
                }
                None => self.named(name, namespace),
            },
        }
    }

    fn record(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<NodeId, String> {
        // A field can be of the type of its own record.
        let id = self.add(Kind::Record(Vec::new()), None);
        let namespace = self.define(object, namespace, id)?;
        let mut fields: Vec<RecordField> = Vec::new();
        for field in member(object, "fields")?.as_array().ok_or("\"fields\" is no array")? {
            let field = field.as_object().ok_or("a field is no object")?;
            let name = text(field, "name")?;
            let node = self.node(member(field, "type")?, &namespace).map_err(|reason| format!("field {name:?}: {reason}"))?;
            fields.push(RecordField { name: name.to_owned(), node, default: field.get("default").cloned() });
        }
        self.nodes[id.0].kind = Kind::Record(fields);
        Ok(id)
    }

    /// Gives a type its name, and returns the namespace for the types in it.
    fn define(&mut self, object: &Map<String, Value>, namespace: &str, id: NodeId) -> Result<String, String> {
        let namespace = object.get("namespace").and_then(Value::as_str).unwrap_or(namespace);
        let name = full_name(text(object, "name")?, namespace);
        let inner = name.rsplit_once('.').map_or("", |(namespace, _)| namespace).to_owned();
        match self.names.insert(name.clone(), id) {
            Some(_) => Err(format!("the type {name:?} is defined twice")),
            None => Ok(inner),
        }
    }
}

fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a Value, String> {
    object.get(name).ok_or_else(|| format!("there is no member {name:?}"))
}

fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a str, String> {
    member(object, name)?.as_str().ok_or_else(|| format!("{name:?} is no text"))
}

fn full_name(name: &str, namespace: &str) -> String {
    if namespace.is_empty() || name.contains('.') { name.to_owned() } else { format!("{namespace}.{name}") }
}

fn primitive(name: &str) -> Option<Kind> {
    Some(match name {
        "null" => Kind::Null,
        "boolean" => Kind::Boolean,
        "int" => Kind::Int,
        "long" => Kind::Long,
        "float" => Kind::Float,
        "double" => Kind::Double,
        "bytes" => Kind::Bytes,
        "string" => Kind::Text,
        _ => return None,
    })
}

/// The logical type, if it fits. One that is unknown or does not fit has no meaning, as Avro's specification says.
fn logical(object: &Map<String, Value>, kind: &Kind) -> Option<Logical> {
    let number = |name: &str| object.get(name).and_then(Value::as_u64);
    Some(match (object.get("logicalType")?.as_str()?, kind) {
        ("date", Kind::Int) => Logical::Date,
        ("time-millis", Kind::Int) => Logical::TimeMillis,
        ("time-micros", Kind::Long) => Logical::TimeMicros,
        ("timestamp-millis" | "local-timestamp-millis", Kind::Long) => Logical::Timestamp(TimeUnit::Millisecond),
        ("timestamp-micros" | "local-timestamp-micros", Kind::Long) => Logical::Timestamp(TimeUnit::Microsecond),
        ("timestamp-nanos" | "local-timestamp-nanos", Kind::Long) => Logical::Timestamp(TimeUnit::Nanosecond),
        ("decimal", Kind::Bytes | Kind::Fixed(_)) => {
            let (precision, scale) = (number("precision")?, number("scale").unwrap_or(0));
            let (precision, scale) = (u8::try_from(precision).ok()?, u8::try_from(scale).ok()?);
            Some(Logical::Decimal { precision, scale }).filter(|_| precision > 0 && scale <= precision)?
        }
        _ => return None,
    })
}
