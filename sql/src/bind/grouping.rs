//! GROUP BY: its expressions, and the sets of them that GROUPING SETS, ROLLUP and CUBE ask for.

use sqlparser::ast::{Expr, Function, GroupByExpr};
use sqlparser::tokenizer::Location;
use weir_protocol::job_graph::DataType;

use super::call::operands;
use super::expression::Expressions;
use super::unsupported;
use crate::expression::{ExprKind, Typed};
use crate::script::SqlError;

/// Most grouping sets of one SELECT. Each row is emitted once for each.
const MAX_SETS: usize = 1_024;

/// Most expressions of GROUP BY with several sets: the id of a set has a bit for each.
const MAX_GROUPS: usize = 48;

/// What a SELECT groups by.
#[derive(Debug, Clone)]
pub(super) struct Groups {
    /// The distinct expressions of GROUP BY, in the order of the text.
    pub(super) expressions: Vec<Typed>,
    /// The sets, each as the positions of its expressions. A plain GROUP BY is one set of all expressions.
    sets: Vec<Vec<usize>>,
}

impl Groups {
    /// One set of all these expressions.
    pub(super) fn all(expressions: Vec<Typed>) -> Self {
        let sets = vec![(0..expressions.len()).collect()];
        Self { expressions, sets }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.expressions.is_empty() && self.sets.len() == 1
    }

    /// Whether there is more than one set, so that each row counts several times.
    pub(super) fn has_sets(&self) -> bool {
        self.sets.len() > 1
    }

    /// Whether this expression of GROUP BY is missing in a set, so that it is NULL in the rows of that set.
    pub(super) fn is_missing_somewhere(&self, position: usize) -> bool {
        self.sets.iter().any(|set| !set.contains(&position))
    }

    /// The position of an expression of GROUP BY. Whether it can be NULL does not count, as sets make expressions NULL.
    pub(super) fn position(&self, part: &Typed) -> Option<usize> {
        self.expressions.iter().position(|group| group.kind == part.kind && group.data_type == part.data_type)
    }

    /// For each set its id, and which of `keys`, positions of expressions, are missing in it. The id has a bit for each key, the
    /// highest for the first, which is set if the key is missing. Equal sets differ in the bits above.
    pub(super) fn ids(&self, keys: &[usize]) -> Vec<(i64, Vec<usize>)> {
        let mut ids: Vec<(i64, Vec<usize>)> = Vec::with_capacity(self.sets.len());
        for set in &self.sets {
            let missing: Vec<_> = (0..keys.len()).filter(|key| !set.contains(&keys[*key])).collect();
            let bits: i64 = missing.iter().map(|key| 1 << (keys.len() - 1 - key)).sum();
            let repetition = ids.iter().filter(|(_, other)| *other == missing).count() as i64;
            ids.push((bits + (repetition << keys.len()), missing));
        }
        ids
    }
}

