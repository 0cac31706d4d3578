//! What the shell says about itself.

/// The answer to `help;`.
pub(super) const HELP: &str = "\
End every statement with a semicolon; it may span lines. In the shell:
  help;  clear;  quit;  exit;          this text, an empty screen, the end (also Ctrl-D)
  Tab, Up, Down, Ctrl-R                complete a word, recall an entry, search the history
  Ctrl-C                               drop what is being typed; stop waiting for a job, which goes on

Tables and views
  CREATE TABLE t (a BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) WITH ('connector' = '…', …);
  CREATE VIEW v AS SELECT …;  CREATE TABLE u WITH (…) LIKE t;  CREATE TABLE w WITH (…) AS SELECT …;
  DROP TABLE t;  ALTER TABLE t SET ('key' = 'value');  USE db;
  SHOW TABLES;  SHOW CREATE TABLE t;  DESCRIBE t;  SHOW FUNCTIONS;
Jobs
  INSERT INTO t SELECT …;              submits a job
  EXECUTE STATEMENT SET BEGIN INSERT …; INSERT …; END;
  EXPLAIN INSERT INTO t SELECT …;      shows the plan and runs nothing
  SHOW JOBS;  DESCRIBE JOB 'id';  STOP JOB 'id' WITH SAVEPOINT;
Options of the session
  SET;  SET 'key' = 'value';  RESET 'key';
  'table.dml-sync' = 'true'                   INSERT waits for the end of its job
  'execution.checkpointing.interval' = '10 s' how often jobs take checkpoints
  'parallelism.default' = '2'                 subtasks of each part of a job
  'pipeline.name' = '…'                       the name of the next jobs";

/// The first line of the shell.
pub(super) const WELCOME: &str = "Weir SQL. help; lists what can be said, quit; ends.";
