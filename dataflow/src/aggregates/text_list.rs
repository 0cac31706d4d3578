//! Texts, one after the other.

use std::any::Any;
use std::sync::Arc;

use arrow_array::{ArrayRef, StringArray};

use super::accumulator::{Accumulator, like};
use super::cell::{Cell, flag, text};
use super::rows::{SelectedRows, pairs};
use crate::operator::OperatorError;
use crate::state::{StateReader, put_bytes};

/// The texts of LISTAGG, one after the other.
#[derive(Clone)]
pub(super) struct TextList {
    lists: Vec<Option<String>>,
    delimiter: Arc<str>,
}

impl TextList {
    pub(super) fn new(delimiter: Arc<str>) -> Self {
        Self { lists: Vec::new(), delimiter }
    }
}

fn append(list: &mut Option<String>, text: &str, delimiter: &str) {
    match list {
        Some(list) => {
            list.push_str(delimiter);
            list.push_str(text);
        }
        None => *list = Some(text.to_owned()),
    }
}

impl Accumulator for TextList {
    fn grow(&mut self, slots: usize) {
        self.lists.resize(slots, None);
    }

    fn update(&mut self, column: Option<&ArrayRef>, rows: &SelectedRows<'_>) {
        let Some(column) = column else { return };
        let (lists, delimiter) = (&mut self.lists, &self.delimiter);
        Box::<str>::each(column, rows, |slot, _, text| append(&mut lists[slot], text, delimiter));
    }

    fn clear(&mut self, slot: usize) {
        self.lists[slot] = None;
    }

    fn merge(&mut self, from: &dyn Accumulator, slots: &[u32]) {
        let theirs = like::<Self>(from);
        for (from, into) in pairs(slots) {
            theirs.lists[from].iter().for_each(|text| append(&mut self.lists[into], text, &self.delimiter));
        }
    }

    fn finish(&self, slots: &[u32]) -> Result<ArrayRef, OperatorError> {
        let lists = slots.iter().map(|slot| self.lists[*slot as usize].as_deref());
        Ok(Arc::new(lists.collect::<StringArray>()))
    }

    fn write(&self, slots: &[u32], out: &mut Vec<u8>) {
        for list in slots.iter().map(|slot| &self.lists[*slot as usize]) {
            out.push(u8::from(list.is_some()));
            put_bytes(out, list.as_deref().unwrap_or_default().as_bytes());
        }
    }

    fn read(&mut self, slot: usize, reader: &mut StateReader<'_>) -> Result<(), OperatorError> {
        let some = flag(reader)?;
        let list = text(reader)?;
        self.lists[slot] = some.then(|| list.to_owned());
        Ok(())
    }

    fn copy(&self) -> Box<dyn Accumulator> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
