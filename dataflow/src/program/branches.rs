//! CASE, COALESCE, AND and OR: computes operands only for the rows that need them.

use arrow_array::{Array, BooleanArray, Scalar, new_null_array};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_schema::DataType as ArrowType;
use arrow_select::interleave::interleave;
use arrow_select::zip::zip;

use super::boolean;
use super::evaluate::{Evaluator, truth};
use super::scope::Scope;
use crate::functions::Operand;
use crate::functions::operand::type_error;
use crate::operator::OperatorError;

/// Deepest nesting of scopes that AND and OR add of their own accord, to compute common parts of their operands once.
const SHARED_DEPTH: usize = 40;

impl Evaluator<'_> {
    /// A value for some rows of the scope, and whether it has one value for each row of the scope rather than for each of `rows`.
    fn value_for(&mut self, scope: &mut Scope<'_>, rows: &BooleanBuffer, node: u32) -> Result<(Operand, bool), OperatorError> {
        if self.nodes[node as usize].harmless || rows.count_set_bits() == scope.rows() {
            return Ok((self.value(scope, node)?, true));
        }
        let mut part = Scope::within(scope, rows);
        self.depth += 1;
        let value = self.value(&mut part, node);
        self.depth -= 1;
        Ok((value?, false))
    }

    pub(super) fn case(
        &mut self,
        scope: &mut Scope<'_>,
        branches: &[(u32, u32)],
        otherwise: Option<u32>,
        arrow: &ArrowType,
    ) -> Result<Operand, OperatorError> {
        let mut merge = Merge::new(scope.rows());
        let mut pending = BooleanBuffer::new_set(scope.rows());
        for (condition, value) in branches {
            let (holds, aligned) = self.value_for(scope, &pending, *condition)?;
            let holds = if aligned {
                &truth(&holds, scope.rows())? & &pending
            } else {
                scatter(&truth(&holds, pending.count_set_bits())?, &pending)
            };
            if holds.count_set_bits() == 0 {
                continue;
            }
            let (value, aligned) = self.value_for(scope, &holds, *value)?;
            if holds.count_set_bits() == scope.rows() {
                return Ok(value);
            }
            merge.take(&holds, value, aligned);
            pending = &pending & &!&holds;
            if pending.count_set_bits() == 0 {
                return merge.finish();
            }
        }
        let (rest, aligned) = match otherwise {
            Some(otherwise) => self.value_for(scope, &pending, otherwise)?,
            None => (Operand::Constant(new_null_array(arrow, 1)), true),
        };
        if pending.count_set_bits() == scope.rows() {
            return Ok(rest);
        }
        merge.take(&pending, rest, aligned);
        merge.finish()
    }

    pub(super) fn coalesce(
        &mut self,
        scope: &mut Scope<'_>,
        operands: &[u32],
        arrow: &ArrowType,
    ) -> Result<Operand, OperatorError> {
        let mut merge = Merge::new(scope.rows());
        let mut pending = BooleanBuffer::new_set(scope.rows());
        for operand in operands {
            let (value, aligned) = self.value_for(scope, &pending, *operand)?;
            let present = present(&value, if aligned { scope.rows() } else { pending.count_set_bits() });
            let present = if aligned { &present & &pending } else { scatter(&present, &pending) };
            match present.count_set_bits() {
                0 => continue,
                // Only an aligned value can be present in all rows.
                all if all == scope.rows() => return Ok(value),
                _ => {}
            }
            // Of an unaligned value, the absent rows are skipped by their position among the pending ones.
            merge.take_some(&present, if aligned { None } else { Some(&pending) }, value);
            pending = &pending & &!&present;
            if pending.count_set_bits() == 0 {
                return merge.finish();
            }
        }
        let null = Operand::Constant(new_null_array(arrow, 1));
        if pending.count_set_bits() == scope.rows() {
            return Ok(null);
        }
        merge.take(&pending, null, true);
        merge.finish()
    }

    /// AND or OR of these operands, by three-valued logic. `decisive` is the operand's value that decides the result.
    pub(super) fn connective(
        &mut self,
        scope: &mut Scope<'_>,
        operands: &[u32],
        decisive: bool,
    ) -> Result<BooleanArray, OperatorError> {
        let rows = scope.rows();
        let mut decided = BooleanBuffer::new_unset(rows);
        let mut unknown = BooleanBuffer::new_unset(rows);
        for (position, operand) in operands.iter().enumerate() {
            let open = !&decided;
            let left = open.count_set_bits();
            if left == 0 {
                break;
            }
            if self.nodes[*operand as usize].harmless || left == rows {
                let (decides, is_unknown) = outcome(&self.value(scope, *operand)?, rows, decisive)?;
                decided = &decided | &decides;
                unknown = &unknown | &is_unknown;
                continue;
            }
            let mut part = Scope::within(scope, &open);
            // The rest is computed in the smaller scope as well, where what its operands share is computed once.
            let share = self.depth < SHARED_DEPTH && left <= rows / 2;
            self.depth += 1;
            let rest = if share { &operands[position..] } else { &operands[position..=position] };
            let found = if share {
                self.connective(&mut part, rest, decisive).map(|array| Operand::Column(std::sync::Arc::new(array)))
            } else {
                self.value(&mut part, *operand)
            };
            self.depth -= 1;
            let (decides, is_unknown) = outcome(&found?, left, decisive)?;
            decided = &decided | &scatter(&decides, &open);
            unknown = &unknown | &scatter(&is_unknown, &open);
            if share {
                break;
            }
        }
        let values = if decisive { decided.clone() } else { !&decided };
        let valid = &decided | &!&unknown;
        let nulls = (valid.count_set_bits() < rows).then(|| NullBuffer::new(valid));
        Ok(BooleanArray::new(values, nulls))
    }
}

