use crate::functions::probe::check;

#[test]
fn functions_of_collections_answer_as_flink_does() {
    check(include_str!("answers.tsv"));
}
