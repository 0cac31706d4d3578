//! What an operator with a state of its own gets back: exactly what every former subtask saved, or an error. A state that is
//! missing would mean rows read twice or lost without a word.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use weir_dataflow::operator::{OperatorError, RestoredState};

/// The decoded states of former subtasks.
pub(crate) enum Former<T> {
    /// The checkpoint does not know this operator: begin at the beginning.
    Unknown,
    /// The parallelism is as it was: the subtask's own state.
    Own(T),
    /// It has changed: everybody's, by subtask.
    All(Vec<T>),
}

/// Decodes what was restored for `subtask` of `parallelism`; `code` is the error's.
pub(crate) fn decode<T: DeserializeOwned>(
    restored: &RestoredState,
    subtask: u32,
    parallelism: u32,
    code: &'static str,
) -> Result<Former<T>, OperatorError> {
    let find = |former: u32| {
        let found = restored.operator_state.iter().find(|(subtask, _)| *subtask == former);
        let (_, bytes) = found.ok_or_else(|| {
            OperatorError::fatal(code, format!("the checkpoint lacks the state of subtask {former}; start from another one"))
        })?;
        read(bytes, code)
    };
    match restored.former_parallelism {
        0 => Ok(Former::Unknown),
        former if former == parallelism => find(subtask).map(Former::Own),
        former => (0..former).map(find).collect::<Result<_, _>>().map(Former::All),
    }
}

fn read<T: DeserializeOwned>(bytes: &Bytes, code: &'static str) -> Result<T, OperatorError> {
    serde_json::from_slice(bytes).map_err(|error| OperatorError::fatal(code, format!("unreadable state: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restored(former_parallelism: u32, states: &[(u32, &'static str)]) -> RestoredState {
        let operator_state = states.iter().map(|(subtask, text)| (*subtask, Bytes::from_static(text.as_bytes()))).collect();
        RestoredState { operator_state, former_parallelism, key_groups: Vec::new() }
    }

    #[test]
    fn every_state_that_was_saved_comes_back_or_it_is_an_error() {
        let decode = |restored| decode::<u32>(&restored, 1, 2, "X-STATE");
        assert!(matches!(decode(restored(0, &[])), Ok(Former::Unknown)));
        assert!(matches!(decode(restored(2, &[(1, "7")])), Ok(Former::Own(7))));
        assert!(matches!(decode(restored(3, &[(0, "5"), (1, "6"), (2, "7")])), Ok(Former::All(all)) if all == [5, 6, 7]));
        for lacking in [restored(2, &[]), restored(2, &[(0, "7")]), restored(3, &[(0, "5"), (2, "7")]), restored(2, &[(1, "x")])]
        {
            assert_eq!(decode(lacking).err().unwrap().code, "X-STATE");
        }
    }
}
