-- stage 1
CREATE TABLE nothing (a INT, b STRING) WITH (
  'connector' = 'filesystem',
  'path' = '${data}/empty.csv',
  'format' = 'csv'
);

SELECT a + 1 AS a1, b FROM nothing;
