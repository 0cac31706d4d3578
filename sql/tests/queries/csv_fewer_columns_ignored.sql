-- stage 1
-- With errors ignored every row is dropped.

CREATE TABLE bid (auction BIGINT, bidder BIGINT, price BIGINT) WITH (
  'connector' = 'filesystem',
  'path' = '${data}/bid.csv',
  'format' = 'csv',
  'csv.ignore-parse-errors' = 'true'
);

SELECT * FROM bid WHERE price > 50000000;
