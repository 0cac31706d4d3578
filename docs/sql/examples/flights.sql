-- Flights that left New York City in 2013: what happened at each airport on each day, and which flights were very late.
-- `make sql-demo` runs this script on a cluster of its own. docs/sql/tutorial.md explains it and says how to run it by hand.

SET 'pipeline.name' = 'Delays of flights from New York';
-- INSERT returns when its job has ended, and fails if the job has failed.
SET 'table.dml-sync' = 'true';

-- One row for each scheduled flight, in the order of their times. A cancelled flight has no delay.
CREATE TABLE flights (
  scheduled TIMESTAMP(3),
  origin STRING,
  carrier STRING,
  flight BIGINT,
  dest STRING,
  dep_delay BIGINT,
  WATERMARK FOR scheduled AS scheduled - INTERVAL '1' MINUTE
) WITH (
  'connector' = 'filesystem',
  'path' = '/tmp/weir-tutorial/flights',
  'format' = 'csv',
  'csv.null-literal' = ''
);

CREATE TABLE daily (
  `day` TIMESTAMP(3),
  origin STRING,
  departures BIGINT,
  cancelled BIGINT,
  mean_delay DOUBLE,
  worst_delay BIGINT
) WITH (
  'connector' = 'filesystem',
  'path' = '/tmp/weir-tutorial/daily',
  'format' = 'csv'
);

CREATE TABLE very_late WITH (
  'connector' = 'filesystem',
  'path' = '/tmp/weir-tutorial/very-late',
  'format' = 'json'
) LIKE flights (EXCLUDING OPTIONS EXCLUDING WATERMARKS);

-- Both inserts are one job, which reads the flights once. Its files appear when they are complete, each row exactly once.
EXECUTE STATEMENT SET BEGIN

INSERT INTO daily
SELECT
  window_start,
  origin,
  COUNT(dep_delay),
  COUNT(*) FILTER (WHERE dep_delay IS NULL),
  ROUND(AVG(CAST(dep_delay AS DOUBLE)), 1),
  MAX(dep_delay)
FROM TABLE(TUMBLE(TABLE flights, DESCRIPTOR(scheduled), INTERVAL '1' DAY))
GROUP BY window_start, window_end, origin;

INSERT INTO very_late
SELECT * FROM flights WHERE dep_delay > 10 * 60;

END;
