use crate::functions::written_calls::check;

#[test]
fn functions_of_time_answer_as_flink_does() {
    check(include_str!("answers.tsv"));
}
