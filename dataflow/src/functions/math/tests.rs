use crate::functions::written_calls::check;

#[test]
fn functions_of_numbers_answer_as_flink_does() {
    check(include_str!("answers.tsv"));
}
