-- stage 1
-- A window over windows, by the inner window's time.

CREATE TABLE bid (
  auction BIGINT,
  bidder BIGINT,
  price BIGINT,
  channel VARCHAR,
  url VARCHAR,
  `dateTime` TIMESTAMP(3),
  extra VARCHAR,
  WATERMARK FOR `dateTime` AS `dateTime` - INTERVAL '4' SECOND
) WITH (
  'connector' = 'filesystem',
  'path' = '${data}/bid.csv',
  'format' = 'csv'
);

CREATE VIEW inner_ AS
SELECT bidder, window_time AS rt, COUNT(*) AS n, SUM(price) AS s
FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND))
GROUP BY bidder, window_start, window_end, window_time;
SELECT window_start, window_end, COUNT(*) AS bidders, SUM(n) AS bids, MAX(s) AS top
FROM TABLE(TUMBLE(TABLE inner_, DESCRIPTOR(rt), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end;
