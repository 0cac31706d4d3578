-- stage 1
CREATE TABLE sensors (
  id INT,
  room STRING,
  temp DOUBLE,
  ok BOOLEAN,
  `count` BIGINT,
  price DECIMAL(8, 3),
  ts TIMESTAMP(3),
  pos ROW<x INT, y STRING>,
  WATERMARK FOR ts AS ts
) WITH (
  'connector' = 'filesystem',
  'path' = '${data}/sensors.json',
  'format' = 'json',
  'json.fail-on-missing-field' = 'true'
);

SELECT id, room, temp FROM sensors;
