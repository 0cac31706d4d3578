//! The statements of Flink's SQL that Weir knows.

use sqlparser::ast::{Expr, Ident, ObjectName, Query};
use weir_protocol::job_graph::DataType;

/// A statement as it was parsed.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    Query(Box<Query>),
    Insert(Insert),
    /// The inserts of `EXECUTE STATEMENT SET BEGIN … END`, which run as one job.
    StatementSet(Vec<Insert>),
    Explain(Explain),
    CreateTable(CreateTable),
    CreateView(CreateView),
    CreateDatabase {
        name: ObjectName,
        if_not_exists: bool,
    },
    Drop(Drop),
    AlterTable(AlterTable),
    UseCatalog(Ident),
    Use(ObjectName),
    Show(Show),
    Describe(ObjectName),
    /// `SET` alone lists the options.
    Set(Option<(String, String)>),
    /// `RESET` alone resets all options.
    Reset(Option<String>),
    DescribeJob(String),
    StopJob(StopJob),
}

impl Statement {
    /// Whether the statement reads or changes databases, tables or views.
    pub fn uses_catalog(&self) -> bool {
        match self {
            Self::Query(_)
            | Self::Insert(_)
            | Self::StatementSet(_)
            | Self::Explain(_)
            | Self::CreateTable(_)
            | Self::CreateView(_)
            | Self::CreateDatabase { .. }
            | Self::Drop(_)
            | Self::AlterTable(_)
            | Self::Use(_)
            | Self::Describe(_) => true,
            Self::Show(show) => match show {
                Show::Databases
                | Show::Tables(_)
                | Show::Views
                | Show::Columns(_)
                | Show::CreateTable(_)
                | Show::CreateView(_) => true,
                Show::Catalogs | Show::CurrentCatalog | Show::CurrentDatabase | Show::Functions | Show::Jobs => false,
            },
            Self::UseCatalog(_) | Self::Set(_) | Self::Reset(_) | Self::DescribeJob(_) | Self::StopJob(_) => false,
        }
    }
}

/// `INSERT INTO table [(columns)] query`.
#[derive(Debug, Clone, PartialEq)]
pub struct Insert {
    pub table: ObjectName,
    /// The columns that the query fills, in its order; all of the table if empty.
    pub columns: Vec<Ident>,
    pub query: Box<Query>,
}

/// `EXPLAIN [PLAN FOR] [details] statement`.
#[derive(Debug, Clone, PartialEq)]
pub struct Explain {
    pub statement: Box<Statement>,
    pub estimated_cost: bool,
    pub changelog_mode: bool,
    pub json_execution_plan: bool,
}

/// `CREATE [TEMPORARY] TABLE`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateTable {
    pub name: ObjectName,
    pub temporary: bool,
    pub if_not_exists: bool,
    pub columns: Vec<ColumnDefinition>,
    pub watermark: Option<WatermarkDefinition>,
    pub primary_key: Vec<Ident>,
    pub comment: Option<String>,
    pub partitioned_by: Vec<Ident>,
    pub options: Vec<(String, String)>,
    pub like: Option<Like>,
    /// The query of `CREATE TABLE … AS`.
    pub query: Option<Box<Query>>,
}

/// A column in `CREATE TABLE`.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnDefinition {
    pub name: Ident,
    pub kind: ColumnKind,
    pub comment: Option<String>,
}

/// How a column gets its values.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnKind {
    /// The connector stores it.
    Physical { data_type: DataType, nullable: bool },
    /// `name AS expression`. The text is as the user wrote it.
    Computed { expression: Box<Expr>, text: String },
    /// `name TYPE METADATA [FROM 'key'] [VIRTUAL]`.
    Metadata { data_type: DataType, nullable: bool, key: Option<String>, is_virtual: bool },
}

/// `WATERMARK FOR column AS expression`.
#[derive(Debug, Clone, PartialEq)]
pub struct WatermarkDefinition {
    pub column: Ident,
    pub expression: Box<Expr>,
    pub text: String,
}

/// `LIKE table (…)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Like {
    pub table: ObjectName,
    /// Feature and what becomes of it, e.g. `(Options, Overwriting)`.
    pub rules: Vec<(LikeFeature, LikeMerge)>,
}

/// What LIKE can copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LikeFeature {
    All,
    Constraints,
    Distribution,
    Generated,
    Metadata,
    Options,
    Partitions,
    Watermarks,
}

/// How LIKE treats a feature of the other table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LikeMerge {
    Including,
    Excluding,
    Overwriting,
}

/// `CREATE [TEMPORARY] VIEW`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateView {
    pub name: ObjectName,
    pub temporary: bool,
    pub if_not_exists: bool,
    pub columns: Vec<Ident>,
    pub comment: Option<String>,
    pub query: Box<Query>,
    /// The query as the user wrote it.
    pub text: String,
}

/// `DROP [TEMPORARY] TABLE | VIEW | DATABASE`.
#[derive(Debug, Clone, PartialEq)]
pub struct Drop {
    pub object: DropObject,
    pub name: ObjectName,
    pub temporary: bool,
    pub if_exists: bool,
}

/// What `DROP` removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropObject {
    Table,
    View,
    Database { cascade: bool },
}

/// What `ALTER TABLE` changes of which table.
#[derive(Debug, Clone, PartialEq)]
pub struct AlterTable {
    pub name: ObjectName,
    pub if_exists: bool,
    pub change: TableChange,
}

/// What `ALTER TABLE` changes.
#[derive(Debug, Clone, PartialEq)]
pub enum TableChange {
    Rename(ObjectName),
    SetOptions(Vec<(String, String)>),
    ResetOptions(Vec<String>),
}

/// What `SHOW` lists.
#[derive(Debug, Clone, PartialEq)]
pub enum Show {
    Catalogs,
    Databases,
    CurrentCatalog,
    CurrentDatabase,
    /// With the pattern of `LIKE`.
    Tables(Option<String>),
    Views,
    Functions,
    Columns(ObjectName),
    CreateTable(ObjectName),
    CreateView(ObjectName),
    Jobs,
}

/// `STOP JOB 'id' [WITH SAVEPOINT] [WITH DRAIN]`.
#[derive(Debug, Clone, PartialEq)]
pub struct StopJob {
    pub job: String,
    pub with_savepoint: bool,
    pub with_drain: bool,
}
