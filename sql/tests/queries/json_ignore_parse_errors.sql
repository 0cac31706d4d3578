-- stage 1
CREATE TABLE broken (a INT, b STRING) WITH (
  'connector' = 'filesystem',
  'path' = '${data}/broken.json',
  'format' = 'json',
  'json.ignore-parse-errors' = 'true'
);

SELECT * FROM broken;
