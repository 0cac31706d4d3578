use crate::functions::answers::check;

#[test]
fn functions_of_regular_expressions_answer_as_flink_does() {
    check(include_str!("answers.tsv"));
}

#[test]
fn what_only_java_supports_fails_the_call() {
    check("regexp('aa', '(a)\\1')\t-\t! back reference");
    check("regexp_replace('hello', '(?<=h)e', 'x')\t-\t! look-behind");
}