/// For each row, whether a BOOLEAN has the decisive value, and whether it is NULL.
fn outcome(value: &Operand, rows: usize, decisive: bool) -> Result<(BooleanBuffer, BooleanBuffer), OperatorError> {
    let repeated = |bit: bool| if bit { BooleanBuffer::new_set(rows) } else { BooleanBuffer::new_unset(rows) };
    let array = boolean(value)?;
    if value.is_constant() {
        let valid = array.is_valid(0);
        return Ok((repeated(valid && array.value(0) == decisive), repeated(!valid)));
    }
    let decides = if decisive { array.values().clone() } else { !array.values() };
    Ok(match array.nulls() {
        Some(nulls) => (&decides & nulls.inner(), !nulls.inner()),
        None => (decides, repeated(false)),
    })
}

/// For each row, whether the value is not NULL.
fn present(value: &Operand, rows: usize) -> BooleanBuffer {
    if value.is_constant() {
        return if value.is_constant_null() { BooleanBuffer::new_unset(rows) } else { BooleanBuffer::new_set(rows) };
    }
    value.array().logical_nulls().map_or_else(|| BooleanBuffer::new_set(rows), NullBuffer::into_inner)
}

/// Moves the bits of some rows to their places among all rows; the other rows get no bit.
fn scatter(bits: &BooleanBuffer, rows: &BooleanBuffer) -> BooleanBuffer {
    if rows.count_set_bits() == rows.len() {
        return bits.clone();
    }
    let mut builder = arrow_buffer::BooleanBufferBuilder::new(rows.len());
    builder.append_n(rows.len(), false);
    for (position, row) in rows.set_indices().enumerate() {
        if bits.value(position) {
            builder.set_bit(row, true);
        }
    }
    builder.finish()
}

/// Puts a column together from values of different branches.
struct Merge {
    rows: usize,
    parts: Vec<Part>,
}

/// The rows that take their value from one branch.
struct Part {
    rows: BooleanBuffer,
    /// The rows that the value has one for each; `None` for all rows of the scope.
    among: Option<BooleanBuffer>,
    value: Operand,
}

impl Merge {
    fn new(rows: usize) -> Self {
        Self { rows, parts: Vec::new() }
    }

    /// Takes the values of `rows`. An aligned value has one for each row of the scope, another has one for each of `rows`.
    fn take(&mut self, rows: &BooleanBuffer, value: Operand, aligned: bool) {
        self.take_some(rows, if aligned { None } else { Some(rows) }, value);
    }

    /// Takes the values of `rows`. The value has one for each row that is set in `among`, or for each row of the scope.
    fn take_some(&mut self, rows: &BooleanBuffer, among: Option<&BooleanBuffer>, value: Operand) {
        let among = if value.is_constant() { None } else { among.cloned() };
        self.parts.push(Part { rows: rows.clone(), among, value });
    }

    /// The column. Every row has been taken, each once.
    fn finish(self) -> Result<Operand, OperatorError> {
        if let [yes @ Part { among: None, .. }, no @ Part { among: None, .. }] = self.parts.as_slice() {
            let mask = BooleanArray::new(yes.rows.clone(), None);
            let column = match (&yes.value, &no.value) {
                (Operand::Column(yes), Operand::Column(no)) => zip(&mask, yes, no),
                (Operand::Column(yes), Operand::Constant(no)) => zip(&mask, yes, &Scalar::new(no)),
                (Operand::Constant(yes), Operand::Column(no)) => zip(&mask, &Scalar::new(yes), no),
                (Operand::Constant(yes), Operand::Constant(no)) => zip(&mask, &Scalar::new(yes), &Scalar::new(no)),
            };
            return Ok(Operand::Column(column.map_err(type_error)?));
        }
        // For each row, the part and the position in its value.
        let mut picks = vec![(0, 0); self.rows];
        for (source, part) in self.parts.iter().enumerate() {
            match &part.among {
                None if part.value.is_constant() => part.rows.set_indices().for_each(|row| picks[row] = (source, 0)),
                None => part.rows.set_indices().for_each(|row| picks[row] = (source, row)),
                Some(among) => {
                    let taken = among.set_indices().enumerate().filter(|(_, row)| part.rows.value(*row));
                    taken.for_each(|(position, row)| picks[row] = (source, position));
                }
            }
        }
        let sources: Vec<&dyn Array> = self.parts.iter().map(|part| &**part.value.array()).collect();
        Ok(Operand::Column(interleave(&sources, &picks).map_err(type_error)?))
    }
}
