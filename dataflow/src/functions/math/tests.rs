use crate::functions::answers::check;

#[test]
fn functions_of_numbers_answer_as_flink_does() {
    check(include_str!("answers.tsv"));
}
