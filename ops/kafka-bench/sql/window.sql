-- Number and sum of the bids of each auction in windows of 10 s.
CREATE TABLE bids (
  auction BIGINT, bidder BIGINT, price BIGINT, ts BIGINT,
  rt AS TO_TIMESTAMP_LTZ(ts, 3), WATERMARK FOR rt AS rt - INTERVAL '1' SECOND
) WITH (${source});
CREATE TABLE sums (ws TIMESTAMP_LTZ(3), auction BIGINT, n BIGINT, total BIGINT) WITH (${sink});
INSERT INTO sums SELECT window_start, auction, COUNT(*), SUM(price)
  FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(rt), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, auction;
