-- stage 1
-- Flink ignores an option of the format that it does not know.

CREATE TABLE t (a INT) WITH (
  'connector' = 'filesystem',
  'path' = '${data}/empty.csv',
  'format' = 'csv',
  'csv.fild-delimiter' = ';'
);

SELECT * FROM t;
