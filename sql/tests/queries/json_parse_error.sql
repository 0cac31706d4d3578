-- stage 1
-- A line that is no JSON fails the job.

CREATE TABLE broken (a INT, b STRING) WITH (
  'connector' = 'filesystem',
  'path' = '${data}/broken.json',
  'format' = 'json'
);

SELECT * FROM broken;
