//! Scalar expressions with the types and values that Flink gives them.

use std::collections::BTreeSet;
use std::path::Path;

use weir_sql::dialect::{Statement, parse_statement};
use weir_sql::planner::{PlannedQuery, plan_query};
use weir_sql::script::{ScriptStatement, split};
use weir_sql::session::Session;

use crate::engine;
use crate::rows;
use crate::script::next_number;

/// One expression and Flink's answer.
pub(crate) struct Probe {
    /// The family, which is the file.
    pub(crate) family: String,
    pub(crate) expression: String,
    /// The statements before it that set options.
    settings: Vec<String>,
    data_type: String,
    value: String,
    /// The value if the planner of Flink computes it, where that differs.
    folded: Option<String>,
}

/// All probes.
pub(crate) fn all() -> Vec<Probe> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/probes");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "probes"));
    files.sort();
    files.iter().flat_map(|file| read(file)).collect()
}

/// Family and expression of the probes whose answer is not Flink's. The file has the reasons.
pub(crate) fn known_differences() -> BTreeSet<(String, String)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/probes/different.tsv");
    let text = std::fs::read_to_string(file).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.split('\t').map(str::to_owned).collect::<Vec<_>>())
        .map(|line| (line[1].clone(), line[2].clone()))
        .collect()
}

fn read(file: &Path) -> Vec<Probe> {
    let family = file.file_stem().unwrap().to_string_lossy().into_owned();
    let mut settings = Vec::new();
    let mut probes = Vec::new();
    for line in std::fs::read_to_string(file).unwrap().lines() {
        if let Some(setting) = line.strip_prefix("# SET ") {
            settings = vec![format!("SET {setting}")];
        }
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        let mut fields = line.split('\t');
        let mut next = || fields.next().unwrap_or_default().to_owned();
        probes.push(Probe {
            family: family.clone(),
            settings: settings.clone(),
            expression: next(),
            data_type: next(),
            value: next(),
            folded: next().strip_prefix("folded: ").map(str::to_owned),
        });
    }
    probes
}

impl Probe {
    /// How our answer differs from Flink's; `None` if it does not.
    pub(crate) fn difference(&self) -> Option<String> {
        let found = std::panic::catch_unwind(|| self.answer()).unwrap_or_else(|_| Err("it panicked".into()));
        let fails = self.value.starts_with("ERROR");
        match found {
            Err(_) if fails => None,
            Err(error) => {
                Some(format!("{} {} instead: {}", self.data_type, self.value, error.lines().next().unwrap_or_default()))
            }
            Ok((data_type, value)) if fails && self.folded.as_ref() != Some(&value) => {
                Some(format!("{data_type} {value} instead of {}", self.value))
            }
            Ok((data_type, value)) => {
                let same_value =
                    rows::without_order(&value) == rows::without_order(&self.value) || self.folded.as_ref() == Some(&value);
                // Flink's types promise that values are not null where its functions don't keep it. Ours may promise less.
                let same_type = data_type == self.data_type || format!("{data_type} NOT NULL") == self.data_type;
                let same = same_value && (fails || same_type);
                (!same).then(|| format!("{data_type} {value} instead of {} {}", self.data_type, self.value))
            }
        }
    }

    fn answer(&self) -> Result<(String, String), String> {
        let mut session = Session::default();
        for setting in &self.settings {
            let [statement] = split(setting).unwrap().try_into().unwrap();
            session.command(&parse_statement(&statement).unwrap()).unwrap().unwrap();
        }
        let text = format!("SELECT {}", self.expression);
        let fails = |error: weir_sql::script::SqlError| error.to_string();
        let [statement]: [ScriptStatement; 1] =
            split(&text).map_err(fails)?.try_into().map_err(|_| "several statements".to_owned())?;
        let Statement::Query(query) = parse_statement(&statement).map_err(fails)? else { return Err("no query".into()) };
        let number = next_number();
        let options = session.job_options("probe");
        let PlannedQuery { job, columns, .. } =
            plan_query(session.environment(), &query, engine::collect(number), &options).map_err(fails)?;
        engine::run(&job.graph, 1).map_err(|error| error.to_string())?;
        let rows = rows::rows(&engine::collected(number), &columns, session.options.local_time_zone());
        let [(_, values)]: [rows::Row; 1] = rows.try_into().map_err(|_| "not one row".to_owned())?;
        let not_null = if columns[0].nullable { "" } else { " NOT NULL" };
        let value = if values[0] == "\\N" { "NULL".to_owned() } else { values[0].clone() };
        Ok((format!("{}{not_null}", columns[0].data_type), value))
    }
}
