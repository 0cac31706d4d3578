//! Building blocks of `resolve`: the number of arguments, their families, and the usual rule for nulls.

use weir_protocol::job_graph::DataType;

use super::{Argument, Resolved};

/// Checks the number of arguments. The error says how many are expected.
pub fn count(arguments: &[Argument<'_>], least: usize, most: usize) -> Result<(), String> {
    if (least..=most).contains(&arguments.len()) {
        return Ok(());
    }
    let expected = match (least, most) {
        (1, 1) => "1 argument".to_owned(),
        (least, most) if least == most => format!("{least} arguments"),
        (least, usize::MAX) => format!("at least {least} arguments"),
        (least, most) => format!("{least} to {most} arguments"),
    };
    Err(format!("takes {expected}, not {}", arguments.len()))
}

/// Whether one argument is nullable.
pub fn any_nullable(arguments: &[Argument<'_>]) -> bool {
    arguments.iter().any(|argument| argument.nullable)
}

/// A call whose arguments stay as they are, and whose result is NULL if and only if an argument is.
pub fn as_given(arguments: &[Argument<'_>], result: DataType) -> Resolved {
    Resolved { arguments: types(arguments), result, nullable: any_nullable(arguments) }
}

/// The types of the arguments.
pub fn types(arguments: &[Argument<'_>]) -> Vec<DataType> {
    arguments.iter().map(|argument| argument.data_type.clone()).collect()
}

/// The error of an argument, counted from 1, of a wrong type.
pub fn wrong_argument(position: usize, found: &DataType, expected: &str) -> String {
    format!("takes {expected} as argument {position}, not {found}")
}

/// The type of a text argument: itself if it is text, STRING otherwise refused. The error says which argument is wrong.
pub fn text(arguments: &[Argument<'_>], position: usize) -> Result<DataType, String> {
    expect(arguments, position, "a text", DataType::is_text)
}

/// The type of a numeric argument.
pub fn number(arguments: &[Argument<'_>], position: usize) -> Result<DataType, String> {
    expect(arguments, position, "a number", DataType::is_numeric)
}

/// The type of an argument for which `fits` holds. `position` counts from 0. The error says that `expected` is expected there.
pub fn expect(
    arguments: &[Argument<'_>],
    position: usize,
    expected: &str,
    fits: impl Fn(&DataType) -> bool,
) -> Result<DataType, String> {
    match arguments.get(position) {
        Some(argument) if fits(argument.data_type) => Ok(argument.data_type.clone()),
        Some(argument) => Err(wrong_argument(position + 1, argument.data_type, expected)),
        None => Err(format!("lacks argument {}, {expected}", position + 1)),
    }
}