impl Expressions<'_> {
    /// Binds GROUP BY. Errors: `SQL-LIMIT` for too many sets, `SQL-UNSUPPORTED` for forms that Flink does not have.
    pub(super) fn groups(&mut self, group_by: &GroupByExpr, at: Location) -> Result<Groups, SqlError> {
        let items = match group_by {
            GroupByExpr::Expressions(items, modifiers) if modifiers.is_empty() => items,
            GroupByExpr::Expressions(..) => return unsupported("GROUP BY with a modifier", at),
            GroupByExpr::All(_) => return unsupported("GROUP BY ALL", at),
        };
        let mut groups = Groups { expressions: Vec::new(), sets: vec![Vec::new()] };
        for item in items {
            // Each element of ROLLUP and CUBE is one expression or a list of several.
            let choices = match item {
                Expr::GroupingSets(sets) => self.positions(sets, &mut groups)?,
                Expr::Rollup(elements) => rollup(&self.positions(elements, &mut groups)?),
                Expr::Cube(elements) => cube(&self.positions(elements, &mut groups)?, at)?,
                plain => vec![vec![self.position(plain, &mut groups)?]],
            };
            check_sets(groups.sets.len().saturating_mul(choices.len()), at)?;
            // Of several items, each set of one is combined with each set of the others.
            let combined = groups.sets.iter().flat_map(|set| choices.iter().map(|choice| [set.as_slice(), choice].concat()));
            groups.sets = combined.collect();
        }
        if groups.has_sets() && groups.expressions.len() > MAX_GROUPS {
            let message = format!("GROUP BY with several sets has more than {MAX_GROUPS} expressions");
            return Err(SqlError::new("SQL-LIMIT", message).at(at));
        }
        Ok(groups)
    }

    fn positions(&mut self, lists: &[Vec<Expr>], groups: &mut Groups) -> Result<Vec<Vec<usize>>, SqlError> {
        lists.iter().map(|list| list.iter().map(|expr| self.position(expr, groups)).collect()).collect()
    }

    fn position(&mut self, expr: &Expr, groups: &mut Groups) -> Result<usize, SqlError> {
        let bound = self.bind(expr)?;
        Ok(groups.position(&bound).unwrap_or_else(|| {
            groups.expressions.push(bound);
            groups.expressions.len() - 1
        }))
    }

    /// GROUPING and GROUPING_ID: a bit for each argument, the highest for the first, which is set if the row's grouping set does not
    /// have it. Errors: `SQL-GROUP` where no aggregate may stand, or for an argument that GROUP BY does not have.
    pub(super) fn grouping(&mut self, name: &str, function: &Function, at: Location) -> Result<Typed, SqlError> {
        let Some(aggregates) = self.aggregates.take() else {
            let message = format!("{name} needs a GROUP BY, which {} comes before", self.clause);
            return Err(SqlError::new("SQL-GROUP", message).at(at));
        };
        let bound = operands(function, at)
            .and_then(|operands| operands.into_iter().map(|operand| self.bind(operand)).collect::<Result<Vec<_>, _>>());
        let groups = aggregates.groups.clone();
        self.aggregates = Some(aggregates);
        let bound = bound?;
        if bound.is_empty() || bound.len() > MAX_GROUPS {
            return Err(SqlError::new("SQL-TYPE", format!("{name} takes 1 to {MAX_GROUPS} expressions of GROUP BY")).at(at));
        }
        let positions = bound.iter().map(|argument| groups.position(argument)).collect::<Option<Vec<_>>>();
        let positions = positions
            .ok_or_else(|| SqlError::new("SQL-GROUP", format!("an argument of {name} is no expression of GROUP BY")).at(at))?;
        let bits =
            |set: &Vec<usize>| positions.iter().fold(0_i64, |bits, position| bits << 1 | i64::from(!set.contains(position)));
        self.by_set(groups.sets.iter().map(bits).collect(), at)
    }

    /// The constant of the row's grouping set.
    fn by_set(&self, values: Vec<i64>, at: Location) -> Result<Typed, SqlError> {
        let constant = |value: i64| Typed::literal(value.to_string(), DataType::Bigint);
        let set = Typed { kind: ExprKind::GroupingSet, data_type: DataType::Bigint, nullable: false };
        let Some(last) = values.last().copied() else { return Ok(constant(0)) };
        let mut branches: Vec<(i64, Vec<i64>)> = Vec::new();
        for (number, value) in (0..).zip(values).filter(|(_, value)| *value != last) {
            match branches.iter_mut().find(|(known, _)| *known == value) {
                Some((_, numbers)) => numbers.push(number),
                None => branches.push((value, vec![number])),
            }
        }
        if branches.is_empty() {
            return Ok(constant(last));
        }
        let branch = |(value, numbers): (i64, Vec<i64>)| {
            let operands = std::iter::once(set.clone()).chain(numbers.into_iter().map(constant)).collect();
            Ok((self.call("in", operands, at)?, constant(value)))
        };
        let branches = branches.into_iter().map(branch).collect::<Result<_, SqlError>>()?;
        self.case(branches, Some(constant(last)), at)
    }
}

/// All, then all but the last, and so on down to none.
fn rollup(elements: &[Vec<usize>]) -> Vec<Vec<usize>> {
    (0..=elements.len()).rev().map(|length| elements[..length].concat()).collect()
}

/// Every choice of the elements, from all to none.
fn cube(elements: &[Vec<usize>], at: Location) -> Result<Vec<Vec<usize>>, SqlError> {
    check_sets(1_usize.checked_shl(elements.len().min(63) as u32).unwrap_or(usize::MAX), at)?;
    let count = elements.len();
    let chosen = |choice: usize| {
        let kept = elements.iter().enumerate().filter(move |(index, _)| choice >> (count - 1 - index) & 1 == 0);
        kept.flat_map(|(_, element)| element.iter().copied()).collect()
    };
    Ok((0..1 << count).map(chosen).collect())
}

fn check_sets(count: usize, at: Location) -> Result<(), SqlError> {
    if count <= MAX_SETS {
        return Ok(());
    }
    let message = format!("GROUP BY has more than {MAX_SETS} grouping sets");
    Err(SqlError::new("SQL-LIMIT", message).at(at).hint("list the sets that are needed with GROUPING SETS"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rollup_and_cube_list_their_sets_from_all_to_none() {
        assert_eq!(rollup(&[vec![0, 1], vec![2]]), [vec![0, 1, 2], vec![0, 1], vec![]]);
        assert_eq!(cube(&[vec![0], vec![1]], Location::empty()).unwrap(), [vec![0, 1], vec![0], vec![1], vec![]]);
        let many: Vec<_> = (0..11).map(|position| vec![position]).collect();
        assert_eq!(cube(&many, Location::empty()).unwrap_err().code, "SQL-LIMIT");
    }

    #[test]
    fn equal_sets_have_ids_of_their_own() {
        let column = |index| Typed::column(index, DataType::Int, false);
        let groups = Groups { expressions: vec![column(0), column(1)], sets: vec![vec![0], vec![1], vec![], vec![0]] };
        assert_eq!(groups.ids(&[0, 1]), [(1, vec![1]), (2, vec![0]), (3, vec![0, 1]), (5, vec![1])]);
        assert!(groups.is_missing_somewhere(0) && groups.is_missing_somewhere(1));
        assert!(!Groups::all(vec![column(0)]).is_missing_somewhere(0));
    }
}
