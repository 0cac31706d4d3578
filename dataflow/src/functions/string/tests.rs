use crate::functions::answers::check;

#[test]
fn text_functions_answer_as_flink_does() {
    check(include_str!("answers.tsv"));
}

#[test]
fn a_text_that_would_take_all_memory_fails_the_call() {
    check("repeat('abcdefgh', 2147483647)\t-\t! at most");
    check("lpad('a', 2147483647, 'b')\t-\t! at most");
}
