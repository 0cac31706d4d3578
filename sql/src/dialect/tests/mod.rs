mod examples;
mod statements;
