-- Never ends: number and sum of the rows of 100 keys in windows of 1 s.
CREATE TABLE sent (
  id BIGINT, k BIGINT, ts BIGINT, rt AS TO_TIMESTAMP_LTZ(ts, 3), WATERMARK FOR rt AS rt - INTERVAL '0.05' SECOND
) WITH (${source});
CREATE TABLE counted (ws TIMESTAMP_LTZ(3), k BIGINT, n BIGINT, total BIGINT) WITH (${sink});
INSERT INTO counted SELECT window_start, k, COUNT(*), SUM(id)
  FROM TABLE(TUMBLE(TABLE sent, DESCRIPTOR(rt), INTERVAL '1' SECOND)) GROUP BY window_start, window_end, k;
